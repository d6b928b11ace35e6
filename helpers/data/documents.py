"""Documents to pretrain on: text files, or a data set streamed from the Hugging Face Hub.

Both can be gone through again and again, a document at a time, so a corpus needn't fit in memory.
`describe` says in JSON what was read; two corpora of the same description hold the same text.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

from datasets import load_dataset

__all__ = ["StreamedTexts", "TextFiles", "is_held_out"]

Split = Literal["file", "paragraph"]

LISTED = 10  # so many files are described one by one, more together


@dataclass(frozen=True)
class TextFiles:
    """The documents in UTF-8 text files, in the order of the files.

    Attributes:
        paths: the files.
        split: "file" for a document per file; "paragraph" for one per stretch of text between
            blank lines, which are then all that must fit in memory.

    Raises:
        FileNotFoundError: a path is no file.
        ValueError: there is no path or `split` is unknown; while reading, a file that isn't
            UTF-8: the message names it and the offset of the first wrong byte.
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
                yield "".join(_lines(path))
            else:
                yield from _paragraphs(path)

    def describe(self) -> dict[str, str]:
        """The split, and names, sizes and SHA-256 of the files, all of which it reads."""
        described = {"split": self.split}
        sizes, digests = [], []
        for path in map(Path, self.paths):
            with path.open("rb") as file:
                digests.append(hashlib.file_digest(file, "sha256").hexdigest())
            sizes.append(path.stat().st_size)
        names = [Path(path).name for path in self.paths]
        if len(names) > LISTED:
            digest = hashlib.sha256("".join(digests).encode()).hexdigest()
            together = f"from {names[0]} to {names[-1]}"
            described["files"] = f"{len(names)} {together}, {_size(sum(sizes), digest)}"
            return described
        for number, name in enumerate(names):
            described[f"file {number + 1}"] = f"{name}, {_size(sizes[number], digests[number])}"
        return described


@dataclass(frozen=True)
class StreamedTexts:
    """One column of a data set that `datasets` streams: nothing is downloaded ahead.

    Attributes:
        dataset: a Hub id such as "Salesforce/wikitext", or a builder of `datasets` for local
            files such as "json" or "parquet".
        column: whose values are the documents.
        config: the data set's configuration, such as "wikitext-103-raw-v1".
        split: such as "train".
        data_files: for a builder, its files.

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
        rows = iter(
            load_dataset(
                self.dataset, self.config, data_files=files, split=self.split, streaming=True
            )
        )
        first = next(rows, None)
        if first is not None and self.column not in first:
            raise ValueError(
                f"{self.dataset} has no column {self.column!r}, only {sorted(first)}: choose the "
                "one that holds the text."
            )
        for number, row in enumerate(chain([] if first is None else [first], rows)):
            yield self._text(number, row)

    def _text(self, number: int, row: Mapping[str, object]) -> str:
        text = row[self.column]
        if text is None:
            return ""
        if not isinstance(text, str):
            raise TypeError(
                f"Row {number} of {self.dataset} has a {type(text).__name__} in the column "
                f"{self.column!r}; expected text."
            )
        return text

    def describe(self) -> dict[str, str]:
        """The attributes that are set; of local files the names."""
        described = {
            name: str(value)
            for name in ("dataset", "config", "split", "column")
            if (value := getattr(self, name)) is not None
        }
        for number, file in enumerate(self.data_files or (), start=1):
            described[f"file {number}"] = Path(file).name
        return described


def is_held_out(text: str, share: float) -> bool:
    """Whether a document belongs to the held-out `share`, by the SHA-256 of its lower-cased words.

    So the same text is always on the same side, wherever and however often it comes; more text
    moves none that was there; and a larger share holds out all that a smaller one does. Texts
    that differ in a word are different texts here: near-duplicates may end on both sides.
    """
    words = " ".join(text.lower().split())
    digest = hashlib.sha256(words.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def _size(size: int, digest: str) -> str:
    return f"{size:,} bytes, SHA-256 {digest[:16]}"


def _lines(path: str | Path) -> Iterator[str]:
    """A file's lines; in binary, so that the place of a wrong byte is known."""
    offset = 0
    with Path(path).open("rb") as file:
        for raw in file:
            try:
                line = raw.decode("utf-8")
            except UnicodeDecodeError as error:
                raise ValueError(
                    f"{path} isn't UTF-8: the byte 0x{raw[error.start]:02x} at offset "
                    f"{offset + error.start} ({error.reason}). Convert the file, for example with "
                    f"iconv -f latin1 -t utf-8 if that is its encoding, or leave it out."
                ) from error
            if offset == 0:
                line = line.removeprefix("\ufeff")  # the byte-order mark that Windows writes
            offset += len(raw)
            yield line.replace("\r\n", "\n")


def _paragraphs(path: str | Path) -> Iterator[str]:
    lines: list[str] = []
    for line in _lines(path):
        if line.strip():
            lines.append(line)
        elif lines:
            yield "".join(lines)
            lines = []
    if lines:
        yield "".join(lines)
