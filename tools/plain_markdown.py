"""Say in plain Markdown and HTML what a chapter's MyST means.

A text is parsed by the parser that builds the pages. What is plain Markdown already stays as it
was written; what is MyST is cut out where the parser found it, and its meaning put there. MyST
that isn't known here is an error, and so is what plain Markdown can't say.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser

T = TypeVar("T")

# What means the same in MyST and in plain Markdown, and the attributes that it may have there.
PLAIN = re.compile(
    r"(paragraph|heading|bullet_list|ordered_list|list_item|blockquote|em|strong|link"
    r"|table|thead|tbody|tr|th|td)_(open|close)"
    r"|inline|text|softbreak|hardbreak|hr|code_inline|code_block|html_inline|html_block|image"
    r"|math_inline"
)
PLAIN_ATTRIBUTES = {
    "link_open": {"href"},
    "image": {"src", "alt"},
    "ordered_list_open": {"start"},
    "th_open": {"style"},
    "td_open": {"style"},
}
# The directives that are known, and the options that each may have.
DIRECTIVES = {"admonition": {"class"}, "exercise": {"label"}, "solution": {"label", "class"}}
DIRECTIVE = re.compile(r"\{([\w:-]+)\}\s*(.*)")
OPTION = re.compile(r":([\w-]+):[ \t]*(.*)\n?")


class MystError(ValueError):
    """A text holds what can't be said in plain Markdown."""


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
class Page:
    """The chapter whose text is converted, and what the text may refer to."""

    chapter: str  # the notebook's name without its suffix
    parser: MarkdownIt
    works: dict[str, Work]
    labels: dict[str, Label]
    anchors: frozenset[str]  # the labels to which the chapter's own links lead
    url: str  # of the repository's files: https://github.com/owner/repo/blob/main
    colab: str  # of the chapters in Colab


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


def make_parser(extensions: list[str]) -> MarkdownIt:
    """Return the book's MyST parser; its inline tokens know their place in `meta["span"]`."""
    parser = create_md_parser(MdParserConfig(enable_extensions=set(extensions)), RendererHTML)
    for rule in parser.inline.ruler.__rules__:
        parser.inline.ruler.at(rule.name, _noting_its_span(rule.fn))
    return parser


def _noting_its_span(rule: Callable[[StateInline, bool], bool]) -> Callable:
    def noting(state: StateInline, silent: bool) -> bool:
        # Text that is still pending gets its token just before this rule's first one.
        first, start = len(state.tokens) + bool(state.pending), state.pos
        matched = rule(state, silent)
        if matched and not silent and len(state.tokens) > first:
            state.tokens[first].meta["span"] = (start, state.pos)
        return matched

    return noting


def directive(token: Token) -> Directive | None:
    """Return the directive that a token is, or None if it is anything else.

    Raises:
        MystError: the directive, or one of its options, isn't known.
    """
    match = DIRECTIVE.fullmatch(token.info.strip())
    if token.type not in ("fence", "colon_fence") or not match:
        return None
    name, argument = match.groups()
    body, options = token.content, {}
    while option := OPTION.match(body):
        options[option[1]] = option[2].strip()
        body = body[option.end() :]
    if name not in DIRECTIVES:
        raise MystError(f"the directive {{{name}}} is not known")
    if unknown := set(options) - DIRECTIVES[name]:
        raise MystError(f"the option {min(unknown)} of {{{name}}} is not known")
    return Directive(name, argument, options, body.strip())


def walk(text: str, parser: MarkdownIt) -> Iterator[Token]:
    """Yield every token of a text in reading order, with those inside lines and directives."""
    for token in parser.parse(text):
        yield token
        yield from token.children or ()
        if found := directive(token):
            yield from walk(found.argument, parser)
            yield from walk(found.body, parser)


def split(text: str, parser: MarkdownIt) -> tuple[str, list[Directive]]:
    """Return a text without its solutions, and the solutions.

    Raises:
        MystError: a solution stands without its exercise.
    """
    lines, solutions, exercises = text.split("\n"), [], set()
    for token in reversed(parser.parse(text)):
        found = directive(token)
        if found and found.name == "exercise":
            exercises.add(found.options["label"])
        if found and found.name == "solution":
            solutions.insert(0, found)
            del lines[slice(*token.map)]
    if alone := {solution.argument for solution in solutions} - exercises:
        raise MystError(f"the solution of {min(alone)} stands without its exercise")
    return "\n".join(lines), solutions


def folded(solution: Directive, page: Page) -> str:
    """Return a solution that opens at a click."""
    number = known(solution.argument, page.labels, "label").number
    summary = f"<summary><b>Solution of {number[0].lower()}{number[1:]}</b></summary>"
    # Between HTML, Markdown needs the blank lines.
    return f"<details>\n{summary}\n\n{plain(solution.body, page)}\n\n</details>"


