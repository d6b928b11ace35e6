"""helpers.data.blocks: what is on the disk is what `pack` gives; nothing half-made is read."""

import json
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from helpers.data.batching import Packer, collate_causal, pack
from helpers.data.blocks import Blocks, block_ends, prepare_blocks, read_counts
from helpers.data.documents import is_held_out
from helpers.data.masking import IGNORED, FixedMasks, MaskedCollator
from helpers.training.batches import sequence_lengths

SOURCE = {"made": "here"}
SIZE = 8


def tokenizer_of(words, **special):
    backend = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="?"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="?", **special)


WORDS = ["?", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh"]
TOKENIZER = tokenizer_of(WORDS, cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]")
DOCUMENTS = [" ".join("abcdefgh"[(i + j) % 8] for j in range(1 + i % 23)) for i in range(60)]


def prepare(folder, documents=DOCUMENTS, tokenizer=TOKENIZER, size=SIZE, **options):
    return prepare_blocks(folder, documents, tokenizer, size, source=SOURCE, **options)


def ids_of(blocks):
    return torch.from_numpy(np.stack([blocks[i]["input_ids"] for i in range(len(blocks))]))


def packed(documents):
    ids = [TOKENIZER(text, add_special_tokens=False)["input_ids"] for text in documents]
    return pack(ids, SIZE, separator=2, start=1)


@given(
    parts=st.lists(
        st.lists(st.lists(st.integers(10, 99), min_size=1, max_size=20), max_size=4), max_size=5
    ),
    size=st.integers(2, 9),
    start=st.sampled_from([None, 2]),
)
def test_packing_in_parts_equals_packing_at_once(parts, size, start):
    packer = Packer(size, separator=1, start=start)
    blocks = np.concatenate([packer.add(part) for part in parts] or [packer.add([])])
    documents = [document for part in parts for document in part]
    assert packer.n_documents == len(documents)
    assert packer.n_blocks == len(blocks)
    if len(blocks):
        assert np.array_equal(blocks, pack(documents, size, separator=1, start=start).numpy())
    else:
        with pytest.raises(ValueError, match="more text"):
            packer.check_filled()


@settings(deadline=None, max_examples=10)
@given(chunk=st.integers(1, 300))
def test_blocks_equal_pack_whatever_the_chunks(tmp_path_factory, chunk):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("helpers.data.blocks.CHUNK", chunk)
        blocks = prepare(tmp_path_factory.mktemp("blocks") / "b", validation_share=0.3)
    held_out = [is_held_out(text, 0.3) for text in DOCUMENTS]
    assert 0 < sum(held_out) < len(DOCUMENTS)
    for split, side in (("train", False), ("validation", True)):
        documents = [text for text, held in zip(DOCUMENTS, held_out, strict=True) if held == side]
        assert torch.equal(ids_of(blocks[split]), packed(documents))


def test_they_are_made_once_and_then_opened(tmp_path):
    made = prepare(tmp_path / "b")

    def never():
        raise AssertionError("the documents were read again")
        yield

    opened = prepare(tmp_path / "b", never())
    assert list(opened) == ["train"]
    assert torch.equal(ids_of(opened["train"]), ids_of(made["train"]))
    # Truncation is set by calls, and is no part of what the tokenizer is.
    TOKENIZER(["a b c"], truncation=True, max_length=2)
    prepare(tmp_path / "b", never())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 9}, "block_size: 8 .*9"),
        ({"validation_share": 0.5}, r"validation_share: 0\.0 .*0\.5"),
        ({"max_tokens": 5}, "max_tokens: None .*5"),
        (
            {"tokenizer": tokenizer_of([*WORDS, "i"], cls_token="[CLS]", sep_token="[SEP]")},
            "tokenizer: ",
        ),
    ],
)
def test_blocks_of_something_else_are_refused_and_kept(tmp_path, options, message):
    made = prepare(tmp_path / "b")
    with pytest.raises(ValueError, match=message):
        prepare(tmp_path / "b", **options)
    with pytest.raises(ValueError, match=r"made: 'here' .*'there'"):
        prepare_blocks(tmp_path / "b", [], TOKENIZER, SIZE, source={"made": "there"})
    assert torch.equal(ids_of(prepare(tmp_path / "b", [])["train"]), ids_of(made["train"]))


