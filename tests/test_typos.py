"""Typos: what they change, what they leave, and how often they come."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.data.typos import known_typos, misspell, swap_letters

SENTENCE = "The wonderful film isn't what 20 viewers expected, sadly."


def typos(text, rate, seed=0):
    return swap_letters(text, rate, np.random.default_rng(seed))


def test_every_long_word_is_hit_at_rate_one():
    before, after = SENTENCE.split(), typos(SENTENCE, 1.0).split()
    changed = {a for a, b in zip(before, after, strict=True) if a != b}
    assert changed == {"wonderful", "film", "what", "viewers", "expected,", "sadly."}


@settings(deadline=None)  # a busy machine is no failure
@given(st.text(), st.floats(0, 1), st.integers(0, 100))
def test_letters_and_their_neighbourhood_stay(text, rate, seed):
    after = typos(text, rate, seed)
    assert len(after) == len(text)
    # Outside of words nothing moves, and a word keeps its ends and its letters.
    pattern = r"[^\W\d_]+"
    assert re.sub(pattern, "", after) == re.sub(pattern, "", text)
    for old, new in zip(re.findall(pattern, text), re.findall(pattern, after), strict=True):
        assert (old[0], old[-1], sorted(old)) == (new[0], new[-1], sorted(new))
        assert sum(a != b for a, b in zip(old, new, strict=True)) in (0, 2)


def test_the_rate_is_the_share_of_words_hit():
    words = "brilliant " * 4000
    hit = sum(word != "brilliant" for word in typos(words, 0.3).split())
    assert abs(hit / 4000 - 0.3) < 4 * (0.3 * 0.7 / 4000) ** 0.5


def test_a_higher_rate_only_adds_typos():
    text = SENTENCE * 20
    few, many = (typos(text, rate).split() for rate in (0.2, 0.5))
    for original, a, b in zip(text.split(), few, many, strict=True):
        assert a in (original, b)
    assert few != many


def test_words_of_one_letter_repeated_and_short_words_stay():
    assert typos("aaaa a an the", 1.0) == "aaaa a an the"
    assert typos("film", 1.0) == "flim"


@pytest.mark.parametrize("rate", [-0.1, 1.5, float("nan")])
def test_a_rate_out_of_range_is_refused(rate):
    with pytest.raises(ValueError, match="rate="):
        typos(SENTENCE, rate)


LISTED = {"really": ("realy", "raelly"), "film": ("flim",)}


def listed(text, rate, seed=0):
    return misspell(text, rate, np.random.default_rng(seed), LISTED)


def test_only_listed_words_are_misspelt_and_a_capital_stays():
    after = listed("Really, the FILM isn't a movie.", 1.0)
    assert after.split()[0] in ("Realy,", "Raelly,")
    assert after.split()[1:] == ["the", "Flim", "isn't", "a", "movie."]


def test_a_higher_rate_only_adds_listed_typos():
    text = "really film " * 50
    few, many = listed(text, 0.3).split(), listed(text, 0.6).split()
    for word, low, high in zip(text.split(), few, many, strict=True):
        assert low in (word, high)
    assert 0.2 < np.mean([a != b for a, b in zip(text.split(), few, strict=True)]) < 0.4


def test_a_rate_above_one_is_refused():
    with pytest.raises(ValueError, match="share of words"):
        listed("film", 1.5)


def test_the_list_knows_common_typos():
    typos = known_typos()
    assert len(typos) == 13_837
    assert "recieve" in typos["receive"]
    assert all(len(word) >= 4 for word in typos)
