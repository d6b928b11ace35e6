"""Schematic figures: boxes, arrows and grids in the book's palette, on a plain canvas.

Coordinates are inches from the lower left corner, so text and boxes keep their proportions
whatever the figure's size.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyBboxPatch, Rectangle

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


def paths_to_prediction(tokens: Sequence[str], marked: int = 1) -> Axes:
    """Chapter 01: how each token reaches the prediction in three kinds of model.

    Args:
        tokens: six short words.
        marked: the place of the token whose path is drawn in colour.
    """
    left = [0.75 + 0.9 * i for i in range(len(tokens) + 1)]  # the tokens, and the prediction

    def row(y: float, title: str) -> tuple[list[Box], Box]:
        label(ax, (0.3, y + 0.65), title, align="left", fontsize=9.5)
        boxes = [
            box(ax, (x, y - 0.45), token, size=(0.66, 0.3), colour=1 if i == marked else None)
            for i, (x, token) in enumerate(zip(left, tokens, strict=False))
        ]
        return boxes, box(ax, (left[-1], y + 0.25), "next?", size=(0.66, 0.3), colour=3)

    ax = canvas(left[-1] + 0.55, 5.7)
    boxes, goal = row(4.75, "trigram: the last two tokens are seen")
    arrow(ax, boxes[-2].top, goal.left)
    arrow(ax, boxes[-1].top, goal.bottom)
    boxes, goal = row(2.85, "recurrent: the past arrives through every state in between")
    states = [
        box(ax, (x, 3.1), f"$\\mathbf{{h}}_{i + 1}$", size=(0.46, 0.3), colour=0)
        for i, x in enumerate(left[:-1])
    ]
    ends = [*(state.left for state in states[1:]), goal.left]
    for i, (source, state, end) in enumerate(zip(boxes, states, ends, strict=True)):
        arrow(ax, source.top, state.bottom, colour=1 if i == marked else None)
        arrow(ax, state.right, end, colour=1 if i >= marked else None)
    boxes, goal = row(0.95, "attention: every position is one step away")
    for i, source in enumerate(boxes):
        arrow(ax, source.top, goal.left, colour=1 if i == marked else None)
    return ax


def lstm_cell() -> Axes:
    """Chapter 01: one step of an LSTM, the cell's line above, the gates that act on it below."""
    ax = canvas(6.8, 3.2)
    joined = box(
        ax, (1.15, 0.45), r"$[\mathbf{x}_t;\ \mathbf{h}_{t-1}]$", size=(1.2, 0.36), colour=2
    )
    names = {
        2.3: (r"$\sigma(\mathbf{f})$", "forget", 1),
        3.3: (r"$\sigma(\mathbf{i})$", "write", 1),
    }
    names |= {
        4.25: (r"$\tanh(\mathbf{g})$", "proposal", 0),
        5.35: (r"$\sigma(\mathbf{o})$", "show", 1),
    }
    gates = {}
    for x, (text, name, colour) in names.items():
        gates[name] = box(ax, (x, 1.15), text, size=(0.78, 0.36), colour=colour)
        label(ax, (x, 0.84), name, fontsize=8)
        arrow(ax, joined.right, (x - 0.55, 0.45), (x - 0.55, 1.15), gates[name].left)
    line = 2.6
    keep = box(ax, (2.3, line), "×", size=(0.3, 0.3), colour=None, fontsize=12)
    add = box(ax, (3.75, line), "+", size=(0.3, 0.3), colour=None, fontsize=12)
    write = box(ax, (3.75, 1.85), "×", size=(0.3, 0.3), colour=None, fontsize=12)
    squash = box(ax, (4.75, 1.95), "tanh", size=(0.55, 0.3), colour=None)
    show = box(ax, (5.35, 1.95), "×", size=(0.3, 0.3), colour=None, fontsize=12)
    arrow(ax, (0.95, line), keep.left, colour=1)
    arrow(ax, keep.right, add.left, colour=1)
    arrow(ax, add.right, (6.15, line), colour=1)
    label(ax, (0.62, line), r"$\mathbf{c}_{t-1}$", fontsize=11)
    label(ax, (6.4, line), r"$\mathbf{c}_t$", fontsize=11)
    label(ax, (3.0, line + 0.28), "the cell: nothing but × and + on its way", fontsize=8.5)
    arrow(ax, gates["forget"].top, keep.bottom)
    arrow(ax, gates["write"].top, (3.3, 1.85), write.left)
    arrow(ax, gates["proposal"].top, (4.25, 1.85), write.right)
    arrow(ax, write.top, add.bottom)
    arrow(ax, (4.75, line), squash.top)
    arrow(ax, squash.right, show.left)
    arrow(ax, gates["show"].top, show.bottom)
    arrow(ax, show.right, (6.15, 1.95))
    label(ax, (6.4, 1.95), r"$\mathbf{h}_t$", fontsize=11)
    return ax