def test_work_killed_in_the_middle_leaves_nothing_that_is_read(tmp_path):
    def dies():
        yield from DOCUMENTS[:30]
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("helpers.data.blocks.CHUNK", 1)
        patch.setattr("helpers.data.disk.shutil.rmtree", lambda *_, **__: None)  # as after SIGKILL
        prepare(tmp_path / "b", dies())
    assert [path.name for path in tmp_path.iterdir()] == ["b.partial"]
    assert (tmp_path / "b.partial" / "train.npy").exists()
    blocks = prepare(tmp_path / "b")
    assert torch.equal(ids_of(blocks["train"]), packed(DOCUMENTS))
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


@pytest.mark.parametrize("file", ["train.npy", "manifest.json"])
def test_a_damaged_folder_is_refused(tmp_path, file):
    prepare(tmp_path / "b")
    path = tmp_path / "b" / file
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match=str(path)):
        prepare(tmp_path / "b")


def test_one_changed_id_is_noticed(tmp_path):
    blocks = prepare(tmp_path / "b")["train"]
    assert blocks.digest == Blocks(blocks.file).digest
    ids = np.load(blocks.file)
    ids[3, 4] += 1
    np.save(blocks.file, ids)
    with pytest.raises(ValueError, match=r"train\.npy"):
        prepare(tmp_path / "b")
    assert Blocks(blocks.file).digest != blocks.digest


def test_blocks_are_known_by_all_their_ids(tmp_path):
    one = prepare(tmp_path / "a")["train"]
    same, other = prepare(tmp_path / "b")["train"], prepare(tmp_path / "c", DOCUMENTS[1:])["train"]
    assert one.digest == same.digest != other.digest


@pytest.mark.parametrize("max_tokens", [101, 104])
def test_max_tokens_stops_a_stream_that_never_ends(tmp_path, max_tokens):
    def endless():
        while True:
            yield "a b c"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("helpers.data.blocks.CHUNK", 50)
        prepare(tmp_path / "b", endless(), max_tokens=max_tokens)
    counts = read_counts(tmp_path / "b")["train"]
    assert {name: n for name, n in counts.items() if n} == {
        "documents": 26,
        "tokens": 104,
        "blocks": 104 // 7,
    }


def test_empty_documents_are_counted_and_too_little_text_is_refused(tmp_path):
    prepare(tmp_path / "b", ["", *DOCUMENTS, " \n"])
    assert read_counts(tmp_path / "b")["train"]["empty_documents"] == 2
    with pytest.raises(ValueError, match=r"\b0 documents.*\b0 ids"):
        prepare(tmp_path / "none", [])
    with pytest.raises(ValueError, match=r"\b1 documents.*\b3 ids.*\bblock of 8\b.*\b7\b"):
        prepare(tmp_path / "tiny", ["a b"])
    with pytest.raises(ValueError, match=r"validation_share"):
        prepare(tmp_path / "share", [DOCUMENTS[9]], validation_share=0.01)  # one block
    assert not list(tmp_path.glob("tiny*"))


def test_where_no_document_fills_a_block_the_end_is_held_out(tmp_path):
    every = ids_of(prepare(tmp_path / "all")["train"])
    for share, n in ((1e-9, 1), (0.02, round(0.02 * len(every)))):
        texts = [text for text in DOCUMENTS if not is_held_out(text, share)]
        if len(texts) < len(DOCUMENTS):
            every = ids_of(prepare(tmp_path / "rest", texts)["train"])
        blocks = prepare(tmp_path / str(share), texts, validation_share=share)
        assert torch.equal(ids_of(blocks["train"]), every[:-n])
        assert torch.equal(ids_of(blocks["validation"]), every[-n:])
        counts = read_counts(tmp_path / str(share))
        assert counts["validation"]["blocks_from_the_end"] == counts["validation"]["blocks"] == n
        assert counts["train"]["blocks"] == len(every) - n
        assert counts["validation"]["tokens"] == n * (SIZE - 1)


def test_what_is_lost_of_a_text_is_counted(tmp_path):
    prepare(tmp_path / "b", [*DOCUMENTS, "a x y b e\u0301"])
    counts = read_counts(tmp_path / "b")["train"]
    assert (counts["unknown_tokens"], counts["marks"], counts["lost_marks"]) == (3, 1, 0)


def test_the_numbers_on_disk_are_as_wide_as_the_vocabulary_asks(tmp_path):
    prepare(tmp_path / "small")
    assert np.load(tmp_path / "small" / "train.npy").dtype == np.uint16
    words = [*WORDS, *(f"w{i}" for i in range(2**16))]
    large = tokenizer_of(words, cls_token="[CLS]", sep_token="[SEP]")
    text = " ".join(words[-20:])
    blocks = prepare(tmp_path / "large", [text], large)["train"]
    assert np.load(tmp_path / "large" / "train.npy").dtype == np.uint32
    assert blocks[0]["input_ids"].tolist() == [1, *range(len(words) - 20, len(words) - 13)]
    assert blocks[0]["input_ids"].dtype == np.int64


