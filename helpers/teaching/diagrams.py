"""Schematic figures: boxes, arrows and grids in the book's palette, on a plain canvas.

Coordinates are inches from the lower left corner, so text and boxes keep their proportions
whatever the figure's size.
"""

from __future__ import annotations

import itertools
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


def word_labels(
    words: Sequence[str],
    pieces: Sequence[str],
    owners: Sequence[int | None],
    tags: Sequence[str | None],
) -> Axes:
    """Words, their pieces, and the tag of each piece, None where it has no label.

    Args:
        owners: the number of each piece's word, None for special pieces; as from `word_ids()`.
    """
    ax = canvas(0.7 + 0.79 * len(pieces), 2.3)
    xs = [0.95 + 0.79 * i for i in range(len(pieces))]
    for number, word in enumerate(words):
        own = [x for x, owner in zip(xs, owners, strict=True) if owner == number]
        middle, width = (own[0] + own[-1]) / 2, 0.72 + own[-1] - own[0]
        top = box(ax, (middle, 2.0), word, size=(width, 0.34), fontsize=8)
        for x in own:
            arrow(ax, (x, top.bottom[1]), (x, 1.42))
    for x, piece, tag in zip(xs, pieces, tags, strict=True):
        upper = box(ax, (x, 1.24), piece, size=(0.72, 0.34), colour=None, fontsize=7.5)
        text, colour = ("–100", 2) if tag is None else (tag, 1)
        lower = box(ax, (x, 0.38), text, size=(0.72, 0.34), colour=colour, fontsize=8)
        if tag is not None:
            arrow(ax, upper.bottom, lower.top)
    for y, text in ((2.0, "words"), (1.24, "pieces"), (0.38, "labels")):
        label(ax, (0.05, y), text, align="left", fontsize=8)
    return ax


def tag_lattice(
    words: Sequence[str],
    tags: Sequence[str],
    probabilities: Sequence[Sequence[float]],
    paths: Sequence[Sequence[int]],
) -> Axes:
    """A box with its probability for each word and tag, and two paths from word to word.

    Args:
        paths: for each of two, the number of a tag for each word. The second lies on top, in blue;
            the first is orange.
    """
    (first, second), (n, height) = paths, (len(words), 0.5 + 0.5 * len(tags))
    ax = canvas(0.5 + 1.35 * n, height)
    boxes = {}
    for t, word in enumerate(words):
        x = 1.35 + 1.35 * t
        label(ax, (x, height - 0.2), word)
        for j, tag in enumerate(tags):
            colour = 0 if second[t] == j else 1 if first[t] == j else None
            at, text = (x, height - 0.6 - 0.5 * j), f"{probabilities[t][j]:.2f}"
            boxes[t, j] = box(ax, at, text, size=(0.62, 0.32), colour=colour)
            if t == 0:
                label(ax, (0.08, at[1]), tag, align="left")
    for path, colour in ((first, 1), (second, 0)):
        for t in range(1, n):
            arrow(ax, boxes[t - 1, path[t - 1]].right, boxes[t, path[t]].left, colour=colour)
    return ax


def lora_layer() -> Axes:
    """LoRA's two thin matrices beside the frozen one of a linear layer."""
    ax = canvas(6.4, 3.1)
    x = box(ax, (3.2, 0.35), r"$\mathbf{X}$   $(T, d_\mathrm{in})$", size=(1.7, 0.42), colour=None)
    frozen = "frozen\n" + r"$\mathbf{W}$   $(d_\mathrm{in}, d_\mathrm{out})$"
    w = box(ax, (1.7, 1.45), frozen, size=(2.2, 1.0), colour=2)
    a = box(ax, (4.6, 1.15), r"$\mathbf{A}$   $(d_\mathrm{in}, r)$", size=(1.5, 0.36), colour=1)
    b = box(ax, (4.6, 1.85), r"$\mathbf{B}$   $(r, d_\mathrm{out})$", size=(1.5, 0.36), colour=1)
    plus = box(ax, (3.2, 2.75), r"$+$", size=(0.42, 0.36), colour=None, fontsize=12)
    arrow(ax, x.left, (1.7, 0.35), w.bottom)
    arrow(ax, x.right, (4.6, 0.35), a.bottom)
    arrow(ax, a.top, b.bottom)
    arrow(ax, w.top, (1.7, 2.75), plus.left)
    arrow(ax, b.top, (4.6, 2.75), plus.right)
    label(ax, (4.7, 2.3), r"times $\alpha/r$", align="left")
    label(ax, (5.45, 1.5), "trained;\n" + r"$\mathbf{B} = \mathbf{0}$ at first", align="left")
    return ax


