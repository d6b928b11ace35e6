"""Make a folder with which a room works without a network: `make workshop NB="11 13"`.

    _build/workshop/workshop-11-13/      for the participants: student notebooks, what they read,
                                         models and data, wheels, setup.sh and setup.bat, SHA256SUMS
    _build/workshop/workshop-11-13.zip   the same
    _build/workshop/teacher-11-13/       guides, slides, notebooks with solutions, collect.py

The wheels of each system are kept in `_build/workshop/wheels/`; a workshop links to them.
"""

import argparse
import errno
import hashlib
import json
import os
import re
import shutil
import sys
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from helpers.data import assets
from tools import chapter_assets, workshop_wheels
from tools.set_address import ROOT
from tools.workshop_notebooks import code_of, numbered, read_beside
from tools.workshop_wheels import SYSTEMS, WheelError

OUT = ROOT / "_build" / "workshop"
ROOM = ROOT / "tools" / "room"
SLIDES = ROOT / "_build" / "slides"
BOOK = 5_000_000  # bytes of notebooks, results and checkpoints, about
INSTALLED = 5  # an environment is about so many times as large as its wheels


class WorkshopError(Exception):
    """The workshop can't be made; the message says what to do."""


@dataclass(frozen=True)
class Wish:
    """What a teacher asked for.

    Attributes:
        chapters: names of notebooks without suffix, "11-text-classification".
        systems: keys of SYSTEMS.
        pythons: the room's versions, "3.11".
        out: the folder in which all is made.
    """

    chapters: tuple[str, ...]
    systems: tuple[str, ...]
    pythons: tuple[str, ...]
    out: Path

    @property
    def numbers(self) -> str:
        return "-".join(name[:2] for name in self.chapters)

    @property
    def folder(self) -> Path:
        return self.out / f"workshop-{self.numbers}"


# --- The folder


def copy(source: Path, target: Path) -> None:
    """Copy a file or a folder, without caches; what is there already stays."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        ignore = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
        shutil.copytree(source, target, ignore=ignore, dirs_exist_ok=True)
    else:
        shutil.copy2(source, target)


def link(source: Path, target: Path) -> None:
    """Give a file a second place, without a copy where the disk can do that."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def put_chapters(wish: Wish, folder: Path) -> None:
    """Write the student notebooks, and copy what they read."""
    for name in wish.chapters:
        notebook = nbformat.read(ROOT / "editions" / "student" / f"{name}.ipynb", as_version=4)
        for path in read_beside(notebook):
            copy(ROOT / path, folder / path)
        target = folder / "notebooks" / f"{name}.ipynb"
        target.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(numbered(notebook), target)


def put_assets(names: Iterable[str], folder: Path) -> None:
    """Copy models and data, fetched first if this machine hasn't them, into a cache of their own.

    Raises:
        AssetError: one can't be fetched.
    """
    for name in sorted(names):
        source = Path(assets.path(name))
        copy(source, folder / "assets" / source.name)


def put_wheels(wish: Wish, folder: Path) -> dict[str, int]:
    """Link the wheels of all systems, with a list for each, and return the bytes of each system.

    Raises:
        WheelError: a package can't be had for one of them.
    """
    place, sizes = folder / "wheels", {}
    place.mkdir(parents=True)
    code = "\n".join(code_of(chapter_of(name)) for name in wish.chapters)
    own = workshop_wheels.build_helpers(place)
    for system in wish.systems:
        for python in wish.pythons:
            cache = wish.out / "wheels" / f"{system}-{python}"
            wanted = workshop_wheels.roots(code)
            wheels = workshop_wheels.collect(wanted, system, python, cache)
            for wheel in wheels:
                if not (place / wheel.name).exists():
                    link(wheel, place / wheel.name)
            pins = ["{}=={}".format(*wheel.name.split("-")[:2]) for wheel in (*wheels, own)]
            text = "\n".join(sorted(pins, key=str.lower)) + "\n"
            (place / f"{system}-{python}.txt").write_text(text, encoding="utf-8")
            size = sum(wheel.stat().st_size for wheel in wheels)
            sizes[system] = max(size, sizes.get(system, 0))
    return sizes


def chapter_of(name: str) -> NotebookNode:
    """The chapter itself, with the row that says what it needs."""
    return nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)


def title_of(notebook: NotebookNode) -> str:
    """A chapter's title."""
    return re.search(r"^# (.+)$", notebook.cells[0].source, re.MULTILINE)[1]


def sums(folder: Path) -> None:
    """Write SHA256SUMS, as sha256sum would."""
    lines = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        lines.append(f"{digest}  {path.relative_to(folder).as_posix()}\n")
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8", newline="\n")


