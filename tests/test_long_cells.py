"""Long cells are folded on the pages by a rule, and what a chapter teaches isn't."""

import re
import sys

import pytest
from bs4 import BeautifulSoup

from tests.test_book import NOTEBOOKS
from tools.set_address import ROOT

sys.path.insert(0, str(ROOT / "book" / "_ext"))

from long_cells import LONG, SHARE, WHOLE, definitions, folds, summary

SECTION = ["Two readers", "The readers"]


def cell(lines, *, defined):
    """Code of a number of lines, of which the first ones are a function."""
    body = ["def read(text):", *["    text = text.strip()"] * (defined - 1)] if defined else []
    return "\n".join([*body, *["print(1)"] * (lines - defined)])


def test_a_cell_is_folded_from_one_line_over_the_limit():
    assert not folds(cell(LONG, defined=0), SECTION)
    assert folds(cell(LONG + 1, defined=0), SECTION)
    assert not folds(cell(LONG, defined=0) + "\n\n", SECTION)  # blank lines at the end aren't any


def test_what_is_mostly_definitions_stays_open_up_to_a_limit():
    lines = LONG + 5
    enough = round(SHARE * lines)
    assert not folds(cell(lines, defined=enough), SECTION)
    assert folds(cell(lines, defined=enough - 1), SECTION)
    assert not folds(cell(WHOLE, defined=WHOLE), SECTION)
    assert folds(cell(WHOLE + 1, defined=WHOLE + 1), SECTION)


@pytest.mark.parametrize(
    "heading", ["The recipe", "The library's recipe", "Exercises", "Going deeper: exercises"]
)
def test_recipes_and_exercises_stay_open(heading):
    assert not folds(cell(3 * WHOLE, defined=0), [heading])
    assert not folds(cell(3 * WHOLE, defined=0), ["Model and trainer", heading])
    assert folds(cell(3 * WHOLE, defined=0), ["Recipes"])


SOURCE = '''!pip list
%cd x
@cached
def one(x):
    return x


class Two:
    pass


PROGRAM = """
a
b
"""
SHORT = "a"
_ = one(2)
if True:
    %time one(3)
'''


def test_definitions_are_functions_classes_and_programs():
    assert definitions(SOURCE) == (["one", "Two", "PROGRAM"], 3 + 2 + 4)
    assert definitions("") == definitions("files = !ls") == ([], 0)


def test_the_line_over_a_folded_cell_says_what_is_in_it():
    assert summary("a = 1\nb = 2\n") == "Show 2 lines of code"
    assert summary(SOURCE) == "Show 19 lines of code: one, Two, PROGRAM"
    many = "\n".join(f"def f{n}(): pass" for n in range(5)) + "\ndef _own(): pass"
    assert summary(many) == "Show 6 lines of code: f0, f1, f2, f3 …"


@pytest.fixture(scope="module")
def cells(html):
    """(page, cell) of each cell of code."""
    found = []
    for name in NOTEBOOKS:
        page = BeautifulSoup((html / f"{name}.html").read_text("utf-8"), "html.parser")
        found += [(name, cell) for cell in page.select("article div.cell")]
    return found


def headings(cell):
    found = []
    for section in cell.find_parents("section"):
        heading = section.find(re.compile("^h[1-6]$"), recursive=False)
        if heading.name != "h1":
            words = heading.get_text().removesuffix(heading.select_one(".headerlink").text)
            found.append(words)
    return found


def test_on_the_pages_a_cell_is_folded_by_its_tag_or_by_the_rule(cells):
    by_rule = 0
    for name, cell in cells:
        code = cell.select_one(".cell_input pre")
        if code is None:
            continue
        fold = cell.select_one("details.hide")
        tagged = any(re.search("hide|remove", word) for word in cell["class"])
        if not tagged:
            assert bool(fold) == folds(code.text, headings(cell)), (name, code.text[:80])
        if fold and not tagged:
            by_rule += 1
            assert fold.summary.text.strip().startswith(summary(code.text))
            assert "open" not in fold.attrs
            assert not fold.select(".cell_output")
    assert by_rule > 10


def test_what_is_folded_is_printed(browser, html):
    name = "notebooks/15-generalisation"
    page = browser.new_page()
    page.goto((html / f"{name}.html").as_uri())
    folded = page.locator("article details.hide")
    by_rule = folded.filter(has_text=re.compile(r"Show \d+ lines of code"))
    assert folded.count() > by_rule.count() > 0
    code = by_rule.first.locator("pre")
    assert not code.is_visible()
    by_rule.first.locator("summary").press("Enter")
    assert code.is_visible()
    by_rule.first.locator("summary").press("Enter")
    page.emulate_media(media="print")
    for number in range(folded.count()):
        assert folded.nth(number).locator("pre").first.is_visible()
        assert not folded.nth(number).locator("summary").is_visible()
    page.close()
