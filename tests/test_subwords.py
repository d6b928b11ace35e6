"""Subwords from scratch: equal to the tokenizers library, and properties of any vocabulary."""

import json
import math
import random
from collections import Counter
from itertools import pairwise

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoTokenizer

from helpers.data import assets, corpora, unigram
from helpers.data.subwords import (
    bpe_segment,
    bytes_to_letters,
    letters_to_bytes,
    merge,
    rank,
    train_bpe,
    train_wordpiece,
    wordpiece_segment,
)

# Few letters and few counts: ties are everywhere, which is what has to be tested.
WORDS = st.text(alphabet="abcde", min_size=1, max_size=8)
CORPORA = st.dictionaries(WORDS, st.integers(1, 4), min_size=1, max_size=12)
QUICK = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


@pytest.fixture(scope="module")
def news_words():
    """Word counts of 300 BBC News articles, lower case."""
    pattern = pre_tokenizers.BertPreTokenizer()
    articles = corpora.bbc_news()["train"].select(range(300))
    return Counter(
        word for body in articles["body"] for word, _ in pattern.pre_tokenize_str(body.lower())
    )


@pytest.fixture(scope="module")
def minilm():
    return AutoTokenizer.from_pretrained(assets.path("minilm"))


def library_trained(model, trainer, word_counts):
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    lines = (" ".join([word] * count) for word, count in word_counts.items())
    tokenizer.train_from_iterator(lines, trainer)
    return tokenizer


def library_bpe(word_counts, vocab_size):
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, show_progress=False)
    tokenizer = library_trained(models.BPE(), trainer, word_counts)
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return tokenizer, [tuple(pair) for pair in merges]


def naive_bpe(word_counts, vocab_size):
    """Algorithm 1 of Sennrich et al., all pairs counted anew for each merge."""
    cut = {word: list(word) for word in word_counts}
    ids = {letter: i for i, letter in enumerate(sorted(set("".join(word_counts))))}
    merges = []
    while len(ids) < vocab_size:
        pairs = Counter()
        for word, count in word_counts.items():
            for pair in zip(cut[word], cut[word][1:], strict=False):
                pairs[pair] += count
        if not pairs:
            break
        best = min(pairs, key=lambda p: (-pairs[p], ids[p[0]], ids[p[1]]))
        ids.setdefault("".join(best), len(ids))
        merges.append(best)
        cut = {word: merge(pieces, best, "".join(best)) for word, pieces in cut.items()}
    return merges


def letters_of(word_counts):
    return sorted({letter for word in word_counts for letter in word})


# Byte-pair encoding


def test_bpe_merges_are_the_librarys_on_news(news_words):
    merges = train_bpe(news_words, 2_000)
    tokenizer, expected = library_bpe(news_words, 2_000)
    assert merges == expected
    assert len(merges) == 2_000 - len(letters_of(news_words))
    ranks = rank(merges)
    for word in news_words:
        assert bpe_segment(word, ranks) == tokenizer.encode(word).tokens


@QUICK
@given(CORPORA, st.integers(0, 15))
def test_bpe_merges_are_the_librarys_on_random_corpora(word_counts, more):
    size = len(letters_of(word_counts)) + more
    merges = train_bpe(word_counts, size)
    tokenizer, expected = library_bpe(word_counts, size)
    assert merges == expected
    ranks = rank(merges)
    for word in word_counts:
        assert bpe_segment(word, ranks) == tokenizer.encode(word).tokens


@QUICK
@given(CORPORA, st.integers(0, 15))
def test_bpe_with_remembered_counts_equals_counting_anew(word_counts, more):
    size = len(letters_of(word_counts)) + more
    assert train_bpe(word_counts, size) == naive_bpe(word_counts, size)


@QUICK
@given(CORPORA, st.integers(1, 15), st.text(alphabet="abcdefz", max_size=12))
def test_bpe_properties(word_counts, more, word):
    size = len(letters_of(word_counts)) + more
    merges = train_bpe(word_counts, size)
    shuffled = list(word_counts.items())
    random.Random(0).shuffle(shuffled)
    assert train_bpe(dict(shuffled), size) == merges  # the order of the words plays no part
    assert train_bpe(word_counts, size - 1) == merges[: len(train_bpe(word_counts, size - 1))]
    pieces = bpe_segment(word, rank(merges))
    assert "".join(pieces) == word
    formed = {left + right for left, right in merges}
    assert len(formed) == len(merges)  # no piece is formed by two merges: chapter 02 proves it
    assert all(len(piece) == 1 or piece in formed for piece in pieces)


