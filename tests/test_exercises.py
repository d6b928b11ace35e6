"""helpers.teaching.exercises: right answers pass, wrong ones are explained, none is given away."""

import math
import random
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.teaching.exercises import (
    check_choice,
    check_function,
    check_value,
    digest_of,
    fingerprint_of,
)

NUMBERS = st.floats(-1e6, 1e6)


def value(answer, right, decimals=2, **options):
    digest = digest_of(right, salt="1.1", decimals=decimals)
    return check_value(answer, digest, salt="1.1", decimals=decimals, **options)


def choice(answer, right, options=("Adam", "AdamW", "SGD"), **more):
    return check_choice(answer, digest_of(right, salt="1.2"), salt="1.2", options=options, **more)


# Numbers


@settings(deadline=None)
@given(right=NUMBERS, noise=st.floats(-0.4, 0.4), decimals=st.integers(0, 6))
def test_a_number_within_half_a_unit_is_right(right, noise, decimals):
    assert value(right + noise * 10**-decimals, right, decimals)


@settings(deadline=None)
@given(right=NUMBERS, units=st.floats(1.6, 1e6), decimals=st.integers(0, 6), sign=st.booleans())
def test_a_number_further_than_a_unit_and_a_half_is_wrong(right, units, decimals, sign):
    offset = units * 10**-decimals
    assert not value(right + offset if sign else right - offset, right, decimals)


@settings(deadline=None)
@given(right=st.integers(-(10**9), 10**9), answer=st.integers(-(10**9), 10**9))
def test_a_count_is_exact(right, answer):
    assert value(answer, right, decimals=0) == (answer == right)


def test_neighbouring_counts_are_wrong():
    assert not value(11, 12, decimals=0)
    assert not value(13, 12, decimals=0)


@pytest.mark.parametrize(
    "answer",
    [
        0.98,
        np.float32(0.98),
        np.array([0.98]),
        torch.tensor(0.98),
        torch.tensor([[0.98]]),
        Decimal("0.98"),
        Fraction(49, 50),
    ],
)
def test_a_number_may_come_as_a_scalar_of_any_library(answer, capsys):
    assert value(answer, 0.9804)
    assert capsys.readouterr().out == "Right.\n"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "Not answered yet."),
        (..., "Not answered yet."),
        (0.5, "Not yet: this is not the value."),
        (-0.98, "Not yet: look at the sign."),
        (98.0, "Not yet: is it off by a factor of 100, a share or a percentage?"),
        (math.nan, "Not yet: nan is not a finite number."),
        (-math.inf, "Not yet: -inf is not a finite number."),
        (10**400, "Not yet: inf is not a finite number."),
        (1e308, "Not yet: this is not the value."),
        (True, "Not yet: a number is asked for, and this is True."),
        ("0.98", "Not yet: a number is asked for, and this is '0.98'."),
        (0.98j, "Not yet: a number is asked for, and this is 0.98j."),
        (torch.ones(9), "Not yet: a number is asked for, and this is Tensor of shape (9,)."),
        (np.array(["a"]), "Not yet: a number is asked for, and this is ndarray of shape (1,)."),
        (torch.ones(2, device="meta"), "Not yet: a number is asked for, and this is Tensor of"),
    ],
)
def test_a_number_that_is_not_right_is_told_why(answer, said, capsys):
    assert value(answer, 0.98) is False
    assert capsys.readouterr().out.startswith(said)


def test_a_hint_follows_a_wrong_answer_only(capsys):
    value(0.5, 0.98, hint="Count every token.")
    assert capsys.readouterr().out == "Not yet: this is not the value. Count every token.\n"
    value(None, 0.98, hint="Count every token.")
    value(0.98, 0.98, hint="Count every token.")
    assert "Count" not in capsys.readouterr().out


def test_a_usual_slip_gets_its_own_message(capsys):
    slips = {digest_of(0.49, salt="1.1", decimals=2): "Twice that: both directions count."}
    value(0.4903, 0.98, hint="Count.", slips=slips)
    assert capsys.readouterr().out == (
        "Not yet: this is not the value. Twice that: both directions count.\n"
    )
    value(0.5, 0.98, hint="Count.", slips=slips)
    assert capsys.readouterr().out == "Not yet: this is not the value. Count.\n"
    assert value(0.98, 0.98, slips=slips)


