"""Bad input, found before minutes of work are lost on it."""

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute
import torch
from datasets import Dataset
from torch import nn

from helpers.training.batches import take
from helpers.training.objective import IGNORED


def check_positions(model: nn.Module, lengths: np.ndarray):
    """Reject sequences longer than the model has positions for.

    Raises:
        ValueError: naming the longest sequence, its row and the model's limit.
    """
    limit = getattr(getattr(model, "config", None), "max_position_embeddings", None)
    if limit is None:
        return
    for name, module in model.named_modules():
        # RoBERTa's table starts after its padding index: two of its positions are never used.
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            limit = module.num_embeddings - (module.padding_idx or -1) - 1
    row = int(np.argmax(lengths))
    if lengths[row] > limit:
        raise ValueError(
            f"Row {row} has {lengths[row]} pieces, but the model has {limit} positions. "
            f"Cut when you tokenize: tokenizer(..., truncation=True, max_length={limit})."
        )


def check_batch(batch: dict[str, torch.Tensor]):
    """Reject a batch without labels.

    Raises:
        ValueError: naming the keys that are there.
    """
    if batch.get("labels") is None:
        raise ValueError(
            f"collate_fn returned the keys {sorted(batch)} but no 'labels': nothing to learn "
            "from. The dataset needs a column 'label' or 'labels', or a collate_fn that makes them."
        )


def check_labels(model: nn.Module, dataset: Sequence, collate_fn: Callable):
    """Reject a batch without labels, and labels that are no class of the model.

    One sequence goes through the model to see how many classes it tells apart.

    Raises:
        ValueError: naming the row, the label and the classes there are.
    """
    batch = collate_fn(take(dataset, np.array([0])))
    check_batch(batch)
    if batch["labels"].is_floating_point():
        return
    device = next(model.parameters()).device
    inputs = {key: value.to(device) for key, value in batch.items() if key != "labels"}
    with torch.inference_mode():
        classes = model(**inputs).logits.shape[-1]
    for row, label in _out_of_range(dataset, classes):
        raise ValueError(
            f"Row {row} has the label {label}, but the model tells {classes} classes apart: "
            f"0 to {classes - 1} ({IGNORED} is ignored). Load the model with "
            "num_labels=<number of classes>, or mend the labels."
        )


def _out_of_range(dataset: Sequence, classes: int) -> list[tuple[int, int]]:
    """The first (row, label) outside 0 … classes − 1 and not IGNORED, if there is one."""
    columns = dataset.column_names if isinstance(dataset, Dataset) else list(dataset[0])
    name = next((column for column in ("labels", "label") if column in columns), None)
    if name is None:  # collate_fn makes the labels, as in language modelling
        return []
    if isinstance(dataset, Dataset):
        column = dataset.with_format("arrow")[name][:]
        column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    else:
        column = pa.array([np.asarray(example[name]).tolist() for example in dataset])
    rows = np.arange(len(column))
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        rows = np.asarray(pyarrow.compute.list_parent_indices(column))
        column = pyarrow.compute.list_flatten(column)
    values = np.asarray(column)
    bad = np.flatnonzero((values != IGNORED) & ((values < 0) | (values >= classes)))
    return [(int(rows[bad[0]]), int(values[bad[0]]))] if len(bad) else []
