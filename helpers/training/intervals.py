"""How sure a mean over runs is."""

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


def check_level(level: float) -> None:
    """Refuse a coverage that isn't between 0 and 1, such as 95."""
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it lies between 0 and 1, as 0.95 does.")
