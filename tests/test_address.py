"""The public address is the same wherever it stands, and one command sets it everywhere."""

import re
import shutil
import subprocess
import sys

import pytest

from tools.set_address import FILES, HOST, ROOT, configured_url, set_address, site

SLUG = configured_url().removeprefix(HOST)
NEW = "https://github.com/ada/book-2"


def files(root):
    return {path.relative_to(root).as_posix(): path for f in FILES for path in root.glob(f)}


@pytest.fixture
def project(tmp_path):
    """A copy of the files that hold the address."""
    for name, path in files(ROOT).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / name)
    return tmp_path


def test_the_address_stands_where_a_reader_needs_it():
    texts = {name: path.read_text("utf-8") for name, path in files(ROOT).items()}
    needed = {"_config.yml", "pyproject.toml", "CITATION.cff", "README.md", "book/setup.md"}
    needed |= {name for name in texts if name.endswith(".ipynb")}
    assert needed <= {name for name, text in texts.items() if SLUG in text}
    # What clones or opens a repository is about this one, wherever it stands.
    calls = re.compile(
        r"(?:git clone [^\n]*github\.com/|colab\.research[\w.]*/github/)([\w.-]+/[\w.-]+)"
    )
    assert {slug for text in texts.values() for slug in calls.findall(text)} == {SLUG}


def test_setting_the_address_changes_it_everywhere_and_nothing_else(project):
    odd = project / "notebooks" / "odd.ipynb"
    cell = '{{"cells":[  "{}.git\\r\\n {}-other and https://github.com/a/b"]}}'
    odd.write_bytes(cell.format(SLUG, SLUG).encode())
    before = {path: path.read_bytes() for path in files(project).values()}
    set_address(NEW, project)
    assert (
        odd.read_bytes()
        == rf'{{"cells":[  "ada/book-2.git\r\n {SLUG}-other and {HOST}a/b"]}}'.encode()
    )
    assert configured_url(project) == NEW
    for path, old in before.items():
        if path != odd:
            new = old.replace(SLUG.encode(), b"ada/book-2")
            if path.name == "_config.yml":
                new = new.replace(site(HOST + SLUG).encode(), b"ada.github.io/book-2")
                prefix = f"prefix: /{SLUG.split('/')[1]}/"
                new = new.replace(prefix.encode(), b"prefix: /book-2/")
            assert path.read_bytes() == new, path


def test_set_again_or_by_way_of_a_shorter_address_it_is_the_same(project):
    set_address(NEW, project)
    once = {path: path.read_bytes() for path in files(project).values()}
    for url in (NEW, NEW.removesuffix("-2"), NEW):
        set_address(url, project)
    assert {path: path.read_bytes() for path in files(project).values()} == once


@pytest.mark.parametrize("url", [f"{NEW}/", f"{NEW}.git"])
def test_the_command_takes_an_address_as_it_is_copied(url, project):
    (project / "tools").mkdir()
    script = shutil.copy(ROOT / "tools" / "set_address.py", project / "tools")
    subprocess.run([sys.executable, script, url], check=True)
    assert configured_url(project) == NEW


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
    ],
)
def test_another_address_is_refused_before_anything_is_written(url, project):
    before = {path: path.read_bytes() for path in files(project).values()}
    with pytest.raises(ValueError, match=r"URL=https://github\.com/"):
        set_address(url, project)
    assert {path: path.read_bytes() for path in files(project).values()} == before


def test_the_command_says_what_is_wrong_without_a_traceback():
    command = [sys.executable, "-m", "tools.set_address", "not-an-address"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "'not-an-address'" in result.stderr and "Traceback" not in result.stderr
