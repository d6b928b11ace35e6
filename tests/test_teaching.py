"""The teacher's guides: one for each chapter, and nothing in them that the chapter hasn't."""

import builtins
import math
import re
import symtable
from pathlib import Path

import nbformat
import pytest
import yaml
from myst_parser.mdit_to_docutils.base import default_slugify

from tools.chapter_assets import needed
from tools.reading_time import parts
from tools.set_address import ROOT

TEACHING = ROOT / "book" / "teaching"
CONTENTS = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))["parts"]
FILES = [chapter["file"] for part in CONTENTS for chapter in part["chapters"]]
CHAPTERS = [Path(file).name for file in FILES if re.match(r"notebooks/\d\d-", file)]
INDEX = (TEACHING / "index.md").read_text("utf-8")
SECTIONS = [
    *("Goals", "Before class", "Plan for 45 minutes", "Plan for 90 minutes"),
    *("Cells that must run", "Stopping points", "Questions to the room", "What breaks"),
    *("On the board", "Homework", "Next"),
]
LONG = "90 minutes only"
# What a guide has on the board and its chapter doesn't print, and what it is.
ON_THE_BOARD = {
    "00": {"3.869": math.exp(-0.6) + math.exp(1.2), "0.142": 1 / (1 + math.exp(1.8))},
    "03": {"0.005": 3 * 0.0016},
    "06": {
        "591,360": 4 * (384**2 + 384),
        "1,181,568": 2 * 384 * 1536 + 1536 + 384,
        "10,646,784": 6 * (591_360 + 1_181_568 + 1_536),
    },
    "08": {"1.89": 0.1 * 18.9},
    "10": {"13.525": 6.821 + 4.953 + 1.751},
    "11": {"1.61": math.log(5)},
    "18": {"0.769": 10 / 13, "0.545": 6 / 11, "0.462": 6 / 13},
    "19": {"0.37": math.exp(1 - 1 / 0.5), "0.73": math.exp(1 - 1 / 0.76)},
}


def guide(name):
    return (TEACHING / f"{name}.md").read_text("utf-8")


def section(page, heading):
    return re.search(rf"^## {heading}\n\n(.*?)(?=\n## |\Z)", page, re.M | re.S)[1]


class Chapter:
    """A notebook by its headings: their anchors, and the cells of code under each."""

    def __init__(self, name):
        self.notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
        self.anchors = []  # in the chapter's order
        self.deeper = set()
        self.cells = {}  # anchor: the cells of code under this very heading
        core = {id(cell) for cell in parts(self.notebook)[0].cells}
        for cell in self.notebook.cells:
            if cell.cell_type == "markdown":
                text = re.sub(r"^(`{3,}|:{3,}).*?^\1$", "", cell.source, flags=re.M | re.S)
                for heading in re.findall(r"^#{1,3} (.+)$", text, re.M):
                    plain = re.sub(r"\$[^$]*\$|[`*]", "", heading)  # as MyST makes an anchor
                    self.anchors.append(default_slugify(plain))
                    if heading.startswith("Going deeper"):
                        self.deeper.add(self.anchors[-1])
            elif cell.cell_type == "code":
                self.cells.setdefault(self.anchors[-1], []).append(cell)
        self.code = [cell for cell in self.notebook.cells if cell.cell_type == "code"]
        self.core = [cell for cell in self.code if id(cell) in core]

    def begins_with(self, anchor, line):
        found = [c for c in self.cells.get(anchor, ()) if c.source.strip().split("\n")[0] == line]
        assert found, f"no cell under #{anchor} begins with {line!r}"
        return found[-1]  # of two, the one that the others come before


