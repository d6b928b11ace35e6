"""Paired comparisons agree with SciPy's, with arithmetic, and hold their promised error rate."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from helpers.training.significance import holm, mcnemar_test, paired_bootstrap, sign_flip_test


def generator():
    return np.random.default_rng(0)


@pytest.fixture
def pair():
    """Right answers of two models on 300 examples; they often agree, and A is better."""
    draw = np.random.default_rng(1)
    easy = draw.random(300)
    return (easy < 0.9) ^ (draw.random(300) < 0.05), (easy < 0.8) ^ (draw.random(300) < 0.05)


def test_paired_bootstrap_agrees_with_scipys(pair):
    a, b = (scores.astype(float) for scores in pair)
    ours = paired_bootstrap(a, b, generator())
    theirs = stats.bootstrap(
        (a - b,), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert ours.mean == pytest.approx((a - b).mean(), abs=1e-12)
    assert ours.low == pytest.approx(theirs.low, abs=0.005)
    assert ours.high == pytest.approx(theirs.high, abs=0.005)


def test_pairs_stay_together():
    scores = generator().random(50)
    shifted = paired_bootstrap(scores + 0.25, scores, generator(), resamples=200)
    assert shifted == pytest.approx((0.25, 0.25, 0.25), abs=1e-12)


def test_the_interval_widens_with_its_level(pair):
    narrow, wide = (paired_bootstrap(*pair, generator(), level=level) for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.mean < narrow.high < wide.high


def test_sign_flip_agrees_with_scipys_permutation_test():
    draw = np.random.default_rng(3)
    a, b = draw.normal(0.4, 1, 12), draw.normal(0, 1, 12)  # scores that aren't 0 and 1
    exact = stats.permutation_test(
        (a, b), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=np.inf
    ).pvalue
    assert sign_flip_test(a, b, generator(), resamples=50_000) == pytest.approx(exact, abs=0.01)


@settings(max_examples=15, deadline=None)
@given(only_a=st.integers(0, 12), only_b=st.integers(0, 12), both=st.integers(2, 9))
def test_mcnemar_is_the_sign_flip_test_for_right_and_wrong(only_a, only_b, both):
    a = np.array([1] * only_a + [0] * only_b + [1] * both)
    b = np.array([0] * only_a + [1] * only_b + [1] * both)
    p = mcnemar_test(a, b)
    assert sign_flip_test(a, b, generator(), resamples=20_000) == pytest.approx(p, abs=0.02)
    assert mcnemar_test(b, a) == p


def test_mcnemar_by_arithmetic():
    # Eight disagreements, all for A: 2 of the 2^8 equally likely outcomes are as extreme.
    assert mcnemar_test([True] * 8 + [False] * 4, [False] * 12) == pytest.approx(2 / 2**8)


def test_equal_models_are_called_different_about_one_time_in_twenty():
    draw = np.random.default_rng(4)
    p_values = [
        sign_flip_test(*draw.normal(size=(2, 30)), generator=draw, resamples=199)
        for _ in range(400)
    ]
    assert 0.02 < np.mean(np.array(p_values) <= 0.05) < 0.085


def test_equal_answers_are_no_evidence():
    same = [1, 0, 1]
    assert mcnemar_test(same, same) == 1.0
    assert sign_flip_test(same, same, generator()) == 1.0
    assert paired_bootstrap(same, same, generator()) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mcnemar_test([1, 0], [1, 0, 1]), r"scores_a.*\(2,\).*scores_b.*\(3,\)"),
        (lambda: mcnemar_test([1], [0]), "n at least 2"),
        (lambda: mcnemar_test([0.5, 1], [0, 1]), "sign_flip_test"),
        (lambda: sign_flip_test([1, np.nan], [0, 1], generator()), r"\b1 examples.*number 1\b"),
        (lambda: sign_flip_test([1, 0], [0, 1], generator(), resamples=0), "at least one"),
        (lambda: paired_bootstrap([1, 0], [0, 1], generator(), level=1.0), "between 0 and 1"),
        (lambda: paired_bootstrap([[1, 0]], [[0, 1]], generator()), r"\(1, 2\)"),
    ],
)
def test_errors_say_what_was_given(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_holm_by_arithmetic():
    # 3 × 0.01, then 2 × 0.04, then 0.05, which may not fall below what stands before it.
    assert holm([0.04, 0.01, 0.05]) == pytest.approx([0.08, 0.03, 0.08])
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2]
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([0.5, 1.2])


def test_holm_keeps_false_alarms_rare_among_many_tests():
    p = np.random.default_rng(0).random((2000, 6))
    alarms = [min(holm(row)) <= 0.05 for row in p]
    assert abs(np.mean(alarms) - 0.05) < 0.015
    assert np.mean(p.min(axis=1) <= 0.05) > 0.2  # without a correction


def test_no_p_value_is_below_one_in_all_swaps_and_the_one_that_was_seen():
    far_better = np.linspace(1, 2, 50)  # no random swap comes near
    assert sign_flip_test(far_better, 0 * far_better, generator(), resamples=99) == 1 / 100
