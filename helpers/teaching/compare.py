"""Say in which way a result differs from the expected one, without telling the expected values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from numbers import Integral, Number, Real
from typing import Any

import numpy as np
import torch

_FEW = 8  # a tensor of at most so many elements is shown by its values, a larger one by its shape
_LONGEST = 100  # characters shown of any one value

# Values of one group are compared with each other: a list with a tuple, an int with a float.
_ARRAYS = (torch.Tensor, np.ndarray)
_GROUPS = (torch.Tensor, np.ndarray, (bool, np.bool_), Real, str, (list, tuple), Mapping)


def difference(got: Any, expected: Any, *, rtol: float = 1e-4, atol: float = 1e-5) -> str:
    """In words, how `got` differs from `expected`; "" if it doesn't.

    Tensors and arrays must agree in shape and dtype, and in their values within the tolerance
    (`torch.isclose`; nan equals nan). Devices don't count. Whole numbers must be equal.
    What says the same in other words is the same: a number, a Decimal or a tensor of one element,
    an array of numpy or of torch, an array where a list is asked for.

    Args:
        got: the result to judge.
        expected: the right result; its values never show in the answer.
        rtol: allowed relative difference of floating-point values.
        atol: allowed absolute difference of floating-point values.
    """
    tolerance = {"rtol": rtol, "atol": atol}
    got = _in_the_words_of(expected, got)
    if not _same_group(got, expected):
        return f"it returns {kind(got)}, where {kind(expected)} is asked for"
    if isinstance(expected, (torch.Tensor, np.ndarray)):
        return _of_arrays(got, expected, **tolerance)
    if isinstance(expected, (Mapping, list, tuple)):
        return _of_containers(got, expected, **tolerance)
    if isinstance(expected, Number) and not isinstance(expected, Integral):
        right = torch.isclose(_double(got), _double(expected), equal_nan=True, **tolerance).item()
    else:
        right = got == expected
    return "" if right else f"it returns a wrong value, {described(got)}"


def _in_the_words_of(expected: Any, got: Any) -> Any:
    """`got` as a value of the kind of `expected`, where it is the same in another library."""
    if isinstance(got, (Decimal, Fraction)):
        got = float(got)
    if isinstance(got, _ARRAYS) and not getattr(got, "is_meta", False):
        if isinstance(expected, (Number, np.bool_)) and math.prod(got.shape) == 1:
            return got.item()
        if isinstance(expected, (list, tuple)):
            return got.tolist()
    if not isinstance(expected, _ARRAYS) or not _has_numbers(expected, got):
        return got
    other = np.ndarray if isinstance(expected, torch.Tensor) else torch.Tensor
    if isinstance(got, other) or (isinstance(got, Real) and not expected.shape):
        mine, asked = torch.as_tensor(got), torch.as_tensor(expected)
        # Python's and numpy's numbers are double without anybody asking for it.
        mine = mine.to(asked.dtype) if asked.is_floating_point() else mine
        return mine if isinstance(expected, torch.Tensor) else mine.detach().cpu().numpy()
    return got


def _has_numbers(*values: Any) -> bool:
    return all(not isinstance(v, np.ndarray) or v.dtype.kind in "biuf" for v in values)


def _of_containers(got: Any, expected: Any, **tolerance: float) -> str:
    if not isinstance(expected, Mapping):
        if len(got) != len(expected):
            return f"its length is {len(got)}, where {len(expected)} is asked for"
        got, expected = dict(enumerate(got)), dict(enumerate(expected))
    missing, extra = len(expected.keys() - got.keys()), len(got.keys() - expected.keys())
    if missing or extra:
        return f"of its keys, {missing} are missing and {extra} do not belong"
    for key in expected:
        if wrong := difference(got[key], expected[key], **tolerance):
            return f"at [{described(key)}], {wrong}"
    return ""


def _of_arrays(got: Any, expected: Any, *, rtol: float, atol: float) -> str:
    if tuple(got.shape) != tuple(expected.shape):
        return f"its shape is {tuple(got.shape)}, where {tuple(expected.shape)} is asked for"
    if got.dtype != expected.dtype:
        return f"its dtype is {got.dtype}, where {expected.dtype} is asked for"
    if isinstance(expected, np.ndarray) and expected.dtype.kind not in "biufc":
        return difference(got.tolist(), expected.tolist(), rtol=rtol, atol=atol)
    got, expected = _double(got), _double(expected)
    off = ~torch.isclose(got, expected, rtol=rtol, atol=atol, equal_nan=True)
    if not off.any():
        return ""
    index = tuple(off.nonzero()[0].tolist())
    what = "value" if torch.isfinite(got[index]) else f"{got[index].item()}"
    message = f"{int(off.sum())} of {off.numel()} values are wrong, first the {what} at {index}"
    largest = (got - expected).abs()[off].max().item()
    # One value's difference would tell the answer.
    if off.numel() > 1 and math.isfinite(largest):
        message += f"; the largest difference is {largest:.3g}"
    return message


def _double(value: Any) -> torch.Tensor:
    """In double precision on the CPU: differences of integers and of float16 then stay exact."""
    value = torch.as_tensor(value).detach().cpu()
    return value.to(torch.complex128 if value.is_complex() else torch.float64)


def _same_group(got: Any, expected: Any) -> bool:
    for group in _GROUPS:
        if isinstance(expected, group) or isinstance(got, group):
            return isinstance(expected, group) and isinstance(got, group)
    return isinstance(got, type(expected))


def kind(value: Any) -> str:
    """A value's type in words."""
    return "None" if value is None else f"a value of type {type(value).__name__}"


def described(value: Any) -> str:
    """A value as a reader can recognise it: short, and the same on every run."""
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return f"{type(value).__name__} of shape {tuple(value.shape)}{_values(value)}"
    if isinstance(value, (str, bytes, Number)):
        return _shortened(repr(value))
    if isinstance(value, (list, tuple)):
        shown = [described(item) for item in value[:_FEW]] + ["…"] * (len(value) > _FEW)
        return _shortened(f"[{', '.join(shown)}]")
    return kind(value)


def _values(array: torch.Tensor | np.ndarray) -> str:
    if not 0 < math.prod(array.shape) <= _FEW:
        return ""
    try:
        text = np.array2string(_double(array).numpy(), precision=4, separator=", ")
    except (TypeError, RuntimeError):  # no numbers: text, or a tensor without storage
        return ""
    return f" {' '.join(text.split())}"


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
