"""A corpus as blocks of token ids on disk, read without loading them: for runs that resume exactly.

A folder of blocks holds

    train.npy, validation.npy   (number of blocks, block size), uint16 or uint32, memory-mapped
    manifest.json               what they were made from, counts, and digests of these files

It gets its name when it is complete, see `helpers.data.disk`, so work killed at any moment leaves
whole folders only; and its files are compared with their digests when it is opened.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from transformers import PreTrainedTokenizerBase

from helpers.data import disk
from helpers.data.batching import Packer
from helpers.data.documents import is_held_out
from helpers.data.vocabulary import count_marks

SPLITS = ("train", "validation")
COUNTED = ("empty_documents", "blocks_from_the_end", "unknown_tokens", "marks", "lost_marks")
CHUNK = 1_000_000  # characters tokenized in one call: enough to keep all threads busy


class Blocks:
    """The blocks of a .npy file, a map-style dataset whose rows are `{"input_ids": int64 (T,)}`.

    Rows are read from the disk when asked for; worker processes open the file for themselves.
    """

    def __init__(self, file: str | Path):
        self.file = Path(file)
        self._ids = np.load(self.file, mmap_mode="r")  # (N, T)

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, row: int) -> dict[str, np.ndarray]:
        return {"input_ids": self._ids[row].astype(np.int64)}

    def __getitems__(self, rows: Sequence[int]) -> list[dict[str, np.ndarray]]:
        return [{"input_ids": ids} for ids in self._ids[list(rows)].astype(np.int64)]

    @cached_property
    def lengths(self) -> np.ndarray:
        """Ids per row, int64 (N,): all the same."""
        return np.full(len(self), self._ids.shape[1], dtype=np.int64)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the file: the ids of all rows, for `helpers.training` to compare."""
        return disk.sha256(self.file)

    def __reduce__(self):
        return Blocks, (self.file,)  # pickling the array would copy the corpus


def prepare_blocks(
    folder: str | Path,
    documents: Iterable[str],
    tokenizer: PreTrainedTokenizerBase,
    block_size: int,
    *,
    source: Mapping[str, str],
    validation_share: float = 0.0,
    max_tokens: int | None = None,
) -> dict[str, Blocks]:
    """Tokenize documents and pack them into blocks in `folder`, or open it if they are there.

    Empty documents are skipped and counted. Memory holds a few megabytes of text at a time, and
    at least one document. If the documents to hold out don't fill a block, as with one file or a
    few, the last blocks of all are held out, as many as the share says and at least one.

    Args:
        folder: made if absent, with those above it.
        documents: gone through once, or not at all if the blocks are there.
        tokenizer: a fast one; its start and end tokens go into the blocks, see `block_ends`.
        block_size: ids in a block.
        source: what the documents are, as `TextFiles.describe` says it.
        validation_share: of the documents to hold out, 0 to below 1; see `is_held_out`.
        max_tokens: stop after the document with which this many ids are reached.

    Returns:
        Blocks by split, "train" and, unless the share is 0, "validation".

    Raises:
        ValueError: the folder holds blocks of something else (the message names what differs) or
            is damaged, a split doesn't fill a block, or the tokenizer has no token to end a text.
    """
    start, separator = block_ends(tokenizer)
    made_from = {
        "tokenizer": _tokenizer_digest(tokenizer),
        "block_size": block_size,
        "start": start,
        "separator": separator,
        "validation_share": validation_share,
        "max_tokens": max_tokens,
        **{f"source, {key}": value for key, value in source.items()},
    }
    folder = Path(folder)
    if not folder.exists():
        counts: dict[str, dict[str, int]] = {}
        with disk.new_folder(folder, made_from=made_from, counts=counts) as partial:
            splits = {
                name: _Split(partial / f"{name}.npy", tokenizer, block_size)
                for name in SPLITS[: 1 + (validation_share > 0)]
            }
            _fill(splits, _tokenize(documents, tokenizer), validation_share, max_tokens)
            counts.update({name: split.close() for name, split in splits.items()})
    return _open(folder, made_from)


def block_ends(tokenizer: PreTrainedTokenizerBase) -> tuple[int | None, int]:
    """The id that begins a block (None: none) and the id that ends a document.

    [CLS] and [SEP] where the tokenizer has them, else its tokens for the begin and end of a text.

    Raises:
        ValueError: it has nothing to end a document with.
    """
    start, end = tokenizer.cls_token_id, tokenizer.sep_token_id
    if end is None:
        start, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    if end is None:
        raise ValueError(
            "The tokenizer has neither a sep_token nor an eos_token to set documents apart with: "
            "add one with tokenizer.add_special_tokens and save it again."
        )
    return start, end


def vocabulary_size(tokenizer: PreTrainedTokenizerBase) -> int:
    """Ids are below this number; a vocabulary with gaps has fewer pieces."""
    return max(tokenizer.get_vocab().values()) + 1


def read_counts(folder: str | Path) -> dict[str, dict[str, int]]:
    """What is in each split, by its name.

    `documents`, `empty_documents`, `blocks`, and `blocks_from_the_end`, which belong to documents
    counted with the training split; `tokens`, a separator counted for each document;
    `unknown_tokens`, in whose place the tokenizer had no piece; `marks`, such as accents, vowels
    and tones that are written with a letter, and `lost_marks`, those that the tokenizer drops.
    """
    return disk.read_manifest(Path(folder))["counts"]


