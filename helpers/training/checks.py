"""Bad input, found before minutes of work are lost on it.

A dataset's columns are read whole by arrow, 100,000 rows in a fraction of a second. What
`collate_fn` makes of them, and what the model makes of that, is tried on two rows.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
import torch.nn.functional as F
from torch import nn

from helpers.training.batches import sequence_lengths
from helpers.training.columns import (
    Columns,
    first_wrong,
    innermost,
    is_list,
    is_number,
    read_columns,
    take,
)
from helpers.training.objective import (
    IGNORED,
    Loss,
    mean_loss,
    shifts_labels,
    to_device,
    unwrap,
    writes,
)

FOR_EACH_PIECE = ("attention_mask", "token_type_ids", "special_tokens_mask")
SPANS = ("start_positions", "end_positions")
LABELS = ("labels", "label")  # what collators call `labels`
COLUMNS = ("input_ids", "shapes", *FOR_EACH_PIECE, *SPANS, *LABELS)


def check_data(
    model: nn.Module,
    dataset: Sequence,
    collate_fn: Callable,
    batch_size: int,
    loss_fn: Loss | None = None,
    *,
    labelled: bool = True,
) -> np.ndarray:
    """Refuse data, a collate function or a model that break the contract of `objective`.

    A mixture, such as `helpers.data.mixing.MixedBatches`, is checked data set by data set. Of a
    dataset that knows its `lengths` no row is read but two; `check_batch` looks at the others.

    Returns:
        Pieces in each sequence, int64 (n,).

    Raises:
        ValueError: naming the row, what is wrong with it, and the remedy.
        TypeError: for a dataset without a length, or a batch that isn't a dict of tensors.
    """
    lengths = sequence_lengths(dataset)
    if hasattr(dataset, "collates"):
        for part, collate in zip(dataset.datasets, dataset.collates, strict=True):
            check_data(model, part, collate, len(dataset.rows[0]), loss_fn, labelled=labelled)
        return lengths
    check_lengths(model, lengths)
    columns = {} if hasattr(dataset, "lengths") else read_columns(dataset, COLUMNS)
    _check_ids(model, columns)
    _check_for_each_piece(columns, lengths, FOR_EACH_PIECE)
    _check_spans(columns, lengths)
    # The shortest and the longest: one of them needs padding.
    rows = np.unique(np.argsort(lengths, kind="stable")[[0, -1]])[:batch_size]
    name = next((name for name in LABELS if name in columns), None)
    try:
        batch = _tried(take(dataset, rows), collate_fn)
    except Exception:
        if name is not None:
            _check_present(name, columns[name])
            if not writes(model):
                _check_for_each_piece(columns, lengths, (name,))
        raise
    if name is not None and _passed_on(columns[name], rows, batch):
        _check_present(name, columns[name])
    else:
        name = None  # collate_fn makes the labels of something else
    check_batch(model, batch, labelled=labelled)
    logits = _check_output(model, batch, loss_fn)
    if name is not None:
        _check_labels(model, columns, lengths, name, logits)
    return lengths


def check_lengths(model: nn.Module, lengths: np.ndarray):
    """Refuse empty sequences, and those longer than the model has positions for.

    Raises:
        ValueError: naming the row and the model's limit.
    """
    row = int(np.argmin(lengths))
    if lengths[row] == 0:
        raise ValueError(
            f"Row {row} has no pieces: its input_ids are empty. Leave such rows out, for example "
            'with dataset.filter(lambda row: row["input_ids"]).'
        )
    row, limit = int(np.argmax(lengths)), _positions(model)
    if limit and lengths[row] > limit:
        raise ValueError(
            f"Row {row} has {lengths[row]} pieces, but the model has {limit} positions. "
            f"Cut when you tokenize: tokenizer(..., truncation=True, max_length={limit})."
        )


def check_batch(model: nn.Module, batch: Mapping[str, torch.Tensor], *, labelled: bool = True):
    """Refuse a batch that the model can't take; looks at the CPU's copy, before it is moved.

    Raises:
        TypeError: naming what collate_fn returned.
        ValueError: naming the keys that are there, or the id, shape or dtype that can't be.
    """
    if not isinstance(batch, Mapping):
        raise TypeError(f"collate_fn must return a dict of tensors, not a {type(batch).__name__}")
    labels = batch.get("labels")
    if labelled and labels is None:
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
    if labels is not None and labels.dtype != torch.int64 and not labels.is_floating_point():
        raise ValueError(
            f"The labels are {labels.dtype}, such as {labels.flatten()[0].item()}: give classes as "
            "torch.int64, 0 to C - 1, and targets of a regression as floats."
        )
    ids, mask, size = batch.get("input_ids"), batch.get("attention_mask"), _vocabulary(model)
    if ids is not None and mask is not None and mask.shape[:2] != ids.shape:
        raise ValueError(
            f"attention_mask has the shape {tuple(mask.shape)}, input_ids {tuple(ids.shape)}: "
            "collate_fn must pad both to the same length."
        )
    if ids is not None and size and ids.numel():
        low, high = (int(bound) for bound in ids.aminmax())
        if low < 0 or high >= size:
            raise ValueError(_no_such_id("A batch of collate_fn's", low if low < 0 else high, size))


def check_weights(model: nn.Module):
    """Refuse trainable weights in half precision: small updates would be rounded away.

    Raises:
        ValueError: naming a parameter and its dtype.
    """
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and parameter.dtype in (torch.float16, torch.bfloat16):
            raise ValueError(
                f"{name} is {parameter.dtype}, too coarse for small updates to add up. Load the "
                "model with dtype=torch.float32; `precision` makes the matrix products fast."
            )


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Dropout off inside, and each module's own mode back afterwards."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


# The dataset's columns.


def _check_ids(model: nn.Module, columns: Columns):
    """Each id is one of the model's, and so is each number of the other embeddings."""
    config = getattr(unwrap(model), "config", None)
    sizes = {
        "input_ids": _vocabulary(model),
        "token_type_ids": getattr(config, "type_vocab_size", None),
        "shapes": getattr(config, "num_shapes", None),
    }
    for name in sizes.keys() & columns.keys():
        column, size = columns[name], sizes[name]
        if name == "input_ids" and not pa.types.is_integer(innermost(column.type)):
            raise ValueError(f"input_ids hold {innermost(column.type)}; expected whole numbers.")
        if size and (found := first_wrong(column, lambda ids, n=size: (ids < 0) | (ids >= n))):
            row, value = found
            if name == "input_ids":
                raise ValueError(_no_such_id(f"Row {row}", value, size))
            raise ValueError(
                f"Row {row} has {value} in {name}, but the model knows 0 to {size - 1}."
            )


