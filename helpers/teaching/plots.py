"""The book's figures: one style, the training history, confusion matrices, attention, curves.

Each function takes data, draws on `Axes` and returns them; none of them shows or saves a figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from cycler import cycler
from matplotlib.axes import Axes
from sklearn.metrics import confusion_matrix as count_confusions

# The book's theme puts pictures on a light ground in dark mode too, so figures are opaque: dark
# ink on white reads best in both, and on paper.
BACKGROUND = "#ffffff"
INK = "#1b1f24"
GRID = "#d8dce2"

# Blue and orange first: the pair that every kind of colour vision tells apart. Their lightness
# differs (CIE L* about 46, 60, 17, 32), so that they differ in grey too, and each has a contrast
# of at least 3 to the background.
PALETTE = ("#0072b2", "#e1701a", "#1b2a49", "#00553f")
LINE_STYLES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D")

# One hue from white to dark: an order that survives printing in grey.
HEAT_MAP = "Blues"

_LOSSES = ("loss", "eval_loss")  # the names of an evaluation's loss
_NOT_METRICS = {"step", "epoch", *_LOSSES}


def use_style() -> None:
    """Set matplotlib's `rcParams` to the book's style, for all figures made afterwards."""
    cycle = cycler(color=PALETTE) + cycler(linestyle=LINE_STYLES) + cycler(marker=MARKERS)
    mpl.rcParams.update(
        {
            "figure.figsize": (7.0, 3.4),
            "figure.dpi": 120,
            "figure.facecolor": BACKGROUND,
            "figure.constrained_layout.use": True,
            "savefig.facecolor": BACKGROUND,
            "savefig.pad_inches": 0.12,
            # The font that matplotlib brings along: the same picture on every machine.
            "font.family": "DejaVu Sans",
            "font.size": 9.5,
            "text.color": INK,
            "axes.facecolor": BACKGROUND,
            "axes.edgecolor": INK,
            "axes.labelcolor": INK,
            "axes.titlecolor": INK,
            "axes.titlesize": 10.5,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "axes.prop_cycle": cycle,
            "grid.color": GRID,
            "grid.linewidth": 0.8,
            "xtick.color": INK,
            "ytick.color": INK,
            "lines.linewidth": 1.8,
            "lines.markersize": 4.5,
            "legend.frameon": False,
            # Without a fixed salt, the identifiers in an SVG differ from run to run.
            "svg.hashsalt": "plm-book",
        }
    )


def history(history: Any, *, keys: Sequence[str] | None = None) -> tuple[Axes, ...]:
    """Plot a training history: the losses on the left, the evaluated metrics on the right.

    Args:
        history: has `records`, a list of dicts with `step` and `loss` (mean cross-entropy in
            nats), and `evaluations`, a list of dicts with `step`, perhaps `loss` or `eval_loss`,
            and metrics by name.
        keys: the metrics to plot; all that are numbers by default.

    Returns:
        The axes of the losses and, where a metric was evaluated, the axes of the metrics.

    Raises:
        ValueError: the history is empty, or it has no metric of the name asked for.
    """
    records = [record for record in history.records if "loss" in record]
    if not records:
        raise ValueError("The history holds no training loss to plot: train for a step first.")
    keys = _metrics(history.evaluations) if keys is None else _known(keys, history.evaluations)
    width = 7.0 if keys else 4.5
    _, panels = plt.subplots(1, 2 if keys else 1, figsize=(width, 3.0), squeeze=False)
    axes = tuple(panels[0])
    _losses(axes[0], records, history.evaluations)
    if keys:
        for key in keys:
            axes[1].plot(*_series(history.evaluations, key), label=key)
        axes[1].set(title="Evaluation", xlabel="optimizer steps", ylabel=_metric_label(keys))
        _whole_steps(axes[1])
        axes[1].legend()
    return axes


def _losses(ax: Axes, records: list[dict], evaluations: list[dict]) -> None:
    steps, losses = _series(records, "loss")
    ax.plot(steps, losses, color=PALETTE[0], linestyle="-", marker="", linewidth=0.8, alpha=0.35)
    ax.plot(steps, _smoothed(losses), color=PALETTE[0], linestyle="-", marker="", label="training")
    for name in _LOSSES:
        steps, losses = _series(evaluations, name)
        if len(steps):
            ax.plot(steps, losses, color=PALETTE[1], linestyle="--", marker="s", label="evaluation")
    ax.set(title="Loss", xlabel="optimizer steps", ylabel="mean loss (nats)")
    _whole_steps(ax)
    ax.legend()


def _smoothed(values: np.ndarray) -> np.ndarray:
    """Exponential moving average over about a twentieth of the values; (n,) -> (n,)."""
    return pd.Series(values).ewm(span=max(1, len(values) // 20)).mean().to_numpy()


def _series(records: list[dict], key: str) -> tuple[np.ndarray, np.ndarray]:
    """The steps at which `key` was recorded and its values: two float arrays (n,)."""
    found = [(record["step"], record[key]) for record in records if _is_number(record.get(key))]
    steps, values = zip(*found, strict=True) if found else ((), ())
    return np.asarray(steps, dtype=float), np.asarray(values, dtype=float)


def _metrics(evaluations: list[dict]) -> list[str]:
    names = dict.fromkeys(name for record in evaluations for name in record)  # keeps the order
    return [n for n in names if n not in _NOT_METRICS and len(_series(evaluations, n)[0])]


def _known(keys: Sequence[str], evaluations: list[dict]) -> list[str]:
    if isinstance(keys, str):
        raise ValueError(f"keys is a list of metric names: give [{keys!r}], not {keys!r}.")
    for key in keys:
        if not len(_series(evaluations, key)[0]):
            raise ValueError(f"No evaluation recorded {key!r}. Recorded: {_metrics(evaluations)}.")
    return list(keys)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def _metric_label(keys: Sequence[str]) -> str:
    return keys[0].removeprefix("eval_").replace("_", " ") if len(keys) == 1 else "value"


def _whole_steps(ax: Axes) -> None:
    ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator(nbins=6, integer=True))


def confusion_matrix(
    true: Any, predicted: Any, labels: Sequence[str], *, ax: Axes | None = None
) -> Axes:
    """Draw how often each class was taken for each: counts, and shares of the row (true class).

    Args:
        true: class indices, (n,) integers from 0 to `len(labels) - 1`.
        predicted: class indices, (n,).
        labels: the classes' names, in the order of their indices.
        ax: where to draw; a new figure by default.

    Raises:
        ValueError: the two differ in length or are empty, or an index has no label.
    """
    true, predicted = _indices(true, "true", labels), _indices(predicted, "predicted", labels)
    if len(true) != len(predicted):
        raise ValueError(
            f"true has {len(true)} classes and predicted {len(predicted)}: give one prediction for "
            "each example."
        )
    counts = count_confusions(true, predicted, labels=range(len(labels)))  # (C, C)
    totals = counts.sum(axis=1, keepdims=True)  # (C, 1)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)  # (C, C)
    if ax is None:
        side = 1.6 + 0.75 * len(labels)
        _, ax = plt.subplots(figsize=(side + 0.8, side))
    image = _heat_map(ax, shares, highest=1.0)
    for (row, column), count in np.ndenumerate(counts):
        share = f"\n{shares[row, column]:.1%}" if count else ""
        colour = _readable_on(image.to_rgba(shares[row, column]))
        ax.text(column, row, f"{count}{share}", ha="center", va="center", color=colour, fontsize=8)
    _name_ticks(ax, rows=labels, columns=labels, rotation=45)
    ax.set(xlabel="predicted class", ylabel="true class")
    ax.figure.colorbar(image, ax=ax, label="share of the true class", shrink=0.85)
    return ax


def _indices(values: Any, name: str, labels: Sequence[str]) -> np.ndarray:
    values = _array(values)
    if values.ndim != 1 or not values.size:
        raise ValueError(
            f"{name} has the shape {values.shape}: expected (n,) class indices, at least one. "
            "From logits (n, classes), take logits.argmax(-1)."
        )
    whole = np.issubdtype(values.dtype, np.integer)
    if not whole or values.min() < 0 or values.max() >= len(labels):
        raise ValueError(
            f"{name} holds {values.dtype} values from {values.min()} to {values.max()}: expected "
            f"integers from 0 to {len(labels) - 1}, one for each of the {len(labels)} labels."
        )
    return values


def attention(
    weights: Any,
    tokens_query: Sequence[str],
    tokens_key: Sequence[str] | None = None,
    *,
    ax: Axes | None = None,
) -> Axes:
    """Draw one head's attention weights as a heat map: a row for each query, keys across.

    Args:
        weights: (n_q, n_k) non-negative floats, tensor or array.
        tokens_query: the n_q tokens that attend.
        tokens_key: the n_k tokens attended to; the queries' own by default (self-attention).
        ax: where to draw; a new figure by default.

    Raises:
        ValueError: `weights` isn't one head's, doesn't fit the tokens, or isn't a set of weights.
    """
    tokens_key = tokens_query if tokens_key is None else tokens_key
    weights = _array(weights)
    expected = (len(tokens_query), len(tokens_key))
    if weights.ndim != 2:
        raise ValueError(
            f"weights has the shape {weights.shape}: expected one head's, (n_q, n_k) = {expected}. "
            "From (batch, heads, n_q, n_k), take weights[0, 0] for the first head."
        )
    if weights.shape != expected or not weights.size:
        raise ValueError(
            f"weights has the shape {weights.shape}, but there are {expected[0]} query tokens and "
            f"{expected[1]} key tokens: expected {expected}, at least (1, 1)."
        )
    if not np.isfinite(weights).all() or weights.min() < 0:
        raise ValueError(
            f"weights range from {weights.min():.3g} to {weights.max():.3g}: expected finite "
            "numbers from 0. Scores become weights by a softmax over the keys."
        )
    if ax is None:
        width, height = (1.4 + 0.3 * n for n in (expected[1], expected[0]))
        _, ax = plt.subplots(figsize=(min(width + 0.9, 9.0), min(height, 9.0)))
    image = _heat_map(ax, weights, highest=float(weights.max()) or 1.0)
    _name_ticks(ax, rows=tokens_query, columns=tokens_key, rotation=90)
    ax.set(xlabel="key", ylabel="query")
    ax.figure.colorbar(image, ax=ax, label="attention weight", shrink=0.85)
    return ax


def curve_with_interval(
    x: Any,
    mean: Any,
    low: Any,
    high: Any,
    label: str,
    *,
    ax: Axes | None = None,
    log_x: bool = False,
) -> Axes:
    """Draw a curve in a band from `low` to `high`, in the next colour of the palette.

    The caller names the axes, and calls this again with the same `ax` for the next curve.

    Args:
        x: (n,) numbers; positive for a logarithmic axis.
        mean: (n,) the curve.
        low: (n,) the band's lower edge.
        high: (n,) the band's upper edge.
        label: the curve's name in the legend.
        ax: where to draw; a new figure by default.
        log_x: a logarithmic axis with one tick for each x, as for label counts of 5, 20, 100.

    Raises:
        ValueError: shapes differ or are empty, the curve leaves its band, or x isn't positive
            where it must be.
    """
    x, mean, low, high = (_array(values).astype(float) for values in (x, mean, low, high))
    shapes = {"x": x.shape, "mean": mean.shape, "low": low.shape, "high": high.shape}
    if x.ndim != 1 or not x.size or len(set(shapes.values())) > 1:
        raise ValueError(f"Expected four arrays of one shape (n,), at least one point: {shapes}.")
    outside = np.flatnonzero(~((low <= mean) & (mean <= high)))
    if outside.size:
        i = outside[0]
        raise ValueError(
            f"At x = {x[i]:g} the mean {mean[i]:g} isn't between {low[i]:g} and {high[i]:g}: give "
            "the band's edges, not its widths."
        )
    if log_x and x.min() <= 0:
        raise ValueError(f"x holds {x.min():g}: a logarithmic axis needs positive numbers.")
    if ax is None:
        _, ax = plt.subplots(figsize=(5.2, 3.4))
    (line,) = ax.plot(x, mean, label=label)
    ax.fill_between(x, low, high, color=line.get_color(), alpha=0.18, linewidth=0)
    if log_x:
        _log_ticks(ax)
    ax.legend()
    return ax


def _log_ticks(ax: Axes) -> None:
    ax.set_xscale("log")
    ticks = sorted({float(value) for line in ax.get_lines() for value in line.get_xdata()})
    ax.set_xticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    ax.xaxis.set_minor_locator(mpl.ticker.NullLocator())


def _heat_map(ax: Axes, values: np.ndarray, *, highest: float) -> mpl.image.AxesImage:
    ax.grid(visible=False)
    return ax.imshow(values, cmap=HEAT_MAP, vmin=0.0, vmax=highest, aspect="equal")


def _name_ticks(ax: Axes, *, rows: Sequence[str], columns: Sequence[str], rotation: int) -> None:
    # Tokens such as "$5" must not be read as mathematics.
    turn = {"rotation": rotation, "ha": "right" if rotation < 90 else "center"}
    ax.set_xticks(range(len(columns)), labels=columns, parse_math=False, **turn)
    ax.set_yticks(range(len(rows)), labels=rows, parse_math=False)
    if rotation < 90:
        plt.setp(ax.get_xticklabels(), rotation_mode="anchor")


def _readable_on(colour: Sequence[float]) -> str:
    """Ink or white: the one with more contrast to the colour, given as red, green, blue in 0–1."""
    return max(INK, BACKGROUND, key=lambda text: contrast(text, colour))


def contrast(one: Any, other: Any) -> float:
    """Contrast ratio of two colours, from 1 to 21 (WCAG 2.2, "contrast ratio").

    Args:
        one: a colour as matplotlib takes it.
        other: the other colour.
    """
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: Any) -> float:
    """Relative luminance of an sRGB colour, from 0 to 1 (WCAG 2.2, "relative luminance")."""
    rgb = np.asarray(mpl.colors.to_rgb(colour))  # (3,)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def _array(values: Any) -> np.ndarray:
    """As a numpy array: from a list, an array, or a tensor on any device, also in bfloat16."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        return (values.float() if values.is_floating_point() else values).numpy()
    return np.asarray(values)