@QUICK
@given(CORPORA)
def test_more_merges_never_lengthen_the_training_text(word_counts):
    merges = train_bpe(word_counts, len(letters_of(word_counts)) + 10)
    lengths = [
        sum(n * len(bpe_segment(word, rank(merges[:k]))) for word, n in word_counts.items())
        for k in range(len(merges) + 1)
    ]
    assert all(after < before for before, after in pairwise(lengths))


def test_a_tie_goes_to_the_smaller_ids():
    assert train_bpe({"cd": 2, "ab": 2}, 5) == [("a", "b")]
    assert train_bpe({"ac": 2, "ab": 2}, 4) == [("a", "b")]


def test_training_ends_when_every_word_is_one_piece():
    assert train_bpe({"abc": 1}, 100) == [("a", "b"), ("ab", "c")]
    assert train_bpe({"a": 3}, 1) == []


def test_merge_goes_from_left_to_right():
    assert merge(["a", "a", "a"], ("a", "a"), "aa") == ["aa", "a"]
    assert merge(["a"] * 4, ("a", "a"), "aa") == ["aa", "aa"]
    assert merge(["b", "a", "b", "a"], ("b", "a"), "ba") == ["ba", "ba"]
    assert merge([], ("a", "b"), "ab") == []


@pytest.mark.parametrize("train", [train_bpe, train_wordpiece])
@pytest.mark.parametrize(
    ("word_counts", "size", "message"),
    [
        ({}, 10, "word_counts is empty.*mapping"),
        (["low", "tide"], 10, "word_counts is <class 'list'>"),
        ({"": 1}, 10, "'' .*letter"),
        ({"low": 0}, 10, "'low' is 0.*positive"),
        ({"low": 1.5}, 10, r"'low' is 1\.5"),
        ({"low": 1, "tide": 1}, 6, r"vocab_size is 6.*at least \d"),
    ],
)
def test_bad_training_input_is_named(train, word_counts, size, message):
    with pytest.raises(ValueError, match=message):
        train(word_counts, size)


# WordPiece


def test_wordpiece_cuts_as_bert_does(news_words, minilm):
    vocabulary, reference = minilm.get_vocab(), minilm.backend_tokenizer.model
    strange = ["a" * 100, "a" * 101, "ж🌊", "好", "lowж", ""]
    for word in [*news_words, *strange]:
        assert wordpiece_segment(word, vocabulary) == [p.value for p in reference.tokenize(word)]


@QUICK
@given(CORPORA, st.integers(0, 15), WORDS)
def test_wordpiece_training_is_the_librarys_with_its_order_pinned(word_counts, more, word):
    plain = letters_of(word_counts)
    marked = sorted({"##" + letter for word in word_counts for letter in word[1:]})
    size = len(plain) + len(marked) + more
    vocabulary = train_wordpiece(word_counts, size)
    assert vocabulary[: len(plain) + len(marked)] == plain + marked
    # As special tokens, letters get their ids in this order and not in a hash table's.
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=plain + marked, show_progress=False
    )
    ids = library_trained(models.WordPiece(unk_token="[UNK]"), trainer, word_counts).get_vocab()
    expected = sorted(ids, key=ids.get)
    assert vocabulary == expected
    assert len(set(vocabulary)) == len(vocabulary) <= size
    pieces = wordpiece_segment(word, set(vocabulary))
    if pieces != ["[UNK]"]:
        assert "".join(piece.removeprefix("##") for piece in pieces) == word
        assert not pieces[0].startswith("##") and all(p.startswith("##") for p in pieces[1:])


def test_an_unfitting_rest_makes_the_whole_word_unknown():
    assert wordpiece_segment("tides", {"tide", "s"}) == ["[UNK]"]
    assert wordpiece_segment("tides", {"tide", "##s"}) == ["tide", "##s"]
    assert wordpiece_segment("tides", {"tide"}, unknown="?") == ["?"]


# Bytes


@QUICK
@given(st.text(max_size=30))
def test_letters_for_bytes_are_the_librarys_and_come_back(text):
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    theirs = "".join(piece for piece, _ in byte_level.pre_tokenize_str(text))
    assert bytes_to_letters(text) == theirs
    assert letters_to_bytes(bytes_to_letters(text)).decode() == text


def test_every_byte_has_its_letter():
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    assert sorted(letters_to_bytes("".join(alphabet))) == list(range(256))
    with pytest.raises(ValueError, match=r"'好'.*bytes_to_letters"):
        letters_to_bytes("Ġ好")


# The unigram model


def all_paths(word, log_p):
    """Each segmentation with its probability, by listing."""
    if not word:
        return {(): 1.0}
    return {
        (word[:j], *rest): math.exp(log_p[word[:j]]) * probability
        for j in range(1, len(word) + 1)
        if word[:j] in log_p
        for rest, probability in all_paths(word[j:], log_p).items()
    }


