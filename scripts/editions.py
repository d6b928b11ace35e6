"""Make plain notebooks from the chapters, for where MyST isn't rendered: `make editions`.

Colab, code hosts and a JupyterLab without the book's extension show MyST's boxes, exercises and
citations as raw text. From each chapter in `notebooks/` this makes two notebooks in plain
Markdown and HTML, without outputs:

    editions/colab/      everything, each solution folded behind its answer cell
    editions/student/    the same without solutions, with a cell for each answer

A Markdown cell is parsed as MyST by the parser that builds the pages. What is plain Markdown
already stays as it was written; what is MyST is cut out where the parser found it, and its
meaning put there. A construct that isn't known here is an error.
"""

import ast
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import nbformat
import yaml
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser
from nbformat import NotebookNode
from pybtex.database import Entry, parse_string

from scripts.set_address import ROOT, configured_url

KINDS = ("colab", "student")
LEAST_IMPORTS = 5  # lines of imports that are worth folding
ANSWER = "# Your answer: code here, or words in a comment."

# What means the same in MyST and in plain Markdown, and the attributes that it may have there.
PLAIN = re.compile(
    r"(paragraph|heading|bullet_list|ordered_list|list_item|blockquote|em|strong|link"
    r"|table|thead|tbody|tr|th|td)_(open|close)"
    r"|inline|text|softbreak|hardbreak|hr|code_inline|code_block|html_inline|html_block|image"
    r"|math_inline|math_block"
)
PLAIN_ATTRIBUTES = {
    "link_open": {"href"},
    "image": {"src", "alt"},
    "ordered_list_open": {"start"},
    "th_open": {"style"},
    "td_open": {"style"},
}
DIRECTIVE = re.compile(r"\{([\w:-]+)\}\s*(.*)")
OPTION = re.compile(r":([\w-]+):[ \t]*(.*)\n?")
# The options that each directive may have.
DIRECTIVES = {"admonition": {"class"}, "exercise": {"label"}, "solution": {"label", "class"}}


class EditionError(ValueError):
    """A chapter holds what the editions don't know how to say; the message names the place."""


class Directive(NamedTuple):
    """A MyST directive: `{name} argument`, its options and the MyST in its body."""

    name: str
    argument: str
    options: dict[str, str]
    body: str


class Edit(NamedTuple):
    """A replacement of text[start:end]."""

    start: int
    end: int
    new: str


class Work(NamedTuple):
    """A work of the bibliography, as the text names it."""

    authors: str  # "Devlin et al."
    year: str
    url: str


class Label(NamedTuple):
    """What a reference leads to."""

    chapter: str  # the notebook's name without its suffix
    cell: str  # the cell's id
    number: str  # "Fig. 11.1", "(11.1)", "Exercise 11.1"; "" for what has only a name


@dataclass(frozen=True)
class Book:
    """What a chapter's edition needs to know of all the rest."""

    url: str  # of the repository
    branch: str
    parser: MarkdownIt
    works: dict[str, Work]
    labels: dict[str, Label]


@dataclass(frozen=True)
class Page:
    """The chapter that is converted, and for which set."""

    book: Book
    chapter: str
    kind: str  # one of KINDS
    anchors: frozenset[str] = frozenset()  # the labels to which its own links lead


# --- Parsing


def make_parser(extensions: list[str]) -> MarkdownIt:
    """Return the book's MyST parser; its inline tokens know their place in `meta["span"]`."""
    parser = create_md_parser(MdParserConfig(enable_extensions=set(extensions)), RendererHTML)
    for rule in parser.inline.ruler.__rules__:
        rule.fn = _noting_its_span(rule.fn)
    parser.inline.ruler.__compile__()
    return parser


def _noting_its_span(rule: Callable[[StateInline, bool], bool]) -> Callable:
    def noting(state: StateInline, silent: bool) -> bool:
        # The text before comes to the tokens together with the first token of this rule.
        first, start = len(state.tokens) + bool(state.pending), state.pos
        matched = rule(state, silent)
        if matched and not silent and len(state.tokens) > first:
            state.tokens[first].meta["span"] = (start, state.pos)
        return matched

    return noting


def directive(token: Token) -> Directive | None:
    """Return the directive that a token is, or None if it is anything else.

    Raises:
        EditionError: the directive, or one of its options, isn't known.
    """
    if token.type not in ("fence", "colon_fence"):
        return None
    match = DIRECTIVE.fullmatch(token.info.strip())
    if not match:
        return None
    name, argument = match.groups()
    body, options = token.content, {}
    while option := OPTION.match(body):
        options[option[1]] = option[2].strip()
        body = body[option.end() :]
    if name not in DIRECTIVES:
        raise EditionError(f"the directive {{{name}}} is not known")
    if unknown := set(options) - DIRECTIVES[name]:
        raise EditionError(f"the option {min(unknown)} of {{{name}}} is not known")
    return Directive(name, argument, options, body.strip())


