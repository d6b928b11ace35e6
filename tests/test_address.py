"""The public address is the same wherever it stands, and one command sets it everywhere."""

import shutil
import subprocess
import sys

import pytest

from scripts.set_address import (
    ROOT,
    configured_url,
    files_with_address,
    replace,
    set_address,
    slug_of,
    slugs_in,
)

SLUG = configured_url().removeprefix("https://github.com/")
NEW = "https://github.com/ada/book-2"


def relative(path, root=ROOT):
    return path.relative_to(root).as_posix()


@pytest.fixture
def project(tmp_path):
    """A copy of the files that hold the address, with a notebook formatted like no other."""
    for path in files_with_address():
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    clone = f"!git clone -q --depth 1 https://github.com/{SLUG} book"
    cell = rf'{{"cells":[  {{"source":"{clone}\r\n"}}]}}'
    (tmp_path / "notebooks").mkdir(exist_ok=True)
    (tmp_path / "notebooks" / "odd.ipynb").write_bytes(cell.encode())
    return tmp_path


@pytest.mark.parametrize("path", files_with_address(), ids=relative)
def test_every_place_agrees_with_the_configuration(path):
    text = path.read_text(encoding="utf-8")
    assert set(slugs_in(text)) <= {SLUG}
    # Every mention is one that the command would change.
    assert text.count(SLUG) == len(slugs_in(text))


def test_the_address_stands_where_a_reader_needs_it():
    holders = {relative(p) for p in files_with_address() if slugs_in(p.read_text("utf-8"))}
    needed = {"_config.yml", "pyproject.toml", "CITATION.cff", "README.md", "book/setup.md"}
    needed |= {relative(p) for p in (ROOT / "notebooks").glob("*.ipynb")}
    assert needed <= holders


def test_setting_the_address_changes_it_everywhere_and_nothing_else(project):
    before = {path: path.read_bytes() for path in files_with_address(project)}
    changed = set_address(NEW, project)
    assert {relative(path, project) for path in changed} >= {"_config.yml", "notebooks/odd.ipynb"}
    for path, old in before.items():
        assert path.read_bytes() == old.replace(SLUG.encode(), b"ada/book-2"), path
    assert configured_url(project) == NEW


def test_setting_the_same_address_again_changes_nothing(project):
    assert set_address(NEW, project)
    assert set_address(NEW + ".git", project) == []


def test_an_address_that_was_edited_in_one_place_is_set_again(project):
    readme = project / "README.md"
    readme.write_text(readme.read_text("utf-8").replace(SLUG, "someone/else"), "utf-8")
    set_address(NEW, project)
    assert "someone/else" not in readme.read_text("utf-8")


def test_links_to_other_projects_stay():
    text = "See https://github.com/huggingface/transformers and [x](https://github.com/a/b)."
    assert replace(text, "ada/book") == text


@pytest.mark.parametrize("url", [NEW, NEW + "/", NEW + ".git", f" {NEW}\n"])
def test_slug_of_an_address(url):
    assert slug_of(url) == "ada/book-2"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ada/book",
        "http://github.com/ada/book",
        "https://gitlab.com/ada/book",
        "https://github.com/ada",
        "https://github.com/ada/book/tree/main",
        "https://github.com/set--address/pretrained-language-models",
        "https://github.com/ada/book;rm",
        "git@github.com:ada/book.git",
    ],
)
def test_another_address_is_refused_before_anything_is_written(url, project):
    before = {path: path.read_bytes() for path in files_with_address(project)}
    with pytest.raises(ValueError, match=r"https://github\.com/owner/repo"):
        set_address(url, project)
    assert {path: path.read_bytes() for path in files_with_address(project)} == before


def test_the_command_says_what_is_wrong_without_a_traceback():
    command = [sys.executable, "-m", "scripts.set_address", "not-an-address"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("'not-an-address' is not an address of the form")
