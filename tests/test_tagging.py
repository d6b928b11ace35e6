"""helpers.data.tagging: each word counted once, in long sentences too, shapes, and IOB2."""

from itertools import chain

import numpy as np
import pytest
import seqeval.metrics
import seqeval.scheme
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from helpers.data import assets, corpora
from helpers.data.masking import IGNORED
from helpers.data.tagging import (
    SHAPES,
    align_labels,
    by_document,
    check_iob2,
    collate_windows,
    encode_words,
    entities,
    may_follow,
    split_back,
    tag_ids,
    word_shapes,
    words_from_windows,
)

LETTERS = "abc"


def letter_tokenizer():
    """Each letter is a piece, so a word has as many pieces as letters."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *LETTERS, *(f"##{x}" for x in LETTERS)]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    backend = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = Whitespace()
    backend.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]")


TOKENIZER = letter_tokenizer()
WORD = st.text(alphabet=LETTERS, min_size=1, max_size=6)
SENTENCES = st.lists(st.lists(WORD, min_size=1, max_size=15), min_size=1, max_size=4)


def test_a_label_stands_at_the_first_piece_of_its_word():
    # [CLS] one two ##two three [SEP] [PAD]
    assert align_labels([None, 0, 1, 1, 2, None, None], [5, 6, 7]) == [
        *(IGNORED, 5, 6, IGNORED),
        *(7, IGNORED, IGNORED),
    ]


def test_alignment_refuses_labels_of_another_sentence():
    with pytest.raises(ValueError, match=r"\b3 words.*\b2 labels"):
        align_labels([None, 0, 1, 2, None], [5, 6])


@settings(deadline=None)
@given(sentences=SENTENCES, max_length=st.integers(4, 12), overlap=st.integers(0, 9))
def test_every_word_counts_once_at_its_first_piece(sentences, max_length, overlap):
    overlap = min(overlap, max_length - 3)
    labels = [[10 * n + len(word) for word in words] for n, words in enumerate(sentences)]
    windows = encode_words(TOKENIZER, sentences, labels, max_length=max_length, overlap=overlap)
    counted = []
    for row in windows:
        assert len(row["input_ids"]) <= max_length
        for piece, (word, label) in enumerate(zip(row["words"], row["labels"], strict=True)):
            if word == IGNORED:
                assert label == IGNORED
                continue
            counted.append((row["sentence"], word))
            text = TOKENIZER.convert_ids_to_tokens(row["input_ids"][piece])
            assert text == sentences[row["sentence"]][word][0]  # the first letter, unmarked
            assert label == labels[row["sentence"]][word]
    assert sorted(counted) == [(n, w) for n, s in enumerate(sentences) for w in range(len(s))]
    assert words_from_windows(windows, windows["labels"]) == labels


def test_a_word_in_two_windows_counts_where_it_has_more_context():
    words = list("abcabcab")
    windows = encode_words(TOKENIZER, [words], max_length=8, overlap=4)
    # Places 0-5, 2-7: places 2 to 5 are in both, and each is put where its edge is further away.
    assert [[w for w in row if w != IGNORED] for row in windows["words"]] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
    ]


def test_short_sentences_are_encoded_as_the_tokenizer_does_it():
    tokenizer = AutoTokenizer.from_pretrained(assets.path("minilm"))
    data = corpora.conll2003()["validation"].select(range(50))
    windows = encode_words(tokenizer, data["tokens"], data["ner_tags"], max_length=128)
    assert len(windows) == 50
    for row, words, tags in zip(windows, data["tokens"], data["ner_tags"], strict=True):
        whole = tokenizer(words, is_split_into_words=True)
        assert row["input_ids"] == whole["input_ids"]
        assert row["labels"] == align_labels(whole.word_ids(), tags)


def test_a_slow_tokenizer_is_refused(monkeypatch):
    class Slow:
        is_fast = False

    with pytest.raises(ValueError, match=r"Slow.*AutoTokenizer"):
        encode_words(Slow(), [["a"]], max_length=8)


@pytest.mark.parametrize(
    ("sentences", "labels", "options", "message"),
    [
        ([["a"], []], None, {}, r"Sentence 1 is \[\]"),
        (["a b"], None, {}, "Sentence 0 .*'a b'.*list"),
        ([["a"], ["b", "c"]], [[1], [1]], {}, "Sentence 1 .*2 words.*1 labels.*'b c'"),
        ([["a"]], [], {}, r"\b1 sentences.*labels.*\b0\b"),
        ([["a", " "]], None, {}, "Sentence 0.* word 1.*' '"),
        ([["a"]], None, {"overlap": 6}, "overlap is 6.* 0 to 5"),
    ],
)
def test_bad_input_is_refused(sentences, labels, options, message):
    with pytest.raises(ValueError, match=message):
        encode_words(TOKENIZER, sentences, labels, max_length=8, **options)


def test_values_of_other_windows_are_refused():
    windows = encode_words(TOKENIZER, [["a"], ["b"]], max_length=8)
    with pytest.raises(ValueError, match=r"\b2 windows.*\b1\b"):
        words_from_windows(windows, [[0, 1, 0]])


def test_an_inside_tag_follows_only_its_own_entity():
    names = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG"]
    allowed = may_follow(names)
    assert allowed.shape == (6, 5)
    inside = {(1, 2), (2, 2), (3, 4), (4, 4)}
    for row, column in np.ndindex(6, 5):
        free = not names[column].startswith("I-")
        assert allowed[row, column] == (free or (row, column) in inside)
    with pytest.raises(ValueError, match=r"'PER'.*B-TYPE"):
        may_follow(["O", "PER"])


def test_the_published_corpus_is_iob2():
    data = corpora.conll2003()["test"]
    names = data.features["ner_tags"].feature.names
    check_iob2([[names[tag] for tag in tags] for tags in data["ner_tags"]])


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        (["O", "I-PER"], "Sentence 1, word 1: 'I-PER' follows 'O'.*IOB1"),
        (["B-ORG", "I-PER"], "word 1: 'I-PER' follows 'B-ORG'"),
        (["I-LOC"], "word 0: 'I-LOC' follows 'O'"),
        (["O", "S-PER"], "word 1: 'S-PER' .*BIOES"),
        (["B-"], "word 0: 'B-'"),
    ],
)
def test_other_schemes_are_refused(tags, message):
    with pytest.raises(ValueError, match=message):
        check_iob2([["B-PER", "I-PER", "O"], tags])


def test_shapes_stand_at_every_piece_of_their_word():
    sentences, shapes = [["abc", "a", "bb"], ["c"]], [[1, 2, 3], [4]]
    windows = encode_words(TOKENIZER, sentences, shapes=shapes, max_length=6, overlap=1)
    assert windows["shapes"][:] == [[0, 1, 1, 1, 2, 0], [0, 2, 3, 3, 0], [0, 4, 0]]
    with pytest.raises(ValueError, match=r"Sentence 1 .*1 words.*2 shapes"):
        encode_words(TOKENIZER, sentences, shapes=[[1, 2, 3], [4, 4]], max_length=6)


def test_a_batch_is_padded_to_its_longest_window():
    windows = encode_words(
        TOKENIZER, [["a", "b"], ["c"]], [[5, 6], [7]], shapes=[[1, 2], [3]], max_length=8
    )
    batch = collate_windows(list(windows), pad_id=9)
    assert set(batch) == {"input_ids", "attention_mask", "shapes", "labels"}
    assert batch["input_ids"][1].tolist() == [2, 6, 3, 9]
    assert batch["attention_mask"][1].tolist() == [1, 1, 1, 0]
    assert batch["shapes"][1].tolist() == [0, 3, 0, 0]
    assert batch["labels"].tolist() == [
        [IGNORED, 5, 6, IGNORED],
        [IGNORED, 7, IGNORED, IGNORED],
    ]
    assert all(values.dtype == torch.int64 for values in batch.values())


@settings(deadline=None)
@given(sentences=SENTENCES, data=st.data())
def test_documents_are_split_back_into_their_sentences(sentences, data):
    new = data.draw(st.lists(st.booleans(), min_size=len(sentences), max_size=len(sentences)))
    numbers = np.cumsum(new).tolist()
    documents = by_document(sentences, numbers)
    assert len(documents) == len(set(numbers))
    assert list(chain(*documents)) == list(chain(*sentences))
    assert split_back(documents, [len(words) for words in sentences]) == sentences


def test_a_document_in_two_parts_is_refused():
    with pytest.raises(ValueError, match=r"document 0 .*sort"):
        by_document([["a"], ["b"], ["c"]], [0, 1, 0])
    with pytest.raises(ValueError, match=r"\b1 sentences.*\b2\b"):
        by_document([["a"]], [0, 0])


def test_sentences_of_other_documents_are_refused():
    with pytest.raises(ValueError, match=r"\b3 words.*\b4\b"):
        split_back([["a", "b"], ["c", "d"]], [2, 1])


@pytest.mark.parametrize(
    ("word", "shape"),
    [
        *[("left", "lower"), ("b2b", "lower"), ("Berlin", "Capital"), ("A", "Capital")],
        *[("J.", "Capital"), ("Al-ain", "Capital"), ("EU", "UPPER"), ("U.N.", "UPPER")],
        *[("eBay", "miXed"), ("McNamara", "miXed"), ("1996-08-22", "digits"), ("--", "other")],
    ],
)
def test_the_shape_of_a_word(word, shape):
    assert word_shapes(["x", word])[1] == SHAPES.index(shape)
    assert word_shapes([word]) == [SHAPES.index(shape) + len(SHAPES)]


def test_tags_become_classes():
    names = ["O", "B-PER", "I-PER"]
    assert tag_ids([["O", "B-PER"], ["I-PER"]], names) == [[0, 1], [2]]
    with pytest.raises(ValueError, match=r"Sentence 1, word 0.*'B-PERS'\. Did you mean 'B-PER'"):
        tag_ids([["O"], ["B-PERS"]], names)


KINDS = [f"{prefix}-{kind}" for prefix in "BIES" for kind in ("PER", "ORG")]
TAGS = st.lists(st.sampled_from(["O", *KINDS]), max_size=12)


@settings(deadline=None)
@given(tags=TAGS)
def test_entities_are_those_of_seqeval_in_invalid_sequences_too(tags):
    theirs = seqeval.metrics.sequence_labeling.get_entities(tags)
    assert entities(tags) == [(kind, first, last + 1) for kind, first, last in theirs]


def test_entities_of_a_sentence():
    tags = ["B-PER", "I-PER", "O", "B-LOC", "B-LOC", "I-ORG"]
    assert entities(tags) == [("PER", 0, 2), ("LOC", 3, 4), ("LOC", 4, 5), ("ORG", 5, 6)]


@pytest.mark.parametrize(
    "tags",
    [
        ["B-PER", "I-PER", "E-PER", "O", "S-LOC", "S-LOC", "B-ORG", "E-ORG", "B-ORG", "E-ORG"],
        ["B-PER", "I-PER", "L-PER", "O", "U-LOC", "U-LOC", "B-ORG", "L-ORG", "B-ORG", "L-ORG"],
    ],
)
def test_schemes_that_mark_ends(tags):
    expected = [("PER", 0, 3), ("LOC", 4, 5), ("LOC", 5, 6), ("ORG", 6, 8), ("ORG", 8, 10)]
    assert entities(tags) == expected
    scheme = seqeval.scheme.BILOU if "L-PER" in tags else seqeval.scheme.IOBES
    theirs = seqeval.scheme.Entities([tags], scheme).entities[0]
    assert expected == [(e.tag, e.start, e.end) for e in theirs]


@pytest.mark.parametrize("tag", ["o", "", "B", "B-", "PER", "X-PER", "BI-PER", "-PER"])
def test_a_tag_of_no_scheme_is_refused(tag):
    with pytest.raises(ValueError, match=f"Word 1.*{tag!r}"):
        entities(["O", tag, "B-PER"])
