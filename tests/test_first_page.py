"""What the first page shows comes from the book: its picture, and what a chapter stands on."""

import re

import nbformat
import pytest
import yaml

from tools import first_picture, portability
from tools.set_address import ROOT, configured_url, site

PAGE = (ROOT / "book" / "index.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]-*.ipynb"))


def test_the_words_of_the_picture_are_its_numbers():
    (said,) = set(re.findall(r":alt: (.*)", PAGE))
    found = first_picture.table().pivot(index="model", columns="labels", values="mean")
    ends = [found.loc[name, labels] for name in first_picture.CONTENDERS for labels in (5, 100)]
    # In the alternative text: from … to … of MiniLM, of MLM, of TF-IDF and of untrained.
    numbers = [int(number) for number in re.findall(r"(?:from|to) (\d\d)", said)]
    assert numbers == [round(100 * end) for end in ends]


def rows():
    """For each chapter of the first page's table: its question, and the chapters it is after."""
    found = {}
    for line in PAGE.splitlines():
        if row := re.match(r"\| (\d\d) \| \[.*?\]\(.*?\) \| (.*?) \| (.*?) \|", line):
            found[row[1]] = row[2], chapters(row[3])
    return found


def chapters(text):
    """The numbers in "03 to 05, 08", or in the links of a chapter's row `before it`."""
    first_to_last = re.sub(r"[^\d,to]+", " ", text)
    found = set()
    for part in re.findall(r"\d\d(?: to \d\d)?", first_to_last):
        first, _, last = part.partition(" to ")
        found |= {f"{n:02}" for n in range(int(first), int(last or first) + 1)}
    return found


def before(notebook):
    (row,) = re.findall(r"\| before it \| (.*) \|", notebook.cells[1].source)
    row = re.sub(r"\(#chapter-\d\d\)", "", row)
    return chapters(" ".join(re.findall(r"\[[^]]*\d\d\](?: to (?=\[))?", row)))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name[:2])
def test_a_chapter_stands_on_what_its_own_table_says(path):
    question, after = rows()[path.name[:2]]
    assert question.endswith("?")
    assert after == before(nbformat.read(path, as_version=4))


def test_the_site_is_that_of_the_repository():
    text = (ROOT / "_config.yml").read_text("utf-8")
    config = yaml.safe_load(text)
    address = f"https://{site(configured_url())}/"
    assert config["html"]["baseurl"] == config["sphinx"]["config"]["ogp_site_url"] == address
    prefix = config["sphinx"]["config"]["notfound_urls_prefix"]
    assert address.endswith(prefix) and prefix.count("/") == 2


def test_the_workflow_calls_what_there_is():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "book.yml").read_text("utf-8"))
    jobs = workflow["jobs"]
    runs = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    runs += jobs["nightly"]["strategy"]["matrix"]["command"]
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    for command in runs:
        if made := re.match(r"make ([a-z-]+)(?: LANE=(\S+))?", command):
            assert made[1] in targets
            assert made[2] is None or made[2] in portability.LANES
        else:
            assert command.startswith("${{") or (ROOT / command).is_file()
    assert set(jobs) == {"test", "publish", "nightly"}
