"""What of a chapter's page becomes a slide (tools/slides.py).

A section opens with its first sentences. Then come its figures, boxes, formulas, tables, lists and
short cells of code, each under the sentence that leads to it. What goes deeper is left out.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass

from bs4 import BeautifulSoup
from bs4.element import Tag

SKIPPED = {"what-this-chapter-needs", "further-reading"}
CODE_LINES = 14  # of a cell, and of what it prints
CODE_COLUMNS = 88
TABLE_ROWS, TABLE_CELLS = 11, 70
LIST_ITEMS = 8
FORMULAS = 2  # on one slide
LETTERS = 800  # of a list, a table or a box


@dataclass
class Card:
    """One slide.

    Attributes:
        title: its heading, as HTML.
        body: what stands under it, as HTML.
        kind: "title", "section", "figure", "box", "formula", "table", "list", "code", "task",
            "question".
        anchor: the section of the chapter from which it comes.
        notes: for the speaker, as HTML.
    """

    title: str
    body: str
    kind: str
    anchor: str = ""
    notes: str = ""


def clean(tag: Tag) -> Tag:
    """A copy without what makes sense on the page alone: its anchors, links and buttons."""
    tag = copy.copy(tag)
    for element in tag.select(".headerlink, script, style, summary"):
        element.decompose()
    for link in tag.select("a"):
        if not link.get("href", "").startswith("http"):
            link.unwrap()
    for element in [tag, *tag.select("[id]")]:
        del element["id"]
    for element in [tag, *tag.select("section")]:
        if element.name == "section":  # which would be a slide
            element.name = "div"
    return tag


def inside(tag: Tag) -> str:
    """The HTML in a tag."""
    return clean(tag).decode_contents().strip()


def sentences(paragraph: Tag) -> list[str]:
    """The sentences of a paragraph, as HTML; the chapters' source has one on each line."""
    lines = inside(paragraph).split("\n")
    return [BeautifulSoup(line, "html.parser").decode() for line in lines if line.strip()]


def letters(tag: Tag) -> int:
    """How much there is to read."""
    return len(tag.get_text())


def heading(section: Tag) -> str:
    """A section's heading, as HTML."""
    return inside(section.find(["h1", "h2", "h3", "h4"], recursive=False))


def goes_deeper(section: Tag) -> bool:
    """Whether a section is for those who have more time."""
    words = section.find(["h1", "h2", "h3", "h4"], recursive=False).get_text()
    return "Going deeper" in words


def fits_as_table(table: Tag) -> bool:
    """Whether a room can read a table."""
    rows = table.select("tr")
    cells = table.select("th, td")
    return len(rows) <= TABLE_ROWS and len(cells) <= TABLE_CELLS and letters(table) <= LETTERS


def short(pre: Tag) -> bool:
    """Whether a room can read lines of code, or what they print."""
    lines = pre.get_text().strip().split("\n")
    return len(lines) <= CODE_LINES and max(map(len, lines)) <= CODE_COLUMNS


def of_cell(cell: Tag) -> Iterator[tuple[str, str]]:
    """The slides of a cell, each its kind and its HTML: figures, a table, or the code itself."""
    figures = cell.select(".cell_output figure")
    for figure in figures:
        yield "figure", str(clean(figure))
    tables = [table for table in cell.select(".cell_output table") if fits_as_table(table)]
    for table in tables:
        yield "table", str(clean(table))
    folded = any("hide-input" in name for name in cell.get("class", ()))
    code = cell.select_one(".cell_input .highlight")
    if figures or tables or folded or not code or not short(code):
        return
    output, printed = cell.select_one(".cell_output"), cell.select(".cell_output pre")
    if output and not (printed and all(map(short, printed))):
        return
    defines = any(line.startswith(("def ", "class ")) for line in code.get_text().split("\n"))
    if printed or defines:
        shown = "".join(f'<pre class="printed">{inside(output)}</pre>' for output in printed)
        yield "code", f"{clean(code)}{shown}"