def test_every_chapter_has_a_guide_and_every_guide_a_chapter():
    assert [page.stem for page in sorted(TEACHING.glob("[0-9]*.md"))] == CHAPTERS
    (part,) = (part for part in CONTENTS if part["caption"] == "Teaching")
    assert "numbered" not in part
    (index,) = part["chapters"]
    inside = [page["file"] for page in index["sections"]]
    assert inside == [f"book/teaching/{name}" for name in [*CHAPTERS, "feedback"]]
    for name in [*CHAPTERS, "feedback"]:
        assert f"]({name}.md)" in INDEX


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_guide_has_its_form(name):
    page, number = guide(name), name[:2]
    assert page.startswith(f"(teach-{number})=\n# Teaching {number}: ")
    assert re.findall(r"^## (.+)$", page, re.M) == SECTIONS
    assert 3 <= section(page, "Goals").count("\n- ") <= 4
    assert section(page, "Stopping points").count("- After [") == 3
    questions = re.findall(
        r"^\*\*.+\?\*\*+\n: .+\n: .+$|^\*\*.+\*\*\n: .+\n: .+$",
        section(page, "Questions to the room"),
        re.M,
    )
    assert 4 <= len(questions) <= 6
    assert section(page, "On the board").count("```text\n") in (1, 2)
    assert 400 < len(re.sub(r"\]\([^)]*\)|`[^`]*`", "", page).split()) < 1300


@pytest.mark.parametrize("minutes", [45, 90])
@pytest.mark.parametrize("name", CHAPTERS)
def test_a_plan_adds_up_and_follows_the_core_path(name, minutes):
    chapter = Chapter(name)
    rows = section(guide(name), f"Plan for {minutes} minutes").strip().split("\n")[2:]
    cells = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]
    assert all(len(row) == 3 for row in cells)
    assert sum(int(row[0]) for row in cells) == minutes
    anchors = [re.search(r"ipynb#([\w-]+)\)$", row[1])[1] for row in cells]
    places = [chapter.anchors.index(anchor) for anchor in anchors]
    assert places == sorted(places)
    assert not chapter.deeper & set(anchors)


@pytest.mark.parametrize("name", CHAPTERS)
def test_links_lead_to_headings_and_exercises_of_the_chapter(name):
    chapter, page = Chapter(name), guide(name)
    linked = re.findall(r"\]\(\.\./\.\./notebooks/([\w-]+)\.ipynb#([^)]+)\)", page)
    assert len(linked) > 20
    for notebook, anchor in linked:
        assert notebook == name
        assert anchor in chapter.anchors
    source = "\n".join(cell.source for cell in chapter.notebook.cells)
    titles = {
        label: (place, title)
        for place, (title, label) in enumerate(
            re.findall(r"^`{3,}\{exercise\} (.+)\n:label: (\S+)$", source, re.M), start=1
        )
    }
    exercises = re.findall(r"\[Exercise (\d+)\.(\d+)\]\(#([\w-]+)\), \*(.+?)\*", page)
    assert len(exercises) >= 3
    for number, place, label, title in exercises:
        assert int(number) == int(name[:2])
        assert titles[label] == (int(place), title)


@pytest.mark.parametrize("name", CHAPTERS)
def test_the_assets_are_the_chapters(name):
    wanted = needed(Chapter(name).notebook)
    for line in (
        re.search(r"^Assets: (.+?);", guide(name), re.M)[1],
        re.search(rf"\]\({name}\.md\) \| ([^|]+) \| \[needs\]", INDEX)[1],
    ):
        assert set(re.findall(r"`([\w-]+)`", line)) == wanted


def must_run(name):
    """(section's anchor, first line, only in the longer plan) of each cell that must run."""
    found, anchor = [], None
    for line in section(guide(name), "Cells that must run").strip().split("\n"):
        if heading := re.fullmatch(r"- \[.+\]\(.+#([\w-]+)\)", line):
            anchor = heading[1]
        else:
            cell = re.fullmatch(r"  - (`+)(.+?)\1(?: \((.+)\))?", line)
            found.append((anchor, cell[2], (cell[3] or "").startswith(LONG)))
    return found


def bound_and_used(source):
    """The names that a cell binds, and the names of the notebook that it uses."""
    source = re.sub(r"^(\s*)[!%].*$", r"\1pass", source, flags=re.M)  # of the shell and IPython
    bound, used = set(), set()

    def walk(table):
        for symbol in table.get_symbols():
            if table.get_type() == "module":
                if symbol.is_assigned() or symbol.is_imported():
                    bound.add(symbol.get_name())
                if symbol.is_referenced():
                    used.add(symbol.get_name())
            elif symbol.is_global():
                used.add(symbol.get_name())
        for child in table.get_children():
            walk(child)

    walk(symtable.symtable(source, "cell", "exec"))
    return bound, used - bound - set(dir(builtins))