def backoff(levels: Sequence[tuple[str, Sequence[tuple[str, float]], float]], marked: str) -> Axes:
    """Chapter 01: how a probability of one is handed down from a long context to shorter ones.

    Each level is a bar as wide as the probability that arrives there. Its pieces are what the level
    gives to words by itself; the hatched rest goes down to the next level.

    Args:
        levels: from the longest context: its name, each word's own share of the whole probability,
            and the share that it hands down (0 at the last).
        marked: the word whose pieces are coloured on every level; they add up to its probability.
    """
    width, left, height = 6.4, 0.3, 0.42
    ax = canvas(width + 2 * left, 1.15 * len(levels) + 0.25)
    start = 0.0  # of the bar, as a probability
    for i, (name, words, handed_down) in enumerate(levels):
        y = 1.15 * (len(levels) - i) - 0.75
        label(ax, (left + width * start, y + height + 0.16), name, fontsize=8.5, align="left")
        x = start
        for word, share in words:
            colour = FILLS[1] if word == marked else FILLS[0] if i < len(levels) - 1 else "white"
            ax.add_patch(
                Rectangle(
                    (left + width * x, y), width * share, height, facecolor=colour, edgecolor=INK
                )
            )
            middle = (left + width * (x + share / 2), y + height / 2)
            ax.text(
                *middle,
                word,
                ha="center",
                va="center",
                rotation=90 if width * share < 0.4 else 0,
                fontsize=8 if width * share >= 0.14 else 6,
                color=INK,
                fontweight="bold" if word == marked else "normal",
            )
            x += share
        if handed_down:
            rest = (left + width * x, y)
            ax.add_patch(
                Rectangle(
                    rest,
                    width * handed_down,
                    height,
                    facecolor="#eeeeee",
                    edgecolor=INK,
                    hatch="//",
                )
            )
            text = f"handed down: {handed_down:.3f}"
            at = (rest[0] + width * handed_down / 2, y + height / 2)
            style = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
            ax.text(*at, text, ha="center", va="center", fontsize=8, color=INK, bbox=style)
            for edge in (x, x + handed_down):
                ends = [left + width * edge] * 2
                ax.plot(ends, [y, y - 1.15 + height], color=INK, lw=0.7, ls=":", marker="")
        start = x
    return ax


def attention_flow() -> Axes:
    """Chapter 03: scaled dot-product attention, from X to Z, with the shapes of its matrices."""
    ax = canvas(7.2, 2.7)
    x = box(ax, (0.45, 1.35), "$\\mathbf{X}$\n$(T, d)$", size=(0.8, 0.7), colour=2)
    queries = box(ax, (2.15, 2.25), "$\\mathbf{Q}$  $(T, d_k)$")
    keys = box(ax, (2.15, 1.35), "$\\mathbf{K}$  $(S, d_k)$")
    values = box(ax, (2.15, 0.45), "$\\mathbf{V}$  $(S, d_v)$", colour=1)
    scores = box(ax, (3.95, 1.8), "scores\n$\\mathbf{S}$  $(T, S)$", size=(1.1, 0.6))
    weights = box(ax, (5.45, 1.8), "weights\n$\\mathbf{A}$  $(T, S)$", size=(1.1, 0.6))
    output = box(ax, (6.5, 0.45), "$\\mathbf{Z}$  $(T, d_v)$", size=(1.1, 0.4), colour=3)
    for target, name in ((queries, "Q"), (keys, "K"), (values, "V")):
        arrow(ax, x.right, (1.0, x.y), (1.0, target.y), target.left)
        label(ax, (1.22, target.y + 0.17), f"$\\mathbf{{W}}_{name}$")
    arrow(ax, queries.right, (3.1, queries.y), (3.1, 1.95), (3.4, 1.95))
    arrow(ax, keys.right, (3.1, keys.y), (3.1, 1.65), (3.4, 1.65))
    label(ax, (3.95, 2.3), "$\\mathbf{Q}\\mathbf{K}^\\top / \\sqrt{d_k}$")
    arrow(ax, scores.right, weights.left)
    label(ax, (5.45, 2.3), "softmax of each row")
    arrow(ax, weights.right, (6.5, 1.8), output.top)
    arrow(ax, values.right, output.left)
    label(ax, (4.6, 0.62), "averaged with the weights:  $\\mathbf{Z} = \\mathbf{A}\\mathbf{V}$")
    return ax


