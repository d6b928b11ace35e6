"""The book's figures: one style, the training history, confusion matrices, attention, curves.

Each function takes data, draws on `Axes` and returns them; none of them shows or saves a figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes

STYLE = mpl.rc_params_from_file(
    Path(__file__).with_name("book.mplstyle"), use_default_template=False
)
BACKGROUND, INK = STYLE["figure.facecolor"], STYLE["text.color"]
_CYCLE = STYLE["axes.prop_cycle"].by_key()
PALETTE, LINE_STYLES, MARKERS = (tuple(_CYCLE[key][:4]) for key in ("color", "linestyle", "marker"))

# One hue from white to dark: an order that survives printing in grey. Where its shade begins on
# which white is easier to read than ink: both have a contrast of 4 there.
HEAT_MAP = "Blues"
DARK = 0.68

_LOSSES = ("loss", "eval_loss")  # the names of an evaluation's loss
_NOT_METRICS = {"step", "epoch", *_LOSSES}


def use_style() -> None:
    """Set matplotlib's `rcParams` to the book's style, for all figures made afterwards."""
    mpl.rcParams.update(STYLE)


def history(history: Any) -> tuple[Axes, ...]:
    """Plot a training history: the losses on the left, the evaluated metrics on the right.

    Args:
        history: has `records`, a list of dicts with `step` and `loss` (mean cross-entropy in
            nats), and `evaluations`, a list of dicts with `step`, perhaps `loss` or `eval_loss`,
            and metrics by name, of which those that are numbers are plotted.

    Returns:
        The axes of the losses and, where a metric was evaluated, the axes of the metrics.

    Raises:
        ValueError: the history is empty.
    """
    trained = _table(history.records)
    evaluated = _table(history.evaluations)
    if "loss" not in trained:
        raise ValueError("The history holds no training loss to plot: train for a step first.")
    keys = [name for name in evaluated if name not in _NOT_METRICS]
    width = 7.0 if keys else 4.5
    _, panels = plt.subplots(1, 2 if keys else 1, figsize=(width, 3.0), squeeze=False)
    axes = tuple(panels[0])
    losses = trained["loss"].dropna()
    smooth = losses.ewm(span=max(1, len(losses) // 20)).mean()  # over about a twentieth of them
    look = {"color": PALETTE[0], "linestyle": "-", "marker": ""}
    axes[0].plot(losses, linewidth=0.8, alpha=0.35, **look)
    axes[0].plot(smooth, label="training", **look)
    for name in evaluated.columns.intersection(_LOSSES):
        look = {"color": PALETTE[1], "linestyle": "--", "marker": "s"}
        axes[0].plot(evaluated[name].dropna(), label="evaluation", **look)
    axes[0].set(title="Loss", ylabel="mean loss (nats)")
    for key in keys:
        axes[1].plot(evaluated[key].dropna(), label=key)
    if keys:
        alone = keys[0].removeprefix("eval_").replace("_", " ")
        axes[1].set(title="Evaluation", ylabel=alone if len(keys) == 1 else "value")
    for ax in axes:
        ax.set_xlabel("optimizer steps")
        ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator(nbins=6, integer=True))
        ax.legend()
    return axes


def _table(records: list[dict]) -> pd.DataFrame:
    """The columns that hold numbers, by step."""
    table = pd.DataFrame(records).set_index("step") if records else pd.DataFrame()
    return table.select_dtypes("number")


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
        ValueError: the two differ in length or are no class indices, or an index has no label.
    """
    import sklearn.metrics  # noqa: PLC0415 - a second, which chapters without such a matrix save

    true, predicted = _array(true), _array(predicted)
    for name, values in {"true": true, "predicted": predicted}.items():
        if not set(values.ravel().tolist()) <= set(range(len(labels))):
            raise ValueError(
                f"{name} holds values from {values.min()} to {values.max()}: expected integers "
                f"from 0 to {len(labels) - 1}, one for each of the {len(labels)} labels."
            )
    counts = sklearn.metrics.confusion_matrix(true, predicted, labels=range(len(labels)))  # (C, C)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)  # (C, C)
    if ax is None:
        side = 1.6 + 0.75 * len(labels)
        _, ax = plt.subplots(figsize=(side + 0.8, side))
    ax.grid(visible=False)
    display = sklearn.metrics.ConfusionMatrixDisplay(shares, display_labels=labels)
    display.plot(ax=ax, cmap=HEAT_MAP, xticks_rotation=45, im_kw={"vmin": 0, "vmax": 1})
    for (row, column), text in np.ndenumerate(display.text_):
        count, share = counts[row, column], shares[row, column]
        # scikit-learn's own choice of colour has a contrast of 2 in the middle of the scale.
        text.set(color=BACKGROUND if share > DARK else INK, fontsize=8)
        text.set_text(f"{count}\n{share:.1%}" if count else "0")
    display.im_.colorbar.set_label("share of the true class")
    ax.set(xlabel="predicted class", ylabel="true class")
    plt.setp(ax.get_xticklabels(), ha="right", rotation_mode="anchor")
    return ax


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
    if weights.shape != expected or not (weights >= 0).all():
        raise ValueError(
            f"weights has the shape {weights.shape}: expected one head's, (n_q, n_k) = {expected}, "
            "from 0. From (batch, heads, n_q, n_k), take weights[0, 0] for the first head; scores "
            "become weights by a softmax over the keys."
        )
    if ax is None:
        width, height = (1.4 + 0.3 * n for n in (expected[1], expected[0]))
        _, ax = plt.subplots(figsize=(min(width + 0.9, 9.0), min(height, 9.0)))
    ax.grid(visible=False)
    image = ax.imshow(weights, cmap=HEAT_MAP, vmin=0.0, vmax=float(weights.max()) or 1.0)
    # Tokens such as "$5" must not be read as mathematics.
    ax.set_xticks(range(len(tokens_key)), labels=tokens_key, rotation=90, parse_math=False)
    ax.set_yticks(range(len(tokens_query)), labels=tokens_query, parse_math=False)
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
        ValueError: the curve leaves its band.
    """
    x, mean, low, high = (_array(values).astype(float) for values in (x, mean, low, high))
    if not ((low <= mean) & (mean <= high)).all():
        raise ValueError(
            f"{label}: the curve isn't between {low} and {high}; give the band's edges, not its "
            "widths."
        )
    if ax is None:
        _, ax = plt.subplots(figsize=(5.2, 3.4))
    (line,) = ax.plot(x, mean, label=label)
    ax.fill_between(x, low, high, color=line.get_color(), alpha=0.18, linewidth=0)
    if log_x:
        ax.set_xscale("log")
        ticks = sorted({float(value) for line in ax.get_lines() for value in line.get_xdata()})
        ax.set_xticks(ticks, labels=[f"{tick:g}" for tick in ticks])
        ax.xaxis.set_minor_locator(mpl.ticker.NullLocator())
    ax.legend()
    return ax


def _array(values: Any) -> np.ndarray:
    """As a numpy array: from a list, an array, or a tensor on any device, also in bfloat16."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        return (values.float() if values.is_floating_point() else values).numpy()
    return np.asarray(values)
