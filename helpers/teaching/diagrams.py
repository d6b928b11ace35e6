"""Schematic figures: boxes, arrows and grids in the book's palette, on a plain canvas.

Coordinates are inches from the lower left corner, so text and boxes keep their proportions
whatever the figure's size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

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


def normalised_axes(shape: tuple[int, int, int] = (3, 4, 5)) -> Axes:
    """Chapter 05: over which numbers of a batch (B, T, d) batch norm and layer norm average.

    Each sentence is a sheet of tokens (rows) by features (columns). What shares one mean and one
    variance is filled: a feature of all tokens for batch norm, all features of a token for layer
    norm.
    """
    (sentences, tokens, features), cell = shape, 0.24
    ax = canvas(7.0, 2.5)
    for left, name, filled, note in (
        (0.75, "batch norm", lambda b, t, f: f == 2, "one feature, every token of the batch"),
        (4.35, "layer norm", lambda b, t, f: (b, t) == (0, 1), "one token, all of its features"),
    ):
        for b in reversed(range(sentences)):
            cells = [[filled(b, t, f) or "" for f in range(features)] for t in range(tokens)]
            corner = (left + 0.4 * b, 1.42 + 0.25 * b)
            sheet = grid(ax, corner, cells, cell=(cell, cell))
        middle = left + (0.4 * (sentences - 1) + features * cell) / 2
        label(ax, (middle, 2.3), name, fontsize=10)
        label(ax, (middle, 0.12), note)
        label(ax, (sheet.x, sheet.bottom[1] - 0.12), "features, d", fontsize=8)
        ax.text(
            left - 0.12, sheet.y, "tokens, T", rotation=90, ha="center", va="center",
            fontsize=8, color=INK,
        )  # fmt: skip
        label(ax, (sheet.right[0] + 0.55, sheet.bottom[1] + 0.12), "sentences, B", fontsize=8,
              align="left")  # fmt: skip
    return ax


def transformer_blocks() -> Axes:
    """Chapter 05: an encoder block with the norm behind the sum, and one with it in front."""
    ax = canvas(6.4, 4.85)
    for x, norm_first in ((1.6, False), (4.6, True)):
        # Sublayers in blue, norms in orange, sums in white; from the bottom up.
        order = ["norm", "sub", "plus"] if norm_first else ["sub", "plus", "norm"]
        y, below = 0.72, (x, 0.26)
        label(ax, (x, 0.15), "$\\mathbf{x}$, (B, T, d)")
        for sublayer in ("self-attention", "feed-forward"):
            fork = below[1] + 0.1
            for part in order:
                if part == "sub":
                    here = box(ax, (x, y), sublayer, colour=0)
                elif part == "norm":
                    here = box(ax, (x, y), "layer norm", size=(1.3, 0.3), colour=1)
                else:
                    here = box(ax, (x, y), "+", size=(0.3, 0.3), colour=None)
                    # The residual path, from below the sublayer around it to the sum above it.
                    side = x + 1.05
                    arrow(ax, (x, fork), (side, fork), (side, here.y), here.right)
                arrow(ax, below, here.bottom)
                below, y = here.top, y + 0.62
            y += 0.1
        arrow(ax, below, (x, below[1] + 0.3))
        label(ax, (x, below[1] + 0.42), "pre-norm" if norm_first else "post-norm")
    return ax


def encoder_decoder() -> Axes:
    """Chapter 05: the two stacks of the first Transformer, and the memory between them."""
    ax = canvas(7.0, 4.4)
    left = [("embed + positions", 2), ("self-attention", 0), ("feed-forward", 3)]
    right = [("embed + positions", 2), ("causal self-attention", 0), ("cross-attention", 1)]
    right += [("feed-forward", 3), ("linear, softmax", 2)]
    encoder, decoder = (
        [
            box(ax, (x, 0.95 + 0.62 * i), name, size=(1.75, 0.38), colour=colour)
            for i, (name, colour) in enumerate(parts)
        ]
        for x, parts in ((1.75, left), (5.1, right))
    )
    for boxes, below, repeated in (
        (encoder, "source, (B, S)", encoder[1:]),
        (decoder, "target so far, (B, T)", decoder[1:4]),
    ):
        label(ax, (boxes[0].x, 0.3), below)
        arrow(ax, (boxes[0].x, 0.42), boxes[0].bottom)
        for lower, upper in pairwise(boxes):
            arrow(ax, lower.top, upper.bottom)
        # What is repeated L times stands in a dashed frame.
        y = repeated[0].bottom[1] - 0.09
        size = (2.1, repeated[-1].top[1] - y + 0.09)
        corner = (boxes[0].x - 1.05, y)
        ax.add_patch(Rectangle(corner, *size, fill=False, linestyle="--", linewidth=0.9))
    top, into = encoder[-1].top, decoder[2]
    arrow(ax, top, (top[0], 2.85), (3.35, 2.85), (3.35, into.y), into.left)
    label(ax, (2.55, 3.0), "memory, (B, S, d)", fontsize=8)
    label(ax, (0.45, encoder[1].y + 0.31), "× L")
    label(ax, (6.42, into.y), "× L")
    arrow(ax, decoder[-1].top, (decoder[-1].x, 3.95))
    label(ax, (decoder[-1].x, 4.1), "next token, (B, T, V)")
    return ax


def multi_head_attention() -> Axes:
    """Chapter 04: split, attend, concatenate, project, with the shapes."""
    ax = canvas(7.2, 3.5)
    source = box(ax, (0.55, 1.75), "$\\mathbf{X}$\n(T, d)", size=(0.8, 0.6), colour=None)
    output = box(ax, (6.7, 1.75), "(T, d)", size=(0.8, 0.6), colour=None)
    joined = box(ax, (4.85, 1.75), "concatenate\n(T, d)", size=(1.0, 2.82), colour=2)
    project = box(ax, (5.85, 1.75), "$\\mathbf{W}_O$", size=(0.55, 2.82), colour=1)
    arrow(ax, joined.right, project.left)
    arrow(ax, project.right, output.left)
    for name, y in (("1", 2.85), ("2", 1.75), ("h", 0.65)):
        product = f"$\\mathbf{{X}}\\,\\mathbf{{W}}_{{Q,K,V}}^{{({name})}}$\n3 × (T, $d_k$)"
        made = box(ax, (1.85, y), product, size=(1.2, 0.62), colour=1)
        head = box(ax, (3.45, y), f"head {name}\n(T, $d_k$)", size=(1.1, 0.62), colour=0)
        arrow(ax, source.right, (1.12, 1.75), (1.12, y), made.left)
        arrow(ax, made.right, head.left)
        arrow(ax, head.right, (joined.left[0], y))
    for y in (1.1, 1.2, 1.3):
        ax.plot([1.85, 3.45], [y, y], linestyle="", marker=".", markersize=2.5, color=INK)
    steps = ((1.85, "1 split"), (3.45, "2 attend"), (4.85, "3 concatenate"), (5.9, "4 project"))
    for x, step in steps:
        label(ax, (x, 3.38), step)
    return ax


def bert() -> Axes:
    """Chapter 06: BERT from the ids to its two outputs, with MiniLM's numbers of parameters."""
    ax = canvas(7.0, 6.3)
    ids = box(ax, (3.5, 0.3), "piece ids, segments  (B, T)", size=(2.6, 0.4), colour=None)
    tables = [
        box(ax, (x, 1.15), text, size=(1.9, 0.62), colour=0)
        for x, text in (
            (1.2, "words\n30,522 × 384 = 11.72 M"),
            (3.5, "positions\n512 × 384 = 0.20 M"),
            (5.8, "segments\n2 × 384 = 768"),
        )
    ]
    column = [(2.0, "+, layer norm", (1.6, 0.36), 3)]
    column += [(2.85, "multi-head attention\n4 (d² + d) = 0.59 M", (2.3, 0.56), 1)]
    column += [(3.42, "+, layer norm", (1.6, 0.3), 3)]
    feed = "feed-forward layer\n" + r"$2dd_\mathrm{ff} + d_\mathrm{ff} + d$ = 1.18 M"
    column += [(4.05, feed, (2.3, 0.56), 2), (4.62, "+, layer norm", (1.6, 0.3), 3)]
    column += [(5.3, "last_hidden_state  (B, T, d)", (2.4, 0.36), None)]
    parts = [box(ax, (3.5, y), text, size=size, colour=hue) for y, text, size, hue in column]
    for table in tables:
        arrow(ax, ids.top, table.bottom)
        arrow(ax, table.top, parts[0].bottom)
    for lower, upper in pairwise(parts):
        arrow(ax, lower.top, upper.bottom)
    pooler = box(ax, (5.9, 5.3), "pooler on row 1\nd² + d = 0.15 M", size=(1.5, 0.56), colour=1)
    pooled = box(ax, (5.9, 6.03), "pooler_output  (B, d)", size=(1.9, 0.36), colour=None)
    arrow(ax, parts[-1].right, pooler.left)
    arrow(ax, pooler.top, pooled.bottom)
    # The residual paths, around each sublayer.
    for low, norm in ((2.4, parts[2]), (3.63, parts[4])):
        arrow(ax, (3.5, low), (1.95, low), (1.95, norm.y), norm.left)
    ax.add_patch(Rectangle((1.65, 2.3), 3.45, 2.6, fill=False, linestyle="--", edgecolor=INK))
    label(ax, (5.25, 3.6), "one block: 1.77 M\n6 of them: 10.65 M", align="left")
    label(ax, (1.0, 5.3), "22.71 M\nparameters in all", fontsize=10)
    return ax
