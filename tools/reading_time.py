"""How long a chapter takes to read: `python -m tools.reading_time [11]`.

With `--write` the times of all chapters are written into the README and onto the first page.

A section (## or ###) is *deeper* if its heading, or one above it, begins with "Going deeper"; all
else is the core path. A minute is 100 words of prose or five visible lines of code, at the pace of
one who runs the cells and thinks about them.

Words are those of paragraphs, lists, tables, boxes and exercises; solutions, blocks of code,
formulas, citations and references aren't counted, and a piece of inline code is one word. Lines are
those that aren't blank, of code cells that aren't folded; the set-up cell doesn't count, and of an
exercise's cell only what stands above the call that checks the answer.
"""

import json
import re
import subprocess
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import nbformat
import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token
from nbformat import NotebookNode

from tools.notebook_form import is_chapter
from tools.plain_markdown import directive, make_parser
from tools.set_address import ROOT

DEEPER = "Going deeper"
TABLES = ("README.md", "book/index.md")
FOLDED = {"hide-input", "hide-cell", "remove-input", "remove-cell"}
WORD = re.compile(r"[^\W_](?:[\w'’.,·×-]*[^\W_])?")  # "fine-tuned", "doesn't" and "3,000" are one
CHECK = re.compile(r"^_ = exercises\.check_", re.MULTILINE)  # what follows isn't for reading
ROW = re.compile(r"^\|[ ]*reading time[ ]*\|[ ]*(.*?)[ ]*\|$", re.MULTILINE)


@dataclass
class Amount:
    """What there is to read."""

    words: int = 0
    lines: int = 0

    @property
    def minutes(self) -> float:
        return self.words / 100 + self.lines / 5

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.words + other.words, self.lines + other.lines)


@dataclass
class Part:
    """The core path of a chapter, or all that goes deeper."""

    amount: Amount = field(default_factory=Amount)
    cells: list[NotebookNode] = field(default_factory=list)  # of code, the set-up cell too


