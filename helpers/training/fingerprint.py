"""What a run is: settings, model, all rows, functions. A checkpoint must match it to go on."""

import dis
import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from types import CodeType, FunctionType, MethodType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset
from torch import nn
from transformers import PreTrainedTokenizerBase

from helpers.training.columns import is_list, is_number, take
from helpers.training.config import TrainingConfig

# Settings that may differ when a run goes on: they change no number of the updates to come.
FREE_TO_CHANGE = (
    *("checkpoint_dir", "checkpoint_every", "resume", "extend"),
    *("num_workers", "progress"),
    *("tf32", "compile", "deterministic"),  # what they come to on the device is compared
    "strategy",  # compared where it isn't DDP: checkpoints older than the setting have none
)
NOT_THE_MODEL = ("_name_or_path", "transformers_version")  # where its configuration came from
NOT_THE_MODULE = ("training", "gradient_checkpointing")  # as it is used; the second saves memory
ROWS = 1000  # read at a time


def fingerprint(
    model: nn.Module,
    dataset: Sequence,
    config: TrainingConfig,
    functions: Mapping[str, Callable | None],
    **resolved: object,
) -> dict:
    """A flat description of the run in JSON's types, equal for equal runs in other processes.

    Args:
        model: its configuration, its parameters' shapes and its modules' plain attributes count.
        dataset: all values of all rows count; or its attribute `digest`, where it has one.
        config: all but `FREE_TO_CHANGE`.
        functions: their names and bytecode count, the plain values that they read or hold, and the
            bytecode of the functions that they call; of other things the class.
        resolved: what else must be the same, such as the precision that "auto" became.
    """
    settings = {k: v for k, v in asdict(config).items() if k not in FREE_TO_CHANGE}
    options = getattr(model, "config", None) or {}
    if not isinstance(options, Mapping):
        options = getattr(options, "to_dict", lambda: vars(model.config))()
    settings |= {f"model.config.{k}": v for k, v in options.items() if k not in NOT_THE_MODEL}
    called = {key: function for key, function in functions.items() if function is not None}
    settings |= resolved | {
        "model": f"{type(model).__name__} {_digest(_structure(model))}",
        "dataset": f"{len(dataset)} rows {_rows_digest(dataset)}",
        **{key: f"{_name(f)} {_digest(_insides(f))}" for key, f in called.items()},
    }
    return json.loads(_text(settings))  # as a checkpoint gives it back


def _digest(value: object) -> str:
    return hashlib.sha256(_text(value).encode()).hexdigest()[:12]


def _rows_digest(dataset: Sequence) -> str:
    if hasattr(dataset, "digest"):
        return dataset.digest
    digest = hashlib.sha256()
    if isinstance(dataset, Dataset):  # a million rows in Python's types would take minutes
        columns = dataset.with_format("arrow", columns=dataset.format["columns"])
        for table in columns.iter(ROWS):
            for name in table.column_names:
                digest.update(name.encode() + _bytes(pa.concat_arrays(table[name].chunks)))
    else:
        for start in range(0, len(dataset), ROWS):
            rows = np.arange(start, min(start + ROWS, len(dataset)))
            digest.update(_text(take(dataset, rows)).encode())
    return digest.hexdigest()[:12]


def _bytes(column: pa.Array) -> bytes:
    if is_list(column.type):
        lengths = pc.list_value_length(column)
        return _bytes(lengths) + _bytes(pc.list_flatten(column))
    whole = is_number(column.type) and not column.null_count
    return np.asarray(column).tobytes() if whole else _text(column.to_pylist()).encode()


def _structure(model: nn.Module) -> list:
    found = [(n, p.shape, str(p.dtype), p.requires_grad) for n, p in model.named_parameters()]
    for name, module in model.named_modules():
        public = {k: v for k, v in vars(module).items() if k[0] != "_" and k not in NOT_THE_MODULE}
        found.append((name, _name(module), public))
    return found


def _insides(function: Callable) -> list:
    """What decides how a function acts, one level deep."""
    match function:
        case functools.partial():
            return [_insides(function.func), function.args, function.keywords]
        case MethodType():
            return [_insides(function.__func__), _held(function.__self__)]
        case FunctionType():
            return [function, function.__defaults__, function.__kwdefaults__, _read(function)]
    return [getattr(type(function).__call__, "__code__", None), _held(function)]


def _held(value: object) -> object:
    match value:
        case PreTrainedTokenizerBase():
            return {}  # it remembers what it was last asked
        case nn.Module():  # a model is large; the weights of classes in a loss are a buffer
            return [_structure(value), dict(value.named_buffers())]
    return getattr(value, "__dict__", {})


def _read(function: FunctionType) -> dict[str, object]:
    """What a function and the functions inside it read from around them, by its name there."""
    codes = [function.__code__]
    for code in codes:
        codes += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    read = (i for code in codes for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL")
    known = function.__globals__
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    return {name: cell.cell_contents for name, cell in cells} | {
        i.argval: known[i.argval] for i in read if i.argval in known
    }


def _text(value: object) -> str:
    return json.dumps(value, default=_plain, skipkeys=True)


def _plain(value: object) -> object:
    """What JSON doesn't know, by what it does know; nothing is gone into that may come back."""
    if hasattr(value, "tolist"):  # an array, a tensor or one number of theirs
        return value.tolist()
    match value:
        case bytes():
            return value.hex()
        case set() | frozenset():
            return sorted(map(str, value))
        case FunctionType():
            return [_name(value), value.__code__]
        case CodeType():
            return [value.co_code.hex(), value.co_names, value.co_consts]
    return _name(value)


def _name(value: object) -> str:
    value = value if hasattr(value, "__qualname__") else type(value)
    return f"{value.__module__}.{value.__qualname__}"
