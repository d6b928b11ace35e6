"""Schematic figures: boxes, arrows and grids in the book's palette, on a plain canvas.

Coordinates are inches from the lower left corner, so text and boxes keep their proportions
whatever the figure's size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch, Rectangle

from helpers.teaching.plots import PALETTE

INK = PALETTE[2]
FILLS = ("#d6e8f5", "#fbe3d0", "#dfe3ec", "#d3ebe1")  # the palette's colours, light, in its order


@dataclass(frozen=True)
class Box:
    """A drawn box, with the points at which arrows start and end."""

    x: float  # centre
    y: float
    width: float
    height: float

    @property
    def top(self) -> tuple[float, float]:
        return self.x, self.y + self.height / 2

    @property
    def bottom(self) -> tuple[float, float]:
        return self.x, self.y - self.height / 2

    @property
    def left(self) -> tuple[float, float]:
        return self.x - self.width / 2, self.y

    @property
    def right(self) -> tuple[float, float]:
        return self.x + self.width / 2, self.y


def canvas(width: float, height: float) -> Axes:
    """An empty drawing surface of `width` × `height` inches, without axes."""
    figure = plt.figure(figsize=(width, height), layout="none")
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(0, height))
    ax.axis("off")
    return ax


def box(
    ax: Axes,
    at: tuple[float, float],
    text: str = "",
    *,
    size: tuple[float, float] = (1.3, 0.4),
    colour: int | None = 0,
    fontsize: float = 9,
) -> Box:
    """Draw a rounded box.

    Args:
        ax: from `canvas`.
        at: its centre.
        text: what stands in it; may hold mathtext such as "$d_k$".
        size: width and height.
        colour: index into the palette, or None for a white box.
        fontsize: points.
    """
    (x, y), (width, height) = at, size
    patch = FancyBboxPatch(
        (x - width / 2, y - height / 2),
        width,
        height,
        boxstyle="round,pad=0,rounding_size=0.06",
        facecolor="white" if colour is None else FILLS[colour],
        edgecolor=INK if colour is None else PALETTE[colour],
        linewidth=1.1,
    )
    ax.add_patch(patch)
    ax.text(x, y, text, ha="center", va="center", fontsize=fontsize, color=INK)
    return Box(x, y, width, height)


def label(
    ax: Axes, at: tuple[float, float], text: str, *, fontsize: float = 9, align: str = "center"
) -> None:
    """Write text; `align` is "left", "center" or "right" of the point."""
    ax.text(*at, text, ha=align, va="center", fontsize=fontsize, color=INK)


def arrow(ax: Axes, *points: tuple[float, float], colour: int | None = None) -> None:
    """Draw a line through the points, with an arrow head at the last."""
    shade = INK if colour is None else PALETTE[colour]
    if len(points) < 2:
        raise ValueError(f"An arrow needs two points or more, got {len(points)}.")
    if len(points) > 2:
        xs, ys = zip(*points[:-1], strict=True)
        ax.plot(xs, ys, color=shade, linewidth=1.1, linestyle="-", marker="", solid_capstyle="butt")
    style = {"arrowstyle": "-|>", "color": shade, "linewidth": 1.1, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", xy=points[-1], xytext=points[-2], arrowprops=style)


def grid(
    ax: Axes,
    at: tuple[float, float],
    cells: Sequence[Sequence[object]],
    *,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    cell: tuple[float, float] = (0.4, 0.4),
    fontsize: float = 8,
) -> Box:
    """Draw a matrix of cells: a mask, a table of numbers, a cache.

    Args:
        ax: from `canvas`.
        at: the upper left corner of the cells.
        cells: rows of True (filled), False (hatched grey) or a text (white).
        rows: names left of the rows.
        columns: names above the columns.
        cell: width and height of a cell.
        fontsize: points.
    """
    (left, top), (width, height) = at, cell
    for i, values in enumerate(cells):
        for j, value in enumerate(values):
            x, y = left + j * width, top - (i + 1) * height
            fill = FILLS[0] if value is True else "#eeeeee" if value is False else "white"
            hatch = "///" if value is False else None
            ax.add_patch(
                Rectangle(
                    (x, y), width, height, facecolor=fill, edgecolor="#8a93a6", hatch=hatch, lw=0.8
                )
            )
            if not isinstance(value, bool):
                label(ax, (x + width / 2, y + height / 2), str(value), fontsize=fontsize)
    for i, name in enumerate(rows):
        label(ax, (left - 0.08, top - (i + 0.5) * height), name, fontsize=fontsize, align="right")
    for j, name in enumerate(columns):
        label(ax, (left + (j + 0.5) * width, top + 0.13), name, fontsize=fontsize)
    n_columns = max(len(values) for values in cells)
    full = (n_columns * width, len(cells) * height)
    return Box(left + full[0] / 2, top - full[1] / 2, *full)


def masked_draw(words: Sequence[str], seen: Sequence[str], chosen: Sequence[bool]) -> Axes:
    """One draw of the masking: the text, what the model sees, and the labels, column by column.

    Args:
        words: the pieces of the text, [CLS] and [SEP] among them.
        seen: what stands in their places.
        chosen: which pieces are asked for; the others have the label -100.
    """
    ax = canvas(0.66 + 0.78 * len(words), 2.1)
    for i, (word, shown, asked) in enumerate(zip(words, seen, chosen, strict=True)):
        x = 0.95 + 0.78 * i
        top = box(ax, (x, 1.75), word, size=(0.7, 0.3))
        bottom = box(ax, (x, 1.0), shown, size=(0.7, 0.3), colour=1 if asked else None)
        arrow(ax, top.bottom, bottom.top)
        label(ax, (x, 0.4), word if asked else "–100", fontsize=9)
    for y, name in ((1.75, "text"), (1.0, "seen"), (0.4, "label")):
        label(ax, (0.05, y), name, align="left", fontsize=9)
    return ax


def teacher_forcing(given: Sequence[str], following: Sequence[str]) -> Axes:
    """A causal network in training, fed by the text, and in writing, fed by its own outputs.

    Args:
        given: the six inputs of training.
        following: the six words that come next.
    """
    ax = canvas(7.0, 4.9)
    for bottom, title in (
        (2.75, "training:\nthe text\ngives all\ninputs"),
        (0.25, "writing:\neach output\nis the next\ninput"),
    ):
        writing = bottom < 1
        label(ax, (0.5, bottom + 0.85), title)
        box(ax, (4.0, bottom + 0.85), size=(5.7, 0.42), colour=0)
        # Between two columns' arrows, which run through the box in the lower half.
        label(ax, (3.51, bottom + 0.85), "causal\nnetwork", fontsize=8.5)
        outputs = []
        for i, (read, written) in enumerate(zip(given, following, strict=True)):
            x, own = 1.55 + 0.98 * i, writing and i > 0
            below = box(ax, (x, bottom + 0.15), read, size=(0.62, 0.3), colour=1 if own else 2)
            outputs.append(
                box(ax, (x, bottom + 1.58), written, size=(0.62, 0.3), colour=1 if writing else 3)
            )
            arrow(ax, below.top, (x, bottom + 0.63))
            arrow(ax, (x, bottom + 1.07), outputs[-1].bottom)
            if own:
                (right, y), middle = outputs[-2].right, x - 0.49
                way = ((right, y), (middle, y), (middle, below.left[1]), below.left)
                arrow(ax, *way, colour=1)
    label(ax, (4.0, 4.72), "compared with the next word of the text")
    return ax


def bert_and_gpt_blocks() -> Axes:
    """A block of BERT beside one of a GPT in the style of Llama, from bottom to top."""
    ax, plus = canvas(7.0, 5.4), "+"
    norm, gated = ("norm", 2), ("SwiGLU", 1)
    _block(
        ax,
        (1.6, "BERT"),
        [("attention to all tokens", 0), plus, norm, ("two matrices, GELU", 1), plus, norm],
        fork_after=norm,
    )
    attention = ("causal attention,\ngrouped queries, rotary", 0)
    _block(ax, (4.9, "GPT"), [norm, attention, plus, norm, gated, plus], fork_after=plus)
    return ax


def _block(ax: Axes, place: tuple[float, str], parts: Sequence, *, fork_after: object) -> None:
    """A stack at x with a title; the residual path leaves after a part, and ends at each plus."""
    x, title = place
    label(ax, (x, 5.2), title, fontsize=10.5)
    label(ax, (x, 0.2), "token vectors (T, d)")
    point, y, fork = (x, 0.35), 0.9, (x, 0.5)
    for part in parts:
        if part == "+":
            drawn = box(ax, (x, y), "+", size=(0.3, 0.26), colour=None)
            arrow(ax, fork, (x + 1.2, fork[1]), (x + 1.2, y), drawn.right)
        else:
            drawn = box(ax, (x, y), part[0], size=(1.9, 0.44), colour=part[1])
        arrow(ax, point, drawn.bottom)
        if part == fork_after:
            fork = (x, drawn.top[1] + 0.1)
        point, y = drawn.top, y + 0.68
    arrow(ax, point, (x, 5.0))


def grouped_heads(n_heads: int, kinds: Sequence[tuple[str, int, str]]) -> Axes:
    """Which query heads read which key and value heads, a panel a kind.

    Args:
        n_heads: query heads.
        kinds: of each its name, its number of key and value heads, and a line that goes below.
    """
    width = 0.25 * n_heads
    ax = canvas(0.9 + len(kinds) * (width + 0.3), 2.5)
    for y, name in ((1.6, "queries"), (0.85, "keys and\nvalues")):
        label(ax, (0.05, y), name, align="left", fontsize=9)
    for panel, (title, n_kv_heads, below) in enumerate(kinds):
        left, group = 0.95 + panel * (width + 0.3), n_heads // n_kv_heads
        label(ax, (left + width / 2, 2.25), title, fontsize=10)
        label(ax, (left + width / 2, 0.3), below, fontsize=9)
        for i in range(n_heads):
            g, size = i // group, (0.19, 0.26)
            x = left + 0.25 * i + 0.125
            query = box(ax, (x, 1.6), size=size, colour=g % 2)
            middle = left + 0.25 * group * (g + 0.5)
            if i % group == 0:
                shared = box(ax, (middle, 0.85), size=size, colour=g % 2)
            arrow(ax, shared.top, query.bottom)
    return ax