def _no_such_id(where: str, value: int | None, size: int) -> str:
    return (
        f"{where} has the id {value}, but the model's embedding has {size} rows: 0 to {size - 1}. "
        "Tokenize with the model's own tokenizer; after tokenizer.add_tokens, call "
        "model.resize_token_embeddings(len(tokenizer))."
    )


def _check_for_each_piece(columns: Columns, lengths: np.ndarray, names: Sequence[str]):
    """Columns with a number for each piece have as many as there are pieces."""
    for name in names:
        if name not in columns or not is_list(columns[name].type):
            continue
        found = pc.fill_null(pc.list_value_length(columns[name]), -1).to_numpy()
        wrong = np.flatnonzero(found != lengths)
        if len(wrong):
            row = int(wrong[0])
            raise ValueError(
                f"Row {row} has {lengths[row]} input_ids and {max(found[row], 0)} {name}; expected "
                "one for each piece. Make both in one call of the tokenizer, and align labels by "
                "its word_ids()."
            )


def _check_spans(columns: Columns, lengths: np.ndarray):
    """Answers begin and end inside their sequence; transformers ignores others without a word."""
    if any(name not in columns or not pa.types.is_integer(columns[name].type) for name in SPANS):
        return
    start, end = (pc.fill_null(columns[name], -1).to_numpy() for name in SPANS)
    wrong = np.flatnonzero((start < 0) | (end < start) | (end >= lengths))
    if len(wrong):
        row = int(wrong[0])
        raise ValueError(
            f"Row {row} has {lengths[row]} pieces and an answer from {start[row]} to {end[row]}; "
            "expected 0 <= start <= end < pieces. Point to [CLS], 0, where there is no answer."
        )


