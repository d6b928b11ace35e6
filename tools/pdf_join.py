"""Make one PDF of printed pages: links, bookmarks, tags, a foot on each page (tools/pdf.py)."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from posixpath import normpath
from urllib.parse import unquote, urlsplit

from pypdf import PdfReader, PdfWriter
from pypdf.generic import (
    ArrayObject,
    DictionaryObject,
    Fit,
    FloatObject,
    NameObject,
    NullObject,
    NumberObject,
    TextStringObject,
)

from tools.pdf_tags import Taken, Tree, as_artifact

# Where something stands: the number of a page, from 0, and the height on it in points.
Place = tuple[int, float]


@dataclass
class Sheet:
    """A printed piece of the book.

    Attributes:
        page: the page that was printed, "notebooks/11-text-classification".
        file: the PDF.
        headings: its headings, each with `level`, `title` and `anchor`; the first is its title.
    """

    page: str
    file: str
    headings: list[dict]


@cache
def _length(file: str, changed: float) -> int:
    return len(PdfReader(file).pages)


def length(file: str) -> int:
    """The number of pages of a PDF."""
    return _length(file, Path(file).stat().st_mtime)


def places_of(sheets: list[Sheet], first: int) -> dict[tuple[str, str], Place]:
    """Where each anchor of each page stands when the first sheet begins at page `first`.

    A page itself, `(page, "")`, stands at its top.
    """
    places = {}
    for sheet in sheets:
        reader = PdfReader(sheet.file)
        numbers = {page.indirect_reference.idnum: n for n, page in enumerate(reader.pages)}
        top = float(reader.pages[0].mediabox.top)
        places[sheet.page, ""] = first, top
        for heading in sheet.headings:  # also where the browser has written down no place
            places[sheet.page, heading["anchor"]] = first, top
        for name, found in reader.named_destinations.items():
            number = numbers[found.page.idnum]
            places[sheet.page, unquote(name.removeprefix("/"))] = first + number, float(found.top)
        first += len(reader.pages)
    return places


def _target(link: DictionaryObject, page: str, base: str) -> tuple[str, str] | None:
    """The page and the anchor to which a link leads, or None if that is outside of the book."""
    if "/Dest" in link:
        return page, unquote(str(link["/Dest"]).removeprefix("/"))
    address = str(link.get("/A", {}).get("/URI", ""))
    if not address.startswith(base):
        return None
    parts = urlsplit(address.removeprefix(base))
    return normpath(unquote(parts.path)).removesuffix(".html"), unquote(parts.fragment)


def _lead(link: DictionaryObject, place: Place, writer: PdfWriter) -> None:
    """Let a link lead to a place of the joined file."""
    number, top = place
    link.pop("/A", None)
    link[NameObject("/Dest")] = ArrayObject(
        [
            writer.pages[number].indirect_reference,
            NameObject("/XYZ"),
            NullObject(),
            FloatObject(top),
            NumberObject(0),
        ]
    )


def _connect(writer: PdfWriter, owners: list[str], places: dict, base: str) -> None:
    """Turn links between the book's files into links between pages of this one."""
    for page, owner in zip(writer.pages, owners, strict=True):
        kept = ArrayObject()
        for reference in page.get("/Annots", ()):
            link = reference.get_object()
            if target := _target(link, owner, base):
                place = places.get(target) or places.get((target[0], ""))
                if not place:
                    continue  # a file that isn't printed: the index, a download
                _lead(link, place, writer)
            kept.append(reference)
        if kept:
            page[NameObject("/Annots")] = kept
        else:
            page.pop("/Annots", None)


def _bookmarks(writer: PdfWriter, parts: list[tuple[str, Sheet]], places: dict) -> None:
    """Parts, chapters, sections and their sections, all folded."""
    part_item = None
    for part, sheet in parts:
        above: dict[int, object] = {}
        for heading in sheet.headings:
            number, top = places[sheet.page, heading["anchor"]]
            if part and heading is sheet.headings[0]:
                part_item = writer.add_outline_item(
                    title=part, page_number=number, bold=True, is_open=False
                )
            level = heading["level"]
            parent = next((above[n] for n in range(level - 1, 0, -1) if n in above), part_item)
            above = {n: item for n, item in above.items() if n < level}
            above[level] = writer.add_outline_item(
                title=heading["title"],
                page_number=number,
                parent=parent,
                fit=Fit.xyz(top=top),
                is_open=False,
            )


def join(
    parts: list[tuple[str, Sheet]], feet: Path, pages: Path, target: Path, config: dict
) -> None:
    """Write one file of all sheets.

    Args:
        parts: each sheet with the part of the book that it begins, "" for none.
        feet: a PDF with as many pages as the sheets, to be laid over them.
        pages: the folder of the rendered pages, to which links between them lead.
        target: the file to write.
        config: `title` and `author`.
    """
    writer, owners, taken = PdfWriter(), [], []
    for _, sheet in parts:
        taken.append(Taken(PdfReader(sheet.file)))
        for page in taken[-1].reader.pages:
            taken[-1].add(page, writer.add_page(page))
            owners.append(sheet.page)
    for page, foot in zip(writer.pages, PdfReader(feet).pages, strict=True):
        page.merge_page(as_artifact(foot))
        page.compress_content_streams()
    places = places_of([sheet for _, sheet in parts], 0)
    _connect(writer, owners, places, pages.as_uri() + "/")
    _bookmarks(writer, parts, places)
    tree = Tree(writer)
    for printed, (_, sheet) in zip(taken, parts, strict=True):
        tree.add(printed, sheet.headings[0]["title"] if sheet.headings else config["title"])
    tree.finish()
    writer.add_metadata({"/Title": config["title"], "/Author": config["author"]})
    writer.page_mode = "/UseOutlines"
    writer.root_object[NameObject("/Lang")] = TextStringObject("en")
    part = target.with_suffix(".part")
    with part.open("wb") as file:
        writer.write(file)
    part.replace(target)
