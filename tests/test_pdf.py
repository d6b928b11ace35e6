"""The printed book: a small one of two pages of the real book, joined, and read again."""

import re

import pytest
import yaml
from bs4 import BeautifulSoup
from pypdf import PdfReader

from tools import chromium
from tools.pdf import NoBookError, print_book
from tools.set_address import ROOT

CHAPTER = "notebooks/00-a-first-hour"
CONTENTS = {
    "root": "book/notation",
    "parts": [{"caption": "Theory", "chapters": [{"file": CHAPTER}]}],
}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The folder of a book of two pages, which are those of the real one."""
    folder = tmp_path_factory.mktemp("print")
    (folder / "_config.yml").write_bytes((ROOT / "_config.yml").read_bytes())
    (folder / "_toc.yml").write_text(yaml.safe_dump(CONTENTS), "utf-8")
    return folder


@pytest.fixture(scope="module")
def printed(small, html, browser):
    return PdfReader(print_book(small, html, small / "book.pdf", browser, say=lambda line: None))


@pytest.fixture(scope="module")
def texts(printed):
    """What each page says, without spaces: a line may break anywhere."""
    return [re.sub(r"\s", "", page.extract_text()) for page in printed.pages]


@pytest.fixture(scope="module")
def chapter(html):
    return BeautifulSoup((html / f"{CHAPTER}.html").read_text("utf-8"), "html.parser").article


def titles(outline):
    """The bookmarks as nested lists of their titles."""
    return [titles(item) if isinstance(item, list) else item.title for item in outline]


def test_bookmarks_are_parts_chapters_and_sections(printed):
    notation, sections, theory, below, solutions, last = titles(printed.outline)
    assert (notation, theory, solutions) == ("Notation", "Theory", "Solutions")
    assert sections
    assert below[0] == "0. A first hour"
    assert below[1][0] == "0.1. What this chapter needs"
    assert last == ["Solutions to chapter 0. A first hour"]
    numbers = [printed.get_destination_page_number(item) for item in printed.outline[3][1][:4]]
    assert numbers == sorted(numbers)


def test_each_page_has_its_number(printed, texts):
    assert len(texts) > 10
    assert "by" in texts[0] and "CCBY4.0" in texts[0]
    for number, text in enumerate(texts[1:], start=2):
        assert text.endswith(str(number)), text[-100:]


def test_the_contents_name_the_page_on_which_a_section_stands(texts):
    number = re.search(r"0\.1\.Whatthischapterneeds(\d\d?)0\.2", texts[1])[1]
    assert "Whatthischapterneeds" in texts[int(number) - 1]


def test_solutions_stand_in_the_appendix_alone(texts, chapter):
    start = next(n for n, text in enumerate(texts) if text.startswith("Solutionstochapter0"))
    before, behind = "".join(texts[:start]), "".join(texts[start:])
    solutions = chapter.select("div.solution")
    assert solutions
    assert before.count("Thesolutionisintheappendix.") == len(solutions)
    for solution in solutions:
        sentence = re.sub(r"\s", "", solution.select_one("section p").get_text())[:40]
        assert sentence not in before
        assert sentence in behind


def test_no_line_of_code_is_cut(texts, chapter):
    text = "".join(re.sub(r"\d+$", "", page) for page in texts)
    lines = [line for pre in chapter.select(".cell_input pre") for line in pre.text.split("\n")]
    long = [line for line in lines if len(line) > 80]
    assert long
    for line in long:
        assert re.sub(r"\s", "", line) in text


def test_links_lead_within_the_file_or_to_the_web(printed):
    inside = 0
    for page in printed.pages:
        for annotation in page.get("/Annots", ()):
            link = annotation.get_object()
            inside += "/Dest" in link
            if "/A" in link:
                assert not str(link["/A"].get("/URI", "")).startswith("file:")
            else:
                printed.get_page_number(link["/Dest"][0].get_object())
    assert inside > 20


def test_what_is_printed_is_not_printed_again(small, html, browser, printed):
    path = small / "pdf" / "notebooks-00-a-first-hour.pdf"
    before = path.stat().st_mtime_ns
    print_book(small, html, small / "again.pdf", browser, say=lambda line: None)
    assert path.stat().st_mtime_ns == before


def test_without_a_book_or_a_browser_the_message_says_what_to_do(small, tmp_path, monkeypatch):
    with pytest.raises(NoBookError, match=r"2 of 2 pages aren't in .* make book"):
        print_book(small, tmp_path, tmp_path / "book.pdf", None)
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(chromium.NoBrowserError, match="install chromium"), chromium.headless():
        pass