def _check_labels(
    model: nn.Module, columns: Columns, lengths: np.ndarray, name: str, logits: torch.Tensor
):
    """Each label is a class of the model, and there are as many as the logits ask for."""
    classes, column = logits.shape[-1], columns[name]
    if pa.types.is_integer(innermost(column.type)) and (
        found := first_wrong(column, lambda x: (x != IGNORED) & ((x < 0) | (x >= classes)))
    ):
        row, label = found
        raise ValueError(
            f"Row {row} has the label {label}, but the model tells {classes} classes apart: "
            f"0 to {classes - 1} ({IGNORED} is ignored). Load the model with "
            "num_labels=<number of classes>, or mend the labels. To predict without labels, "
            "leave the column out."
        )
    if logits.ndim == 3 and not writes(model):
        _check_for_each_piece(columns, lengths, (name,))
    elif logits.ndim == 3:
        check_lengths(model, pc.list_value_length(column).to_numpy())


def _check_present(name: str, column: pa.ChunkedArray):
    """Each label is there and a number, whatever the model."""
    kind = innermost(column.type)
    if found := first_wrong(column, lambda x: ~np.isfinite(x)):
        raise ValueError(
            f"Row {found[0]} has the {name} {found[1]}: it is missing. Leave such rows out, or put "
            f"{IGNORED} where nothing is to be learned."
        )
    if not is_number(kind):
        raise ValueError(
            f"Row 0 has the {name} {column[0].as_py()!r}, of type {kind}: give each class as a "
            f"whole number, 0 to C - 1, for example with dataset.class_encode_column({name!r}) or "
            f'dataset.cast_column({name!r}, Value("int64")).'
        )


def _passed_on(column: pa.ChunkedArray, rows: np.ndarray, batch: object) -> bool:
    """Whether the batch's labels of `rows` are those of the column, padding behind them."""
    labels = batch.get("labels") if isinstance(batch, Mapping) else None
    if not isinstance(labels, torch.Tensor):
        return False
    for row, made in zip(rows, labels.numpy(), strict=False):
        given = np.asarray(column[int(row)].as_py())
        same_kind = given.dtype.kind in "biuf" and (given.dtype == bool) == (made.dtype == bool)
        if not same_kind or given.ndim != made.ndim or given.size > made.size:
            return False
        if not np.allclose(made.ravel()[: given.size], given.ravel(), equal_nan=True):
            return False
    return True


# Two rows, tried.


def _tried(examples: list[dict], collate_fn: Callable) -> Mapping[str, torch.Tensor]:
    """What collate_fn makes of some rows.

    Raises:
        ValueError: it fails, and there are columns of text, which no collate function takes.
    """
    try:
        with torch.random.fork_rng(devices=[]):  # so that a check changes no number
            return collate_fn(examples)
    except Exception as error:
        texts = [key for key, value in dict(examples[0]).items() if _is_text(value)]
        if not texts:
            raise
        raise ValueError(
            f"collate_fn can't make a batch of rows ({type(error).__name__}): their columns "
            f"{texts} hold text, which is no tensor. Drop them with "
            f"dataset.remove_columns({texts})."
        ) from error


def _is_text(value: object) -> bool:
    while isinstance(value, list) and value:
        value = value[0]
    return isinstance(value, str | bytes)


def _check_output(
    model: nn.Module, batch: Mapping[str, torch.Tensor], loss_fn: Loss | None
) -> torch.Tensor:
    """The model's logits for the batch, which keep the contract of `objective`."""
    name = type(unwrap(model)).__name__
    parameters = inspect.signature(unwrap(model).forward).parameters
    extra = [key for key in batch if key not in parameters]
    if extra and all(p.kind != p.VAR_KEYWORD for p in parameters.values()):
        raise ValueError(
            f"collate_fn returned {extra}, which {name} doesn't take: drop these columns with "
            f"dataset.remove_columns({extra}), or leave them out of the batch."
        )
    labels, inputs = batch.get("labels"), dict(batch)
    if labels is not None and not labels.is_floating_point():
        # Class 0 always exists; an encoder-decoder makes its inputs from the labels.
        inputs["labels"] = torch.zeros_like(labels)
    inputs = to_device(inputs, next(model.parameters()).device)
    with eval_mode(model), torch.no_grad():  # a mask the model keeps must serve training
        try:
            output = model(**inputs)
        except (ValueError, RuntimeError):
            if labels is None or writes(model):
                raise
            # A loss inside the model may have met labels of a shape or dtype that it can't take.
            del inputs["labels"]
            _check_shapes(name, labels, _logits(name, model(**inputs)))
            raise
        logits = _logits(name, output)
        if labels is not None:
            _check_shapes(name, labels, logits)
            _check_loss(model, name, inputs["labels"], output, loss_fn)
    return logits


