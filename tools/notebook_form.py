"""The form that every notebook of the book has, as checks that return what is wrong.

A chapter has a number in its name and exercises; a page, such as the one on errors, has neither.

Each check takes a notebook (nbformat 4) and returns findings: one sentence each, none if the
notebook is well-formed. Cells are numbered from 1, as a reader counts them.
"""

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path

from nbformat import NotebookNode
from PIL import Image

from tools import left_behind

SECTIONS = ("What this chapter needs", "Exercises", "Summary", "Further reading")
PAGE_SECTIONS = ("What this page needs",)
LEAST_EXERCISES = 3
CHECK_TAG = "nbval-check-output"  # nbval compares what such a cell prints with what is stored

SETUP_CELL = """\
# In Colab, this fetches the book and installs its package; elsewhere it does nothing.
import sys

if "google.colab" in sys.modules:
    !git clone -q --depth 1 {url} book
    %pip install -q ./book
    %cd -q book/notebooks

from helpers.teaching import environment

device = environment.set_up(seed=0)"""

MACHINE_PATH = re.compile(r"(?<![\w/.:~-])/(?:home|Users|root|work|tmp|mnt|var)/[\w.-]+|\b[A-Z]:\\")
PLACEHOLDER = re.compile(r"\{\{\w+\}\}")
PROGRESS_BAR = re.compile(r"\d+%\|.*\||\d\s?(?:it|ex|examples)/s\b|\r(?!\n)")
HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*$", re.MULTILINE)
FENCED = re.compile(r"^(`{3,}|~{3,})(?!`).*?^\1`*\s*$", re.MULTILINE | re.DOTALL)
IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)[^)]*\)")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
DIRECTIVE_IMAGE = re.compile(
    r"^[`:]{3,}\{(?:image|figure)\}[ \t]*(\S+)((?:\n:[^\n]*)*)", re.MULTILINE
)
EXERCISE = re.compile(r"^[`:]{3,}\{exercise(?:-start)?\}[^\n]*((?:\n:[^\n]*)*)", re.MULTILINE)
SOLUTION = re.compile(
    r"^[`:]{3,}\{solution(?:-start)?\}[ \t]*(\S*)[^\n]*((?:\n:[^\n]*)*)", re.MULTILINE
)
CORRECTION = re.compile(r"^[`:]{3,}\{admonition\}[^\n]*\n:class:[^\n]*\bcorrection\b", re.MULTILINE)


def _cells(notebook: NotebookNode, kind: str) -> Iterator[tuple[int, NotebookNode]]:
    """Yield (number, cell) for the cells of one kind."""
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == kind:
            yield number, cell


def _outputs(notebook: NotebookNode) -> Iterator[tuple[int, NotebookNode]]:
    """Yield (cell number, output) for every stored output."""
    for number, cell in _cells(notebook, "code"):
        for output in cell.outputs:
            yield number, output


def _has_image(cell: NotebookNode) -> bool:
    return any(kind.startswith("image/") for out in cell.outputs for kind in out.get("data", {}))


def _texts(output: NotebookNode) -> Iterator[str]:
    """Yield the readable texts of an output."""
    if output.output_type == "stream":
        yield output.text
    for kind, value in output.get("data", {}).items():
        if kind.startswith("text/"):
            yield value
    yield from output.get("traceback", ())


def setup_cell(notebook: NotebookNode, url: str) -> list[str]:
    """The first code cell is the set-up cell that all notebooks share."""
    first = next((cell for _, cell in _cells(notebook, "code")), None)
    if first is None:
        return ["there is no code cell; the first must be the set-up cell"]
    if first.source != SETUP_CELL.format(url=url):
        return [f"the first code cell isn't the set-up cell with the address {url}"]
    return []


def execution_counts(notebook: NotebookNode) -> list[str]:
    """The code cells were executed once each, top to bottom."""
    counts = [cell.execution_count for _, cell in _cells(notebook, "code") if cell.source.strip()]
    if counts != list(range(1, len(counts) + 1)):
        return [f"execution counts are {counts}, expected 1 to {len(counts)}: run `make execute`"]
    return []


def stored_outputs(notebook: NotebookNode) -> list[str]:
    """No error, stderr, progress bar or widget is stored."""
    findings = []
    for number, output in _outputs(notebook):
        if output.output_type == "error":
            findings.append(f"cell {number} stores an error: {output.ename}: {output.evalue}")
        if output.output_type == "stream" and output.name == "stderr":
            findings.append(f"cell {number} stores stderr output: {output.text[:80]!r}")
        if any("widget" in kind for kind in output.get("data", {})):
            findings.append(f"cell {number} stores a widget")
        if any(PROGRESS_BAR.search(text) for text in _texts(output)):
            findings.append(f"cell {number} stores a progress bar")
    return findings


