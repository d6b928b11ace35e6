"""helpers.models.ngrams: equal to the equation written with sets, and a distribution."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.models.ngrams import KneserNey, look_up, pack_ngrams


def slowly(tokens, context, w, V, D, highest=True):
    """p(w | context) from the words of the definition; `context` is a tuple of ids."""
    n = len(context) + 1
    grams = [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
    if not highest:  # count different tokens in front, not occurrences
        grams = [g[1:] for g in {tuple(tokens[i : i + n + 1]) for i in range(len(tokens) - n)}]
    after = [gram[-1] for gram in grams if gram[:-1] == context]
    shorter = slowly(tokens, context[1:], w, V, D, highest=False) if context else 1 / V
    if not after:
        return shorter
    seen = max(after.count(w) - D, 0) / len(after)
    return seen + D * len(set(after)) / len(after) * shorter


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), order=st.integers(1, 4), V=st.integers(2, 9))
def test_equal_to_the_definition(seed, order, V):
    generator = np.random.default_rng(seed)
    tokens = generator.integers(V, size=60)
    model = KneserNey(tokens, order, V, discount=0.7)
    contexts, targets = generator.integers(V, size=(20, order - 1)), generator.integers(V, size=20)
    expected = [
        slowly(tokens.tolist(), tuple(u), w, V, 0.7)
        for u, w in zip(contexts.tolist(), targets.tolist(), strict=True)
    ]
    np.testing.assert_allclose(model.probability(contexts, targets), expected, rtol=1e-10)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), order=st.integers(1, 5))
def test_sums_to_one_in_every_context(seed, order):
    generator = np.random.default_rng(seed)
    V = 11
    model = KneserNey(generator.zipf(1.5, size=300) % V, order, V)
    context = np.repeat(generator.integers(V, size=(1, order - 1)), V, axis=0)
    assert model.probability(context, np.arange(V)).sum() == pytest.approx(1, abs=1e-12)


def test_stream_is_scored_token_by_token():
    tokens = np.array([0, 1, 2, 0, 1, 3, 0, 1, 2, 0])
    model = KneserNey(tokens, 3, 4, discount=0.5)
    log_p = model.log_probabilities(np.array([0, 1, 2, 0]))
    contexts = np.array([[0, 0], [0, 1], [1, 2]])
    np.testing.assert_allclose(np.exp(log_p), model.probability(contexts, np.array([1, 2, 0])))


def test_packing_and_looking_up():
    assert pack_ngrams(np.array([1, 2, 3]), 2, 4).tolist() == [0x12, 0x23]
    keys, values = np.array([3, 5, 9]), np.array([30, 50, 90])
    assert look_up(keys, values, np.array([5, 4, 100, 3])).tolist() == [50, 0, 0, 30]


def test_bad_input():
    with pytest.raises(ValueError, match=r"\b0 to 7\b.*\b0 to 3\b"):
        KneserNey(np.array([0, 7]), 2, 4)
    with pytest.raises(ValueError, match=r"6-grams of 12-bit ids"):
        KneserNey(np.arange(4096), 6, 4096)
    with pytest.raises(ValueError, match=r"32-grams of 2-bit ids"):
        pack_ngrams(np.ones(40, int), 32, 2)  # of 64 bits one is the sign
    assert pack_ngrams(np.ones(40, int), 21, 3).min() > 0
