"""Whether one model beats another, when both answered the same test examples.

Both tests and the interval take one score for each example and model, such as 1 for a right
answer and 0 for a wrong one, and look at the differences. That takes out what the two models
have in common: an example that is hard for both says nothing about which one is better.
"""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from helpers.training.intervals import Interval, check_level


def paired_bootstrap(
    scores_a: Sequence[float],
    scores_b: Sequence[float],
    generator: np.random.Generator,
    *,
    resamples: int = 10_000,
    level: float = 0.95,
) -> Interval:
    """The mean of a − b, with the percentile bootstrap's interval over test examples.

    A resample draws n examples with replacement and keeps each one's pair of scores together
    (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13).

    Args:
        scores_a: (n,) one score an example, of model A; for example its right answers as 0/1.
        scores_b: (n,) the scores of model B on the same examples, in the same order.
        generator: draws the resamples.
        resamples: how many.
        level: the coverage, between 0 and 1.

    Raises:
        ValueError: the scores differ in shape, are fewer than two, or aren't finite; or a number
            is out of its range.
    """
    differences = _differences(scores_a, scores_b, resamples)
    check_level(level)
    n = len(differences)
    means = [differences[generator.integers(n, size=n)].mean() for _ in range(resamples)]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(differences.mean()), float(low), float(high))


def sign_flip_test(
    scores_a: Sequence[float],
    scores_b: Sequence[float],
    generator: np.random.Generator,
    *,
    resamples: int = 10_000,
) -> float:
    """Two-sided p-value of the paired permutation test for the mean of a − b.

    If the models are equally good, each example's two scores could as well be swapped. The
    p-value is the share of random swaps that give a mean at least as far from 0 as the one
    observed, which counts as one of them (Fisher, The Design of Experiments, 1935).

    Args and errors are those of `paired_bootstrap`.
    """
    differences = _differences(scores_a, scores_b, resamples)
    differences = differences[differences != 0]  # a swap of equal scores changes nothing
    if not len(differences):
        return 1.0
    # Sums of the same numbers in another order may differ in the last bits.
    observed = abs(differences.sum()) * (1 - 1e-9)
    draws = (generator.integers(2, size=len(differences)) for _ in range(resamples))
    extreme = sum(abs((draw * 2 - 1) @ differences) >= observed for draw in draws)
    return float((extreme + 1) / (resamples + 1))


def mcnemar_test(right_a: Sequence[bool], right_b: Sequence[bool]) -> float:
    """Two-sided p-value of McNemar's exact test (McNemar, Psychometrika 12, 1947).

    Of the m examples that exactly one model answers rightly, half should be each one's if they
    are equally good: a binomial test of m coin flips. It is `sign_flip_test` for right and wrong
    with all 2^m swaps instead of a random choice of them.

    Args:
        right_a: (n,) whether model A is right on each example: bools, or 0 and 1.
        right_b: (n,) the same of model B.

    Raises:
        ValueError: they differ in shape, are fewer than two, or hold another number.
    """
    differences = _differences(right_a, right_b)
    if not (np.isin(right_a, (0, 1)).all() and np.isin(right_b, (0, 1)).all()):
        raise ValueError(
            "McNemar's test counts right and wrong answers: give bools, or 0 and 1. "
            "For other scores there is sign_flip_test."
        )
    only_a, only_b = int((differences > 0).sum()), int((differences < 0).sum())
    if only_a + only_b == 0:
        return 1.0
    return float(stats.binomtest(only_a, only_a + only_b, 0.5).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values of several tests, corrected so that a false alarm among them all is rare.

    If no effect exists at all, the chance that any of the results is at most α is at most α,
    whatever the tests have in common (Holm, Scandinavian Journal of Statistics 6, 1979).

    Args:
        p_values: (n,) between 0 and 1.

    Returns:
        The n corrected ones, in the same order.

    Raises:
        ValueError: a value that isn't between 0 and 1.
    """
    p = np.asarray(p_values, dtype=float)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p-values lie between 0 and 1; these are {p.tolist()}.")
    order = p.argsort()
    factors = np.arange(len(p), 0, -1)  # n for the smallest, 1 for the largest
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(1, np.maximum.accumulate(factors * p[order]))
    return corrected.tolist()


def _differences(
    scores_a: Sequence[float], scores_b: Sequence[float], resamples: int = 1
) -> np.ndarray:
    """a − b as float64 (n,), checked."""
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}; draw at least one, better 10,000.")
    a, b = np.asarray(scores_a, dtype=float), np.asarray(scores_b, dtype=float)
    if a.shape != b.shape or a.ndim != 1 or len(a) < 2:
        raise ValueError(
            f"scores_a has the shape {a.shape} and scores_b {b.shape}: expected one score for each "
            "of the same n test examples, two arrays (n,), with n at least 2."
        )
    bad = np.flatnonzero(~(np.isfinite(a) & np.isfinite(b)))
    if len(bad):
        raise ValueError(
            f"{len(bad)} examples have a score that isn't finite, the first one number {bad[0]}: "
            "give it a number for both models, or leave it out of both."
        )
    return a - b
