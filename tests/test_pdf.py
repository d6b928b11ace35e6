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


def test_no_page_is_empty_but_for_its_foot(texts):
    longest = len("Solutionstochapter0.Afirsthour") + len("99")
    assert [n for n, text in enumerate(texts) if len(text) <= longest] == []


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


def elements(element):
    """An element of the tags and all below it, in the order in which they are read."""
    yield element
    for kid in (kid.get_object() for kid in element.get("/K", ())):
        if isinstance(kid, dict) and "/S" in kid:
            yield from elements(kid)


@pytest.fixture(scope="module")
def tags(printed):
    (document,) = printed.root_object["/StructTreeRoot"]["/K"]
    return list(elements(document.get_object()))


def test_a_screen_reader_finds_headings_lists_tables_and_figures_with_words(printed, tags, chapter):
    assert printed.root_object["/MarkInfo"]["/Marked"] == True  # noqa: E712 - a PDF's own true
    kinds = [element["/S"] for element in tags]
    assert kinds[0] == "/Document"
    parts = [str(element["/T"]) for element in tags if element["/S"] == "/Part"]
    assert parts[1:] == ["Notation", "0. A first hour", "Solutions to chapter 0. A first hour"]
    assert kinds.count("/H1") >= 3
    headings = chapter.select("section > :is(h2, h3)")
    assert kinds.count("/H2") + kinds.count("/H3") >= len(headings)
    assert kinds.count("/Table") >= len(chapter.select("table"))
    for kind in ("/L", "/LI", "/TR", "/TH", "/TD", "/Link", "/P"):
        assert kind in kinds
    assert not {"/NonStruct", "/Span", "/Div"} & {
        element["/S"] for element in tags if "/Lang" not in element
    }
    told = {str(element["/Alt"]) for element in tags if "/Alt" in element}
    assert {image["alt"] for image in chapter.select("img")} <= told


def test_each_marked_piece_of_a_page_leads_to_its_tag_and_the_feet_to_none(printed, tags):
    back = printed.root_object["/StructTreeRoot"]["/ParentTree"]["/Nums"]
    back = dict(zip(map(int, back[::2]), back[1::2], strict=True))
    marked = 0
    for page in printed.pages[1:]:
        found, open_marks, in_feet = [], [], 0
        for operands, operator in page.get_contents().operations:
            if operator in (b"BDC", b"BMC"):
                open_marks.append(operands[0])
                if operator == b"BDC" and "/MCID" in operands[1]:
                    found.append(int(operands[1]["/MCID"]))
            elif operator == b"EMC":
                open_marks.pop()
            elif operator in (b"Tj", b"TJ"):
                in_feet += "/Artifact" in open_marks
        assert in_feet > 0 and open_marks == []
        assert len(found) == len(set(found))
        elements = back[page["/StructParents"]].get_object()
        assert set(found) == {n for n, one in enumerate(elements) if one.get_object() is not None}
        marked += len(found)
    assert marked > 1000
    ids = {str(element["/ID"]) for element in tags if "/ID" in element}
    heads = {
        str(head)
        for element in tags
        for one in element.get("/A", ())
        for head in one.get("/Headers", ())
    }
    assert heads and heads <= ids


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