def of_block(block: Tag) -> Iterator[tuple[str, str]]:
    """The slides of a piece of text, each its kind and its HTML."""
    classes = block.get("class", ())
    if "cell" in classes:
        yield from of_cell(block)
    elif "solution" in classes or "exercise" in classes:
        return
    elif "admonition" in classes:
        if letters(block) <= 2 * LETTERS:
            yield "box", str(clean(block))
    elif "math" in classes:
        yield "formula", str(clean(block))
    elif block.name == "figure":
        yield "figure", str(clean(block))
    elif block.name in ("ul", "ol"):
        yield from (("list", portion) for portion in in_portions(block))
    else:
        tables = [block] if block.name == "table" else block.select("table.table")[:1]
        yield from (("table", str(clean(table))) for table in tables if fits_as_table(table))


def stands_alone(sentence: str) -> bool:
    """Whether a sentence neither goes on from a formula nor leads to what comes next."""
    words = BeautifulSoup(sentence, "html.parser").get_text().strip()
    return not words[:1].islower() and words.endswith((".", "?", "!"))


def opening(section: Tag) -> str:
    """The first sentences of a section, as far as they stand alone."""
    found = []
    for paragraph in section.find_all("p", recursive=False):
        found += [sentence for sentence in sentences(paragraph) if stands_alone(sentence)]
        if len(found) >= 2:
            break
    return "".join(f"<p>{sentence}</p>" for sentence in found[:3])


def in_portions(block: Tag) -> Iterator[str]:
    """A list, on as many slides as a room needs to read it."""
    block = clean(block)
    portion, start = [], 1
    for item in block.find_all("li", recursive=False):
        full = len(portion) == LIST_ITEMS or sum(map(letters, [*portion, item])) > LETTERS
        if portion and full:
            yield f'<{block.name} start="{start}">{"".join(map(str, portion))}</{block.name}>'
            portion, start = [], start + len(portion)
        portion.append(item)
    yield f'<{block.name} start="{start}">{"".join(map(str, portion))}</{block.name}>'


def merged(cards: list[Card]) -> Iterator[Card]:
    """Formulas that follow one another share a slide."""
    waiting, count = None, 0
    for card in cards:
        if waiting and waiting.kind == card.kind == "formula" and count < FORMULAS:
            waiting.body += card.body
            count += 1
            continue
        if waiting:
            yield waiting
        waiting, count = card, 1
    if waiting:
        yield waiting


def of_section(section: Tag) -> Iterator[Card]:
    """The slides of a section and of those in it."""
    anchor, title = section["id"], heading(section)
    cards, lead = [], ""
    if first := opening(section):
        yield Card(title, first, "section", anchor)
    for block in section.find_all(True, recursive=False):
        if block.name == "p" and block.get_text().strip():
            lead = f'<p class="lead">{sentences(block)[-1]}</p>'
            continue
        if block.name == "section":
            yield from merged(cards)
            cards = []
            if not goes_deeper(block):
                yield from of_section(block)
            continue
        for kind, body in of_block(block):
            cards.append(Card(title, body if kind == "box" else lead + body, kind, anchor))
            lead = ""
    yield from merged(cards)


def of_exercises(section: Tag) -> Iterator[Card]:
    """A slide for each exercise, without its solution."""
    for exercise in section.select("div.exercise"):
        title = inside(exercise.select_one(".admonition-title"))
        task = exercise.select_one("section") or exercise
        if letters(task) <= 2 * LETTERS:
            yield Card(title, inside(task), "task", section["id"])


def of_chapter(article: Tag) -> Iterator[Card]:
    """The slides of a chapter's core path: title, goals, sections, exercises, summary."""
    chapter = article.find("section")
    promise = next(p for p in chapter.find_all("p", recursive=False) if p.get_text().strip())
    yield Card(heading(chapter), f"<p>{sentences(promise)[0]}</p>", "title", chapter["id"])
    if goals := chapter.find("ul", recursive=False):
        yield Card("By the end you will be able to", str(clean(goals)), "list", chapter["id"])
    for section in chapter.find_all("section", recursive=False):
        if section["id"] in SKIPPED or goes_deeper(section):
            continue
        yield from of_exercises(section) if section["id"] == "exercises" else of_section(section)