@pytest.mark.parametrize(
    ("answer", "right", "told"),
    [
        (0.98, 0.984, True),
        (0.98, 0.976, True),
        (0.97, 0.976, True),  # cut off
        (-0.98, -0.984, True),
        (12, 12.345, True),
        (torch.tensor(0.5), 0.504, True),
        (0.97, 0.984, False),
        (0.99, 0.984, False),
        (0.1, 0.142, False),
        (0, 0.004, False),
        (1, 0.6, False),
        (0.981, 0.984, False),
    ],
)
def test_too_few_decimals_are_told(answer, right, told, capsys):
    assert not value(answer, right, decimals=3, hint="Think.")
    said = capsys.readouterr().out
    assert (said == "Not yet: right as far as it goes, but 3 decimals are asked for.\n") == told
    assert ("Think." in said) != told


def test_equal_answers_of_two_exercises_have_unequal_digests():
    assert digest_of(0.98, salt="1.1", decimals=2) != digest_of(0.98, salt="1.2", decimals=2)
    assert not check_value(5, digest_of(5, salt="1.1"), salt="1.2")


def test_digests_stay_the_same_so_that_stored_ones_hold():
    assert digest_of(0.984, salt="11.2", decimals=2) == "e2d80374b17bc405"
    assert digest_of("AdamW", salt="11.2") == "c5bf29587aaa38a9"


def test_an_infinite_answer_is_the_authors_mistake():
    with pytest.raises(ValueError, match=r"inf.*finite"):
        digest_of(math.inf, salt="1.1")


# Choices


@pytest.mark.parametrize("answer", ["AdamW", " adamw ", ["AdamW"], {"ADAMW"}])
def test_the_right_option(answer, capsys):
    assert choice(answer, "AdamW")
    assert capsys.readouterr().out == "Right.\n"


def test_several_options_in_any_order():
    assert choice(["SGD", "Adam"], {"Adam", "SGD"})
    assert choice(("Adam", "SGD", "SGD"), ["SGD", "Adam"])
    assert not choice(["Adam"], {"Adam", "SGD"})
    assert not choice(["Adam", "SGD", "AdamW"], {"Adam", "SGD"})


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "Not answered yet."),
        (..., "Not answered yet."),
        ("SGD", "Not yet: this is not the right choice."),
        ([], "Not yet: this is not the right choice."),
        ("RMSprop", "Not yet: 'RMSprop' is none of Adam, AdamW, SGD."),
        (2, "Not yet: 2 is none of Adam, AdamW, SGD."),
        (torch.tensor(2), "Not yet: Tensor of shape () 2. is none of Adam, AdamW, SGD."),
        ([["AdamW"]], "Not yet: ['AdamW'] is none of Adam, AdamW, SGD."),
        ({}, "Not yet: a value of type dict is none of Adam, AdamW, SGD."),
    ],
)
def test_a_choice_that_is_not_right_is_told_why(answer, said, capsys):
    assert choice(answer, "AdamW") is False
    assert capsys.readouterr().out.strip() == said


def test_a_wrong_choice_that_is_a_usual_slip_gets_its_own_message(capsys):
    slips = {digest_of("Adam", salt="1.2"): "Where does its decay go?"}
    slips[digest_of(["SGD", "Adam"], salt="1.2")] = "One of them."
    for answer in ("adam", {"Adam", "SGD"}, "SGD"):
        assert not choice(answer, "AdamW", hint="Think.", slips=slips)
    endings = [line.split("choice. ")[1] for line in capsys.readouterr().out.splitlines()]
    assert endings == ["Where does its decay go?", "One of them.", "Think."]


# Functions


def softmax(x):
    return torch.softmax(x, dim=-1)


GENERATOR = torch.Generator().manual_seed(0)
CASES = [(torch.randn(2, n, generator=GENERATOR),) for n in (3, 4, 5)]


def in_place(x):
    x -= x.max(-1, keepdim=True).values
    return x.exp() / x.exp().sum(-1, keepdim=True)


def test_a_function_that_agrees_is_right(capsys):
    assert check_function(lambda x: x.exp() / x.exp().sum(-1, keepdim=True), softmax, CASES)
    assert capsys.readouterr().out == "Right: all 3 cases agree.\n"


