"""A chapter has a core path that fits its time, and says how long it takes to read."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import reading_time
from tools.reading_time import Amount
from tools.set_address import ROOT

LIMIT, SHORT_LIMIT = 90, 45  # minutes; chapter 00 has the short one
CHAPTERS = reading_time.chapters()


def read(path):
    core, deeper = reading_time.parts(nbformat.read(path, as_version=4))
    return core, deeper, core.amount, core.amount + deeper.amount


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.name)
def test_the_core_path_fits_its_time_and_stands_alone(path):
    core, deeper, short, whole = read(path)
    limit = SHORT_LIMIT if path.name.startswith("00") else LIMIT
    said = reading_time.said(nbformat.read(path, as_version=4))
    findings = []
    if short.minutes > limit:
        findings.append(f"{short.words} words and {short.lines} lines: {short.minutes:.0f} minutes")
    if said != (right := reading_time.sentence(short, whole)):
        findings.append(f"the table's row is: | reading time | {right} |, and not {said!r}")
    if names := reading_time.borrowed(core, deeper):
        findings.append(f"only deeper code defines {', '.join(sorted(names))}")
    assert findings == []


def notebook(*cells):
    """Cells of code begin with `#!`; all others are Markdown."""
    return new_notebook(
        cells=[
            new_code_cell(text.removeprefix("#!"))
            if text.startswith("#!")
            else new_markdown_cell(text)
            for text in cells
        ]
    )


def amounts(*cells):
    core, deeper = reading_time.parts(notebook(*cells))
    return core.amount, deeper.amount


def words(text):
    return amounts(text)[0].words


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Three short words.", 3),
        ("It doesn't cost 3,000 fine-tuned — models …", 6),
        ("The loss $\\frac{a}{b} + c$ of `my_model(x, y)` falls {cite:p}`a2020,b2021`.", 5),
        ("See {numref}`fig-1` and [the page](https://example.org/a/b).", 4),
        ("$$\nx = y + z\n$$ (eq-1)\n\nTwo words.", 2),
        ("```python\nx = 1\n```\n\nTwo words.", 2),
        ("- one\n- two\n\n| a | b |\n|---|---|\n| c | d |", 6),
        (":::{admonition} A mistake\n:class: correction\nNot so, `x`.\n:::", 5),
        ("````{exercise} Title here\n:label: ex-1-1\nDo it.\n````", 4),
        ("````{solution} ex-1-1\n:class: dropdown\nIt is done.\n````", 0),
        ("(a-label)=\n## A heading", 2),
    ],
)
def test_words_of_prose_are_counted(text, count):
    assert words(text) == count


def test_the_check_of_an_answer_is_not_read():
    cell = "#!x = ...  # your answer\n\n_ = exercises.check_value(\n    x, 'digest', salt='1.1'\n)"
    assert amounts("# T", "#!set_up", "## Exercises", cell)[0].lines == 1


def test_visible_lines_are_counted():
    folded = new_code_cell("a\nb", metadata={"tags": ["hide-input", "definitions"]})
    book = notebook("#!set\nup", "# Title", "#!x = 1\n\n    \ny = 2\n# why", "#!z")
    book.cells.append(folded)
    core, deeper = reading_time.parts(book)
    assert (core.amount, deeper.amount) == (Amount(1, 4), Amount())
    assert len(core.cells) == 4


def test_a_section_goes_deeper_with_all_that_stands_under_it():
    core, deeper = amounts(
        "#!setup",
        "# One\n\n## Two\n\n### Going deeper: three\n\nA word.\n\n#### Four\n\nMore.",
        "#!x",
        "### Five",
        "#!y\nz",
        "## Going deeper: six",
        "### Seven\n\n```text\n## no heading\n```",
        "#!w",
        "## Eight, going deeper than before",
        "#!v",
    )
    assert core == Amount(1 + 1 + 1 + 5, 2 + 1)
    assert deeper == Amount(3 + 2 + 1 + 1 + 3 + 1, 1 + 1)


def test_what_the_core_borrows_is_found():
    book = notebook(
        "#!import sys\n!ls\n%pip install x\nimport torch\ndef later():\n    return helper()",
        "## Going deeper: more",
        "#!def helper(): ...\nvalue, other, again = 1, 2, 3\nagain = 1",
        "## Core",
        "#!print(value, torch, [again for again in range(3)])\ndisplay(len(get_ipython().x))",
        "#!later()\nnowhere",
    )
    assert reading_time.borrowed(*reading_time.parts(book)) == {"value", "helper"}


@pytest.mark.parametrize(
    ("core", "deeper", "said"),
    [
        (
            Amount(3000, 275),
            Amount(4000, 600),
            "core path about 85 minutes; all of it about 4 hours",
        ),
        (Amount(1000), Amount(6000), "core path about 10 minutes; all of it about 70 minutes"),
        (Amount(9000), Amount(6000), "core path about 90 minutes; all of it about 2½ hours"),
        (Amount(3900, 2), Amount(), "about 40 minutes, all of it core path"),
    ],
)
def test_the_time_is_said_in_words(core, deeper, said):
    assert reading_time.sentence(core, core + deeper) == said
    table = f"## What this chapter needs\n\n| | |\n|---|---|\n| reading time | {said} |\n"
    assert reading_time.said(notebook(table)) == said
    assert reading_time.said(notebook("| before it | time |")) is None


@pytest.mark.parametrize("name", reading_time.TABLES)
def test_the_tables_of_chapters_tell_both_times(name):
    text = (ROOT / name).read_text("utf-8")
    assert reading_time.with_times(text, reading_time.table_of_times()) == text, "run `make times`"


TABLE = """| | chapter | core path | all of it | |
|---:|---|---|---|---|
| 01 | [One](notebooks/01-one.ipynb): a | 5 minutes |  | [x](y) |

| 02 | no row of a chapter |
"""


def test_times_are_written_into_a_table():
    table = {"01": ("01-one.ipynb", "80 minutes", "3 hours")}
    written = reading_time.with_times(TABLE, table)
    assert "(notebooks/01-one.ipynb): a | 80 minutes | 3 hours | [x](y) |\n" in written
    assert reading_time.with_times(written, table) == written
    for other in ({"01": ("01-two.ipynb", "", "")}, table | {"02": ("02-two.ipynb", "", "")}, {}):
        with pytest.raises(ValueError, match=r"The (row|table)"):
            reading_time.with_times(TABLE, other)