@cache
def parser() -> MarkdownIt:
    """The parser that builds the pages."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    return make_parser(config["parse"]["myst_enable_extensions"])


def parts(notebook: NotebookNode) -> tuple[Part, Part]:
    """The core path of a chapter, and what goes deeper."""
    found = Part(), Part()
    above: list[tuple[int, bool]] = []  # the headings that we are under: level, deeper
    setup = next((cell for cell in notebook.cells if cell.cell_type == "code"), None)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            part = found[bool(above) and above[-1][1]]
            part.cells.append(cell)
            if cell is not setup and not FOLDED & set(cell.metadata.get("tags", ())):
                read = CHECK.split(cell.source)[0]
                part.amount.lines += sum(bool(line.strip()) for line in read.splitlines())
        elif cell.cell_type == "markdown":
            tokens = parser().parse(cell.source)
            for token, following in zip(tokens, [*tokens[1:], None], strict=True):
                if token.type == "heading_open":
                    level = int(token.tag[1])
                    above = [heading for heading in above if heading[0] < level]
                    named = level in (2, 3) and following.content.startswith(DEEPER)
                    above.append((level, named or any(deeper for _, deeper in above)))
                found[bool(above) and above[-1][1]].amount.words += _words(token)
    return found


def _words(token: Token) -> int:
    """The words of prose in a token of the parser, and in what it holds."""
    if token.type == "inline":
        return sum(map(_words, token.children))
    if token.type == "text":
        return len(WORD.findall(token.content))
    if token.type == "code_inline":
        return 1
    inside = directive(token)
    if inside is None or inside.name == "solution":
        return 0
    texts = (inside.argument, inside.body)
    return sum(_words(nested) for text in texts for nested in parser().parse(text))


def sentence(core: Amount, whole: Amount) -> str:
    """What the opening table says: "core path about 85 minutes; all of it about 4 hours"."""
    if core == whole:
        return f"about {_rounded(core.minutes)}, all of it core path"
    return f"core path about {_rounded(core.minutes)}; all of it about {_rounded(whole.minutes)}"


def _rounded(minutes: float) -> str:
    """Minutes in fives up to 100, then hours in halves."""
    if minutes <= 100:
        return f"{max(5, 5 * round(minutes / 5))} minutes"
    hours, half = divmod(round(minutes / 30), 2)
    return f"{hours}{'½' if half else ''} hours"


def said(notebook: NotebookNode) -> str | None:
    """What the opening table of a chapter says of its reading time."""
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    row = ROW.search(text)
    return row[1] if row else None


def borrowed(core: Part, deeper: Part) -> set[str]:
    """The names that the core's code uses and that only code that goes deeper defines.

    The linter finds them: a name is undefined in the core alone, and isn't in all cells together.
    """
    return _undefined(core.cells) - _undefined(deeper.cells + core.cells)


def _undefined(cells: list[NotebookNode]) -> set[str]:
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["language_info"] = {"name": "python"}
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select=F821", "--no-cache"]
    command += ["--output-format=json", "--exit-zero", "--stdin-filename=core.ipynb", "-"]
    done = subprocess.run(
        command, input=nbformat.writes(notebook), capture_output=True, text=True, check=True
    )
    return {re.search(r"`(.*)`", found["message"])[1] for found in json.loads(done.stdout)}


def with_times(text: str, table: dict[str, tuple[str, str, str]]) -> str:
    """A text whose table of chapters says what `table` does.

    Args:
        text: in Markdown. A row is a chapter's if its second column begins with a link to the
            notebook; `core path` and `all of it` in the table's head name the columns to fill.
        table: for each chapter's number its file and both times.

    Raises:
        ValueError: there is no such table, or its rows are not the chapters'.
    """
    lines, columns, numbers = text.split("\n"), [], []
    for place, line in enumerate(lines):
        cells = [cell.strip() for cell in line.split("|")]
        if "core path" in cells and "all of it" in cells:
            columns = [cells.index("core path"), cells.index("all of it")]
        if columns and (row := re.match(r"\| (\d\d) \| \[", line)):
            numbers.append(row[1])
            file, core, whole = table.get(row[1], ("", "", ""))
            if f"/{file})" not in line:
                raise ValueError(f"The row of chapter {row[1]} doesn't link to {file}.")
            cells[columns[0]], cells[columns[1]] = core, whole
            lines[place] = " | ".join(cells).strip()
    if numbers != sorted(table):
        raise ValueError(f"The table has rows for {numbers}, and the chapters are {sorted(table)}.")
    return "\n".join(lines)


def table_of_times() -> dict[str, tuple[str, str, str]]:
    """For each chapter's number its file, the time of its core and of all of it."""
    table = {}
    for path in chapters():
        notebook = nbformat.read(path, as_version=4)
        core, deeper = parts(notebook)
        amounts = core.amount, core.amount + deeper.amount
        times = (_rounded(amount.minutes) for amount in amounts)
        table[path.name[:2]] = (path.name, *times)
    return table


def chapters(number: str = "") -> list[Path]:
    """The notebooks of all chapters, or of the one with this number."""
    found = sorted((ROOT / "notebooks").glob(f"{number}*.ipynb"))
    return [path for path in found if is_chapter(path)]


def write() -> None:
    """Write both times of each chapter into its opening table and into those of all chapters."""
    for path in chapters():
        notebook = nbformat.read(path, as_version=4)
        core, deeper = parts(notebook)
        row = f"| reading time | {sentence(core.amount, core.amount + deeper.amount)} |"
        before = said(notebook)
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = ROW.sub(row, cell.source, count=1)
        if said(notebook) != before:
            nbformat.write(notebook, path)
    table = table_of_times()
    for name in TABLES:
        path = ROOT / name
        path.write_text(with_times(path.read_text("utf-8"), table), "utf-8")


def main() -> int:
    if sys.argv[1:] == ["--write"]:
        write()
        return 0
    paths = chapters(*sys.argv[1:2])
    if not paths:
        print(f"There is no chapter {sys.argv[1]!r}.", file=sys.stderr)
        return 1
    print("        core                    all")
    print("      words lines minutes   words lines  for the opening table")
    for path in paths:
        core, deeper = parts(nbformat.read(path, as_version=4))
        c, w = core.amount, core.amount + deeper.amount
        print(
            f"{path.name[:2]}   {c.words:6} {c.lines:5} {c.minutes:7.1f}  {w.words:6} {w.lines:5}  "
            f"{sentence(c, w)}"
        )
        if names := borrowed(core, deeper):
            print(f"     the core uses what only deeper code defines: {', '.join(sorted(names))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