def trained_parts_of_a_layer() -> Axes:
    """Where LoRA, adapters and BitFit train in a layer of BERT, from below to above."""
    ax, x = canvas(6.6, 5.6), 2.6
    parts = {
        "queries": (r"$\mathbf{W}_Q$, $\mathbf{W}_K$, $\mathbf{W}_V$", 2),
        "attention": ("attention", None),
        "output": (r"$\mathbf{W}_O$", 2),
        "adapter": ("adapter", 3),
        "norm": ("add and norm", 2),
        "first": (r"$\mathbf{W}_1$, GELU", 2),
        "second": (r"$\mathbf{W}_2$", 2),
        "upper adapter": ("adapter", 3),
        "upper norm": ("add and norm", 2),
    }
    boxes = {
        name: box(ax, (x, 0.75 + 0.52 * i), text, size=(1.9, 0.34), colour=colour)
        for i, (name, (text, colour)) in enumerate(parts.items())
    }
    for low, high in itertools.pairwise(boxes.values()):
        arrow(ax, low.top, high.bottom)
    arrow(ax, (x, 0.2), boxes["queries"].bottom)
    arrow(ax, boxes["upper norm"].top, (x, 5.4))
    middle = boxes["norm"].top[1] + 0.05
    for start, end in ((0.3, boxes["norm"]), (middle, boxes["upper norm"])):
        arrow(ax, (x, start), (1.1, start), (1.1, end.y), end.left)
    label(ax, (1.0, 1.8), "residual", align="right")
    lora = box(
        ax, (5.1, 0.75), r"LoRA on $\mathbf{W}_Q$ and $\mathbf{W}_V$", size=(2.0, 0.34), colour=1
    )
    arrow(ax, lora.left, boxes["queries"].right)
    for name in ("adapter", "upper adapter"):
        label(ax, (3.75, boxes[name].y), "adapters: these, and the norms", align="left")
    biases = "BitFit: the bias of each\nmatrix and of each norm"
    label(ax, (3.75, boxes["first"].y), biases, align="left")
    return ax


def two_heads(pieces: Sequence[str], tags: Sequence[str], answer: str) -> Axes:
    """One encoder; from its vectors a tag for each piece ("" for none), and one class of all."""
    n = len(pieces)
    ax, middle = canvas(n + 0.6, 3.3), n / 2 + 0.25
    encoder = box(ax, (middle, 1.1), "one encoder", size=(float(n), 0.5), colour=2)
    group = box(ax, (middle, 1.82), size=(n - 0.25, 0.4), colour=None)
    for i, (piece, tag) in enumerate(zip(pieces, tags, strict=True)):
        x = 0.75 + i
        label(ax, (x, 0.25), piece, fontsize=8.5)
        arrow(ax, (x, 0.42), (x, encoder.bottom[1]))
        arrow(ax, (x, encoder.top[1]), (x, 1.7))
        vector = box(ax, (x, 1.82), size=(0.5, 0.24), colour=0)
        arrow(ax, vector.top, (x, 2.2))
        label(ax, (x, 2.32), tag or "–", fontsize=8.5)
    label(ax, (n + 0.25, 2.32), "tags", align="left", fontsize=8)
    text = f"mean of the vectors, head: {answer}"
    mean = box(ax, (middle, 2.85), text, size=(2.9, 0.3), colour=1)
    arrow(ax, group.left, (0.15, 1.82), (0.15, 2.85), mean.left, colour=1)
    return ax
