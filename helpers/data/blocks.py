"""A corpus as blocks of token ids on disk, read without loading them: for runs that resume exactly.

A folder of blocks holds

    train.npy, validation.npy   (number of blocks, block size), uint16 or uint32, memory-mapped
    blocks.json                 what they were made from, and counts
    manifest.json               size and digest of each, compared when the folder is opened

Work killed at any moment leaves whole folders only, see `helpers.data.disk`.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from transformers import PreTrainedTokenizerBase

from helpers.data import disk
from helpers.data.batching import Packer
from helpers.data.documents import is_held_out

__all__ = ["Blocks", "block_ends", "prepare_blocks", "read_counts", "vocabulary_size"]

SPLITS = ("train", "validation")
INFO = "blocks.json"
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
        """SHA-256 of the file, in hex: what a training run knows its rows by."""
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
    at least one document.

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
        packers = {
            split: Packer(block_size, separator=separator, start=start)
            for split in SPLITS[: 1 + (validation_share > 0)]
        }
        with disk.new_folder(folder) as new:
            tokenized = _tokenize(documents, tokenizer)
            counts = _write(new, tokenized, packers, tokenizer, validation_share, max_tokens)
            info = json.dumps({"made_from": made_from, "counts": counts}, indent=2)
            (new / INFO).write_text(info + "\n", encoding="utf-8")
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
    """What blocks.json says of each split: documents, empty documents, tokens and blocks."""
    return json.loads((Path(folder) / INFO).read_text(encoding="utf-8"))["counts"]


class _BlockFile:
    """A .npy file to which blocks are appended; its header gets the final count at the end."""

    def __init__(self, path: Path, packer: Packer, dtype: type):
        self.packer, self.dtype = packer, np.dtype(dtype)
        self.file = path.open("wb")
        self._write_header()

    def append(self, document: Sequence[int]) -> None:
        blocks = self.packer.add([document])
        self.file.write(blocks.astype(self.dtype).tobytes())

    def close(self) -> None:
        size = self.file.tell()
        self.file.seek(0)
        self._write_header()  # numpy leaves room in it for the first axis to grow
        self.file.seek(size)
        self.file.close()

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


def _write(
    folder: Path,
    tokenized: Iterable[tuple[str, list[int]]],
    packers: Mapping[str, Packer],
    tokenizer: PreTrainedTokenizerBase,
    validation_share: float,
    max_tokens: int | None,
) -> dict[str, dict[str, int]]:
    """Write each document's ids to its split's file; returns the counts of `read_counts`."""
    dtype = np.uint16 if vocabulary_size(tokenizer) <= 2**16 else np.uint32
    files = {
        split: _BlockFile(folder / f"{split}.npy", packer, dtype)
        for split, packer in packers.items()
    }
    empty = dict.fromkeys(SPLITS, 0)
    for text, ids in tokenized:
        split = SPLITS[is_held_out(text, validation_share)]
        if not ids:
            empty[split] += 1
            continue
        files[split].append(ids)
        if max_tokens is not None and sum(p.n_ids for p in packers.values()) >= max_tokens:
            break
    for split, file in files.items():
        file.close()
        try:
            file.packer.check_filled()
        except ValueError as error:
            raise ValueError(f"{_name(split, validation_share)}: {error}") from error
    return {
        split: {
            "documents": packer.n_documents,
            "empty_documents": empty[split],
            "tokens": packer.n_ids,
            "blocks": packer.n_blocks,
        }
        for split, packer in packers.items()
    }


def _name(split: str, validation_share: float) -> str:
    if split == "train":
        return "Text to train on"
    return f"Text held out (validation_share is {validation_share}; 0 holds out none)"


def _open(folder: Path, made_from: Mapping[str, object]) -> dict[str, Blocks]:
    """The blocks in `folder`, if they were made from this."""
    if damage := disk.damage(folder):
        raise ValueError(
            f"{folder} isn't a whole folder of blocks: {damage[0]} Delete it to have it made "
            "again, or choose another place."
        )
    info = json.loads((folder / INFO).read_text(encoding="utf-8"))
    if differing := disk.differences(info["made_from"], made_from):
        raise ValueError(
            f"{folder} holds blocks made from something else:\n  "
            + "\n  ".join(differing[:5] + ["…"] * (len(differing) > 5))
            + "\nDelete it to have them made anew, or choose another place."
        )
    return {split: Blocks(folder / f"{split}.npy") for split in info["counts"]}


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