class _Split:
    """A .npy file to which documents are added; its header gets the final count at the end."""

    def __init__(self, path: Path, tokenizer: PreTrainedTokenizerBase, block_size: int):
        start, separator = block_ends(tokenizer)
        self.tokenizer = tokenizer
        self.packer = Packer(block_size, separator=separator, start=start)
        self.dtype = np.dtype(np.uint16 if vocabulary_size(tokenizer) <= 2**16 else np.uint32)
        self.counts = Counter()
        self.file = path.open("w+b")
        self._write_header()

    def add(self, text: str, ids: Sequence[int]) -> None:
        """Add a document, of which only the count is kept if it gives no ids."""
        marks, lost = count_marks(text, self.tokenizer)
        unknown = ids.count(self.tokenizer.unk_token_id)
        self.counts.update(marks=marks, lost_marks=lost, unknown_tokens=unknown)
        self.counts["empty_documents"] += not ids
        self.file.write(self.packer.add([ids] if ids else []).astype(self.dtype).tobytes())

    def take_end(self, other: "_Split", n_blocks: int) -> None:
        """Move the last blocks of another split here."""
        size = n_blocks * self.packer.block_size * self.dtype.itemsize
        other.file.seek(-size, os.SEEK_END)
        self.file.write(other.file.read())
        other.file.seek(-size, os.SEEK_END)
        other.file.truncate()
        for split, moved in ((self, n_blocks), (other, -n_blocks)):
            split.packer.n_blocks += moved
            split.packer.n_ids += moved * split.packer.content
        self.counts["blocks_from_the_end"] = n_blocks

    def close(self) -> dict[str, int]:
        """Complete the file; returns the counts of `read_counts`."""
        self.file.seek(0)
        self._write_header()  # numpy leaves room in it for the first axis to grow
        self.file.close()
        self.packer.check_filled()
        return {
            "documents": self.packer.n_documents,
            "tokens": self.packer.n_ids,
            "blocks": self.packer.n_blocks,
            **{name: self.counts[name] for name in COUNTED},
        }

    def _write_header(self) -> None:
        header = {
            "descr": npy.dtype_to_descr(self.dtype),
            "fortran_order": False,
            "shape": (self.packer.n_blocks, self.packer.block_size),
        }
        npy.write_array_header_1_0(self.file, header)


def _tokenize(
    documents: Iterable[str], tokenizer: PreTrainedTokenizerBase
) -> Iterator[tuple[str, list[int]]]:
    """Each document and its ids, without special tokens; empty ones give no ids."""
    for texts in _chunks(documents):
        # verbose=False: a document longer than the model's positions is no mistake here.
        ids = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
        yield from zip(texts, ids, strict=True)


def _chunks(documents: Iterable[str]) -> Iterator[list[str]]:
    texts, characters = [], 0
    for text in documents:
        texts.append(text)
        characters += len(text)
        if characters >= CHUNK or len(texts) >= CHUNK:
            yield texts
            texts, characters = [], 0
    if texts:
        yield texts


def _fill(
    splits: Mapping[str, _Split],
    tokenized: Iterable[tuple[str, list[int]]],
    validation_share: float,
    max_tokens: int | None,
) -> None:
    """Add each document to its split, and see to it that something is held out."""
    for text, ids in tokenized:
        splits[SPLITS[is_held_out(text, validation_share)]].add(text, ids)
        n_ids = sum(split.packer.n_ids for split in splits.values())
        if max_tokens is not None and n_ids >= max_tokens:
            break
    train, validation = splits["train"], splits.get("validation")
    train.packer.check_filled()
    if validation is not None and validation.packer.n_blocks == 0:
        if train.packer.n_blocks == 1:
            raise ValueError(
                f"The text fills one block of {train.packer.block_size}, so there is nothing to "
                "hold out: give more text, shorten the blocks, or set validation_share to 0."
            )
        validation.take_end(train, max(1, round(validation_share * train.packer.n_blocks)))


def _open(folder: Path, made_from: Mapping[str, object]) -> dict[str, Blocks]:
    """The blocks in `folder`, if they are whole and were made from this."""
    if damage := disk.damage(folder):
        raise ValueError(
            f"{folder} isn't a whole folder of blocks: {' '.join(damage)} Delete it to have it "
            "made again, or choose another place."
        )
    manifest = disk.read_manifest(folder)
    saved = manifest["made_from"]
    if differing := disk.differences(saved, made_from):
        raise ValueError(
            f"{folder} holds blocks made from something else:\n  "
            + "\n  ".join(differing)
            + "\nDelete it to have them made anew, or choose another place."
        )
    blocks = {split: Blocks(folder / f"{split}.npy") for split in manifest["counts"]}
    for split in blocks.values():
        split.digest = manifest["files"][split.file.name]["sha256"]  # compared just now
    return blocks


def _tokenizer_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    if not tokenizer.is_fast:
        raise ValueError(
            f"The tokenizer is a {type(tokenizer).__name__}, written in Python; expected a fast "
            "one, of the tokenizers library."
        )
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    # Not part of what the tokenizer is: each call sets them.
    state.pop("truncation", None)
    state.pop("padding", None)
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()[:16]