def unwritten(x):
    raise NotImplementedError


def unwritten_with_a_message(x):
    raise NotImplementedError("write softmax here")


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (None, "Not answered yet."),
        (..., "Not answered yet."),
        (unwritten, "Not answered yet."),
        (unwritten_with_a_message, "Not answered yet: write softmax here"),
        (lambda x: None, "Not answered yet: the function returns None."),
        (lambda x: ..., "Not answered yet: the function returns Ellipsis."),
        (3, "Not yet: a function is asked for, and this is 3."),
    ],
)
def test_a_function_that_is_not_written_yet(function, said, capsys):
    assert check_function(function, softmax, CASES) is False
    assert capsys.readouterr().out.strip() == said


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda x: torch.softmax(x, 0), "6 of 6 values are wrong, first the value at (0, 0); the"),
        (lambda x: softmax(x)[0], "its shape is (3,), where (2, 3) is asked for"),
        (lambda x: softmax(x.double()), "its dtype is torch.float64, where torch.float32 is"),
        (lambda x: softmax(x).tolist(), "returns a value of type list, where a value of type Ten"),
        (lambda x: softmax(x) * float("nan"), "6 of 6 values are wrong, first the nan at (0, 0)."),
        (lambda x: x.nothing(), "it raises AttributeError: 'Tensor' object has no attribute"),
        (lambda: 1, "it raises TypeError: "),
        (lambda x: 1 / 0, "it raises ZeroDivisionError: division by zero."),
        (in_place, "argument 1 is not left as it should be: work on a copy."),
    ],
)
def test_a_wrong_function_is_told_the_case_and_the_way(function, why, capsys):
    assert check_function(function, softmax, CASES) is False
    said = capsys.readouterr().out
    start = "Not yet: in case 1 of 3, called with (Tensor of shape (2, 3) [["
    assert said.startswith(start)
    assert why in said


def test_the_first_failing_case_is_named(capsys):
    assert not check_function(lambda n: n if n < 2 else 0, lambda n: n, [(0,), (1,), (2,), (3,)])
    assert (
        "in case 3 of 4, called with (2), it returns a wrong value, 0." in capsys.readouterr().out
    )


def test_results_can_stand_in_for_a_reference(capsys):
    results, cases = [torch.tensor([1.0, 4.0]), torch.tensor([9.0])], [([1, 2],), ([3],)]

    def squares(numbers):
        return torch.tensor([float(n * n) for n in numbers])

    def emptied(numbers):
        found = squares(numbers)
        numbers.clear()
        return found

    assert check_function(squares, results, cases)
    capsys.readouterr()
    assert not check_function(lambda numbers: squares([*numbers[:1], 2]), results, cases)
    assert "in case 2 of 2" in capsys.readouterr().out
    assert not check_function(emptied, results, cases)
    assert "argument 1 is not left as it should be" in capsys.readouterr().out
    assert not check_function(unwritten, results, cases)
    with pytest.raises(ValueError, match=r"2 results.*1 case"):
        check_function(squares, results, cases[:1])


