"""Checks for a chapter's exercises: they say right or wrong and why, and keep the answer.

A value or a choice is compared with a salted digest, a function on cases with a library's or with
results that were computed beforehand; a reference written for the check would give the answer away.
An exercise that isn't answered yet (`None`, `...`, `NotImplementedError`) is no error, so that a
notebook runs from top to bottom. No check raises because of the reader's answer.

A usual slip gets a message of its own. It is known by the digest of the wrong answer, or by a
fingerprint of a wrong function's results, so that what is wrong doesn't tell what is right.

A workshop can collect what the checks said: see `helpers.teaching.results`. Nothing is kept unless
`record(path)` or the environment variable PLM_RESULTS asks for it.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from numbers import Number, Real
from types import CodeType
from typing import Any

import numpy as np
import torch

from helpers.teaching import results
from helpers.teaching.compare import described, difference
from helpers.teaching.results import record

__all__ = [
    "check_choice",
    "check_function",
    "check_value",
    "digest_of",
    "fingerprint_of",
    "record",
]

_UNANSWERED = "Not answered yet."
_SEVERAL = (list, tuple, set, frozenset)
_NO_SLIPS: Mapping[Any, str] = {}
_NOT_THE_VALUE = "this is not the value."


@dataclass(frozen=True)
class _Verdict:
    """What is said of an answer.

    Attributes:
        message: the whole sentence.
        right: None for an answer that isn't given yet.
        hint: what of the message leads on, "" if nothing does.
        slip: the usual mistake that was made, "" if none was known again.
    """

    message: str
    right: bool | None
    hint: str = ""
    slip: str = ""


def digest_of(answer: float | str | Iterable[str], *, salt: str, decimals: int = 0) -> str:
    """Digest of the right answer, for an exercise's author: the notebook stores this alone.

    It keeps the answer out of sight; it can't keep it from a reader who tries every value.

    Args:
        answer: a number, the name of an option, or a list or set of names.
        salt: the exercise's name, such as "11.2": equal answers get unequal digests.
        decimals: places to which a number is rounded.

    Returns:
        16 hexadecimal digits of a SHA-256.

    Raises:
        ValueError: the number isn't finite.
    """
    if isinstance(answer, str):
        answer = [answer]
    if isinstance(answer, _SEVERAL):
        return _digest(salt, _canonical(answer))
    if not math.isfinite(answer):
        raise ValueError(f"The answer is {answer}: expected a finite number.")
    return _digest(salt, _units(float(answer), decimals, ROUND_HALF_EVEN))


def check_value(
    answer: Any,
    digest: str,
    *,
    salt: str,
    decimals: int = 0,
    hint: str = "",
    slips: Mapping[str, str] = _NO_SLIPS,
    exercise: str = "",
) -> bool:
    """Say whether a number is the right one.

    A number is right if it is less than one unit of the last place from the author's rounded
    value, so that rounding differences between machines don't count. Choose `decimals` coarse
    enough for that. With `decimals=0`, a whole number is right only if it is the very one.

    Args:
        answer: the reader's number; also a Decimal, a Fraction, a tensor or array of one element.
        digest: what `digest_of` gave for the right answer.
        salt, decimals: as for `digest_of`.
        hint: what to say after a wrong answer.
        slips: what to say after a certain wrong answer, by what `digest_of` gives for it.
        exercise: its number, under which a workshop keeps the result; `salt` if none is given.

    Returns:
        True if the answer is right; False if it is wrong or not given yet.
    """
    return _tell(_judged_value(answer, digest, salt, decimals, hint, slips), exercise or salt)


def _judged_value(
    answer: Any, digest: str, salt: str, decimals: int, hint: str, slips: Mapping[str, str]
) -> _Verdict:
    if answer is None or answer is ...:
        return _say(_UNANSWERED)
    value = _number(answer)
    if value is None:
        return _not_yet(f"a number is asked for, and this is {described(answer)}.", hint)
    if not math.isfinite(value):
        return _not_yet(f"{value} is not a finite number.", hint)
    ways = (ROUND_FLOOR, ROUND_CEILING)
    near = {_digest(salt, _units(value, decimals, way)) for way in ways}
    if digest in near:
        return _say("Right.", right=True)
    slip = next((slips[d] for d in slips if d in near), "")
    return _wrong_value(value, digest, salt, decimals, hint, slip)


def _wrong_value(
    value: float, digest: str, salt: str, decimals: int, hint: str, slip: str
) -> _Verdict:
    if slip:
        return _not_yet(_NOT_THE_VALUE, slip, slip=slip)
    if _is_rounded_too_far(value, digest, salt, decimals):
        why = f"right as far as it goes, but {decimals} decimals are asked for."
        return _not_yet(why, slip=why)
    why = _usual_slip(value, digest, salt, decimals)
    return _not_yet(why or _NOT_THE_VALUE, hint, slip=why)


def _is_rounded_too_far(value: float, digest: str, salt: str, decimals: int) -> bool:
    """Whether a number has fewer decimals than asked for, and the right one would round to it."""
    places = max(0, -Decimal(repr(value)).normalize().as_tuple().exponent)
    if not 0 < decimals - places <= 4:
        return False
    unit, center = 10 ** (decimals - places), int(_units(value, decimals, ROUND_HALF_EVEN))
    # Rounded, or cut off; but 0.1 for 0.14 is too far off to be called either.
    reach = [n for n in range(-unit // 2, unit) if 10 * abs(n) <= abs(center)]
    sign = -1 if center < 0 else 1
    return digest in {_digest(salt, str(center + sign * n)) for n in reach}


def _usual_slip(value: float, digest: str, salt: str, decimals: int) -> str:
    """What of a wrong number any exercise knows; "" if nothing."""

    def fits(number: float) -> bool:
        units = _units(number, decimals, ROUND_HALF_EVEN) if math.isfinite(number) else "0"
        # Any small number rounds to 0 after a division: that would say nothing.
        return units != "0" and digest == _digest(salt, units)

    if fits(-value):
        return "look at the sign."
    if fits(value / 100) or fits(value * 100):
        return "is it off by a factor of 100, a share or a percentage?"
    return ""


def check_choice(
    answer: Any,
    digest: str,
    *,
    salt: str,
    options: Sequence[str],
    hint: str = "",
    slips: Mapping[str, str] = _NO_SLIPS,
    exercise: str = "",
) -> bool:
    """Say whether the right option was chosen, or the right set of options.

    Args:
        answer: the reader's option, or a list or set of options; case and spaces don't count.
        digest: what `digest_of` gave for the right option or set.
        salt: as for `digest_of`.
        options: all options that there are.
        hint: what to say after a wrong answer.
        slips: what to say after a certain wrong option or set, by what `digest_of` gives for it.
        exercise: its number, under which a workshop keeps the result; `salt` if none is given.

    Returns:
        True if the choice is right; False if it is wrong or not made yet.
    """
    return _tell(_judged_choice(answer, digest, salt, options, hint, slips), exercise or salt)


def _judged_choice(
    answer: Any,
    digest: str,
    salt: str,
    options: Sequence[str],
    hint: str,
    slips: Mapping[str, str],
) -> _Verdict:
    if answer is None or answer is ...:
        return _say(_UNANSWERED)
    chosen = list(answer) if isinstance(answer, _SEVERAL) else [answer]
    known = {_option(option) for option in options}
    for name in chosen:
        if not isinstance(name, str) or _option(name) not in known:
            return _not_yet(f"{described(name)} is none of {', '.join(options)}.", hint)
    given = _digest(salt, _canonical(chosen))
    if digest == given:
        return _say("Right.", right=True)
    slip = slips.get(given, "")
    return _not_yet("this is not the right choice.", slip or hint, slip=slip)


def check_function(
    function: Any,
    reference: Callable | Sequence,
    cases: Sequence[tuple],
    *,
    rtol: float = 1e-4,
    atol: float = 1e-5,
    hint: str = "",
    slips: Mapping[float, str] = _NO_SLIPS,
    forbidden: Sequence[str] = (),
    exercise: str = "",
) -> bool:
    """Say whether a function does what a reference does, or in which case and way it doesn't.

    Both get copies of the arguments, and torch's CPU generator in the same state. The function
    may change its arguments in place only as the reference does.

    Args:
        function: the reader's function.
        reference: an independent implementation, from a library; or the results themselves, one
            for each case, and the function changes no argument.
        cases: one tuple of positional arguments for each case.
        rtol: allowed relative difference of floating-point values.
        atol: allowed absolute difference of floating-point values.
        hint: what to say after a wrong result.
        slips: what to say after a certain wrong way, by what `fingerprint_of` gives for a function
            that goes it.
        forbidden: names that the function's code may not use, such as "cross_entropy".
        exercise: its number, under which a workshop keeps the result.

    Returns:
        True if all cases agree; False if one doesn't, or if the function isn't written yet.

    Raises:
        ValueError: there is no case, a case isn't a tuple, or there are not as many results as
            cases (the author's mistake).
    """
    if not cases or not all(isinstance(case, tuple) for case in cases):
        raise ValueError("cases holds one tuple of arguments for each case, and at least one.")
    if not callable(reference) and len(reference) != len(cases):
        raise ValueError(f"{len(reference)} results for {len(cases)} cases: give one for each.")
    verdict = _judged_function(function, forbidden)
    if verdict is None:
        verdict = _judged_results(function, reference, cases, hint, slips, rtol=rtol, atol=atol)
    return _tell(verdict, exercise)


def _judged_function(function: Any, forbidden: Sequence[str]) -> _Verdict | None:
    """What is said before a call; None if the function can be called."""
    if function is None or function is ...:
        return _say(_UNANSWERED)
    refusal = _refusal(function, forbidden)
    return _not_yet(refusal, slip=refusal) if refusal else None


def _judged_results(
    function: Callable,
    reference: Callable | Sequence,
    cases: Sequence[tuple],
    hint: str,
    slips: Mapping[float, str],
    **tolerance: float,
) -> _Verdict:
    for number, case in enumerate(cases, start=1):
        expected = _call(reference, case) if callable(reference) else (reference[number - 1], case)
        raised = ""
        try:
            got = _call(function, case)
            if _is_stub(got[0]) and not _is_stub(expected[0]):
                return _say(f"Not answered yet: the function returns {got[0]}.")
            wrong = _wrong(got, expected, **tolerance)
        except NotImplementedError as error:
            return _say(f"Not answered yet: {error}" if str(error) else _UNANSWERED)
        except Exception as error:  # whatever the reader's code raises is reported, not raised
            raised = f"it raises {type(error).__name__}"
            wrong = f"{raised}: {error}"
        if wrong:
            given = ", ".join(described(argument) for argument in case)
            why = f"in case {number} of {len(cases)}, called with ({given}), {wrong}."
            slip = _slip_of(function, cases, slips)
            return _not_yet(why, slip or hint, slip=slip or raised)
    return _say(f"Right: all {len(cases)} cases agree.", right=True)


def _refusal(function: Any, forbidden: Sequence[str]) -> str:
    """Why there is nothing to call, or it may not be called; "" if it may."""
    if not callable(function):
        return f"a function is asked for, and this is {described(function)}."
    used = _names_used(function) if forbidden else ()
    shortcut = next((name for name in forbidden if name in used), "")
    return f"the task asks you to do without {shortcut}." if shortcut else ""


def fingerprint_of(function: Callable, cases: Sequence[tuple]) -> float:
    """A number by which a function's results are known again, for an exercise's author.

    Args:
        function: one that makes a usual slip.
        cases: as for `check_function`.

    Returns:
        A sum over all numbers of all results, each with a weight of its own place. Strings count
        by their checksum, and sets in order.
    """
    numbers = [n for case in cases for n in _numbers(_call(function, case)[0])]
    return round(sum(n * math.cos(place) for place, n in enumerate(numbers)), 4)


def _slip_of(function: Callable, cases: Sequence[tuple], slips: Mapping[float, str]) -> str:
    """The message of the slip that a function makes, or ""."""
    try:
        found = fingerprint_of(function, cases) if slips else 0.0
    except Exception:  # in one of the cases it raises: no slip that is known by results
        return ""
    near = (abs(found - known) <= 1e-3 * max(1.0, abs(known)) for known in slips)
    return next((slips[known] for known, same in zip(slips, near, strict=True) if same), "")


def _numbers(result: Any) -> Iterator[float]:
    """All numbers of a result, in a fixed order."""
    if isinstance(result, (torch.Tensor, np.ndarray)):
        result = result.tolist()
    if isinstance(result, Mapping):
        result = [result[key] for key in sorted(result, key=repr)]
    if isinstance(result, (set, frozenset)):
        result = sorted(result, key=repr)
    if isinstance(result, (list, tuple)):
        for item in result:
            yield from _numbers(item)
    elif isinstance(result, Number) and not isinstance(result, complex):
        number = float(result)
        if not math.isfinite(number):  # neither an infinity nor nan may swallow all others
            number = 2e3 if math.isnan(number) else math.copysign(1e3, number)
        yield number
    else:
        yield zlib.crc32(str(result).encode()) / 2**32


def _names_used(function: Callable) -> set[str]:
    """The names in the code of a function, and of those beside it that it calls."""
    names, waiting, seen = set(), [inspect.unwrap(function)], set()
    while waiting:
        part = waiting.pop()
        names.add(getattr(part, "__name__", ""))  # by whatever name it was imported
        code = part if isinstance(part, CodeType) else getattr(part, "__code__", None)
        if code is None or code in seen:
            continue
        seen.add(code)
        names |= {*code.co_names, *(const for const in code.co_consts if isinstance(const, str))}
        waiting += [const for const in code.co_consts if isinstance(const, CodeType)]
        beside = getattr(part, "__globals__", {})
        waiting += [beside[name] for name in code.co_names if callable(beside.get(name))]
    return names


def _is_stub(result: Any) -> bool:
    return result is None or result is ...


def _call(function: Callable, case: tuple) -> tuple[Any, tuple]:
    """The result, and the arguments as they are after the call."""
    arguments = copy.deepcopy(case)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return function(*arguments), arguments


def _wrong(got: tuple[Any, tuple], expected: tuple[Any, tuple], **tolerance: float) -> str:
    """What is wrong with a call's result or with what it did to its arguments; "" if nothing."""
    if wrong := difference(got[0], expected[0], **tolerance):
        return wrong
    for position, (after, right) in enumerate(zip(got[1], expected[1], strict=True), start=1):
        # Arguments of other types, such as modules, have no values to compare.
        comparable = isinstance(after, (torch.Tensor, np.ndarray, list, dict, set))
        if comparable and difference(after, right, **tolerance):
            return f"argument {position} is not left as it should be: work on a copy"
    return ""


def _number(answer: Any) -> float | None:
    try:
        if isinstance(answer, (torch.Tensor, np.ndarray)):
            answer = answer.item()
        numeric = isinstance(answer, (Real, Decimal)) and not isinstance(answer, (bool, np.bool_))
        return float(answer) if numeric else None
    except OverflowError:
        return math.inf
    except (ValueError, RuntimeError):  # several elements, or a tensor without storage
        return None


def _units(number: float, decimals: int, rounding: str) -> str:
    """The number in units of its last place; exact decimals, so 0.29 is 29 and not 28.99…"""
    scaled = Decimal(repr(number)).scaleb(decimals)
    return str(int(scaled.to_integral_value(rounding=rounding)))


def _option(name: str) -> str:
    return " ".join(name.casefold().split())


def _canonical(options: Iterable[str]) -> str:
    return "\n".join(sorted({_option(option) for option in options}))


def _digest(salt: str, canonical: str) -> str:
    return hashlib.sha256(f"{salt}\n{canonical}".encode()).hexdigest()[:16]


def _not_yet(why: str, hint: str = "", *, slip: str = "") -> _Verdict:
    return _Verdict(f"Not yet: {why} {hint}".rstrip(), False, hint, slip)


def _say(message: str, *, right: bool | None = None) -> _Verdict:
    return _Verdict(message, right)


def _tell(verdict: _Verdict, exercise: str) -> bool:
    """Print a verdict, keep it where a workshop asks for that, and say whether it is "right"."""
    print(verdict.message)
    results.keep(exercise, verdict.message, verdict.right, verdict.hint, verdict.slip)
    return verdict.right is True