@st.composite
def scored_pieces(draw):
    pieces = draw(st.sets(st.text(alphabet="abc", min_size=2, max_size=4), max_size=12))
    scores = st.floats(-8, -0.1, allow_nan=False)
    return {piece: draw(scores) for piece in sorted(pieces | set("abc"))}


@QUICK
@given(scored_pieces(), st.text(alphabet="abc", min_size=1, max_size=8))
def test_viterbi_and_sums_equal_a_list_of_all_paths(log_p, word):
    paths = all_paths(word, log_p)
    pieces, score = unigram.viterbi(word, log_p)
    assert "".join(pieces) == word
    assert math.isclose(math.exp(score), max(paths.values()), rel_tol=1e-9)
    assert math.isclose(paths[tuple(pieces)], max(paths.values()), rel_tol=1e-9)
    total = sum(paths.values())
    assert math.isclose(unigram.forward(word, log_p)[-1], math.log(total), abs_tol=1e-9)

    expected, likelihood = unigram.expected_counts({word: 3}, log_p)
    listed = Counter()
    for path, probability in paths.items():
        for piece in path:
            listed[piece] += 3 * probability / total
    assert math.isclose(likelihood, 3 * math.log(total), abs_tol=1e-9)
    assert expected.keys() == listed.keys()
    assert all(math.isclose(expected[x], listed[x], rel_tol=1e-9) for x in listed)


def test_expected_counts_are_the_gradient_of_the_log_likelihood():
    word, log_p = "abcab", {"a": -2.0, "b": -1.5, "c": -3.0, "ab": -2.5, "bca": -4.0}
    theta = torch.tensor(list(log_p.values()), dtype=torch.float64, requires_grad=True)
    place = {piece: i for i, piece in enumerate(log_p)}
    paths = [theta[[place[x] for x in path]].sum() for path in all_paths(word, log_p)]
    torch.stack(paths).logsumexp(0).backward()
    expected, _ = unigram.expected_counts({word: 1}, log_p)
    got = torch.tensor([expected.get(piece, 0.0) for piece in log_p], dtype=torch.float64)
    torch.testing.assert_close(got, theta.grad, rtol=0, atol=1e-12)


@pytest.fixture(scope="module")
def trained(news_words):
    frequent = {word: count for word, count in news_words.items() if count >= 5}
    return frequent, unigram.train_unigram(frequent, 500)


def test_segmentations_are_the_librarys(trained, news_words):
    frequent, log_p = trained
    tokenizer = Tokenizer(
        models.Unigram([("<unk>", min(log_p.values()) - 10), *log_p.items()], unk_id=0)
    )
    letters = set(letters_of(frequent))
    words = [word for word in news_words if set(word) <= letters]
    assert len(words) > 5_000
    for word in words:
        assert unigram.viterbi(word, log_p)[0] == tokenizer.encode(word).tokens


def test_training_gives_a_distribution_over_the_asked_number_of_pieces(trained):
    frequent, log_p = trained
    assert len(log_p) == 500
    assert math.isclose(sum(map(math.exp, log_p.values())), 1, abs_tol=1e-9)
    assert set(letters_of(frequent)) <= log_p.keys()
    assert unigram.train_unigram(frequent, 500) == log_p


def test_em_never_lowers_the_likelihood(trained):
    frequent, _ = trained
    log_p = unigram.seed_pieces(frequent, 300)
    before = -math.inf
    for _ in range(4):
        counts, likelihood = unigram.expected_counts(frequent, log_p)
        assert likelihood > before
        before = likelihood
        total = sum(counts.values())
        log_p = {x: math.log(max(n, 1e-12) / total) for x, n in counts.items()}


def test_long_words_do_not_underflow():
    log_p = {"a": -20.0, "aa": -41.0}
    pieces, score = unigram.viterbi("a" * 200, log_p)
    assert len(pieces) == 200 and score == -4000
    assert -4000 < unigram.forward("a" * 200, log_p)[-1] < -3900


def test_a_word_that_cannot_be_spelt_is_named():
    log_p = {"low": -1.0, "t": -2.0}
    for call in (unigram.viterbi, unigram.forward):
        with pytest.raises(ValueError, match=r"'lowtide'.*'ide'"):
            call("lowtide", log_p)
    with pytest.raises(ValueError, match="'x'"):
        unigram.expected_counts({"x": 1}, log_p)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"word_counts": {}, "vocab_size": 10}, "word_counts is empty"),
        ({"word_counts": ["low"], "vocab_size": 10}, "word_counts is <class 'list'>"),
        ({"word_counts": {"tide": 1}, "vocab_size": 3}, "vocab_size is 3: expected at least 4"),
    ],
)
def test_bad_unigram_input_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        unigram.train_unigram(**arguments)