def _logits(name: str, output: object) -> torch.Tensor:
    logits = getattr(output, "logits", None)
    if not isinstance(logits, torch.Tensor) or logits.ndim not in (2, 3):
        raise ValueError(
            f"{name} returned no logits of shape (B, C) or (B, T, C), but "
            f"{getattr(logits, 'shape', logits)}. "
            "Take a model with a head for the task, or wrap it in one whose output has `.loss` "
            "and `.logits`."
        )
    return logits


def _check_shapes(name: str, labels: torch.Tensor, logits: torch.Tensor):
    given, made = tuple(labels.shape), tuple(logits.shape)
    expected = {made[:-1]} if not labels.is_floating_point() else {made}
    if given in expected | ({made[:-1]} if made[-1] == 1 else set()):
        return
    raise ValueError(
        f"{name} returned logits of shape {made} for labels of shape {given}, {labels.dtype}, such "
        f"as {labels.flatten()[0].item()}. Classes need int64 labels of shape {made[:-1]}, one for "
        "each row of logits; numbers (num_labels=1) or several classes at once need float labels "
        f"of shape {made}. Mend the labels, or have the model return a row of logits for each."
    )


def _check_loss(
    model: nn.Module, name: str, labels: torch.Tensor, output: object, loss_fn: Loss | None
):
    shifted = shifts_labels(model)
    loss = mean_loss(output, labels, shifted=shifted, loss_fn=loss_fn)
    if not isinstance(loss, torch.Tensor) or loss.ndim:
        given = f"of shape {tuple(loss.shape)}" if isinstance(loss, torch.Tensor) else loss
        raise ValueError(
            f"{name} returned a loss {given}; expected a scalar, the mean over the labels. Return "
            "it when there are labels, or give `train` a loss_fn."
        )
    if labels.is_floating_point() or labels.ndim != 2 or labels.size(1) < 2 or loss_fn:
        return
    logits = output.logits.float()
    as_said, other = (
        F.cross_entropy(
            (logits[:, :-1] if shift else logits).flatten(0, 1),
            (labels[:, 1:] if shift else labels).flatten(),
        )
        for shift in (shifted, not shifted)
    )
    close = [torch.isclose(loss.float(), x, rtol=1e-5, atol=1e-6) for x in (as_said, other)]
    if close[1] and not close[0]:
        raise ValueError(
            f"{name} has logits {tuple(logits.shape)} and labels {tuple(labels.shape)}, and its "
            f"loss {loss:.4f} is that of labels which are {'' if not shifted else 'not '}shifted "
            f"by one position. Say so in the model: shifts_labels = {not shifted}."
        )


# What the model is.


def _vocabulary(model: nn.Module) -> int | None:
    """Rows of the embedding of the model's pieces."""
    model = unwrap(model)
    table = model.get_input_embeddings() if hasattr(model, "get_input_embeddings") else None
    size = getattr(getattr(model, "config", None), "vocab_size", None)
    return len(table.weight) if hasattr(table, "weight") else size


def _positions(model: nn.Module) -> int | None:
    """The longest sequence that the model takes, if it has a limit."""
    config = getattr(unwrap(model), "config", None)
    limit = getattr(config, "max_position_embeddings", getattr(config, "max_positions", None))
    if limit is None or limit < 1:  # XLNet says -1: it has no limit
        return None
    for name, module in model.named_modules():
        # RoBERTa's table starts after its padding index: two of its positions are never used.
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            unused = 0 if module.padding_idx is None else module.padding_idx + 1
            limit = module.num_embeddings - unused
    return limit