def machine_paths(notebook: NotebookNode) -> list[str]:
    """No path of somebody's machine stands in a source or an output."""
    texts = [(number, cell.source) for number, cell in enumerate(notebook.cells, start=1)]
    texts += [(number, text) for number, output in _outputs(notebook) for text in _texts(output)]
    return [
        f"cell {number} holds a machine path: {match[0]}"
        for number, text in texts
        if (match := MACHINE_PATH.search(text))
    ]


def checked_cells(notebook: NotebookNode) -> list[str]:
    """A cell whose output nbval compares has one; nbval passes over a cell without.

    The mark is a tag, which readers don't see, and never nbval's comment in the code.
    """
    comments = [
        f"cell {number} has nbval's comment; give the cell the tag {CHECK_TAG} instead"
        for number, cell in _cells(notebook, "code")
        if re.search(r"^\s*#\s*NBVAL_", cell.source, re.MULTILINE)
    ]
    return (
        comments
        + [
            f"cell {number} is tagged {CHECK_TAG} but has no "
            + ("output" if cell.execution_count else "execution count")
            for number, cell in _cells(notebook, "code")
            if CHECK_TAG in cell.metadata.get("tags", ())
            and not (cell.outputs and cell.execution_count)
        ]
        + [
            f"cell {number} is tagged {CHECK_TAG}, and pandas' Styler draws its table's name anew"
            for number, cell in _cells(notebook, "code")
            if CHECK_TAG in cell.metadata.get("tags", ())
            and any(
                'id="T_' in output.get("data", {}).get("text/html", "") for output in cell.outputs
            )
        ]
    )


def alternative_texts(notebook: NotebookNode) -> list[str]:
    """Every image says in words what it shows."""
    findings = []
    for number, cell in _cells(notebook, "code"):
        image = cell.metadata.get("mystnb", {}).get("image", {})
        if _has_image(cell) and not image.get("alt", "").strip():
            findings.append(f"cell {number} shows an image without metadata.mystnb.image.alt")
    for number, cell in _cells(notebook, "markdown"):
        for alt, target in IMAGE.findall(cell.source):
            if not alt.strip():
                findings.append(f"cell {number} shows {target} without alternative text")
        for target, options in DIRECTIVE_IMAGE.findall(cell.source):
            if not re.search(r"^:alt:\s*\S", options, re.MULTILINE):
                findings.append(f"cell {number} shows {target} without :alt:")
    return findings


def numbered_figures(notebook: NotebookNode) -> list[str]:
    """Every image of an output is a figure with a name and a caption, and the text refers to it."""
    text = "\n".join(cell.source for _, cell in _cells(notebook, "markdown"))
    findings = []
    for number, cell in _cells(notebook, "code"):
        if not _has_image(cell):
            continue
        figure = cell.metadata.get("mystnb", {}).get("figure", {})
        name, caption = figure.get("name", ""), figure.get("caption", "")
        if not (name and caption.strip()):
            findings.append(
                f"cell {number} shows an image without metadata.mystnb.figure name and caption"
            )
        elif f"{{numref}}`{name}`" not in text:
            findings.append(f"no text refers to cell {number}'s figure: {{numref}}`{name}`")
        # Each would get the figure's name.
        if sum("data" in output for output in cell.outputs) > 1:
            findings.append(f"cell {number} shows something beside its figure: make two cells")
    return findings


def pixels(notebook: NotebookNode) -> list[str]:
    """A figure has twice the pixels of its shown width, so that it is sharp on a dense screen."""
    findings = []
    for number, output in _outputs(notebook):
        if "image/png" not in output.get("data", {}):
            continue
        with Image.open(io.BytesIO(base64.b64decode(output.data["image/png"]))) as image:
            stored = image.width
        # Without a width, a page shows one pixel of the image as one of its own.
        shown = output.metadata.get("image/png", {}).get("width", stored)
        if stored < 2 * shown:
            findings.append(
                f"cell {number} shows a figure {shown} wide with {stored} pixels: `make execute`"
            )
    return findings


def links(notebook: NotebookNode, folder: Path) -> list[str]:
    """Every relative link and image leads to a file."""
    findings = []
    for number, cell in _cells(notebook, "markdown"):
        prose = FENCED.sub("", cell.source)
        targets = [target for _, target in IMAGE.findall(prose)] + LINK.findall(prose)
        targets += [target for target, _ in DIRECTIVE_IMAGE.findall(cell.source)]
        for target in targets:
            path = target.partition("#")[0]
            if path and not re.match(r"[a-z]+:", path) and not (folder / path).exists():
                findings.append(f"cell {number} links to {target}, which doesn't exist")
    return findings


