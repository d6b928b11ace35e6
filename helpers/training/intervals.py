"""How sure a mean is, over runs or over units of which each gave several values."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats


class Interval(NamedTuple):
    """A mean and the ends of its confidence interval."""

    mean: float
    low: float
    high: float


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Student's t-interval for the mean of independent values, such as one score per seed.

    It covers the true mean in a share `level` of all samples, if the values are normal; with the
    three to five runs that one can afford, it is much wider than the values' range.

    Args:
        values: (n,) numbers, n at least 2.
        level: the coverage, between 0 and 1.

    Raises:
        ValueError: fewer than two values, one that isn't finite, or a level out of range.
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"An interval needs at least two values, (n,); these are {values.shape}.")
    if not np.isfinite(values).all():
        raise ValueError(f"Some values aren't finite: {values.tolist()}.")
    check_level(level)
    mean, error = values.mean(), values.std(ddof=1) / len(values) ** 0.5
    half = stats.t.ppf((1 + level) / 2, len(values) - 1) * error
    return Interval(float(mean), float(mean - half), float(mean + half))


def grouped_interval(
    values: Sequence[float],
    groups: Sequence[int],
    sizes: Sequence[float] | None = None,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Mean of values that come in groups, with a percentile interval over resampled groups.

    Words of one article are alike, so a thousand words of twelve articles tell little more than
    twelve articles do: what was drawn, the articles, is drawn again. This is the cluster bootstrap.

    Args:
        values: (n,) numbers, such as the loss at each word.
        groups: (n,) what each value came from, such as the number of its article.
        sizes: (n,) weights, if each value is a sum already: the mean is Σ values / Σ sizes.
        level: the coverage, between 0 and 1.
        resamples: how often the groups are drawn, with replacement.
        seed: of the draws.

    Raises:
        ValueError: lengths differ, fewer than two groups, or a level out of range.
    """
    values = np.asarray(values, dtype=float)
    sizes = np.ones_like(values) if sizes is None else np.asarray(sizes, dtype=float)
    names, groups = np.unique(np.asarray(groups), return_inverse=True)
    if not len(values) == len(groups) == len(sizes):
        raise ValueError(
            f"There are {len(values)} values, {len(groups)} groups and {len(sizes)} sizes; give "
            "each value its group, and its size if there are any."
        )
    if len(names) < 2:
        raise ValueError(
            f"The values are of {len(names)} group(s): an interval over groups needs two or more. "
            "Measure on more of them, or give each value a group of its own if it was drawn alone."
        )
    check_level(level)
    total, size = np.bincount(groups, values), np.bincount(groups, sizes)  # (groups,)
    drawn = np.random.default_rng(seed).integers(len(names), size=(resamples, len(names)))
    means = total[drawn].sum(1) / size[drawn].sum(1)  # (resamples,)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(total.sum() / size.sum()), float(low), float(high))


def check_level(level: float) -> None:
    """Refuse a coverage that isn't between 0 and 1, such as 95."""
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it lies between 0 and 1, as 0.95 does.")
