"""Link each chapter's first use of a glossary term to its entry, while the pages are written.

Nothing of it stands in the notebooks, so no link can go astray. A term, or another name of it, is
linked where it stands first in the running text of a chapter: in a paragraph or a list, and not in
a heading, bold words, code, a formula, a link, a caption, a table, an output, a solution, the box
of an interactive piece, or under "Further reading".

- A longer term goes before a shorter one in it; plurals count.
- A name with a capital is found as it is written: "LoRA", and "Transformer" but not the library
  "transformers". Others have one only where a sentence begins.
- A word that has an everyday meaning too, one of `EVERYDAY`, is linked only in *italics*, by which
  a chapter introduces a term. `OTHERWISE` are phrases in which a word means something else.
- A paragraph has at most `PER_PARAGRAPH` links; a term left over is linked at its next use.
- What isn't folded has at most `PER_CORE`, for the keyboard goes from link to link. The later in
  the book a term is explained, the sooner it has one: a reader knows those best that were explained
  first. Where a term finds no room in its paragraphs, the next one is linked.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms.post_transforms import SphinxPostTransform

GLOSSARY = "book/glossary"
CHAPTERS = "notebooks/"  # as the names of their pages begin
PER_PARAGRAPH = 3
PER_CORE = 33
LAST = 99  # behind all chapters
EVERYDAY = """
accumulation alignment block confidence containment context domain drift expectation feature gate
head key leak margin memory merging piece pipeline precision query rank recall reference risk
segment slice span step truncation update value width window
"""
OTHERWISE = (
    "Chinese inference",
    "distribution function",
    "negative",  # alone mostly a class of sentiment
    "positive",
    "weight for each class",
    "word weights",
)

HAN = re.compile(r"[\u4e00-\u9fff]")
SENTENCE = re.compile(r"(?:^|[.!?:][\"”’)]*)\s*$")  # what stands before the first word of one
NOT_RUNNING_TEXT = (
    nodes.caption,
    nodes.citation,
    nodes.comment,
    nodes.footnote,
    nodes.legend,
    nodes.reference,
    nodes.table,
    addnodes.glossary,
    addnodes.pending_xref,
)
SOLUTION, OUTPUT = "solution", "cell_output"
LIVE = re.compile("live-").match  # a box in which an interactive piece stands
WORKS, DEEPER = "Further reading", "Going deeper"


@dataclass(frozen=True)
class Entry:
    """An entry of the glossary: its anchor, its English names, the chapters that explain it."""

    anchor: str
    names: tuple[str, ...]
    chapters: tuple[int, ...] = ()

    @property
    def rank(self) -> int:
        """How far behind other terms this one stands when a chapter has links to give away."""
        return LAST - max(self.chapters, default=LAST)


def entries_of(page: nodes.Node) -> list[Entry]:
    """The entries of a page of glossaries."""
    found = []
    for glossary in page.findall(addnodes.glossary):
        for item in glossary.findall(nodes.definition_list_item):
            terms = [node for node in item if isinstance(node, nodes.term)]
            names = [name for term in terms if not HAN.search(name := term.astext())]
            links = " ".join(node.astext() for node in item.findall(addnodes.pending_xref))
            chapters = map(int, re.findall(r"\b\d\d\b", links))
            found.append(Entry(terms[0]["ids"][0], tuple(names), tuple(chapters)))
    return found


def forms(name: str) -> set[str]:
    """A name, its plural, and the singular of a name that is a plural."""
    found = {name, f"{name}s"}
    if re.search(r"(s|x|z|ch|sh)$", name):
        found.add(f"{name}es")
    if re.search(r"[^aeiou]y$", name):
        found.add(f"{name[:-1]}ies")
    if re.search(r"corpus$", name):
        found.add(f"{name[:-2]}ora")
    if re.search(r"[^aius]s$", name):  # logits, not bias, analysis, corpus or loss
        found.add(name[:-1])
    if match := re.match(r"(\w+)( (?:of|at) .*)", name):  # bags of words
        found.add(f"{match[1]}s{match[2]}")
    return found


def plain(text: str) -> str:
    """Text with a typewriter's apostrophe and blanks."""
    return re.sub(r"\s", " ", text.replace("’", "'"))


class Finder:
    """Finds the names of entries in text."""

    def __init__(self, entries: Iterable[Entry]):
        self.entry: dict[str, Entry | None] = {}
        self.everyday: set[str] = set()
        everyday = set(EVERYDAY.split())
        for entry in entries:
            for name in map(plain, entry.names):
                spelt = forms(name)
                self.everyday |= spelt if name in everyday else set()
                self.entry |= dict.fromkeys(spelt, entry)
        self.entry |= dict.fromkeys(OTHERWISE)
        longest_first = sorted(map(re.escape, self.entry), key=len, reverse=True)
        names = "|".join(longest_first).replace(r"\ ", r"\s").replace("'", "['’]")
        # A small first letter may be a capital, which `find` judges.
        self.pattern = re.compile(rf"(?<![\w/.\-–])(?i:{names})(?![\w\-–]|\.\w)")

    def find_in(self, text: nodes.Text) -> Iterator[tuple[re.Match, Entry]]:
        """Yield what may be linked in a piece of a page."""
        return self.find(text, italic=isinstance(text.parent, nodes.emphasis))

    def find(self, text: str, *, italic: bool = False) -> Iterator[tuple[re.Match, Entry]]:
        """Yield what may be linked in a text; in italic text, if it is a name as a whole."""
        for match in self.pattern.finditer(text):
            if italic and match[0] != text.strip():
                return
            name = plain(match[0])
            if name not in self.entry and SENTENCE.search(text[: match.start()]):
                name = name[0].lower() + name[1:]
            entry = self.entry.get(name)
            if entry and (italic or name not in self.everyday):
                yield match, entry