def is_chapter(path: Path) -> bool:
    """Whether a notebook is a chapter, by its name: `11-text-classification.ipynb`."""
    return re.match(r"\d\d-", path.name) is not None


def sections(notebook: NotebookNode, promised: tuple[str, ...] = SECTIONS) -> list[str]:
    """One title, at the very start, and every promised section."""
    prose = [FENCED.sub("", cell.source) for _, cell in _cells(notebook, "markdown")]
    headings = [match.groups() for text in prose for match in HEADING.finditer(text)]
    titles = [text for level, text in headings if level == "#"]
    findings = []
    if len(titles) != 1:
        findings.append(f"there are {len(titles)} titles (#), expected one: {titles}")
    if not notebook.cells or not re.match(r"(\([\w-]+\)=\s+)?# ", notebook.cells[0].source):
        findings.append("the notebook doesn't begin with its title")
    present = {text for level, text in headings if level == "##"}
    findings += [f"the section '## {name}' is missing" for name in promised if name not in present]
    return findings


def exercises(notebook: NotebookNode) -> list[str]:
    """There are enough exercises, and each has a solution that is hidden at first."""
    text = "\n".join(cell.source for _, cell in _cells(notebook, "markdown"))
    options = [match[1] for match in EXERCISE.finditer(text)]
    labels = [m[1] if (m := re.search(r":label:\s*(\S+)", o)) else None for o in options]
    solutions = {match[1]: match[2] for match in SOLUTION.finditer(text)}
    findings = []
    if len(labels) < LEAST_EXERCISES:
        findings.append(f"there are {len(labels)} exercises, expected at least {LEAST_EXERCISES}")
    for label in labels:
        if label is None:
            findings.append("an exercise has no :label:")
        elif label not in solutions:
            findings.append(f"the exercise {label} has no solution")
        elif not re.search(r":class:.*\bdropdown\b", solutions[label]):
            findings.append(f"the solution of {label} isn't hidden: give it :class: dropdown")
    return findings


def corrections(notebook: NotebookNode) -> list[str]:
    """At least one box corrects a common mistake."""
    text = "\n".join(cell.source for _, cell in _cells(notebook, "markdown"))
    if not CORRECTION.search(text):
        return ["no box corrects a common mistake: {admonition} with :class: correction"]
    return []


def metadata(notebook: NotebookNode) -> list[str]:
    """Nothing in the metadata changes from run to run or from machine to machine."""
    findings = []
    if notebook.metadata.get("kernelspec", {}).get("name") != "python3":
        findings.append("the kernel isn't python3")
    if "widgets" in notebook.metadata:
        findings.append("the notebook stores the state of widgets")
    if "version" in notebook.metadata.get("language_info", {}):
        findings.append("the notebook stores the version of Python")
    ids = [cell.get("id") for cell in notebook.cells]
    if None in ids or len(set(ids)) != len(ids):
        findings.append("a cell has no id, or two cells have the same one")
    findings += [
        f"cell {number} stores execution times"
        for number, cell in _cells(notebook, "code")
        if "execution" in cell.metadata
    ]
    return findings


def placeholders(notebook: NotebookNode) -> list[str]:
    """Markdown and metadata have no {{NAME}} that somebody meant to fill in."""
    found = []
    for number, cell in enumerate(notebook.cells, start=1):
        shown = str(cell.metadata) + (cell.source if cell.cell_type == "markdown" else "")
        found += [
            f"cell {number} holds the placeholder {it[0]}" for it in PLACEHOLDER.finditer(shown)
        ]
    return found


def findings(notebook: NotebookNode, folder: Path, url: str, *, chapter: bool = True) -> list[str]:
    """Return everything that is wrong with a notebook's form.

    Args:
        notebook: the notebook, as nbformat 4.
        folder: where it lies, for its relative links.
        url: the project's public address.
        chapter: whether it is a chapter, which has exercises and corrects a mistake, or a page.
    """
    found = setup_cell(notebook, url) + links(notebook, folder)
    found += sections(notebook, SECTIONS if chapter else PAGE_SECTIONS)
    if chapter:
        found += exercises(notebook) + corrections(notebook)
    for check in (
        execution_counts,
        stored_outputs,
        machine_paths,
        checked_cells,
        alternative_texts,
        numbered_figures,
        pixels,
        metadata,
        placeholders,
        left_behind.findings,
    ):
        found += check(notebook)
    return found
