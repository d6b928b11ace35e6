"""Make plain notebooks from the chapters, for where MyST isn't rendered: `make editions`.

Colab, code hosts and a JupyterLab without the book's extension show MyST's boxes, exercises and
citations as raw text, and each solution open above its answer cell. From each chapter in
`notebooks/` this makes two notebooks in plain Markdown and HTML, without outputs:

    editions/colab/      everything, each solution folded behind its answer cell
    editions/student/    the same without solutions, with a cell for each answer

Figures, formulas and exercises have the numbers that they have on the book's pages.
"""

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat
import yaml
from markdown_it import MarkdownIt
from nbformat import NotebookNode
from pybtex.database import Entry, parse_string

from tools.plain_markdown import (
    Label,
    MystError,
    Page,
    Work,
    directive,
    folded,
    make_parser,
    plain,
    split,
    walk,
)
from tools.set_address import ROOT, configured_url

KINDS = ("colab", "student")
BIBLIOGRAPHY = "book/references.bib"
HIDDEN = "hide-input"  # the tag of a cell that the pages fold
LEAST_IMPORTS = 5  # lines of imports that are worth folding
ANSWER = "# Your answer: code here, or words in a comment."


class EditionError(ValueError):
    """A chapter holds what the editions can't say; the message names the notebook and the cell."""


@contextmanager
def at(place: str) -> Iterator[None]:
    """Let an error name its place."""
    try:
        yield
    except MystError as error:
        raise EditionError(f"{place}: {error}") from error


@dataclass(frozen=True)
class Book:
    """What the chapters refer to."""

    url: str  # of the repository: https://github.com/owner/repo
    branch: str
    parser: MarkdownIt
    works: dict[str, Work]
    labels: dict[str, Label]
    links: dict[str, frozenset[str]]  # for each chapter, the labels to which its links lead


def page_of(chapter: str, book: Book, kind: str) -> Page:
    """Return a chapter's page in one of the two sets."""
    slug = book.url.removeprefix("https://github.com/")
    return Page(
        chapter,
        book.parser,
        book.works,
        book.labels,
        book.links[chapter],
        url=f"{book.url}/blob/{book.branch}",
        colab=(
            f"https://colab.research.google.com/github/{slug}/blob/{book.branch}/editions/{kind}"
        ),
    )


# --- What references lead to


def places(chapter: str, notebook: NotebookNode) -> Iterator[tuple[str, NotebookNode]]:
    """Yield each cell with the words that name its place; cells are counted from 1."""
    for number, cell in enumerate(notebook.cells, start=1):
        yield f"notebooks/{chapter}.ipynb, cell {number}", cell


def references(
    chapter: str, notebook: NotebookNode, parser: MarkdownIt
) -> tuple[dict[str, Label], frozenset[str]]:
    """Return the labels of a chapter, and those to which its `[text](#label)` lead.

    Raises:
        EditionError: names the cell and the construct that isn't known.
    """
    labels, links, count = {}, set(), Counter()

    def number(kind: str) -> str:
        count[kind] += 1
        return f"{int(chapter[:2])}.{count[kind]}"

    for place, cell in places(chapter, notebook):
        if figure := cell.metadata.get("mystnb", {}).get("figure"):
            labels[figure["name"]] = Label(chapter, cell.id, f"Fig. {number('figure')}")
        if cell.cell_type != "markdown":
            continue
        with at(place):
            tokens = list(walk(cell.source, parser))
        for token in tokens:
            found = directive(token)
            if token.type == "myst_target":
                labels[token.content] = Label(chapter, cell.id, "")
            elif token.type == "math_block_label":
                labels[token.info] = Label(chapter, cell.id, f"({number('formula')})")
            elif found and found.name == "exercise":
                exercise = f"Exercise {number('exercise')}"
                labels[found.options["label"]] = Label(chapter, cell.id, exercise)
            elif token.type == "link_open" and str(token.attrs["href"]).startswith("#"):
                links.add(str(token.attrs["href"])[1:])
    return labels, frozenset(links)


