"""A page has the number of its chapter's file, whatever Sphinx would count."""

import sys
from types import SimpleNamespace

import pytest
from docutils import nodes

from tools.set_address import ROOT

sys.path.insert(0, str(ROOT / "book" / "_ext"))

from chapter_numbers import number_of, numbered_by_file

FIRST, LATER = "notebooks/00-a-first-hour", "notebooks/24-to-service"


@pytest.mark.parametrize(
    ("page", "number"), [(FIRST, 0), (LATER, 24), ("book/setup", None), ("notebooks/a-07-b", None)]
)
def test_the_number_is_the_files(page, number):
    assert number_of(page) == number


def counted_by_sphinx(collector, env):
    """Number the pages 1 and 2, each with one section, as Sphinx would."""
    env.toc_secnumbers = {}
    for count, page in enumerate(env.tocs, start=1):
        env.toc_secnumbers[page] = {"": (count,), "#a": (count, 1), "#unnumbered": None}
        references = env.tocs[page].findall(nodes.reference)
        for node, number in zip(references, ([count], [count, 1]), strict=True):
            node["secnumber"] = number
        env.titles[page]["secnumber"] = [count]
    return list(env.tocs)


@pytest.fixture
def env():
    def contents():
        references = (nodes.reference(anchorname=anchor) for anchor in ("", "#a"))
        return nodes.bullet_list("", *(nodes.list_item("", found) for found in references))

    pages = (FIRST, LATER, "book/faq")
    return SimpleNamespace(
        toc_secnumbers={},
        tocs={page: contents() for page in pages},
        titles={page: nodes.title() for page in pages},
    )


def test_headings_sections_and_contents_are_numbered_alike(env):
    assign = numbered_by_file(counted_by_sphinx)
    assert assign(None, env) == [FIRST, LATER, "book/faq"]
    for page, number in {FIRST: 0, LATER: 24, "book/faq": 3}.items():
        assert env.titles[page]["secnumber"] == [number]
        assert env.toc_secnumbers[page] == {"": (number,), "#a": (number, 1), "#unnumbered": None}
        shown = [node["secnumber"] for node in env.tocs[page].findall(nodes.reference)]
        assert shown == [[number], [number, 1]]


def test_pages_whose_numbers_stay_are_not_written_again(env):
    assign = numbered_by_file(counted_by_sphinx)
    assign(None, env)
    assert assign(None, env) == []