def walk(text: str, parser: MarkdownIt) -> Iterator[Token]:
    """Yield every token of a text, in reading order, those in directives and of lines included."""
    for token in parser.parse(text):
        yield token
        yield from token.children or ()
        if found := directive(token):
            yield from walk(found.argument, parser)
            yield from walk(found.body, parser)


# --- What references lead to


def labels_of(chapter: str, notebook: NotebookNode, parser: MarkdownIt) -> dict[str, Label]:
    """Return what each label of a chapter leads to, with the number that the pages give it.

    Raises:
        EditionError: names the cell and the construct that isn't known.
    """
    labels, count = {}, Counter()

    def number(kind: str) -> str:
        count[kind] += 1
        return f"{int(chapter[:2])}.{count[kind]}"

    for place, cell in places(chapter, notebook):
        figure = cell.metadata.get("mystnb", {}).get("figure")
        if figure:
            labels[figure["name"]] = Label(chapter, cell.id, f"Fig. {number('figure')}")
        if cell.cell_type != "markdown":
            continue
        with_place = located(place, list)
        for token in with_place(walk(cell.source, parser)):
            found = directive(token)
            if token.type == "myst_target":
                labels[token.content] = Label(chapter, cell.id, "")
            elif token.type == "math_block_label":
                labels[token.info] = Label(chapter, cell.id, f"({number('equation')})")
            elif found and found.name == "exercise":
                exercise = f"Exercise {number('exercise')}"
                labels[found.options["label"]] = Label(chapter, cell.id, exercise)
    return labels


def links_of(notebook: NotebookNode, parser: MarkdownIt) -> frozenset[str]:
    """Return the labels to which a chapter's `[text](#label)` lead."""
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    tokens = (token for text in texts for token in walk(text, parser))
    targets = (str(token.attrGet("href")) for token in tokens if token.type == "link_open")
    return frozenset(target[1:] for target in targets if target.startswith("#"))


def places(chapter: str, notebook: NotebookNode) -> Iterator[tuple[str, NotebookNode]]:
    """Yield each cell with the words that name its place; cells are counted from 1."""
    for number, cell in enumerate(notebook.cells, start=1):
        yield f"notebooks/{chapter}.ipynb, cell {number}", cell


def located(place: str, function: Callable) -> Callable:
    """Return the function with its EditionErrors naming the place."""

    def with_place(*arguments):
        try:
            return function(*arguments)
        except EditionError as error:
            raise EditionError(f"{place}: {error}") from error

    return with_place


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


# --- From MyST to plain Markdown


def plain(text: str, page: Page) -> str:
    """Return the same text in plain Markdown and HTML.

    Raises:
        EditionError: the text holds MyST that isn't known here.
    """
    starts = [0, *(match.end() for match in re.finditer("\n", text)), len(text)]
    edits: list[Edit] = []
    cursor = 0
    for token in page.book.parser.parse(text):
        if token.map:
            cursor = max(cursor, starts[token.map[0]])
            end = starts[min(token.map[1], len(starts) - 1)]
        if token.type == "inline":
            _check(token)
            found, cursor = _inline_edits(text, token, cursor, page)
            edits += found
        elif token.type.startswith("math_block"):
            start = text.index("$$", cursor)
            edits.append(Edit(start, end, _display(token, page) + "\n"))
        elif token.type == "myst_target":
            edits.append(Edit(cursor, _after_blank(text, end), _anchor(token.content, page)))
        elif found := directive(token):
            if token.level:
                raise EditionError(f"{{{found.name}}} stands in a list or a quotation")
            edits.append(Edit(cursor, end, _block(found, page) + "\n"))
        elif token.type != "fence":
            _check(token)
    for edit in sorted(edits, reverse=True):
        text = text[: edit.start] + edit.new + text[edit.end :]
    return text.strip()


def _check(token: Token) -> None:
    """Refuse what plain Markdown can't say."""
    if not PLAIN.fullmatch(token.type):
        raise EditionError(f"{token.type} is not known: {token.content[:60]!r}")
    if unknown := set(token.attrs) - PLAIN_ATTRIBUTES.get(token.type, set()):
        raise EditionError(f"{token.type} has the attribute {min(unknown)}")


def _after_blank(text: str, position: int) -> int:
    return position + len(text[position:]) - len(text[position:].lstrip("\n"))


