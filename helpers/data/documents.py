"""Documents to pretrain on: text files, or a data set streamed from the Hugging Face Hub.

Both can be gone through again and again, a document at a time, so a corpus needn't fit in memory.
A document of more than `WINDOW` characters comes as several, so neither need a document. `describe`
says in JSON what was read; two corpora of the same description hold the same text.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from glob import glob
from itertools import chain, groupby
from pathlib import Path
from typing import Literal

from datasets import load_dataset

Split = Literal["file", "paragraph"]

WINDOW = 100_000  # characters, some 20,000 tokens: far more than a block takes


@dataclass(frozen=True)
class TextFiles:
    """The documents in UTF-8 text files, in the order of the files.

    Attributes:
        paths: the files.
        split: "file" for a document per file; "paragraph" for one per stretch of text between
            blank lines.

    Raises:
        FileNotFoundError: a path is no file.
        ValueError: there is no path or `split` is unknown; while reading, a file that isn't
            UTF-8: the message shows the first wrong byte.
    """

    paths: tuple[str | Path, ...]
    split: Split = "file"

    def __post_init__(self) -> None:
        if not self.paths:
            raise ValueError("No text file was given: name one at least.")
        if self.split not in Split.__args__:
            raise ValueError(f"split is {self.split!r}; expected one of {Split.__args__}.")
        for path in self.paths:
            if not Path(path).is_file():
                is_folder = " It is a folder: give the files in it." if Path(path).is_dir() else ""
                raise FileNotFoundError(f"There is no text file {path}.{is_folder}")

    def __iter__(self) -> Iterator[str]:
        for path in self.paths:
            if self.split == "file":
                yield from in_windows(_lines(path))
                continue
            for is_text, lines in groupby(_lines(path), key=lambda line: bool(line.strip())):
                if is_text:
                    yield from in_windows(lines)

    def describe(self) -> dict[str, str]:
        """The split, and names, size and SHA-256 of the files, all of which it reads."""
        return {"split": self.split, "files": _describe(self.paths)}


@dataclass(frozen=True)
class StreamedTexts:
    """One column of a data set that `datasets` streams: nothing is downloaded ahead.

    Attributes:
        dataset: a Hub id such as "Salesforce/wikitext", or a builder of `datasets` for local
            files such as "json" or "parquet".
        column: whose values are the documents.
        config: the data set's configuration, such as "wikitext-103-raw-v1".
        split: such as "train".
        data_files: for a builder, its files, patterns as "rows/*.jsonl", or addresses.

    Raises:
        ValueError: while reading, if there is no such column; the message names those there are.
        TypeError: while reading, if the column doesn't hold text.
    """

    dataset: str
    column: str = "text"
    config: str | None = None
    split: str = "train"
    data_files: tuple[str, ...] | None = None

    def __iter__(self) -> Iterator[str]:
        files = list(self.data_files) if self.data_files else None
        rows = load_dataset(
            self.dataset, self.config, data_files=files, split=self.split, streaming=True
        )
        for number, row in enumerate(rows):
            if self.column not in row:
                raise ValueError(
                    f"{self.dataset} has no column {self.column!r}, only {sorted(row)}: choose the "
                    "one that holds the text."
                )
            text = row[self.column]
            if not isinstance(text, str | None):
                raise TypeError(
                    f"Row {number} of {self.dataset} has a {type(text).__name__} in the column "
                    f"{self.column!r}; expected text."
                )
            yield from in_windows([text or ""])

    def describe(self) -> dict[str, str]:
        """The attributes that are set; of local files, which it reads, as of `TextFiles`."""
        described = {
            name: str(value)
            for name in ("dataset", "config", "split", "column")
            if (value := getattr(self, name)) is not None
        }
        if self.data_files:
            # Path.glob takes no absolute pattern.
            found = [glob(name, recursive=True) or [name] for name in self.data_files]  # noqa: PTH207
            described["files"] = _describe(sorted(chain.from_iterable(found)))
        return described


def in_windows(pieces: Iterable[str]) -> Iterator[str]:
    """A document that comes in pieces, as documents of at most `WINDOW` characters.

    It is cut behind a line's end, or else between two words, or else anywhere. Nothing is lost:
    joined, they are the document. An empty document comes as one.
    """
    text = ""
    is_empty = True
    for piece in pieces:
        text += piece
        while len(text) > WINDOW:
            # A cut in the first half would leave small documents.
            ends = (text.rfind(space, WINDOW // 2, WINDOW) + 1 for space in "\n ")
            end = next(filter(None, ends), WINDOW)
            yield text[:end]
            text, is_empty = text[end:], False
    if text or is_empty:
        yield text


def is_held_out(text: str, share: float) -> bool:
    """Whether a document belongs to the held-out `share`, by the SHA-256 of its lower-cased words.

    So the same text is always on the same side, wherever and however often it comes; more text
    moves none that was there; and a larger share holds out all that a smaller one does. Texts
    that differ in a word are different texts here: near-duplicates may end on both sides.
    """
    words = " ".join(text.lower().split())
    digest = hashlib.sha256(words.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def _describe(paths: Iterable[str | Path]) -> str:
    """Names, size and SHA-256 of files together; an address on the net stands for itself."""
    digest, size, names = hashlib.sha256(), 0, []
    for path in map(Path, paths):
        names.append(path.name if path.is_file() else str(path))
        if path.is_file():
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
            size += path.stat().st_size
    shown = ", ".join(names) if len(names) <= 3 else f"{len(names)}, {names[0]} to {names[-1]}"
    return f"{shown}; {size:,} bytes, SHA-256 {digest.hexdigest()[:16]}"


def _lines(path: str | Path) -> Iterator[str]:
    """A file's lines, without the byte-order mark that Windows writes; very long ones in pieces."""
    try:
        with Path(path).open(encoding="utf-8-sig") as file:
            while line := file.readline(WINDOW):
                yield line
    except UnicodeDecodeError as error:
        around = error.object[max(0, error.start - 20) : error.start + 20]
        raise ValueError(
            f"{path} isn't UTF-8: the byte 0x{error.object[error.start]:02x} in {around!r} "
            f"({error.reason}). Convert the file, for example with iconv -f latin1 -t utf-8 if "
            "that is its encoding, or leave it out."
        ) from error
