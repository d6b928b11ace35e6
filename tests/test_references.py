"""Each reference says where it can be read."""

import re
from pathlib import Path

BIBLIOGRAPHY = Path(__file__).parents[1] / "book" / "references.bib"
# Of books, reports and old journals for which neither a DOI nor an address is known.
WITHOUT = {
    "holm1979simple",
    "lafferty2001conditional",
    "ney1994structuring",
    "radford2018improving",
    "radford2019language",
    "sculley2015hidden",
    "watson1964smooth",
    "yu2002specification",
}


def test_every_entry_has_a_doi_an_eprint_or_an_address():
    found = set()
    for entry in re.split(r"^(?=@)", BIBLIOGRAPHY.read_text("utf-8"), flags=re.MULTILINE):
        if entry.startswith("@") and not re.search(
            r"^\s*(doi|eprint|url|howpublished|isbn)\s*=", entry, re.MULTILINE
        ):
            found.add(re.match(r"@\w+\{([^,]+),", entry)[1])
    assert found == WITHOUT


def test_an_arxiv_id_stands_in_eprint_and_not_in_a_note():
    text = BIBLIOGRAPHY.read_text("utf-8")
    assert not re.search(r"^\s*note\s*=\s*\{arXiv", text, re.MULTILINE)