def zipped(folder: Path) -> Path:
    """Pack a folder without compressing, since wheels and weights are compressed already."""
    target = folder.with_name(folder.name + ".zip")
    partial = target.with_name(target.name + ".partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, Path(folder.name, path.relative_to(folder)))
    partial.replace(target)
    return target


# --- Words


def filled(template: str, words: dict[str, str]) -> str:
    """A file of tools/room with its @WORDS@ put in."""
    text = (ROOM / template).read_text("utf-8")
    for word, meaning in words.items():
        text = text.replace(f"@{word}@", meaning)
    return text


def words_of(wish: Wish, sizes: dict[str, int]) -> dict[str, str]:
    """What the pages and scripts of a folder say about it."""
    titles = [f"{name[:2]}, {title_of(chapter_of(name))}" for name in wish.chapters]
    needs = {"macos": " (macOS 14 or newer, with an Apple processor)"}
    return {
        "TITLE": "Chapter " + "; chapter ".join(titles),
        "SYSTEMS": " or ".join(SYSTEMS[s].title + needs.get(s, "") for s in wish.systems),
        "PYTHONS": " ".join(wish.pythons),
        "PYTHONS_OR": " or ".join(wish.pythons),
        "NOTEBOOKS": " or ".join(f"`{name}.ipynb`" for name in wish.chapters),
        "GIGABYTES": f"{installed(sizes) / 1e9:.1f}",
        "FOLDER": wish.folder.name,
    }


def installed(sizes: dict[str, int]) -> int:
    """Bytes that the environment takes on a participant's disk, about."""
    return INSTALLED * max(sizes.values())


def megabytes(size: float) -> str:
    return f"{size / 1e6:,.0f} MB"


def put_room(wish: Wish, folder: Path, sizes: dict[str, int]) -> None:
    """Write the scripts, the page for participants, and what the scripts ask."""
    words = words_of(wish, sizes)
    for name in ("setup.sh", "setup.bat", "README.md"):
        ending = "\r\n" if name.endswith(".bat") else "\n"
        text = filled(name, words)
        (folder / name).write_text(text, encoding="utf-8", newline=ending)
    (folder / "setup.sh").chmod(0o755)
    copy(ROOM / "start.py", folder / "start.py")
    copy(ROOT / "LICENSE", folder / "LICENSE")
    terms = (ROOT / "book" / "data-and-licences.md").read_text("utf-8")
    (folder / "DATA-AND-LICENCES.md").write_text(unlinked(terms), encoding="utf-8")
    about = {"chapters": wish.chapters, "installed": installed(sizes)}
    (folder / "workshop.json").write_text(json.dumps(about, indent=1), encoding="utf-8")


def unlinked(page: str) -> str:
    """A page of the book without what only the book can follow: labels and links into it."""
    page = re.sub(r"^\([\w-]+\)=\n", "", page, flags=re.MULTILINE)
    return re.sub(r"\[([^\]]+)\]\((?!https?:)[^)]+\)", r"\1", page)


def put_teacher(wish: Wish, sizes: dict[str, int], packed: Path | None) -> Path:
    """Make the teacher's folder: guides, slides, solutions, the collecting program."""
    folder = wish.out / f"teacher-{wish.numbers}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    slides = []
    for name in wish.chapters:
        guide = (ROOT / "book" / "teaching" / f"{name}.md").read_text("utf-8")
        (folder / f"guide-{name}.md").write_text(unlinked(guide), encoding="utf-8")
        copy(ROOT / "editions" / "colab" / f"{name}.ipynb", folder / f"solutions-{name}.ipynb")
        slides += sorted(SLIDES.glob(f"{name[:2]}*"))
    for path in slides:
        copy(path, folder / "slides" / path.name)
    feedback = (ROOT / "book" / "teaching" / "feedback.md").read_text("utf-8")
    (folder / "feedback.md").write_text(unlinked(feedback), encoding="utf-8")
    copy(ROOT / "tools" / "workshop_results.py", folder / "collect.py")
    measured = [f"{SYSTEMS[s].title} {megabytes(size)} of packages" for s, size in sizes.items()]
    measured.append(f"the whole folder {megabytes(size_of(wish.folder))}")
    words = words_of(wish, sizes) | {
        "SIZES": ", ".join(measured),
        "SLIDES": ", the slides" if slides else "",
        "ZIP": f"`{packed.name}` is the same, packed" if packed else "it isn't packed",
    }
    (folder / "README.md").write_text(filled("TEACHER.md", words), encoding="utf-8")
    return folder


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


# --- All of it


def assets_of(wish: Wish) -> set[str]:
    """The assets that the chapters of a workshop need."""
    return set().union(*(chapter_assets.needed(chapter_of(name)) for name in wish.chapters))


def estimate(wish: Wish, packs: bool) -> dict[str, float]:
    """Bytes that will be written, about, by what they are for."""
    parts = {}
    for system in wish.systems:
        caches = [wish.out / "wheels" / f"{system}-{python}" for python in wish.pythons]
        whole = SYSTEMS[system].megabytes * 1e6
        parts[SYSTEMS[system].title] = sum(max(0, whole - size_of(c)) for c in caches)
    parts["models and data"] = sum(assets.ASSETS[name].unpacked for name in assets_of(wish))
    parts["notebooks and results"] = BOOK * len(wish.chapters)
    if packs:
        wheels = 1e6 * len(wish.pythons) * sum(SYSTEMS[s].megabytes for s in wish.systems)
        parts["the packed copy"] = wheels + parts["models and data"]
    return parts


def check_room(wish: Wish, packs: bool) -> None:
    """Say what will be written.

    Raises:
        WorkshopError: the disk has no room for it.
    """
    parts = estimate(wish, packs)
    wish.out.mkdir(parents=True, exist_ok=True)
    free, needed = shutil.disk_usage(wish.out).free, sum(parts.values())
    listed = ", ".join(f"{name} {megabytes(size)}" for name, size in parts.items())
    print(f"To write, at most about: {listed}; {megabytes(needed)} together.", flush=True)
    if free < needed:
        raise WorkshopError(
            f"{megabytes(free)} are free in {wish.out}. Choose fewer systems (WHEELS=linux), leave "
            "out the packed copy (ZIP=0), or make it on another disk (OUT=/path/to/folder)."
        )


def make(wish: Wish, packs: bool = True) -> Path:
    """Make the folders; the participants' one is whole or as it was before.

    Raises:
        WorkshopError: there is no room on the disk.
        WheelError: a package can't be had.
        AssetError: a model or corpus can't be had.
    """
    check_room(wish, packs)
    partial = wish.folder.with_name(wish.folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        sizes = put_wheels(wish, partial)
        put_chapters(wish, partial)
        put_assets(assets_of(wish), partial)
        put_room(wish, partial, sizes)
        sums(partial)
        shutil.rmtree(wish.folder, ignore_errors=True)
        partial.rename(wish.folder)
        packed = zipped(wish.folder) if packs else None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        why = f"The disk of {wish.out} is full; nothing half-made was kept."
        raise WorkshopError(why) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        wish.folder.with_name(f"{wish.folder.name}.zip.partial").unlink(missing_ok=True)
    teacher = put_teacher(wish, sizes, packed)
    for line in told(wish, sizes, teacher, packed):
        print(line)
    return wish.folder


def told(wish: Wish, sizes: dict[str, int], teacher: Path, packed: Path | None) -> Iterator[str]:
    """What was made, and how large it is."""
    for system, size in sizes.items():
        yield f"{SYSTEMS[system].title}: packages of {megabytes(size)}"
    yield f"For the participants: {wish.folder} ({megabytes(size_of(wish.folder))})"
    if packed:
        yield f"The same, packed: {packed}"
    yield f"For you: {teacher}; begin with its README.md"


def wish_of(chosen: argparse.Namespace) -> Wish:
    """What was asked for on the command line.

    Raises:
        WorkshopError: a chapter, system or Python that there isn't.
    """
    try:
        names = [chapter_assets.chapter(number).stem for number in chosen.chapters]
    except ValueError as error:
        raise WorkshopError(error) from error
    for system in chosen.systems:
        if system not in SYSTEMS:
            raise WorkshopError(f"WHEELS: {system!r} is none of {', '.join(SYSTEMS)}.")
    for python in chosen.python:
        if not re.fullmatch(r"3\.\d\d", python) or python < "3.11":
            raise WorkshopError(f"PY: {python!r} is no version such as 3.12; the oldest is 3.11.")
    unique = (tuple(dict.fromkeys(values)) for values in (names, chosen.systems, chosen.python))
    return Wish(*unique, chosen.out.absolute())


def main(arguments: list[str] | None = None) -> int:
    """Make a workshop; return 0, or 1 with a message on an error."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.workshop", description="Make a folder for a room without a network."
    )
    here = "{}.{}".format(*sys.version_info[:2])
    parser.add_argument("chapters", nargs="*", help="their numbers: 11 13")
    systems = f"of {', '.join(SYSTEMS)}; all, if not said"
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), help=systems)
    python = f"the room's, such as 3.12; {here} if not said"
    parser.add_argument("--python", nargs="+", default=[here], help=python)
    parser.add_argument("--out", type=Path, default=OUT, help="where to make it")
    parser.add_argument("--no-zip", action="store_true", help="no packed copy")
    chosen = parser.parse_args(arguments)
    if not chosen.chapters:
        print('Say for which chapters: make workshop NB="11 13"', file=sys.stderr)
        return 2
    try:
        make(wish_of(chosen), packs=not chosen.no_zip)
    except (WorkshopError, WheelError, assets.AssetError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