def _display(token: Token, page: Page) -> str:
    """A formula on a line of its own, in one line: JupyterLab takes formulas out of the text
    before it reads the marks of a quotation, which would get into one of several lines."""
    formula = " ".join(token.content.split())
    if token.type == "math_block_label":
        formula += rf" \tag{{{page.book.labels[token.info].number.strip('()')}}}"
    return f"$$ {formula} $$"


def _inline_edits(text: str, line: Token, cursor: int, page: Page) -> tuple[list[Edit], int]:
    """Return the edits of one inline token, and where in the text it ends.

    The token's spans are places in its content, which lacks the indents and marks that the text
    has at the start of a line; so each span is looked for in the text, one after the other.
    """
    edits = []
    for token in line.children or ():
        if token.type != "myst_role":
            _check(token)
        if "span" not in token.meta or token.type == "text":
            continue
        source = line.content[slice(*token.meta["span"])]
        lines = [re.escape(part.strip()) for part in source.split("\n")]
        match = re.compile(r"[ \t]*\n[ \t>]*".join(lines)).search(text, cursor)
        if not match:
            raise EditionError(f"{source!r} isn't found where the parser saw it")
        cursor = match.end()
        if token.type == "myst_role":
            edits.append(Edit(*match.span(), _role(token, page)))
        elif token.type == "math_inline":
            edits.append(Edit(*match.span(), " ".join(source.split())))
        elif token.type in ("link_open", "image"):
            address = str(token.attrGet("href" if token.type == "link_open" else "src"))
            if not re.match(r"\w+:", address):
                if "](" not in source:
                    raise EditionError(f"{source!r} isn't of the form [text](address)")
                start = match.start() + match[0].rindex("](") + 2
                edits.append(Edit(start, match.end() - 1, _address(address, page)))
            if token.type == "link_open":
                cursor = match.start() + 1  # what stands in the link comes next
    return edits, cursor


def _role(token: Token, page: Page) -> str:
    name, content = token.meta["name"], token.content
    if name in ("cite:t", "cite:p"):
        works = [_known(key.strip(), page.book.works, "work") for key in content.split(",")]
        if name == "cite:t":
            return ", ".join(f"[{w.authors} ({w.year})]({w.url})" for w in works)
        return "(" + "; ".join(f"[{w.authors}, {w.year}]({w.url})" for w in works) + ")"
    if name in ("eq", "numref"):
        label = _known(content, page.book.labels, "label")
        if not label.number:
            raise EditionError(f"{{{name}}}`{content}` leads to what has no number")
        if label.chapter == page.chapter:
            return label.number
        return f"[{label.number}]({_address('#' + content, page)})"
    if name == "term":
        return f"[{content}]({_address('../book/notation.md', page)})"
    raise EditionError(f"the role {{{name}}} is not known")


def _known(key: str, known: dict, what: str):
    if key not in known:
        raise EditionError(f"there is no {what} {key!r}")
    return known[key]


def _address(target: str, page: Page) -> str:
    """Return where a link or an image of a chapter leads from its edition.

    Another chapter is opened in Colab: in Colab nothing relative leads anywhere, and from a code
    host or JupyterLab the reader gets to a chapter that runs. Pages of the book are read on the
    code host. Only what stands in the same chapter is reached without a network.
    """
    book = page.book
    if target.startswith("#"):
        label = _known(target[1:], book.labels, "label")
        if label.chapter == page.chapter:
            return target
        # Colab goes to the cell whose metadata hold this id.
        return f"{colab_url(page, label.chapter)}#scrollTo={label.cell}"
    if not target.startswith("../"):
        raise EditionError(f"{target} leads to no other folder of the book")
    path = target.removeprefix("../")
    if path.endswith((".png", ".svg", ".jpg")):
        return f"{book.url.replace('github.com', 'raw.githubusercontent.com')}/{book.branch}/{path}"
    return f"{book.url}/blob/{book.branch}/{path}"


def colab_url(page: Page, chapter: str) -> str:
    """Return the address at which Colab opens a chapter's edition."""
    slug = page.book.url.removeprefix("https://github.com/")
    path = f"editions/{page.kind}/{chapter}.ipynb"
    return f"https://colab.research.google.com/github/{slug}/blob/{page.book.branch}/{path}"


def _anchor(label: str, page: Page) -> str:
    return f'<a id="{label}"></a>\n\n' if label in page.anchors else ""


def _block(found: Directive, page: Page) -> str:
    title, body = plain(found.argument, page), plain(found.body, page)
    if found.name == "admonition":
        lines = f"**{title}**\n\n{body}".split("\n")
        return "\n".join(f"> {line}".rstrip() for line in lines)
    if found.name == "exercise":
        label = found.options["label"]
        number = page.book.labels[label].number
        return f"{_anchor(label, page)}### {number}: {title}\n\n{body}"
    raise EditionError(f"{{{found.name}}} stands where it can't be moved")