@pytest.mark.parametrize("minutes", [45, 90])
@pytest.mark.parametrize("name", CHAPTERS)
def test_the_cells_that_must_run_need_no_other(name, minutes):
    chapter = Chapter(name)
    listed = [
        chapter.begins_with(anchor, line)
        for anchor, line, long in must_run(name)
        if minutes == 90 or not long
    ]
    assert len(listed) >= 8
    places = [next(i for i, cell in enumerate(chapter.core) if cell is c) for c in listed]
    assert places == sorted(places)  # and all of the core path
    ran, names = {0, 1, *places}, [bound_and_used(cell.source) for cell in chapter.core]
    for place in places:
        for used in names[place][1]:
            # The last cell that binds it before this one, if any does.
            binds = [i for i in range(place) if used in names[i][0]]
            assert not binds or binds[-1] in ran, f"{chapter.core[place].source[:60]!r}: {used}"


@pytest.mark.parametrize("name", CHAPTERS)
def test_the_numbers_are_the_chapters(name):
    """Decimals and large numbers outside the plans, but for the wrong answers in italics."""
    notebook = Chapter(name).notebook
    texts = [cell.source for cell in notebook.cells]
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            texts.append(str(output.get("text", "")))
            texts += [
                str(value) for kind, value in output.get("data", {}).items() if "text" in kind
            ]
    source = "\n".join(texts).replace("{,}", ",").replace("−", "-")
    known = [float(found.replace(",", "")) for found in re.findall(r"\d[\d,]*\.?\d*", source)]
    page = guide(name)
    said = "\n".join(section(page, heading) for heading in SECTIONS[5:9])
    said = re.sub(r"(?<!\*)\*[^*\n]+\*(?!\*)|\]\([^)]*\)", "", said)  # wrong answers, links
    known += ON_THE_BOARD.get(name[:2], {}).values()
    unknown = set()
    for number in re.findall(r"(?<![\w.,-])(?:\d+\.\d+|\d{1,3}(?:,\d{3})+(?:\.\d+)?)", said):
        decimals = len(number.partition(".")[2])
        value = float(number.replace(",", ""))
        if not any(abs(round(other, decimals) - value) < 1e-9 for other in known):
            unknown.add(number)
    assert not unknown
    for share in re.findall(r"(?<![\w.,])(\d+) %", said):
        assert re.search(rf"(?<![\d.,]){share}(\.0)?(\s|\\,)*\\?%", source), f"{share} %"


def test_the_routes_have_every_chapter_and_their_minutes():
    routes = section(INDEX, "Routes")
    day, sessions, semester = re.findall(r"(?:^\|.+\n)+", routes, re.M)
    assert sum(int(m) for m in re.findall(r"^\| \d \| (\d+) \|", day, re.M)) <= 330
    weeks = re.findall(r"^\| (\d+) \| (.+?) \|", semester, re.M)
    assert [int(week) for week, _ in weeks] == list(range(1, 17))
    taught = [re.findall(r"\(([\w-]+)\.md\)", guides) for _, guides in weeks]
    assert all(len(guides) in (1, 2) for guides in taught)
    assert sorted(name for guides in taught for name in guides) == CHAPTERS
    for row in re.findall(r"^\| [123] \|.+$", sessions, re.M):
        for cell in row.strip("|").split("|")[1:]:
            pages, minutes = len(re.findall(r"\.md\)", cell)), int(re.search(r"(\d+) min", cell)[1])
            assert pages * minutes == 90


def test_first_page_and_readme_lead_to_teaching():
    assert "(#page-teaching)" in (ROOT / "book" / "index.md").read_text("utf-8")
    assert "(book/teaching/index.md)" in (ROOT / "README.md").read_text("utf-8")
    assert INDEX.startswith("(page-teaching)=\n")
    assert "(teaching-licences)=\n## Licences" in INDEX