def two_towers() -> Axes:
    """Chapter 10: one encoder, three headlines and three bodies, and the products of all pairs."""
    ax = canvas(6.9, 3.9)
    for i in range(3):
        x, y = 3.75 + 0.95 * i, 2.45 - 0.75 * i
        text = box(ax, (0.75, y), f"headline {i + 1}", size=(1.1, 0.34), colour=None)
        encoder = box(ax, (2.15, y), "encoder", size=(0.95, 0.34))
        arrow(ax, text.right, encoder.left)
        arrow(ax, encoder.right, (3.32, y))
        text = box(ax, (x, 3.66), f"body {i + 1}", size=(0.86, 0.3), colour=None, fontsize=8.5)
        encoder = box(ax, (x, 3.17), "encoder", size=(0.86, 0.3), fontsize=8.5)
        arrow(ax, text.bottom, encoder.top)
        arrow(ax, encoder.bottom, (x, 2.85))
        for j in range(3):
            product = rf"$\mathbf{{u}}_{i + 1} \cdot \mathbf{{v}}_{j + 1}$"
            at, colour = (3.75 + 0.95 * j, y), 1 if i == j else None
            box(ax, at, product, size=(0.82, 0.66), colour=colour)
    label(ax, (4.7, 0.3), "one row: which body belongs to this headline?", fontsize=9)
    return ax


def pull_and_push(
    queries: np.ndarray, keys: np.ndarray, row: int, temperatures: Sequence[float]
) -> list[Axes]:
    """Chapter 10: on the unit circle, what the InfoNCE loss of one query does to it.

    An arrow from the query towards its own key and away from each other key: the way to the key
    times the force, over the pull, so that panels can be compared. The thick arrow is their sum
    without its part along the query, which would change no direction.

    Args:
        queries: unit vectors (B, 2).
        keys: unit vectors (B, 2); key i is query i's.
        row: which query.
        temperatures: a panel for each.
    """
    figure, panels = plt.subplots(1, len(temperatures), figsize=(3.5 * len(temperatures), 2.9))
    query = queries[row]
    for ax, tau in zip(np.atleast_1d(panels), temperatures, strict=True):
        ax.add_patch(Circle((0, 0), 1, fill=False, edgecolor="#8a93a6", lw=0.8))
        for name, vectors, marker, colour in (("u", queries, "o", 0), ("v", keys, "s", 2)):
            for i, (x, y) in enumerate(vectors):
                ax.plot(x, y, marker=marker, color=PALETTE[colour], markersize=6, linestyle="")
                out = (0.84 * x, 0.84 * y) if name == "u" else (1.17 * x, 1.17 * y)
                label(ax, out, rf"$\mathbf{{{name}}}_{i + 1}$", fontsize=10)
        weights = np.exp(keys @ query / tau)
        p = weights / weights.sum()
        style = {"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0}
        step = np.zeros(2)
        for j, key in enumerate(keys):
            force = (float(j == row) - p[j]) / (1 - p[row]) * (key - query)
            step += force - (force @ query) * query
            look = {
                "color": PALETTE[0 if j != row else 1],
                "linestyle": "--" if j != row else "-",
                "lw": 1.8,
            }
            ax.annotate("", xy=query + force, xytext=query, arrowprops=style | look)
        look = {"color": INK, "lw": 3.0}
        ax.annotate("", xy=query + step, xytext=query, arrowprops=style | look)
        ax.set(xlim=(-0.8, 1.3), ylim=(-0.12, 1.4), aspect="equal", title=rf"$\tau = {tau}$")
        ax.axis("off")
    return list(figure.axes)


def three_sets() -> Axes:
    """Chapter 15: the training, validation and test set, and the one use of each."""
    ax = canvas(6.8, 2.5)
    names = ("training set", "validation set", "test set")
    uses = ("fit the weights", "choose settings,\nstop", "report once")
    steps = []
    for x, name, use, colour in zip((1.2, 3.4, 5.6), names, uses, (0, 1, 3), strict=True):
        above = box(ax, (x, 1.85), name, colour=colour)
        steps.append(box(ax, (x, 0.75), use, size=(1.3, 0.5), colour=None))
        arrow(ax, above.bottom, steps[-1].top)
    arrow(ax, steps[0].right, steps[1].left)
    arrow(ax, steps[1].right, steps[2].left)
    # Other settings lead to another fit; nothing leads back from the test set.
    arrow(ax, steps[1].bottom, (3.4, 0.22), (1.2, 0.22), steps[0].bottom)
    label(ax, (2.3, 0.08), "again, as often as you like", fontsize=8)
    label(ax, (4.55, 0.08), "no way back from here", fontsize=8, align="left")
    return ax


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
