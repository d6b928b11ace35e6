"""The intervals of a mean against scipy's, by hand, and by their coverage."""

import numpy as np
import pytest
from scipy import stats

from helpers.training.intervals import grouped_interval, mean_interval


def test_by_hand():
    # Deviation 1, error 1/√3, and t = 4.302653 for two degrees of freedom.
    mean, low, high = mean_interval([1.0, 2.0, 3.0])
    half = 4.302653 / 3**0.5
    assert [mean, low, high] == pytest.approx([2.0, 2 - half, 2 + half], abs=1e-6)


def test_agrees_with_scipy():
    values = np.random.default_rng(0).normal(size=7)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert mean_interval(values, 0.9)[1:] == pytest.approx(tuple(expected), abs=1e-12)


def test_covers_the_mean_as_often_as_it_says():
    samples = np.random.default_rng(0).normal(3.0, 2.0, size=(2000, 5))
    covered = [low <= 3.0 <= high for _, low, high in map(mean_interval, samples)]
    assert abs(np.mean(covered) - 0.95) < 0.015  # three standard errors


@pytest.mark.parametrize(
    ("values", "level", "message"),
    [
        ([0.9], 0.95, "at least two"),
        ([[0.9, 0.8]], 0.95, "at least two"),
        ([0.9, float("nan")], 0.95, "finite"),
        ([0.9, 0.8], 95, "between 0 and 1"),
    ],
)
def test_bad_input(values, level, message):
    with pytest.raises(ValueError, match=message):
        mean_interval(values, level)


def test_the_mean_of_groups_by_hand():
    assert grouped_interval([1.0, 2.0, 6.0], [7, 7, 9])[0] == pytest.approx(3.0)
    # Two groups: a quarter of the draws has one of them twice, a quarter the other.
    assert grouped_interval([1.0, 2.0, 6.0], [7, 7, 9])[1:] == pytest.approx((1.5, 6.0))
    sums = grouped_interval([3.0, 6.0], [0, 1], [2, 1])
    assert sums == pytest.approx(grouped_interval([1.0, 2.0, 6.0], [0, 0, 1]))


def test_groups_cover_the_mean_where_single_values_do_not():
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 10)
    covered = {"groups": 0, "values": 0}
    for _ in range(300):
        values = generator.normal(size=40)[groups] + generator.normal(size=400)
        _, low, high = grouped_interval(values, groups, resamples=400)
        covered["groups"] += low <= 0 <= high
        half = 1.96 * values.std() / 20
        covered["values"] += abs(values.mean()) <= half
    assert covered["groups"] / 300 > 0.9
    assert covered["values"] / 300 < 0.75


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0, 2.0], [0]), "2 values, 1 groups"),
        (([1.0, 2.0], [3, 3]), "two or more"),
        (([1.0, 2.0], [0, 1], [1]), "1 sizes"),
    ],
)
def test_bad_groups(arguments, message):
    with pytest.raises(ValueError, match=message):
        grouped_interval(*arguments)
