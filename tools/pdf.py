"""Print the whole book as one PDF, `_build/book.pdf`: `make pdf`, after `make book`.

A headless Chromium prints the pages one by one, in the order of `_toc.yml`; the solutions are
taken out of the chapters and printed behind them, as an appendix. tools/pdf_join.py makes one file
of the parts. What was printed is kept in `_build/pdf`: the next run prints only pages that changed.
"""

import html
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import NamedTuple

import yaml

from tools.chromium import NoBrowserError, headless
from tools.pdf_join import Sheet, join, length, places_of
from tools.set_address import ROOT, configured_url

SCRIPT = ROOT / "tools" / "pdf_page.js"
STYLE = ROOT / "book" / "_static" / "print.css"
APPENDIX = "Solutions"
# The width of A4 between the margins of print.css, in CSS pixels: so a page is laid out as it
# will be printed.
WINDOW = {"width": 657, "height": 980}
HEADING = re.compile(
    r'<section[^>]* id="([^"]+)">\s*(?:<span[^>]*></span>\s*)*<h\d>(.*?)<a class="headerlink"', re.S
)


class NoBookError(RuntimeError):
    """There are no rendered pages to print."""


class Entry(NamedTuple):
    """A page of the contents, and the part that begins with it ("" for none)."""

    part: str
    page: str  # "notebooks/11-text-classification"


def contents(toc: dict) -> Iterator[Entry]:
    """The pages in the order of the contents, the first page at the head."""

    def below(chapters: list[dict]) -> Iterator[str]:
        for chapter in chapters:
            yield chapter["file"]
            yield from below(chapter.get("sections", []))

    yield Entry("", toc["root"])
    for part in toc.get("parts", []):
        for number, page in enumerate(below(part["chapters"])):
            yield Entry(part["caption"] if number == 0 else "", page)


def plain(markup: str) -> str:
    """A heading's words."""
    return html.unescape(re.sub(r"<[^>]+>", "", markup)).strip()


def names(pages: Path, entries: list[Entry]) -> dict[str, str]:
    """What a link to a page or a section is called on paper, by its address: "11.2", "Set-up"."""
    found = {}
    for entry in entries:
        path = pages / f"{entry.page}.html"
        for number, (anchor, heading) in enumerate(HEADING.findall(path.read_text("utf-8"))):
            words = plain(heading)
            numbered = re.match(r"(\d+(?:\.\d+)*)\.? ", words)
            if number == 0:
                found[path.as_uri()] = f"chapter {numbered[1]}" if numbered else words
            found[f"{path.as_uri()}#{anchor}"] = numbered[1] if numbered else words
    return found


@dataclass
class Press:
    """Prints pages of one book into a folder.

    Attributes:
        pages: the folder of the rendered pages.
        folder: where the printed ones go.
        names: what links are called, by `names`.
        page: an open page of the browser.
    """

    pages: Path
    folder: Path
    names: dict[str, str]
    page: object

    def open(self, path: Path) -> None:
        """Open a file and wait until its formulas and pictures stand."""
        self.page.goto(path.as_uri(), wait_until="load", timeout=300_000)
        self.page.evaluate("async () => { await window.MathJax?.startup?.promise }")
        self.page.evaluate("async () => { await document.fonts.ready }")

    def paper(self, path: Path, *, tagged: bool = True) -> Path:
        """Print what is open, with tags for screen readers unless it is no part of the text."""
        self.page.pdf(path=path, prefer_css_page_size=True, print_background=True, tagged=tagged)
        return path

    def chapter(self, page: str) -> list[Sheet]:
        """Print a page and, on a sheet of their own, its solutions; what is up to date stays."""
        source, stem = self.pages / f"{page}.html", page.replace("/", "-")
        target, notes = self.folder / f"{stem}.pdf", self.folder / f"{stem}.json"
        newest = max(path.stat().st_mtime for path in (source, SCRIPT, STYLE, Path(__file__)))
        if notes.is_file() and notes.stat().st_mtime > newest:
            return [Sheet(**sheet) for sheet in json.loads(notes.read_text("utf-8"))]
        self.open(source)
        self.page.evaluate(SCRIPT.read_text("utf-8"))
        name = source.stem
        found = self.page.evaluate(
            "([name, names]) => bookPage.chapter(name, names)", [name, self.names]
        )
        sheets = [Sheet(page, str(self.paper(target)), found["headings"])]
        if found["solutions"]:
            title = f"Solutions to chapter {found['headings'][0]['title']}"
            found = self.page.evaluate("title => bookPage.solutions(title)", title)
            behind = self.paper(self.folder / f"{stem}-solutions.pdf")
            sheets.append(Sheet(f"solutions/{name}", str(behind), found["headings"]))
        notes.write_text(json.dumps([asdict(sheet) for sheet in sheets]), "utf-8")
        return sheets

    def text(self, markup: str, name: str, *, tagged: bool = True) -> Path:
        """Print a page of our own."""
        path = self.folder / f"{name}.html"
        path.write_text(markup, "utf-8")
        self.open(path)
        return self.paper(self.folder / f"{name}.pdf", tagged=tagged)


PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><style>
@page {{ size: A4; margin: {margin} }}
body {{ margin: 0; font: 10pt/1.45 sans-serif; color: #1a1a1a }}
a {{ color: inherit; text-decoration: none }}
{style}
</style><body>{body}</body></html>"""

FRONT_STYLE = """
.title { height: 24cm; display: flex; flex-direction: column; break-after: page }
.title h1 { margin-top: 6cm; font-size: 30pt; line-height: 1.2 }
.title p { margin: 0.3em 0 } .title .date { margin-top: auto }
.contents h2 { font-size: 18pt } .contents { columns: 2; column-gap: 1cm; font-size: 9pt }
.contents p { margin: 0; display: flex; gap: 0.5em; break-inside: avoid }
.contents a { flex: 1 } .contents .part { margin-top: 1em; font-weight: bold; color: #0b6578 }
.contents .chapter { margin-top: 0.4em; font-weight: bold }
.contents .section { padding-left: 1em }
"""

STAMP_STYLE = """
.page { height: 290mm; position: relative; overflow: hidden }
.page + .page { break-before: page }
.page p { position: absolute; bottom: 2mm; left: 18mm; right: 18mm; margin: 0; display: flex;
  justify-content: space-between; font-size: 8.5pt; color: #48566b }
"""


def title_page(config: dict, today: date) -> str:
    """The first leaf."""
    title, author = html.escape(config["title"]), html.escape(config["author"])
    return f"""<div class="title"><h1>{title}</h1><p>by {author}</p>
<p class="date">{configured_url()}</p>
<p>Printed on {today.day} {today:%B %Y} from the book's pages.</p>
<p>Text and figures: CC BY 4.0, https://creativecommons.org/licenses/by/4.0/. Code: MIT licence.
Corpora and models have terms of their own: see <i>Data, models and licences</i>.</p></div>"""


def contents_pages(parts: list[tuple[str, Sheet]], places: dict, pages: Path) -> str:
    """The contents: parts, chapters and their sections, each with its page."""
    lines = []
    for part, sheet in parts:
        if part:
            lines.append(f'<p class="part">{html.escape(part)}</p>')
        for heading in sheet.headings:
            if heading["level"] > (2 if sheet.page.startswith("notebooks/") else 1):
                continue
            kind = "chapter" if heading["level"] == 1 else "section"
            address = (pages / f"{sheet.page}.html").as_uri() + "#" + heading["anchor"]
            number = places[sheet.page, heading["anchor"]][0] + 1
            words = html.escape(heading["title"])
            lines.append(f'<p class="{kind}"><a href="{address}">{words}</a>{number}</p>')
    return f'<h2>Contents</h2><div class="contents">{"".join(lines)}</div>'


def front(press: Press, config: dict, parts: list[tuple[str, Sheet]]) -> Sheet:
    """Print title and contents: twice, for their own length moves the pages that they name."""
    sheets, path = [sheet for _, sheet in parts], ""
    before = 0
    while not path or length(path) != before:
        before = length(path) if path else 0
        body = title_page(config, date.today())
        body += contents_pages(parts, places_of(sheets, before), press.pages)
        style = FRONT_STYLE
        markup = PAGE.format(margin="18mm 18mm 20mm", style=style, body=body)
        path = str(press.text(markup, "front"))
    return Sheet("front", path, [])


def stamps(press: Press, sheets: list[Sheet]) -> Path:
    """Print what stands at the foot of each page: the chapter and the number."""
    lines, number = [], 0
    for sheet in sheets:
        words = html.escape(sheet.headings[0]["title"]) if sheet.headings else ""
        for _ in range(length(sheet.file)):
            number += 1
            foot = "" if number == 1 else f"<p><span>{words}</span><span>{number}</span></p>"
            lines.append(f'<div class="page">{foot}</div>')
    markup = PAGE.format(margin="0", style=STAMP_STYLE, body="".join(lines))
    return press.text(markup, "stamps", tagged=False)


def check(pages: Path, entries: list[Entry]) -> None:
    """Raise `NoBookError` unless each page of the contents is there."""
    missing = [entry.page for entry in entries if not (pages / f"{entry.page}.html").is_file()]
    if missing:
        raise NoBookError(
            f"{len(missing)} of {len(entries)} pages aren't in {pages}, the first: {missing[0]}. "
            "Render the book first: make book"
        )


def print_book(root: Path, pages: Path, target: Path, browser, say=print) -> Path:
    """Print the book of a folder.

    Args:
        root: the folder with `_config.yml` and `_toc.yml`.
        pages: the folder of its rendered pages.
        target: the file to write. Beside it, in `pdf/`, the printed pages are kept.
        browser: prints, one page at a time.
        say: is told what is done.

    Raises:
        NoBookError: pages are missing.
    """
    config = yaml.safe_load((root / "_config.yml").read_text("utf-8"))
    entries = list(contents(yaml.safe_load((root / "_toc.yml").read_text("utf-8"))))
    check(pages, entries)
    folder = target.parent / "pdf"
    folder.mkdir(parents=True, exist_ok=True)
    page = browser.new_page(viewport=WINDOW)
    page.emulate_media(media="print", color_scheme="light")
    press = Press(pages, folder, names(pages, entries), page)
    parts, behind = [], []
    for number, (part, name) in enumerate(entries, start=1):
        say(f"{number}/{len(entries)} {name}")
        sheet, *solutions = press.chapter(name)
        parts.append((part, sheet))
        behind += solutions
    parts += [(APPENDIX if number == 0 else "", sheet) for number, sheet in enumerate(behind)]
    first = front(press, config, parts)
    feet = stamps(press, [first, *(sheet for _, sheet in parts)])
    page.close()
    say("joining")
    join([("", first), *parts], feet, pages, target, config)
    return target


def main() -> int:
    built = ROOT / "_build"
    try:
        with headless() as browser:
            path = print_book(ROOT, built / "html", built / "book.pdf", browser)
    except (NoBookError, NoBrowserError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"The book is printed: {path.relative_to(ROOT)}, {path.stat().st_size / 1e6:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