def folded(solution: Directive, page: Page) -> str:
    """Return a solution that opens at a click; Markdown in HTML needs the blank lines."""
    number = _known(solution.argument, page.book.labels, "label").number
    summary = f"<summary><b>Solution of {number[0].lower()}{number[1:]}</b></summary>"
    return f"<details>\n{summary}\n\n{plain(solution.body, page)}\n\n</details>"


def split(text: str, parser: MarkdownIt) -> tuple[str, list[Directive]]:
    """Return a Markdown cell's text without its solutions, and the solutions."""
    lines, solutions = text.split("\n"), []
    for token in reversed(parser.parse(text)):
        found = directive(token)
        if found and found.name == "solution":
            solutions.insert(0, found)
            del lines[slice(*token.map)]
    return "\n".join(lines), solutions


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
    page = Page(book, chapter, kind, links_of(notebook, book.parser))
    metadata = {
        "colab": {"name": f"{chapter}.ipynb", "provenance": [], "toc_visible": True},
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    cells = list(_cells(notebook, page))
    return nbformat.from_dict(
        {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    )


def _cells(notebook: NotebookNode, page: Page) -> Iterator[NotebookNode]:
    following = [*notebook.cells[1:], None]
    solutions: list[NotebookNode] = []
    is_set_up = True  # the first code cell stays as it is
    for (place, cell), after in zip(places(page.chapter, notebook), following, strict=True):
        if cell.cell_type == "code":
            yield from [_code(cell.id, cell.source)] if is_set_up else _code_cells(cell, page)
            is_set_up = False
            yield from solutions
            solutions = []
            continue
        task, found = split(cell.source, page.book.parser)
        yield _markdown(cell.id, located(place, plain)(task, page))
        answered = after is not None and after.cell_type == "code"
        if page.kind == "colab":
            texts = [located(place, folded)(solution, page) for solution in found]
            solutions = [
                _markdown(f"{cell.id}-solution-{n}", text) for n, text in enumerate(texts, start=1)
            ]
        elif found and not answered:
            yield _code(f"{cell.id}-answer", ANSWER)
        if not answered:
            yield from solutions
            solutions = []


def _code_cells(cell: NotebookNode, page: Page) -> Iterator[NotebookNode]:
    """Fold what draws a figure, and the imports, each under a title."""
    figure = cell.metadata.get("mystnb", {}).get("figure")
    if figure:
        number = page.book.labels[figure["name"]].number
        caption = plain(figure["caption"], page)
        yield _code(cell.id, cell.source, title=f"{number}: {spoken(caption, page.book.parser)}")
        yield _markdown(f"{cell.id}-caption", f"**{number}.** {caption}")
        return
    imports, rest = split_imports(cell.source)
    if imports:
        yield _code(f"{cell.id}-imports" if rest else cell.id, imports, title="Imports")
    if rest:
        yield _code(cell.id, rest)


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
    metadata = {"id": cell_id}
    if title:  # Colab folds the cell under this line
        source = f"# @title {title}\n{source}"
        metadata["cellView"] = "form"
    return nbformat.v4.new_code_cell(source, id=cell_id, metadata=metadata)


def _markdown(cell_id: str, source: str) -> NotebookNode:
    return nbformat.v4.new_markdown_cell(source, id=cell_id, metadata={"id": cell_id})


# --- Files


def read_book(root: Path = ROOT) -> tuple[Book, dict[str, NotebookNode]]:
    """Return what the chapters refer to, and the chapters by their names."""
    config = yaml.safe_load((root / "_config.yml").read_text("utf-8"))
    url, branch = configured_url(root), config["repository"]["branch"]
    parser = make_parser(config["parse"]["myst_enable_extensions"])
    paths = sorted((root / "notebooks").glob("*.ipynb"))
    chapters = {path.stem: nbformat.read(path, as_version=4) for path in paths}
    labels = {}
    for name, notebook in chapters.items():
        labels |= labels_of(name, notebook, parser)
    path = "book/references.bib"
    works = works_of((root / path).read_text("utf-8"), f"{url}/blob/{branch}/{path}")
    return Book(url, branch, parser, works, labels), chapters


def all_editions(root: Path = ROOT) -> dict[Path, str]:
    """Return each edition's path under the root, and the text that belongs there."""
    book, chapters = read_book(root)
    return {
        Path("editions", kind, f"{name}.ipynb"): nbformat.writes(
            edition(name, notebook, book, kind)
        )
        + "\n"
        for kind in KINDS
        for name, notebook in chapters.items()
    }


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