def works_of(bibliography: str, url: str) -> dict[str, Work]:
    """Return how the text names each work of a BibTeX file, and where to read it.

    Args:
        bibliography: the file's text.
        url: the file's public address; there a reader finds works without an address of their own.
    """
    return {
        key: Work(_authors(entry), entry.fields["year"], _where_to_read(entry) or f"{url}#L{line}")
        for key, entry in parse_string(bibliography, "bibtex").entries.items()
        for line in [bibliography[: bibliography.index(f"{{{key},")].count("\n") + 1]
    }


def _authors(entry: Entry) -> str:
    names = [
        " ".join(str(part) for part in (*person.rich_prelast_names, *person.rich_last_names))
        for person in entry.persons.get("author") or entry.persons["editor"]
    ]
    return f"{names[0]} et al." if len(names) > 2 else " and ".join(names)


def _where_to_read(entry: Entry) -> str:
    fields = entry.fields
    arxiv = fields.get("eprint") or fields.get("note", "").removeprefix("arXiv:")
    if "doi" in fields:
        url = f"https://doi.org/{fields['doi']}"
    elif re.fullmatch(r"\d{4}\.\d{4,5}|[a-z-]+/\d{7}", arxiv):
        url = f"https://arxiv.org/abs/{arxiv}"
    else:
        url = fields.get("url", "")
    # A parenthesis would end the Markdown link.
    return url.replace("(", "%28").replace(")", "%29")


# --- Notebooks