def plain(text: str, page: Page) -> str:
    """Return what a text means in plain Markdown and HTML.

    Raises:
        MystError: the text holds what isn't known here.
    """
    starts = [0, *(match.end() for match in re.finditer("\n", text)), len(text)]
    edits: list[Edit] = []
    cursor = 0  # where in the text the parser is
    for token in page.parser.parse(text):
        if token.map:
            cursor = max(cursor, starts[token.map[0]])
            end = starts[min(token.map[1], len(starts) - 1)]
        if token.type == "inline":
            found, cursor = _inline_edits(text, token, cursor, page)
            edits += found
        elif token.type.startswith("math_block"):
            edits.append(Edit(text.index("$$", cursor), end, _display(token, page) + "\n"))
        elif token.type == "myst_target":
            end += len(text[end:]) - len(text[end:].lstrip("\n"))
            edits.append(Edit(cursor, end, _anchor(token.content, page)))
        elif found := directive(token):
            if token.level:
                raise MystError(f"{{{found.name}}} stands in a list or a quotation")
            edits.append(Edit(cursor, end, _block(found, page) + "\n"))
        elif token.type != "fence":
            _check(token)
    for edit in sorted(edits, reverse=True):
        text = text[: edit.start] + edit.new + text[edit.end :]
    return text.strip()


def _check(token: Token) -> None:
    """Refuse what plain Markdown can't say."""
    if not PLAIN.fullmatch(token.type):
        raise MystError(f"{token.type} is not known: {token.content[:60]!r}")
    if unknown := set(token.attrs) - PLAIN_ATTRIBUTES.get(token.type, set()):
        raise MystError(f"{token.type} has the attribute {min(unknown)}")


def _display(token: Token, page: Page) -> str:
    """Return a displayed formula, with its number.

    It is put in one line: JupyterLab takes formulas out of a text before it reads the marks of a
    quotation, which would get into a formula of several lines.
    """
    formula = " ".join(token.content.split())
    if re.search(r"(?<!\\)%", formula):
        raise MystError(f"a formula holds a comment: {formula}")
    if r"\\" in formula and r"\begin" not in formula:
        raise MystError(f"a formula breaks its line outside of an environment: {formula}")
    if token.type == "math_block_label":
        formula += rf" \tag{{{page.labels[token.info].number.strip('()')}}}"
    return f"$$ {formula} $$"


def _anchor(label: str, page: Page) -> str:
    return f'<a id="{label}"></a>\n\n' if label in page.anchors else ""


def _block(found: Directive, page: Page) -> str:
    title, body = plain(found.argument, page), plain(found.body, page)
    if found.name == "admonition":
        lines = f"**{title}**\n\n{body}".split("\n")
        return "\n".join(f"> {line}".rstrip() for line in lines)
    if found.name == "exercise":
        label = found.options["label"]
        return f"{_anchor(label, page)}### {page.labels[label].number}: {title}\n\n{body}"
    raise MystError(f"{{{found.name}}} stands inside of something else")


def _inline_edits(text: str, line: Token, cursor: int, page: Page) -> tuple[list[Edit], int]:
    """Return the edits of one inline token, and the place where its last span ends.

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
        parts = [re.escape(part.strip()) for part in source.split("\n")]
        match = re.compile(r"[ \t]*\n[ \t>]*".join(parts)).search(text, cursor)
        if not match:
            raise MystError(f"{source!r} isn't found where the parser saw it")
        cursor = match.end()
        if token.type == "myst_role":
            edits.append(Edit(*match.span(), _role(token, page)))
        elif token.type == "math_inline":
            edits.append(Edit(*match.span(), " ".join(source.split())))
        elif token.type in ("link_open", "image"):
            address = str(token.attrs["href" if token.type == "link_open" else "src"])
            if not re.match(r"\w+:", address):
                if "](" not in source:
                    raise MystError(f"{source!r} isn't of the form [text](address)")
                start = match.start() + match[0].rindex("](") + 2
                edits.append(Edit(start, match.end() - 1, _address(address, page)))
            if token.type == "link_open":
                cursor = match.start() + 1  # what stands in the link comes next
    return edits, cursor


def _role(token: Token, page: Page) -> str:
    name, content = token.meta["name"], token.content
    if name in ("cite:t", "cite:p"):
        works = [known(key.strip(), page.works, "work") for key in content.split(",")]
        if name == "cite:t":
            return ", ".join(f"[{w.authors} ({w.year})]({w.url})" for w in works)
        return "(" + "; ".join(f"[{w.authors}, {w.year}]({w.url})" for w in works) + ")"
    if name in ("eq", "numref"):
        label = known(content, page.labels, "label")
        if not label.number:
            raise MystError(f"{{{name}}}`{content}` leads to what has no number")
        if label.chapter == page.chapter:
            return label.number
        return f"[{label.number}]({_address('#' + content, page)})"
    if name == "term":
        return f"[{content}]({_address('../book/glossary.md', page)})"
    raise MystError(f"the role {{{name}}} is not known")


def _address(target: str, page: Page) -> str:
    """Return where a link or an image of the chapter leads.

    Another chapter is opened in Colab: there nothing relative leads anywhere, and from a code
    host or JupyterLab the reader gets to a notebook that runs. Pages of the book are read on the
    code host. What stands in the same chapter is reached without a network.
    """
    if target.startswith("#"):
        label = known(target[1:], page.labels, "label")
        if label.chapter == page.chapter:
            return target
        # Colab goes to the cell whose metadata hold this id.
        return f"{page.colab}/{label.chapter}.ipynb#scrollTo={label.cell}"
    if not target.startswith("../"):
        raise MystError(f"{target} leads to no other folder of the book")
    address = f"{page.url}/{target.removeprefix('../')}"
    if address.endswith((".png", ".svg", ".jpg")):
        # GitHub gives the bare file for this, and a page around it otherwise.
        return f"{address}?raw=true"
    return address


def known(key: str, values: dict[str, T], what: str) -> T:
    """Return the value of a key, or say that there is none."""
    if key not in values:
        raise MystError(f"there is no {what} {key!r}")
    return values[key]
