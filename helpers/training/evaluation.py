"""Loss, predictions and metrics of a model on a dataset, in length order, on all processes."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from accelerate.utils import gather_object
from torch import nn

from helpers.training.checks import check_batch, check_data, eval_mode
from helpers.training.columns import take
from helpers.training.config import Precision
from helpers.training.objective import (
    IGNORED,
    Loss,
    count_labels,
    masks_unread,
    mean_loss,
    shifts_labels,
    to_device,
    writes,
)
from helpers.training.precision import computing_in, resolve_precision
from helpers.training.processes import join_processes
from helpers.training.sharding import is_sharded

Collate = Callable[[list[dict]], dict[str, torch.Tensor]]


@dataclass
class Predictions:
    """A model's outputs on a dataset, in the dataset's order, padding removed.

    Attributes:
        logits: float32. (N, C) when there is one decision a sequence; a list of N arrays
            (n_i, C) when there is one a piece.
        labels: int64 (N,), float32 (N,) for regression, float32 (N, C) where a sequence can
            be of several classes, or a list of N arrays (n_i,) with
            -100 where a piece has no label. None if the batches had no labels.
        loss: mean over the labels of the whole dataset, not over batches; nats for
            cross-entropy. None without labels.
        precision: "fp32", "bf16" or "fp16", in which all of this was computed.
    """

    logits: np.ndarray | list[np.ndarray]
    labels: np.ndarray | list[np.ndarray] | None
    loss: float | None
    precision: str


def predict(
    model: nn.Module,
    dataset: Sequence,
    *,
    collate_fn: Collate,
    batch_size: int = 64,
    precision: Precision = "fp32",
    loss_fn: Loss | None = None,
) -> Predictions:
    """Logits of `model` on every row of `dataset`, and labels and loss if it has labels.

    Memory grows with N × C. By default all is computed in fp32, whatever the weights are stored in,
    and without TF32, whatever torch is told; `precision="auto"` is faster on some hardware, and
    less exact. `loss_fn` as in `train`.

    Raises:
        ValueError: data or a model that `checks.check_data` refuses.
        TypeError: for a dataset without a length, or a batch that isn't a dict of tensors.
    """
    precision = resolve_precision(precision, next(model.parameters()).device)
    settings = (model, dataset, collate_fn, batch_size, precision, loss_fn)
    return _collect(_forward(*settings, labelled=False), model, precision)


def evaluate(
    model: nn.Module,
    dataset: Sequence,
    *,
    collate_fn: Collate,
    compute_metrics: Callable[[Predictions], dict[str, float]] | None = None,
    batch_size: int = 64,
    precision: Precision = "fp32",
    loss_fn: Loss | None = None,
) -> dict[str, float]:
    """The mean loss as `loss`, and what `compute_metrics` says of the predictions.

    Without `compute_metrics` no logits are kept, so that a language model with a large
    vocabulary can be evaluated in little memory. Computes as `predict` does, and raises as it
    does; also ValueError for a dataset without labels.
    """
    precision = resolve_precision(precision, next(model.parameters()).device)
    settings = (model, dataset, collate_fn, batch_size, precision, loss_fn)
    batches = _forward(*settings, labelled=True)
    if compute_metrics is None:
        return {"loss": _mean([part for *_, part in batches])}
    predictions = _collect(batches, model, precision)
    return {"loss": predictions.loss, **compute_metrics(predictions)}


def _forward(
    model: nn.Module,
    dataset: Sequence,
    collate_fn: Collate,
    batch_size: int,
    precision: Precision,
    loss_fn: Loss | None,
    *,
    labelled: bool,
) -> Iterator[tuple]:
    """Yield (rows, batch on the CPU, output, (mean loss, labels)) for this process's batches."""
    device = next(model.parameters()).device
    group = join_processes()
    shifted = shifts_labels(model)
    # Not inference_mode: what the model keeps from there, such as a mask, would break training.
    with eval_mode(model), torch.no_grad(), computing_in(model, precision, device):
        lengths = check_data(model, dataset, collate_fn, batch_size, loss_fn, labelled=labelled)
        # The longest first: memory trouble shows at once.
        order = np.argsort(-lengths, kind="stable")
        batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
        mine = batches[group.process_index :: group.num_processes]
        turns = len(mine)
        if is_sharded(model):  # each forward pass gathers weights from all processes
            mine += batches[:1] * (math.ceil(len(batches) / group.num_processes) - turns)
        loader = torch.utils.data.DataLoader(
            mine,
            batch_size=None,  # an item is a whole batch's rows already
            collate_fn=lambda rows: (rows, collate_fn(take(dataset, rows))),
            pin_memory=device.type == "cuda",
            generator=torch.Generator(),  # it draws a number, and not from the training's
        )
        loaded = iter(loader)
        ready = next(loaded, None)
        for turn in range(len(mine)):
            rows, batch = ready
            check_batch(model, batch, labelled=labelled)
            with masks_unread(device):
                output, part = model(**to_device(batch, device, model)), (0.0, 0)
            # Labels are counted on the CPU: no GPU is waited for before the next batch is there.
            # The mean over no label is 0/0, and adds nothing.
            if "labels" in batch and (n := count_labels(model, batch)):
                loss = mean_loss(output, batch["labels"], shifted=shifted, loss_fn=loss_fn)
                part = (loss, n)
            ready = next(loaded, None)  # collated while a GPU computes, before its result is read
            if turn < turns:
                yield rows, batch, output, part


def _collect(batches: Iterator[tuple], model: nn.Module, precision: Precision) -> Predictions:
    # The labels of an encoder-decoder are those of another sequence than its padding mask.
    padded = not writes(model)
    rows, logits, labels, parts = [], [], [], []
    for batch_rows, batch, output, part in batches:
        real = batch.get("attention_mask") if padded and output.logits.ndim == 3 else None
        rows += batch_rows.tolist()
        logits += _unpad(output.logits.float(), real)
        if "labels" in batch:
            labels += _unpad(batch["labels"], real)
            parts.append(part)
    # gather_object joins the processes' lists, so each contributes a list of its parts.
    order = np.argsort(gather_object(rows))
    logits, labels = gather_object(logits), gather_object(labels)
    loss = _mean(parts) if labels else None
    logits, labels = [logits[i] for i in order], [labels[i] for i in order if labels] or None
    if logits[0].ndim == 1:
        logits, labels = np.stack(logits), None if labels is None else np.stack(labels)
    return Predictions(logits, labels, loss, precision)


def _unpad(values: torch.Tensor, real: torch.Tensor | None) -> list[np.ndarray]:
    """The batch's logits or labels, an array a sequence, without the padded positions."""
    values = values.cpu().numpy()
    if real is None:
        return list(values)
    return [row[keep] for row, keep in zip(values, real.bool().cpu().numpy(), strict=True)]


def _mean(parts: list[tuple[float | torch.Tensor, int]]) -> float:
    """The mean over all processes' labels, from (mean loss, how many) of each batch."""
    parts = gather_object([(float(loss) * n, n) for loss, n in parts])
    labels = sum(n for _, n in parts)
    if labels == 0:
        raise ValueError(f"The dataset has no label: all of them are {IGNORED}.")
    return sum(part for part, _ in parts) / labels
