"""helpers.data.batching: every piece once, in order, and no padding."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.data.batching import pack

SEPARATOR, START = 1, 2
IDS = st.lists(st.integers(10, 99), min_size=1, max_size=30)


def test_documents_share_blocks_and_go_on_in_the_next():
    blocks = pack([[10, 11, 12, 13], [20], [30, 31]], 4, separator=SEPARATOR, start=START)
    assert blocks.tolist() == [[2, 10, 11, 12], [2, 13, 1, 20], [2, 1, 30, 31]]
    assert blocks.dtype == torch.int64


@given(
    documents=st.lists(IDS, min_size=1, max_size=20), size=st.integers(2, 12), start=st.booleans()
)
def test_no_piece_is_lost_or_repeated_or_moved(documents, size, start):
    stream = [i for document in documents for i in (*document, SEPARATOR)]
    content = size - start
    if len(stream) < content:
        with pytest.raises(ValueError, match=rf"\b{len(stream)} ids"):
            pack(documents, size, separator=SEPARATOR, start=START if start else None)
        return
    blocks = pack(documents, size, separator=SEPARATOR, start=START if start else None)
    if start:
        assert (blocks[:, 0] == START).all()
    packed = blocks[:, int(start) :].flatten().tolist()
    assert packed == stream[: len(packed)]
    assert len(stream) - len(packed) < content


def test_arrays_and_generators_serve_as_well():
    documents = (torch.tensor([10, 11, 12]).numpy() for _ in range(2))
    assert pack(documents, 4, separator=SEPARATOR).tolist() == [[10, 11, 12, 1]] * 2


@pytest.mark.parametrize(
    ("documents", "size", "message"),
    [
        ([], 4, r"\b0 documents.*\b0 ids"),
        ([[10]], 4, r"\b1 documents.*\b2 ids.*\bblock of 4\b.*\b3\b"),
        ([[10, 11, 12], []], 4, "Document 1 .*empty"),
        ([[10]], 1, r"block_size.*\b1\b.*\b2\b"),
    ],
)
def test_bad_input_is_refused(documents, size, message):
    with pytest.raises(ValueError, match=message):
        pack(documents, size, separator=SEPARATOR, start=START)
