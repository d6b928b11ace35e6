"""Loss, predictions and metrics of a model on a dataset, in length order, on all processes."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from accelerate.utils import gather_object
from torch import nn

from helpers.training.batches import sequence_lengths, take
from helpers.training.checks import check_batch, check_positions
from helpers.training.config import Precision
from helpers.training.objective import IGNORED, count_labels, to_device
from helpers.training.precision import autocast, resolve_precision
from helpers.training.processes import join_processes

Collate = Callable[[list[dict]], dict[str, torch.Tensor]]


@dataclass
class Predictions:
    """A model's outputs on a dataset, in the dataset's order, padding removed.

    Attributes:
        logits: float32. (N, C) when there is one decision a sequence; a list of N arrays
            (n_i, C) when there is one a piece.
        labels: int64 (N,), float32 (N,) for regression, float32 (N, C) where a sequence can
            be of several classes, or a list of N arrays (n_i,) with
            -100 where a piece has no label.
        loss: mean over the labels of the whole dataset, not over batches; nats for
            cross-entropy.
    """

    logits: np.ndarray | list[np.ndarray]
    labels: np.ndarray | list[np.ndarray]
    loss: float


def predict(
    model: nn.Module,
    dataset: Sequence,
    *,
    collate_fn: Collate,
    batch_size: int = 64,
    precision: Precision = "auto",
) -> Predictions:
    """Logits, labels and loss of `model` on every row of `dataset`; memory grows with N × C.

    Raises:
        ValueError: for an empty dataset, one without labels, or sequences longer than the
            model's positions.
        TypeError: for a dataset without a length, or a batch that isn't a dict of tensors.
    """
    rows, outputs = [], []
    loss, count = 0.0, 0
    for batch_rows, batch, result, n in _forward(model, dataset, collate_fn, batch_size, precision):
        rows += batch_rows.tolist()
        outputs += _unpad(result.logits.float().cpu().numpy(), batch)
        loss, count = loss + _total(result.loss, n), count + n
    # gather_object joins the processes' lists, so each contributes a list of its parts.
    rows, outputs = gather_object(rows), gather_object(outputs)
    order = np.argsort(rows)
    logits, labels = zip(*(outputs[i] for i in order), strict=True)
    if logits[0].ndim == 1:
        logits, labels = np.stack(logits), np.stack(labels)
    return Predictions(_as_list(logits), _as_list(labels), _mean(loss, count))


def evaluate(
    model: nn.Module,
    dataset: Sequence,
    *,
    collate_fn: Collate,
    compute_metrics: Callable[[Predictions], dict[str, float]] | None = None,
    batch_size: int = 64,
    precision: Precision = "auto",
) -> dict[str, float]:
    """The mean loss as `loss`, and what `compute_metrics` says of the predictions.

    Without `compute_metrics` no logits are kept, so that a language model with a large
    vocabulary can be evaluated in little memory. Raises as `predict` does.
    """
    if compute_metrics is not None:
        predictions = predict(
            model, dataset, collate_fn=collate_fn, batch_size=batch_size, precision=precision
        )
        return {"loss": predictions.loss, **compute_metrics(predictions)}
    loss, count = 0.0, 0
    for _, _, result, n in _forward(model, dataset, collate_fn, batch_size, precision):
        loss, count = loss + _total(result.loss, n), count + n
    return {"loss": _mean(loss, count)}


def _forward(
    model: nn.Module, dataset: Sequence, collate_fn: Collate, batch_size: int, precision: Precision
) -> Iterator[tuple]:
    """Yield (row numbers, batch, output, number of labels) for this process's batches."""
    lengths = sequence_lengths(dataset)
    check_positions(model, lengths)
    device = next(model.parameters()).device
    precision = resolve_precision(precision, device)
    group = join_processes()
    order = np.argsort(-lengths, kind="stable")  # the longest first: memory trouble shows at once
    batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    with _eval_mode(model), torch.inference_mode(), autocast(precision, device):
        for rows in batches[group.process_index :: group.num_processes]:
            batch = collate_fn(take(dataset, rows))
            check_batch(batch)
            batch = to_device(batch, device)
            yield rows, batch, model(**batch), count_labels(model, batch)


@contextmanager
def _eval_mode(model: nn.Module):
    """Dropout off inside, and each module's own mode back afterwards."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _unpad(logits: np.ndarray, batch: dict[str, torch.Tensor]) -> list[tuple]:
    """One (logits, labels) pair a sequence, without the padded positions."""
    labels = batch["labels"].cpu().numpy()
    mask = batch.get("attention_mask")
    if logits.ndim == 2 or mask is None:
        return list(zip(logits, labels, strict=True))
    real = mask.bool().cpu().numpy()
    return [
        (row_logits[keep], row_labels[keep])
        for row_logits, row_labels, keep in zip(logits, labels, real, strict=True)
    ]


def _as_list(values: np.ndarray | tuple) -> np.ndarray | list:
    return values if isinstance(values, np.ndarray) else list(values)


def _total(mean_loss: torch.Tensor, count: int) -> float:
    """The sum of a batch's losses; its mean over no label is 0/0, and adds nothing."""
    return mean_loss.item() * count if count else 0.0


def _mean(loss: float, count: int) -> float:
    """The mean over all processes' labels."""
    pairs = gather_object([(loss, count)])
    labels = sum(n for _, n in pairs)
    if labels == 0:
        raise ValueError(f"The dataset has no label: all of them are {IGNORED}.")
    return sum(part for part, _ in pairs) / labels
