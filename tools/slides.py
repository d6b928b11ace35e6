"""Make slides of the chapters, `_build/slides/11.html`: `make slides NB=11`, after `make book`.

tools/slide_cards.py chooses from a chapter's page what becomes a slide. The notes are from its
teacher's guide: S opens them. A deck is shown by reveal.js, from the files beside it alone.
"""

import html
import re
import shutil
import sys
from pathlib import Path

import yaml
from bs4 import BeautifulSoup
from bs4.element import Tag

from tools.chapter_assets import chapter
from tools.set_address import ROOT
from tools.slide_cards import Card, clean, inside, of_chapter

FILES = ROOT / "tools" / "slide_files"
MATHJAX = ROOT / "book" / "_static" / "mathjax"
# Parts of a guide whose entries lead to sections of the chapter, and what they are called here.
IN_SECTIONS = {
    "plan-for-45-minutes": "45 minutes",
    "plan-for-90-minutes": "90 minutes",
    "cells-that-must-run": "must run",
    "stopping-points": "stop",
}
AT_THE_START = ("before-class", "what-breaks", "on-the-board")


def read(path: Path) -> Tag:
    """The article of a rendered page.

    Raises:
        FileNotFoundError: it isn't there.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} isn't there. Render the book first: make book")
    return BeautifulSoup(path.read_text("utf-8"), "html.parser").article


def entries(guide: Tag, part: str, anchor: str) -> list[str]:
    """What a part of the guide says of a section of the chapter, as HTML."""
    section = guide.find("section", id=part)
    found = []
    for entry in section.select("tbody tr, section > ul > li"):
        if not entry.find("a", href=re.compile(rf"#{re.escape(anchor)}$")):
            continue
        if cells := entry.find_all("td"):
            found.append(f"{cells[0].get_text(strip=True)} min: {inside(cells[2].p)}")
        else:
            found.append(inside(entry))
    return found


def notes(guide: Tag, anchor: str) -> str:
    """What the guide says of a section of the chapter, as HTML."""
    lines = [
        f"<p><b>{name}</b></p><div>{text}</div>"
        for part, name in IN_SECTIONS.items()
        for text in entries(guide, part, anchor)
    ]
    return "".join(lines)


def questions(guide: Tag) -> list[Card]:
    """A slide for each question to the room; the answers, right and wrong, are in its notes."""
    cards = []
    for question in guide.find("section", id="questions-to-the-room").select("dt"):
        answers = []
        for answer in question.find_next_siblings(["dt", "dd"]):
            if answer.name == "dt":
                break
            answers.append(inside(answer))
        right, *wrong = answers
        told = f"<p><b>Right</b></p>{right}<p><b>Expect</b></p>{''.join(wrong)}"
        words = f"<p>{inside(question)}</p>"
        cards.append(Card("A question to the room", words, "question", "", told))
    return cards


def source_line() -> str:
    """What a slide names as its source."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    return f'<p class="source">{html.escape(config["title"])} · text and figures: CC BY 4.0</p>'


def deck(page: Tag, guide: Tag) -> list[Card]:
    """All slides of a chapter; the questions stand before the exercises."""
    cards = list(of_chapter(page))
    for card in cards:
        card.notes = notes(guide, card.anchor)
    cards[0].body += source_line()
    cards[0].notes = "".join(str(clean(guide.find("section", id=part))) for part in AT_THE_START)
    ends = [n for n, card in enumerate(cards) if card.kind == "task" or card.anchor == "summary"]
    place = ends[0] if ends else len(cards)
    return [*cards[:place], *questions(guide), *cards[place:]]


def slide(card: Card) -> str:
    """A slide as reveal.js wants it."""
    level = "h1" if card.kind == "title" else "h2"
    aside = f'<aside class="notes">{card.notes}</aside>' if card.notes else ""
    return (
        f'<section class="{card.kind}"><div class="card"><{level}>{card.title}</{level}>'
        f'<div class="body">{card.body}</div></div>{aside}</section>'
    )


def take_pictures(slides: str, source: Path, folder: Path) -> str:
    """Copy the pictures beside the deck, and lead to them there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)

    def taken(match: re.Match) -> str:
        picture = (source / html.unescape(match[1])).resolve()
        shutil.copy(picture, folder)
        return f'src="{folder.name}/{picture.name}"'

    return re.sub(r'src="([^":]+)"', taken, slides)


def copy_files(target: Path, pages: Path) -> None:
    """Put beside the decks what they need: reveal.js, MathJax, and the style of code."""
    files = target / "files"
    shutil.copytree(FILES, files, dirs_exist_ok=True, ignore=shutil.ignore_patterns("deck.html"))
    shutil.copytree(MATHJAX, files / "mathjax", dirs_exist_ok=True)
    shutil.copy(pages / "_static" / "pygments.css", files)


def write(number: str, pages: Path, target: Path) -> Path:
    """Write the slides of a chapter, "11", from the rendered pages into a folder.

    Raises:
        ValueError: there is no such chapter.
        FileNotFoundError: the book isn't rendered.
    """
    name = chapter(number).stem
    source = pages / "notebooks" / f"{name}.html"
    cards = deck(read(source), read(pages / "book" / "teaching" / f"{name}.html"))
    slides = take_pictures("\n".join(map(slide, cards)), source.parent, target / number)
    copy_files(target, pages)
    title = BeautifulSoup(cards[0].title, "html.parser").get_text()
    frame = (FILES / "deck.html").read_text("utf-8")
    path = target / f"{number}.html"
    deck_of_slides = frame.replace("{title}", html.escape(title)).replace("{slides}", slides)
    path.write_text(deck_of_slides, "utf-8")
    return path


def main() -> int:
    numbers = sys.argv[1:] or sorted(
        path.name[:2] for path in (ROOT / "notebooks").glob("[0-9][0-9]-*.ipynb")
    )
    try:
        for number in numbers:
            path = write(number, ROOT / "_build" / "html", ROOT / "_build" / "slides")
            count = path.read_text("utf-8").count('<div class="card">')
            print(f"{path.relative_to(ROOT)}: {count} slides")
    except (ValueError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