def test_what_ends_a_document():
    assert block_ends(TOKENIZER) == (1, 2)
    gpt = tokenizer_of(["?", "<eos>"], eos_token="<eos>")
    assert block_ends(gpt) == (None, 1)
    with pytest.raises(ValueError, match=r"sep_token.*eos_token.*add_special_tokens"):
        block_ends(tokenizer_of(["?"]))


def test_blocks_are_a_dataset_that_training_reads_quickly(tmp_path):
    array = np.arange(4_000_000, dtype=np.uint16).reshape(-1, 4)  # a million blocks
    np.save(tmp_path / "train.npy", array)
    blocks = Blocks(tmp_path / "train.npy")
    with pytest.MonkeyPatch.context() as patch:
        # One by one it takes several seconds: no block may be read.
        patch.setattr(Blocks, "__getitem__", None)
        patch.setattr(Blocks, "__getitems__", None)
        lengths = sequence_lengths(blocks)
    assert lengths.dtype == np.int64
    assert lengths.shape == (1_000_000,)
    assert set(lengths) == {4}
    rows = blocks.__getitems__([5, 999_999])
    for row, number in zip(rows, (5, 999_999), strict=True):
        assert np.array_equal(row["input_ids"], array[number])
        assert np.array_equal(blocks[number]["input_ids"], array[number])
    again = pickle.dumps(blocks)
    assert len(again) < 1000  # a worker process gets the name, not the corpus
    assert np.array_equal(pickle.loads(again)[7]["input_ids"], array[7])  # noqa: S301


# Collators

COLLATOR = MaskedCollator(mask_token_id=3, vocab_size=12, special_ids=(0, 1, 2, 3), rate=0.5)


def test_special_tokens_are_never_masked_and_the_generator_is_torchs(tmp_path):
    blocks = prepare(tmp_path / "b")["train"]
    examples = blocks.__getitems__(range(len(blocks)))
    torch.manual_seed(0)
    batch, other = COLLATOR(examples), COLLATOR(examples)
    torch.manual_seed(0)
    again = COLLATOR(examples)
    assert torch.equal(batch["labels"], again["labels"])
    assert not torch.equal(batch["labels"], other["labels"])
    original, chosen = ids_of(blocks), batch["labels"] != IGNORED
    assert torch.equal(batch["labels"][chosen], original[chosen])
    assert torch.equal(batch["input_ids"][~chosen], original[~chosen])
    assert not torch.isin(original[chosen], torch.tensor([0, 1, 2, 3])).any()
    assert 0.4 < chosen.sum() / (original > 3).sum() < 0.6


def test_fixed_masks_belong_to_the_row(tmp_path):
    blocks = prepare(tmp_path / "b")["train"]
    fixed = FixedMasks(blocks, COLLATOR)
    torch.manual_seed(0)
    rows = [fixed[i] for i in range(len(fixed))]
    torch.manual_seed(1)
    assert all(torch.equal(fixed[i]["labels"], rows[i]["labels"]) for i in (7, 3))
    batch = FixedMasks.collate(rows)
    assert batch["input_ids"].shape == (len(blocks), SIZE)
    chosen = batch["labels"] != IGNORED
    assert len({tuple(row.tolist()) for row in chosen}) > len(blocks) // 2  # not one pattern
    other = FixedMasks(blocks, COLLATOR, seed=1)
    assert not torch.equal(other[0]["labels"], rows[0]["labels"])
    assert sequence_lengths(fixed).tolist() == [SIZE] * len(blocks)
    assert json.dumps(fixed.lengths.tolist())


def test_causal_labels_are_the_ids():
    batch = collate_causal([{"input_ids": [1, 5, 6]}, {"input_ids": np.array([1, 7, 2])}])
    assert batch["input_ids"].tolist() == batch["labels"].tolist() == [[1, 5, 6], [1, 7, 2]]
    assert batch["labels"].dtype == torch.int64


def test_what_cannot_be_collated_is_refused():
    ragged = [{"input_ids": [1, 5, 6]}, {"input_ids": [1, 5]}]
    for collate in (collate_causal, COLLATOR):
        with pytest.raises(ValueError, match=r"\[2, 3\].*pads"):
            collate(ragged)
    block = [{"input_ids": [1, 5, 99]}]
    with pytest.raises(ValueError, match=r"\b99\b.*\b12\b"):
        COLLATOR(block)
    with pytest.raises(ValueError, match="mask_token_id"):
        MaskedCollator(None, 12, (0,))(block)
