"""Bad input, found before minutes of work are lost on it."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute
import torch
from datasets import Dataset
from torch import nn

from helpers.training.batches import take
from helpers.training.objective import IGNORED, to_device


def check_positions(model: nn.Module, lengths: np.ndarray):
    """Reject sequences longer than the model has positions for.

    Raises:
        ValueError: naming the longest sequence, its row and the model's limit.
    """
    limit = getattr(getattr(model, "config", None), "max_position_embeddings", None)
    if limit is None or limit < 1:  # XLNet says -1: it has no limit
        return
    for name, module in model.named_modules():
        # RoBERTa's table starts after its padding index: two of its positions are never used.
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            unused = 0 if module.padding_idx is None else module.padding_idx + 1
            limit = module.num_embeddings - unused
    row = int(np.argmax(lengths))
    if lengths[row] > limit:
        raise ValueError(
            f"Row {row} has {lengths[row]} pieces, but the model has {limit} positions. "
            f"Cut when you tokenize: tokenizer(..., truncation=True, max_length={limit})."
        )


def check_batch(batch: dict[str, torch.Tensor]):
    """Reject a batch without labels, or with what isn't a tensor.

    Raises:
        TypeError: naming what collate_fn returned.
        ValueError: naming the keys that are there.
    """
    if not isinstance(batch, Mapping):
        raise TypeError(f"collate_fn must return a dict of tensors, not a {type(batch).__name__}")
    if batch.get("labels") is None:
        raise ValueError(
            f"collate_fn returned the keys {sorted(batch)} but no 'labels': nothing to learn "
            "from. The dataset needs a column 'label' or 'labels', or a collate_fn that makes them."
        )
    for key, value in batch.items():
        if not isinstance(value, torch.Tensor):
            raise TypeError(
                f"collate_fn returned a {type(value).__name__} as {key!r}: the model takes "
                "tensors. Leave it out of the batch, or drop the column with remove_columns."
            )


def check_weights(model: nn.Module):
    """Reject trainable weights in half precision: small updates would be rounded away.

    Raises:
        ValueError: naming a parameter and its dtype.
    """
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and parameter.dtype in (torch.float16, torch.bfloat16):
            raise ValueError(
                f"{name} is {parameter.dtype}, too coarse for small updates to add up. Load the "
                "model with dtype=torch.float32; `precision` makes the matrix products fast."
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
    # Class 0 always exists; an encoder-decoder makes its inputs from the labels.
    inputs = to_device({**batch, "labels": torch.zeros_like(batch["labels"])}, device)
    with torch.no_grad():  # not inference mode: a mask the model keeps must serve training
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
    if hasattr(column.type, "value_field"):  # a list, of any kind
        rows = np.asarray(pyarrow.compute.list_parent_indices(column))
        column = pyarrow.compute.list_flatten(column)
    if not pa.types.is_integer(column.type):  # names, scores: collate_fn makes the labels
        return []
    values = np.asarray(column)
    bad = np.flatnonzero((values != IGNORED) & ((values < 0) | (values >= classes)))
    return [(int(rows[bad[0]]), int(values[bad[0]]))] if len(bad) else []