def edition(chapter: str, notebook: NotebookNode, book: Book, kind: str) -> NotebookNode:
    """Return a chapter as a plain notebook.

    Args:
        chapter: the notebook's name without its suffix.
        notebook: the chapter; it stays as it is.
        book: what the chapter refers to.
        kind: "colab" or "student".

    Raises:
        EditionError: names the cell and the construct that isn't known.
    """
    page = page_of(chapter, book, kind)
    metadata = {
        "colab": {"name": f"{chapter}.ipynb", "provenance": [], "toc_visible": True},
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    cells = list(_cells(notebook, page, with_solutions=kind == "colab"))
    return nbformat.from_dict(
        {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    )


def _cells(notebook: NotebookNode, page: Page, *, with_solutions: bool) -> Iterator[NotebookNode]:
    waiting: list[NotebookNode] = []  # solutions, until their answer cell has passed
    is_set_up = True  # the first code cell stays as it is
    following = [*notebook.cells[1:], None]
    for (place, cell), after in zip(places(page.chapter, notebook), following, strict=True):
        if cell.cell_type == "code":
            with at(place):
                yield from [_code(cell.id, cell.source)] if is_set_up else _code_cells(cell, page)
            is_set_up = False
        else:
            with at(place):
                task, solutions = split(cell.source, page.parser)
                yield _markdown(cell.id, plain(task, page))
                if with_solutions:
                    waiting = [
                        _markdown(f"{cell.id}-solution-{n}", folded(solution, page))
                        for n, solution in enumerate(solutions, start=1)
                    ]
            if after is not None and after.cell_type == "code":
                continue
            if solutions and not with_solutions:
                yield _code(f"{cell.id}-answer", ANSWER)
        yield from waiting
        waiting = []


def _code_cells(cell: NotebookNode, page: Page) -> Iterator[NotebookNode]:
    """Fold what draws a figure, the imports, and what the pages fold, each under a title."""
    figure = cell.metadata.get("mystnb", {}).get("figure")
    if figure:
        number = page.labels[figure["name"]].number
        caption = plain(figure["caption"], page)
        yield _code(cell.id, cell.source, title=f"{number}: {spoken(caption, page.parser)}")
        yield _markdown(f"{cell.id}-caption", f"**{number}.** {caption}")
        return
    imports, rest = split_imports(cell.source)
    if imports:
        yield _code(f"{cell.id}-imports" if rest else cell.id, imports, title="Imports")
    if rest:
        # What follows imports are the chapter's settings, for a reader to change.
        folds = HIDDEN in cell.metadata.get("tags", ()) and not imports
        yield _code(cell.id, rest, title=called(rest) if folds else "")


def called(source: str) -> str:
    """Return what to call folded code that isn't a figure's: by its first comment, or its names."""
    if comment := re.match(r"#\s*(.+)", source):
        return comment[1].rstrip(".:")
    if "show_comparison(" in source:
        return "What the comparison rests on"
    names = re.findall(r"^(?:def|class) (\w+)", source, re.MULTILINE)
    return f"Code of {', '.join(names)}" if names else "Code"


def spoken(caption: str, parser: MarkdownIt) -> str:
    """Return the first sentence of a caption without any marks, as the title of a form."""
    children = parser.parseInline(caption)[0].children or []
    words = "".join(child.content or " " * (child.type == "softbreak") for child in children)
    return re.split(r"\.\s+(?=[A-Z])", words)[0].rstrip(".")


def split_imports(source: str) -> tuple[str, str]:
    """Return the imports at the top of a cell, if they are long enough to fold, and the rest."""
    try:
        statements = ast.parse(source).body
    except SyntaxError:  # IPython's own syntax
        return "", source
    end = 0
    for statement in statements:
        if not isinstance(statement, ast.Import | ast.ImportFrom):
            break
        end = statement.end_lineno or 0
    lines = source.split("\n")
    if end < LEAST_IMPORTS:
        return "", source
    return "\n".join(lines[:end]), "\n".join(lines[end:]).strip("\n")


def _code(cell_id: str, source: str, title: str = "") -> NotebookNode:
    # Colab calls a cell by the id in its metadata, Jupyter by the one beside them.
    metadata: dict = {"id": cell_id}
    if title:  # Colab folds the cell under this line, JupyterLab altogether
        source = f"# @title {title}\n{source}"
        metadata |= {"cellView": "form", "jupyter": {"source_hidden": True}}
    return nbformat.v4.new_code_cell(source, id=cell_id, metadata=metadata)


def _markdown(cell_id: str, source: str) -> NotebookNode:
    return nbformat.v4.new_markdown_cell(source, id=cell_id, metadata={"id": cell_id})


# --- Files


def read_book(root: Path = ROOT) -> tuple[Book, dict[str, NotebookNode]]:
    """Return what the chapters refer to, and the chapters by their names."""
    config = yaml.safe_load((root / "_config.yml").read_text("utf-8"))
    url, branch = configured_url(root), config["repository"]["branch"]
    parser = make_parser(config["parse"]["myst_enable_extensions"])
    bibliography = (root / BIBLIOGRAPHY).read_text("utf-8")
    works = works_of(bibliography, f"{url}/blob/{branch}/{BIBLIOGRAPHY}")
    paths = sorted((root / "notebooks").glob("*.ipynb"))
    chapters = {path.stem: nbformat.read(path, as_version=4) for path in paths}
    labels, links = {}, {}
    for name, notebook in chapters.items():
        its_labels, links[name] = references(name, notebook, parser)
        labels |= its_labels
    return Book(url, branch, parser, works, labels, links), chapters


def all_editions(root: Path = ROOT) -> dict[Path, str]:
    """Return each edition's path under the root, and the text that belongs there."""
    book, chapters = read_book(root)
    texts = {}
    for kind in KINDS:
        for name, notebook in chapters.items():
            text = nbformat.writes(edition(name, notebook, book, kind))
            texts[Path("editions", kind, f"{name}.ipynb")] = text + "\n"
    return texts


def write(root: Path = ROOT) -> None:
    """Write all editions, and remove those of chapters that are gone."""
    texts = all_editions(root)
    for path in (root / "editions").glob("*/*.ipynb"):
        if path.relative_to(root) not in texts:
            path.unlink()
    for path, text in texts.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8", newline="\n")


def main() -> int:
    try:
        write()
    except EditionError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