def running_text(
    page: nodes.Node, *, folded: bool = False
) -> Iterator[tuple[nodes.paragraph, bool]]:
    """Yield the paragraphs in which terms are linked, and whether the page folds them."""
    for child in page.children:
        if isinstance(child, nodes.paragraph):
            yield child, folded
        elif not isinstance(child, (nodes.Text, *NOT_RUNNING_TEXT)) and not is_apart(child):
            deeper = isinstance(child, nodes.section) and child[0].astext().startswith(DEEPER)
            yield from running_text(child, folded=folded or deeper)


def is_apart(element: nodes.Element) -> bool:
    """Whether an element's text is an output, a solution, a list of works, or hidden by a piece."""
    if isinstance(element, nodes.section):
        return element[0].astext().startswith(WORKS)
    classes = element.get("classes", ())
    return not {SOLUTION, OUTPUT}.isdisjoint(classes) or any(map(LIVE, classes))


def texts_of(paragraph: nodes.paragraph) -> Iterator[nodes.Text]:
    """Yield the pieces of text, plain or in italics, of a paragraph."""
    for child in paragraph.children:
        node = child[0] if isinstance(child, nodes.emphasis) else child
        if isinstance(node, nodes.Text):
            yield node


@dataclass(frozen=True)
class Place:
    """A paragraph: whether the page folds it, and the entries that its text names, in order."""

    folded: bool
    entries: tuple[Entry, ...]


def linked_in(places: Iterable[Place], chosen: set[Entry]) -> tuple[set[Entry], int]:
    """The entries that get a link if the core may link those chosen, and how many of it there."""
    linked: set[Entry] = set()
    in_core = 0
    for place in places:
        allowed = (e for e in dict.fromkeys(place.entries) if place.folded or e in chosen)
        new = list(islice((e for e in allowed if e not in linked), PER_PARAGRAPH))
        linked.update(new)
        in_core += 0 if place.folded else len(new)
    return linked, in_core


def choose(places: list[Place]) -> set[Entry]:
    """The entries that the core may link: those least known first, until it has all its links.

    Some stand only where a paragraph has no room for them, so others take their places. None of
    these may take the place of one before it.
    """
    core = dict.fromkeys(entry for place in places if not place.folded for entry in place.entries)
    ranked = sorted(core, key=lambda entry: entry.rank)
    chosen = set(ranked[:PER_CORE])
    linked, in_core = linked_in(places, chosen)
    for entry in ranked[PER_CORE:]:
        if in_core == PER_CORE:
            break
        more, count = linked_in(places, chosen | {entry})
        if in_core < count <= PER_CORE and linked <= more:
            chosen.add(entry)
            linked, in_core = more, count
    return chosen


def link_first_uses(
    page: nodes.Node, finder: Finder, address: Callable[[Entry], str]
) -> dict[Entry, str]:
    """Link the first use of each term on a page; return the words that became links."""
    paragraphs = list(running_text(page))
    places = [
        Place(folded, tuple(e for text in texts_of(paragraph) for _, e in finder.find_in(text)))
        for paragraph, folded in paragraphs
    ]
    chosen = choose(places)
    linked: dict[Entry, str] = {}
    for paragraph, folded in paragraphs:
        room = PER_PARAGRAPH
        for text in list(texts_of(paragraph)):
            parts, end = [], 0
            for match, entry in finder.find_in(text):
                if not room or entry in linked or not (folded or entry in chosen):
                    continue
                room -= 1
                linked[entry] = match[0]
                link = nodes.reference("", match[0], internal=True, refuri=address(entry))
                link["classes"].append("glossary-term")
                parts += [nodes.Text(text[end : match.start()]), link]
                end = match.end()
            if parts:
                text.parent.replace(text, [*parts, nodes.Text(text[end:])])
    return linked


@lru_cache(maxsize=1)
def finder_of(env) -> Finder:
    """The finder of one build's glossary."""
    known = GLOSSARY in env.all_docs
    return Finder(entries_of(env.get_doctree(GLOSSARY)) if known else ())


class FirstUses(SphinxPostTransform):
    """Link the terms of a chapter, in pages alone."""

    default_priority = 400  # behind the references, 10, which links may not hold
    formats = ("html",)

    def run(self, **kwargs):
        if not self.env.docname.startswith(CHAPTERS):
            return
        page = self.app.builder.get_relative_uri(self.env.docname, GLOSSARY)
        link_first_uses(self.document, finder_of(self.env), lambda entry: f"{page}#{entry.anchor}")


def chapters_follow_the_glossary(app, env, added, changed, removed):
    """Name the pages to write again because the glossary has changed."""
    touched = GLOSSARY in added | changed | removed
    return [name for name in env.found_docs if touched and name.startswith(CHAPTERS)]


def setup(app):
    app.add_post_transform(FirstUses)
    app.connect("env-get-outdated", chapters_follow_the_glossary)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
