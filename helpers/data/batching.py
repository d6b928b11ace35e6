"""Batches with little padding: documents as blocks of one length, rows of similar lengths."""

from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np
import torch

CHUNK = 50  # groups sorted together: enough to group well, few enough to keep the order random


def pack(
    documents: Iterable[Sequence[int]], block_size: int, *, separator: int, start: int | None = None
) -> torch.Tensor:
    """Join documents end to end and cut the stream into blocks.

    A document longer than a block goes on in the next one; a short one shares its block with
    others. No piece stands in two blocks, and none is left out but the last, fewer than a block.

    Args:
        documents: the ids of each, without special tokens.
        block_size: ids in a block.
        separator: the id put after each document, such as that of [SEP] or of the end of a text.
        start: the id that each block begins with, such as that of [CLS]; none by default.

    Returns:
        int64 (number of blocks, block_size), in the documents' order.

    Raises:
        ValueError: there are no documents, one is empty, or all together don't fill a block.
    """
    packer = Packer(block_size, separator=separator, start=start)
    blocks = packer.add(documents)
    packer.check_filled()
    return torch.from_numpy(blocks)


class Packer:
    """`pack` for a corpus that comes in parts: what doesn't fill a block waits for the next part.

    The blocks of all parts together are those of one call of `pack`. Arguments as there.

    Attributes:
        n_documents: added so far.
        n_ids: in these documents, a separator counted for each.
        n_blocks: filled so far.
    """

    def __init__(self, block_size: int, *, separator: int, start: int | None = None):
        self.block_size, self.separator, self.start = block_size, separator, start
        self.content = block_size - (start is not None)  # ids of the documents in a block
        if self.content < 1:
            raise ValueError(
                f"block_size is {block_size}; expected at least {block_size - self.content + 1}."
            )
        self.n_documents = self.n_ids = self.n_blocks = 0
        self._rest = np.empty(0, dtype=np.int64)  # fewer ids than a block takes

    def add(self, documents: Iterable[Sequence[int]]) -> np.ndarray:
        """The blocks that these documents fill: int64 (n, block_size), n = 0 if none is full.

        Raises:
            ValueError: a document is empty.
        """
        stream = np.fromiter(chain.from_iterable(map(self._ended, documents)), dtype=np.int64)
        self.n_ids += len(stream)
        stream = np.concatenate([self._rest, stream])
        full = len(stream) // self.content
        self.n_blocks += full
        self._rest = stream[full * self.content :].copy()
        blocks = np.full((full, self.block_size), self.start or 0, dtype=np.int64)
        content = stream[: full * self.content].reshape(full, self.content)
        blocks[:, self.block_size - self.content :] = content
        return blocks

    def check_filled(self) -> None:
        """Raise ValueError, with the counts, if all documents together haven't filled a block."""
        if self.n_blocks == 0:
            raise ValueError(
                f"{self.n_documents} documents hold {self.n_ids} ids with their separators, and a "
                f"block of {self.block_size} takes {self.content}: give more text, or shorten the "
                "blocks."
            )

    def _ended(self, ids: Sequence[int]) -> list[int]:
        if not len(ids):
            raise ValueError(
                f"Document {self.n_documents} (counted from 0) is empty: leave it out, or look at "
                "why the tokenizer gives nothing for it."
            )
        self.n_documents += 1
        return [*ids, self.separator]


def stack_blocks(examples: Sequence[dict]) -> torch.Tensor:
    """The `input_ids` of B blocks as int64 (B, T).

    Raises:
        ValueError: they aren't all of one length.
    """
    lengths = {len(example["input_ids"]) for example in examples}
    if len(lengths) != 1:
        raise ValueError(
            f"The blocks have the lengths {sorted(lengths)}; expected one length, as `pack` cuts "
            "them. For texts of different lengths use a collator that pads."
        )
    ids = np.stack([np.asarray(example["input_ids"]) for example in examples])
    return torch.from_numpy(ids.astype(np.int64))


def collate_causal(examples: Sequence[dict]) -> dict[str, torch.Tensor]:
    """Blocks for causal language modelling: the labels are the ids, and the model shifts them.

    Args:
        examples: B blocks of T ids each, as `input_ids`.

    Returns:
        `input_ids` and `labels`, int64 (B, T).
    """
    ids = stack_blocks(examples)
    return {"input_ids": ids, "labels": ids}


def group_by_length(order: np.ndarray, lengths: np.ndarray, size: int) -> list[np.ndarray]:
    """Rows in groups of `size` with little padding: sorted by length within `CHUNK` groups.

    Args:
        order: int64, the rows in a random order; not all rows of the data need be there.
        lengths: int64, of each row of the data.
        size: rows in a group; the last one may have fewer.
    """
    groups = []
    for start in range(0, len(order), CHUNK * size):
        chunk = order[start : start + CHUNK * size]
        chunk = chunk[np.argsort(-lengths[chunk], kind="stable")]
        groups += [chunk[i : i + size] for i in range(0, len(chunk), size)]
    return groups