@pytest.mark.parametrize(
    ("got", "expected", "why"),
    [
        (7, 31337, "it returns a wrong value, 7"),
        (7.5, 31337.25, "it returns a wrong value, 7.5"),
        (2**60 + 1, 2**60, "a wrong value"),
        (False, True, "it returns a wrong value, False"),
        (1, True, "a value of type int, where a value of type bool is asked for"),
        ("low", "secret", "it returns a wrong value, 'low'"),
        ([1, 2], [1, 31337], "at [1], it returns a wrong value, 2"),
        ([1], (1, 31337), "its length is 1, where 2 is asked for"),
        ({"a": 1}, {"a": 1, "secret": 2}, "of its keys, 1 are missing and 0 do not belong"),
        ({"a": 1}, {"a": 31337}, "at ['a'], it returns a wrong value, 1"),
        ({1}, {31337}, "it returns a wrong value, a value of type set"),
        (torch.tensor(7), torch.tensor(31337), "1 of 1 values are wrong, first the value at ()."),
        (np.ones(2), np.ones(2, dtype=int), "its dtype is float64, where int64 is asked for"),
        (np.array(["a"]), np.array(["secret"], dtype="<U1"), "at [0], it returns a wrong value"),
        (3, None, "a value of type int, where None is asked for"),
    ],
)
def test_a_wrong_result_of_any_type_is_explained_and_the_right_one_kept(got, expected, why, capsys):
    assert check_function(lambda: got, lambda: expected, [()]) is False
    said = capsys.readouterr().out
    assert why in said
    assert "31337" not in said
    assert "31330" not in said  # the difference would tell it too
    assert "secret" not in said


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (1, 1.0),
        (np.float32(0.1), 0.1),
        (np.bool_(True), True),
        ((1, 2), [1, 2]),
        ({"a": [torch.ones(2)]}, {"a": [torch.ones(2)]}),
        (math.nan, math.nan),
        (torch.tensor([math.inf, -math.inf]), torch.tensor([math.inf, -math.inf])),
        (torch.nn.Parameter(torch.ones(2)), torch.ones(2)),
        (torch.ones(2, dtype=torch.bool), torch.ones(2, dtype=torch.bool)),
        (torch.empty(0, 3), torch.empty(0, 3)),
        (torch.tensor(0.5), 0.5),
        (np.array([3]), 3),
        (torch.tensor(True), True),
        (Decimal("0.5"), 0.5),
        (Fraction(1, 2), 0.5),
        (0.5, torch.tensor(0.5)),
        (1, torch.tensor(1.0)),
        (2, torch.tensor(2)),
        (np.ones(2), torch.ones(2)),
        (torch.ones(2), np.ones(2)),
        (np.ones((2, 1), dtype=bool), torch.ones(2, 1, dtype=torch.bool)),
        (torch.tensor([True, False]), [True, False]),
        (np.array([1.0, 2.0]), (1, 2)),
        (np.array(["a"]), np.array(["a"])),
        (1 + 2j, 1 + 2j),
        (None, None),
    ],
)
def test_equal_results_are_right(got, expected):
    assert check_function(lambda: got, lambda: expected, [()])


@settings(deadline=None)
@given(
    x=st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=20),
    place=st.integers(0, 19),
    error=st.floats(0.01, 10),
)
def test_any_one_wrong_element_is_found(x, place, error):
    tensor, place = torch.tensor(x), place % len(x)

    def off_by_one_element(t):
        result = t.clone()
        result[place] += error
        return result

    assert check_function(torch.clone, torch.clone, [(tensor,)])
    assert not check_function(off_by_one_element, torch.clone, [(tensor,)])


def test_both_functions_see_the_same_random_numbers_and_leave_no_trace():
    def dropout(x):
        return torch.nn.functional.dropout(x, 0.5)

    torch.manual_seed(3)
    before = torch.get_rng_state()
    assert check_function(dropout, dropout, [(torch.ones(50),)])
    assert torch.equal(torch.get_rng_state(), before)


def test_a_generator_among_the_arguments_is_copied():
    generator = torch.Generator().manual_seed(1)

    def draw(g):
        return torch.rand(4, generator=g)

    before = generator.get_state()
    assert check_function(draw, draw, [(generator,)])
    assert torch.equal(generator.get_state(), before)


def test_a_reference_that_works_in_place_is_followed():
    def fill(x):
        x.fill_(1)

    assert check_function(fill, fill, [(torch.zeros(2),)])
    assert not check_function(lambda x: None, fill, [(torch.zeros(2),)])


def test_what_is_said_is_the_same_on_every_run(capsys):
    said = set()
    for _ in range(3):
        check_function(lambda x: x + random.Random(0).random(), torch.clone, CASES)
        said.add(capsys.readouterr().out)
    assert len(said) == 1


def test_a_functions_usual_slip_gets_its_own_message(capsys):
    def other_axis(x):
        return torch.softmax(x, 0)

    slips = {fingerprint_of(other_axis, CASES): "Along which axis must it sum to 1?"}
    options = {"slips": slips, "hint": "Try one row."}
    assert not check_function(lambda x: x.exp() / x.exp().sum(0), softmax, CASES, **options)
    assert capsys.readouterr().out.endswith("is 0.581. Along which axis must it sum to 1?\n")
    assert not check_function(lambda x: x, softmax, CASES, **options)
    assert capsys.readouterr().out.endswith("Try one row.\n")
    assert not check_function(lambda x: x.nothing(), softmax, CASES, **options)
    assert capsys.readouterr().out.endswith("'nothing'. Try one row.\n")
    assert not check_function(lambda x: 1.05 * other_axis(x), softmax, CASES, **options)
    assert capsys.readouterr().out.endswith("Try one row.\n")  # near the slip, and not it
    assert check_function(softmax, softmax, CASES, **options)


