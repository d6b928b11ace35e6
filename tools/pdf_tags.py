"""Give a joined PDF the tags of its parts: headings, lists, tables, figures with their words.

A screen reader follows the tags. Chromium writes them, pypdf leaves them out when it takes a page
over, so here they are written anew (ISO 32000-1, 14.7 and 14.8). Chromium has an element without a
meaning for each run of letters, nine of ten; what stands in one is given to the element around it,
or to a paragraph where that holds no text by itself: the lines of a cell.
The letters of a formula have none: MathJax draws them as what stands before an element.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from pypdf import PageObject, PdfReader, PdfWriter
from pypdf.generic import (
    ArrayObject,
    BooleanObject,
    DictionaryObject,
    IndirectObject,
    NameObject,
    NullObject,
    NumberObject,
    TextStringObject,
)

WITHOUT_MEANING = {"/NonStruct", "/Span", "/Div"}
WITHOUT_TEXT = {"/Document", "/Part", "/Art", "/Sect", "/L", "/Table", "/TR"}
SAID = ("/Lang", "/Alt", "/ActualText", "/E")  # of an element, in words


@dataclass
class Taken:
    """Pages that a writer has taken over, with what their tags lead to.

    Attributes:
        reader: the printed file.
        pages: number of each of its pages' objects: the page in the writer.
        links: number of each link's object: the link in the writer.
    """

    reader: PdfReader
    pages: dict[int, PageObject] = field(default_factory=dict)
    links: dict[int, IndirectObject] = field(default_factory=dict)

    def add(self, old: PageObject, new: PageObject) -> None:
        """Note a page, right after the writer has taken it over."""
        self.pages[old.indirect_reference.idnum] = new
        for before, after in zip(old.get("/Annots", ()), new.get("/Annots", ()), strict=True):
            self.links[before.idnum] = after


def as_artifact(page: PageObject) -> PageObject:
    """Mark all of a page as what is no part of the text: a foot."""
    content = page.get_contents()
    if content is not None:
        content.operations = [
            ([NameObject("/Artifact")], b"BMC"),
            *content.operations,
            ([], b"EMC"),
        ]
        page[NameObject("/Contents")] = content
    return page


class Tree:
    """The tags of a file that is being written."""

    def __init__(self, writer: PdfWriter):
        self.writer = writer
        self.root = DictionaryObject({NameObject("/Type"): NameObject("/StructTreeRoot")})
        self.root_reference = writer._add_object(self.root)
        self.document = self.element("/Document", self.root_reference)
        self.root[NameObject("/K")] = ArrayObject([self.document])
        self.marks: dict[int, dict[int, IndirectObject]] = defaultdict(dict)  # page: mark: element
        self.links: dict[int, IndirectObject] = {}  # a link's number: its element
        self.names: dict[str, IndirectObject] = {}
        self.paragraphs: dict[tuple[int, int, int], IndirectObject] = {}
        self.kept = {
            link.idnum for page in writer.pages for link in page.get("/Annots", ArrayObject())
        }

    def element(self, kind: str, parent: IndirectObject) -> IndirectObject:
        """A new element, without anything in it."""
        made = DictionaryObject({NameObject("/S"): NameObject(kind), NameObject("/P"): parent})
        return self.writer._add_object(made)

    def add(self, taken: Taken, title: str) -> None:
        """Write the tags of one printed file, as a part of the document."""
        tree = taken.reader.trailer["/Root"].get("/StructTreeRoot")
        if tree is None:
            return
        part = self.element("/Part", self.document)
        part.get_object()[NameObject("/T")] = TextStringObject(title)
        self.kids(self.document).append(part)
        mark = f"{len(self.kids(self.document)):03}-"
        (top,) = each(tree["/K"])
        # What is still to be written: the old element, the new one around it, the old one's page,
        # and the last element without a meaning around it that holds several.
        below = each(top["/K"], raw=True)
        waiting = [(kid, part, top.get("/Pg"), 0) for kid in reversed(list(below))]
        while waiting:
            raw, parent, page, block = waiting.pop()
            kid = raw.get_object()
            if isinstance(kid, int):
                self.mark(parent, taken.pages[page.indirect_reference.idnum], int(kid), block)
                continue
            if page := kid.get("/Pg", page):
                page = page.get_object()
            if kid.get("/Type") == "/MCR":
                number = int(kid["/MCID"])
                self.mark(parent, taken.pages[page.indirect_reference.idnum], number, block)
            elif kid.get("/Type") == "/OBJR":
                self.link(parent, taken, kid.raw_get("/Obj").idnum, page)
            else:
                below = list(each(kid["/K"], raw=True)) if "/K" in kid else []
                if kid["/S"] not in WITHOUT_MEANING or any(name in kid for name in SAID):
                    parent, block = self.copy(kid, parent, mark), 0
                elif len(below) > 1:
                    block = kid.indirect_reference.idnum
                waiting += [(one, parent, page, block) for one in reversed(below)]

    def copy(self, old: DictionaryObject, parent: IndirectObject, mark: str) -> IndirectObject:
        """An element like another one, with names of its own."""
        new = self.element(old["/S"], parent)
        element = new.get_object()
        for name in SAID:
            if name in old:
                element[NameObject(name)] = TextStringObject(old[name])
        if "/ID" in old:
            self.names[mark + str(old["/ID"])] = new
            element[NameObject("/ID")] = TextStringObject(mark + str(old["/ID"]))
        if "/A" in old:
            element[NameObject("/A")] = attributes(old["/A"], mark)
        self.kids(parent).append(new)
        return new

    def kids(self, element: IndirectObject) -> ArrayObject:
        return element.get_object().setdefault(NameObject("/K"), ArrayObject())

    def mark(self, parent: IndirectObject, page: PageObject, number: int, block: int) -> None:
        """Give an element a marked piece of a page, or a paragraph in it, one for each block."""
        place = page.indirect_reference
        if parent.get_object()["/S"] in WITHOUT_TEXT:
            key = parent.idnum, block, place.idnum
            if key not in self.paragraphs:
                self.paragraphs[key] = self.element("/P", parent)
                self.kids(parent).append(self.paragraphs[key])
            parent = self.paragraphs[key]
        if parent.get_object().setdefault(NameObject("/Pg"), place) == place:
            kid = NumberObject(number)
        else:
            kid = DictionaryObject(
                {
                    NameObject("/Type"): NameObject("/MCR"),
                    NameObject("/Pg"): place,
                    NameObject("/MCID"): NumberObject(number),
                }
            )
        self.kids(parent).append(kid)
        self.marks[place.idnum][number] = parent

    def link(self, parent: IndirectObject, taken: Taken, number: int, page: PageObject) -> None:
        """Give an element a link, if the joined file still has it."""
        link = taken.links.get(number)
        if link is None or link.idnum not in self.kept:
            return
        place = taken.pages[page.indirect_reference.idnum].indirect_reference
        kid = {"/Type": NameObject("/OBJR"), "/Obj": link, "/Pg": place}
        self.kids(parent).append(
            DictionaryObject({NameObject(name): value for name, value in kid.items()})
        )
        self.links[link.idnum] = parent

    def finish(self) -> None:
        """Write the way back, from pages and links to their elements; say that there are tags."""
        numbers, key = ArrayObject(), 0
        for page in self.writer.pages:
            if marks := self.marks.get(page.indirect_reference.idnum):
                elements = [marks.get(n, NullObject()) for n in range(max(marks) + 1)]
                numbers += [NumberObject(key), self.writer._add_object(ArrayObject(elements))]
                page[NameObject("/StructParents")] = NumberObject(key)
                key += 1
            for reference in page.get("/Annots", ()):
                link = reference.get_object()
                link.pop("/StructParent", None)
                if element := self.links.get(reference.idnum):
                    numbers += [NumberObject(key), element]
                    link[NameObject("/StructParent")] = NumberObject(key)
                    key += 1
        back = DictionaryObject({NameObject("/Nums"): numbers})
        names = ArrayObject()
        for name, element in sorted(self.names.items()):
            names += [TextStringObject(name), element]
        self.root[NameObject("/ParentTree")] = self.writer._add_object(back)
        self.root[NameObject("/ParentTreeNextKey")] = NumberObject(key)
        if names:
            tree = DictionaryObject({NameObject("/Names"): names})
            self.root[NameObject("/IDTree")] = self.writer._add_object(tree)
        root = self.writer.root_object
        root[NameObject("/StructTreeRoot")] = self.root_reference
        root[NameObject("/MarkInfo")] = DictionaryObject(
            {NameObject("/Marked"): BooleanObject(value=True)}
        )
        root[NameObject("/ViewerPreferences")] = DictionaryObject(
            {NameObject("/DisplayDocTitle"): BooleanObject(value=True)}
        )


def each(value, *, raw: bool = False) -> Iterator:
    """What stands in an element: one thing, or an array of them; `raw` without following."""
    value = value.get_object()
    for one in value if isinstance(value, list) else [value]:
        yield one if raw else one.get_object()


def attributes(value, mark: str) -> ArrayObject:
    """An element's attributes, where a table's cells name their heads."""
    found = ArrayObject()
    for one in each(value):
        new = DictionaryObject()
        for name in one:
            heads = one[name] if name == "/Headers" else ()
            names = ArrayObject(TextStringObject(mark + str(head)) for head in heads)
            new[NameObject(name)] = names if heads else one[name]
        found.append(new)
    return found
