"""A usual slip in an exercise is told what it is: the wrong answers stand in `slips/`.

The check's call is taken from the chapter. For a number or a choice the answer is put in its place,
and nothing else of the chapter runs. For a function its cell runs, with the answer for the stub; it
finds torch, F, nn, np, math, and whatever the chapter's file in `slips/` defines or imports.
"""

import ast
import importlib
import math
import textwrap
from decimal import Decimal
from fractions import Fraction

import nbformat
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from helpers.teaching import exercises
from tools.reading_time import chapters

NAMES = {"exercises": exercises, "torch": torch, "F": F, "nn": nn, "np": np, "math": math}
NAMES |= {"Decimal": Decimal, "Fraction": Fraction}
CHECKS = {"check_value", "check_choice", "check_function"}


def calls_in(sources):
    """For each checked exercise its cell, parsed, and the call: by its salt or its function."""
    found = {}
    for source in sources:
        if "exercises.check_" not in source:
            continue
        cell = ast.parse(source)
        for node in ast.walk(cell):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in CHECKS:
                salts = [k.value.value for k in node.keywords if k.arg == "salt"]
                found[salts[0] if salts else node.args[0].id] = cell, node
    return found


def say(cell, call, answer, names):
    """Let the check judge an answer; what it says is printed."""
    names = NAMES | names
    if call.func.attr == "check_function":
        stub = call.args[0].id
        rest = [n for n in cell.body if getattr(n, "name", "") != stub]
        exec(textwrap.dedent(answer), names)
        exec(compile(ast.Module(rest, []), "<cell>", "exec"), names)
        return
    answer = ast.parse(textwrap.dedent(answer).strip(), mode="eval").body
    judged = ast.Call(call.func, [answer, *call.args[1:]], call.keywords)
    eval(compile(ast.fix_missing_locations(ast.Expression(judged)), "<cell>", "eval"), names)


def exercises_of(path):
    cells = nbformat.read(path, as_version=4).cells
    return calls_in(cell.source for cell in cells if cell.cell_type == "code")


def slips_of(number):
    try:
        return vars(importlib.import_module(f"tests.slips.chapter_{number}"))
    except ModuleNotFoundError:
        return {"SLIPS": []}


CHAPTERS = {path.name[:2]: path for path in chapters()}
ALL = [
    pytest.param(number, *slip, id=f"{slip[0]}-{place}")
    for number in CHAPTERS
    for place, slip in enumerate(slips_of(number)["SLIPS"])
]


@pytest.mark.parametrize(("number", "exercise", "answer", "said"), ALL)
def test_a_slip_is_told_what_it_is(number, exercise, answer, said, capsys):
    found = exercises_of(CHAPTERS[number])
    assert exercise in found, f"chapter {number} checks {', '.join(found)}"
    say(*found[exercise], answer, slips_of(number))
    told = capsys.readouterr().out
    assert said in told
    assert told.startswith("Right" if said.startswith("Right") else "Not yet: ")


@pytest.mark.parametrize("number", CHAPTERS)
def test_every_exercise_has_a_slip(number):
    known = {slip[0] for slip in slips_of(number)["SLIPS"] if not slip[2].startswith("Right")}
    assert not exercises_of(CHAPTERS[number]).keys() - known


def test_an_answer_is_put_into_the_chapters_own_call(capsys):
    cells = [
        "x = ...\n_ = exercises.check_value(\n    x, "
        f"{exercises.digest_of(0.25, salt='1.1', decimals=2)!r}, salt='1.1', decimals=2, "
        f"slips={{{exercises.digest_of(0.5, salt='1.1', decimals=2)!r}: 'Square it.'}})",
        "def half(x):\n    raise NotImplementedError\n\n\ncases = [(torch.ones(2),), (WIDE,)]\n"
        "_ = exercises.check_function(half, lambda x: x / 2, cases, forbidden=['mul'])",
        "import os",
    ]
    found = calls_in(cells)
    assert [*found] == ["1.1", "half"]
    say(*found["1.1"], "math.sqrt(Fraction(1, 4))", {})
    say(*found["1.1"], "Decimal('0.25')", {})
    say(*found["half"], "def half(x):\n    return x * 0.5", {"WIDE": torch.ones(3)})
    say(*found["half"], "def half(x):\n    return x.mul(0.5)", {"WIDE": torch.ones(3)})
    told = capsys.readouterr().out.splitlines()
    assert told[0].endswith("Square it.")
    assert told[1:3] == ["Right.", "Right: all 2 cases agree."]
    assert told[3].endswith("without mul.")