@pytest.mark.parametrize(
    ("argument", "shown"),
    [
        (torch.ones(8), "Tensor of shape (8,) [1., 1., 1., 1., 1., 1., 1., 1.]"),
        (torch.ones(9), "Tensor of shape (9,)"),
        (torch.ones(0), "Tensor of shape (0,)"),
        ([0] * 8, "[0, 0, 0, 0, 0, 0, 0, 0]"),
        ([0] * 9, "[0, 0, 0, 0, 0, 0, 0, 0, …]"),
        ("a" * 98, f"'{'a' * 98}'"),
        ("a" * 99, f"'{'a' * 98}…"),
    ],
)
def test_of_a_long_argument_the_beginning_is_shown(argument, shown, capsys):
    assert not check_function(lambda x: 1, lambda x: 2, [(argument,)])
    assert f"called with ({shown}), it returns" in capsys.readouterr().out


@pytest.mark.parametrize(
    "result",
    [3, [1.5, [True, None]], "two words", {"b": {1, 2}, "a": ("x",)}, {3, 1, 2}, Fraction(1, 3)],
)
def test_a_fingerprint_knows_results_of_any_type(result):
    known = fingerprint_of(lambda _: result, [(0,), (1,)])
    assert math.isfinite(known)
    assert fingerprint_of(lambda _: result, [(0,), (1,)]) == known
    assert fingerprint_of(lambda _: [result, "else"], [(0,), (1,)]) != known


def test_a_fingerprint_sees_every_number_beside_infinities():
    of = [fingerprint_of(torch.tensor, [(v,)]) for v in VALUES]
    assert len(set(of)) == len(VALUES)
    assert all(map(math.isfinite, of))


VALUES = [[-math.inf, 1.0], [-math.inf, 2.0], [math.inf, 1.0], [math.nan, 1.0], [1.0, -math.inf]]


def by_alias(x):
    return ready(x, dim=-1)


def by_a_function_beside(x):
    return by_alias(x)


ready = torch.softmax


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.softmax(-1),
        lambda x: torch.nn.functional.softmax(x, dim=-1),
        lambda x: getattr(torch, "softmax")(x, -1),  # noqa: B009
        lambda x: torch.stack([row.softmax(-1) for row in x]),
        by_alias,
        by_a_function_beside,
    ],
)
def test_a_forbidden_shortcut_does_not_pass(function, capsys):
    assert check_function(function, softmax, CASES)
    assert not check_function(function, softmax, CASES, forbidden=["log_softmax", "softmax"])
    assert capsys.readouterr().out.endswith("Not yet: the task asks you to do without softmax.\n")


def test_what_is_not_forbidden_passes(capsys):
    def by_hand(x):
        return x.exp() / x.exp().sum(-1, keepdim=True)

    assert check_function(by_hand, softmax, CASES, forbidden=["softmax"])
    assert not check_function(unwritten, softmax, CASES, forbidden=["softmax"])
    assert "Not answered yet." in capsys.readouterr().out
    assert not check_function(torch.softmax, softmax, CASES, forbidden=["softmax"])


@pytest.mark.parametrize("cases", [[], [torch.ones(2)], [(1,), 2]])
def test_cases_that_are_no_tuples_are_the_authors_mistake(cases):
    with pytest.raises(ValueError, match=r"cases.*tuple"):
        check_function(softmax, softmax, cases)


def test_a_reference_that_fails_is_the_authors_mistake():
    with pytest.raises(ZeroDivisionError):
        check_function(softmax, lambda x: 1 / 0, CASES)


def test_a_wrong_answer_beside_a_right_zero_is_no_slip_of_a_factor(capsys):
    digest = digest_of(0, salt="zero", decimals=2)
    assert not check_value(0.3, digest, salt="zero", decimals=2)
    assert "100" not in capsys.readouterr().out  # 0.3 / 100 rounds to 0 as well: that says nothing
