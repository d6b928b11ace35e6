"""Documents of any length as blocks of one length, so that pretraining computes on no padding."""

from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np
import torch

__all__ = ["pack"]


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
    prefix = 0 if start is None else 1
    content = block_size - prefix
    if content < 1:
        raise ValueError(f"block_size is {block_size}; expected at least {1 + prefix}.")
    ended = [[*_checked(number, ids), separator] for number, ids in enumerate(documents)]
    stream = np.fromiter(chain.from_iterable(ended), dtype=np.int64)
    n_blocks = len(stream) // content
    if n_blocks == 0:
        raise ValueError(
            f"{len(ended)} documents hold {len(stream)} ids with their separators, and a block of "
            f"{block_size} takes {content}: give more text, or shorten the blocks."
        )
    blocks = np.full((n_blocks, block_size), start or 0, dtype=np.int64)
    blocks[:, prefix:] = stream[: n_blocks * content].reshape(n_blocks, content)
    return torch.from_numpy(blocks)


def _checked(number: int, ids: Sequence[int]) -> Sequence[int]:
    if not len(ids):
        raise ValueError(
            f"Document {number} (counted from 0) is empty: leave it out, or look at why the "
            "tokenizer gives nothing for it."
        )
    return ids
