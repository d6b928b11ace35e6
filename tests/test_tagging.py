"""helpers.data.tagging: each word counted once, in long sentences too, and IOB2."""

import numpy as np
import pytest
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
    align_labels,
    check_iob2,
    encode_words,
    may_follow,
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
    with pytest.raises(ValueError, match="belong to 3 words and there are 2 labels"):
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

    with pytest.raises(ValueError, match="Slow is a slow tokenizer"):
        encode_words(Slow(), [["a"]], max_length=8)


@pytest.mark.parametrize(
    ("sentences", "labels", "options", "message"),
    [
        ([["a"], []], None, {}, r"Sentence 1 is \[\]"),
        (["a b"], None, {}, "Sentence 0 is 'a b'; expected a list"),
        ([["a"], ["b", "c"]], [[1], [1]], {}, "Sentence 1 has 2 words and 1 labels: 'b c'"),
        ([["a"]], [], {}, "1 sentences and labels for 0"),
        ([["a", " "]], None, {}, "Sentence 0: the tokenizer gives no piece for word 1, ' '"),
        ([["a"]], None, {"overlap": 6}, "overlap is 6; windows of 8 pieces hold 6"),
    ],
)
def test_bad_input_is_refused(sentences, labels, options, message):
    with pytest.raises(ValueError, match=message):
        encode_words(TOKENIZER, sentences, labels, max_length=8, **options)


def test_values_of_other_windows_are_refused():
    windows = encode_words(TOKENIZER, [["a"], ["b"]], max_length=8)
    with pytest.raises(ValueError, match="2 windows and values for 1"):
        words_from_windows(windows, [[0, 1, 0]])


def test_an_inside_tag_follows_only_its_own_entity():
    names = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG"]
    allowed = may_follow(names)
    assert allowed.shape == (6, 5)
    inside = {(1, 2), (2, 2), (3, 4), (4, 4)}
    for row, column in np.ndindex(6, 5):
        free = not names[column].startswith("I-")
        assert allowed[row, column] == (free or (row, column) in inside)
    with pytest.raises(ValueError, match="'PER' is no IOB2 tag"):
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
        (["O", "S-PER"], "word 1: 'S-PER' is no IOB2 tag"),
        (["B-"], "word 0: 'B-' is no IOB2 tag"),
    ],
)
def test_other_schemes_are_refused(tags, message):
    with pytest.raises(ValueError, match=message):
        check_iob2([["B-PER", "I-PER", "O"], tags])
