"""The glossary: in order, complete, with Chinese words of a known source, and leading on."""

import re
import sys
from collections import Counter
from dataclasses import dataclass

import nbformat
import pytest

from tools.editions import read_book
from tools.set_address import ROOT

sys.path.insert(0, str(ROOT / "book" / "_ext"))

from glossary import SearchWords

PAGE = (ROOT / "book" / "glossary.md").read_text("utf-8")
# The two glossaries of the page, both, three more, none.
SOURCES = {"A", "D", "AD", "G", "P", "H", "†"}
# Explained by no chapter yet.
AWAITED = {
    "retrieval-augmented generation",
}


@dataclass
class Entry:
    letter: str
    names: list[str]  # the term and its other English names
    chinese: dict[str, str]  # each Chinese word's source
    definition: str


def entries():
    """Every entry of the page by its term."""
    found = {}
    for letter, text in re.findall(r"^## (\w)\n\n```\{glossary\}\n(.*?)^```$", PAGE, re.M | re.S):
        for block in text.strip().split("\n\n"):
            *lines, definition = block.split("\n")
            pairs = [line.partition(" : ")[::2] for line in lines]
            names = [word for word, source in pairs if not source]
            chinese = {word: source for word, source in pairs if source}
            found[names[0]] = Entry(letter, names, chinese, definition.strip())
    return found


ENTRIES = entries()


def in_order(term):
    """What a term is sorted by: its words, without case and signs."""
    return re.findall(r"\w+", term.casefold())


def test_every_entry_is_read():
    indented = re.findall(r"^  \S", PAGE, re.MULTILINE)
    assert len(ENTRIES) == len(indented) > 300


def test_the_terms_are_in_alphabetical_order():
    assert list(ENTRIES) == sorted(ENTRIES, key=in_order)
    for term, entry in ENTRIES.items():
        assert in_order(term)[0][0].upper() == entry.letter


def test_the_bar_leads_to_every_letter():
    letters = list(dict.fromkeys(entry.letter for entry in ENTRIES.values()))
    assert re.findall(r"^## (\w)$", PAGE, re.MULTILINE) == letters
    assert "\n" + " ".join(f"[{x}](#{x.lower()})" for x in letters) + "\n" in PAGE


def test_nothing_stands_there_twice():
    words = [word.casefold() for e in ENTRIES.values() for word in (*e.names, *e.chinese)]
    assert [word for word, count in Counter(words).items() if count > 1] == []


def test_every_term_has_a_chinese_word_or_a_reason_why_not():
    kept = re.search(r"^No Chinese term is given for names, .*?: (.*)\.$", PAGE, re.MULTILINE)[1]
    (unsettled,) = re.findall(r"^\*(\w+)\* has none because", PAGE, re.MULTILINE)
    without = [term for term, entry in ENTRIES.items() if not entry.chinese]
    assert [term for term in without if term != unsettled.lower()] == kept.split(", ")
    assert unsettled.lower() in without


def test_chinese_words_are_simplified_and_have_a_source():
    for entry in ENTRIES.values():
        assert not any(re.search(r"[\u4e00-\u9fff]", name) for name in entry.names)
        for word, source in entry.chinese.items():
            assert source in SOURCES
            han = "".join(re.findall(r"[\u4e00-\u9fff]", word))
            assert han
            han.encode("gb2312")  # which has no traditional characters


def test_the_page_counts_its_chinese_words():
    sources = Counter(source for e in ENTRIES.values() for source in e.chinese.values())
    stated = [
        int(re.search(pattern, PAGE)[1])
        for pattern in (
            r"The (\d+) Chinese terms are",
            r"research: (\d+) of ours",
            r"》\): (\d+) of ours",
            r"newer pages: (\d+) of ours",
            r"own list: (\d+) of ours",
            r"has (\d+) more\.",
            r"The other (\d+) bear",
        )
    ]
    both = sources["AD"]
    assert stated == [
        sources.total(),
        sources["A"] + both,
        sources["D"] + both,
        sources["G"],
        sources["P"],
        sources["H"],
        sources["†"],
    ]


@pytest.fixture(scope="module")
def book():
    return read_book()[0]


@pytest.mark.parametrize("term", ENTRIES)
def test_a_definition_is_short_and_leads_on(term, book):
    definition = ENTRIES[term].definition
    assert len(definition.split()) <= 60
    assert definition.endswith(".")
    links = re.findall(r"\[([^]]*)\]\(([^)]+)\)", definition)
    for text, target in links:
        if target.startswith("#"):
            # It says the number of the chapter to which it leads.
            assert book.labels[target[1:]].chapter.startswith(text.split()[-1] + "-")
        else:
            assert (ROOT / "book" / target).is_file()
    terms = re.findall(r"\{term\}`(?:[^<`]*<)?([^>`]+)", definition)
    names = {name.casefold() for entry in ENTRIES.values() for name in entry.names}
    assert {other.casefold() for other in terms} <= names
    works = re.findall(r"\{cite:p\}`([^`]+)`", definition)
    assert {key for work in works for key in work.split(",")} <= set(book.works)
    assert bool(links or terms or works) != (term in AWAITED)


def test_the_chapters_use_terms_of_the_glossary():
    names = {name.casefold() for entry in ENTRIES.values() for name in entry.names}
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        for term in re.findall(r"\{term\}`(?:[^<`]*<)?([^>`]+)", text):
            assert term.casefold() in names


def test_the_search_knows_both_spellings():
    words = SearchWords({})
    for british, american in (
        ("tokeniser", "tokenizer"),
        ("Tokenised", "tokenizes"),
        ("normalisation", "normalization"),
        ("analysing", "analyzing"),
    ):
        assert words.stem(british) == words.stem(american)
    assert words.stem("size") == "size"
    assert words.stem("prized") == "prize"


def test_the_search_splits_chinese_into_pairs():
    words = SearchWords({})
    assert words.split("Two heads (多头注意力).") == [
        "Two",
        "heads",
        "多头注意力",
        "多头",
        "头注",
        "注意",
        "意力",
    ]
    assert words.split("微调") == ["微调"]
