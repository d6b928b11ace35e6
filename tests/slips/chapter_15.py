"""Usual slips in the exercises of chapter 15: the exercise, an answer, words of the message."""

from datasets import Dataset  # noqa: F401  the exercise's cell uses it
from scipy import stats

SLIPS = [
    ("15.1", "299 / 4096", "Both sides count"),
    ("15.1", "0.083", "chi-squared"),
    ("15.1", "0.149", "continuity correction"),
    ("15.1", "2 * math.comb(12, 3) / 2**12", "three alone"),
    ("15.1", "0.15", "3 decimals"),
    ("15.1", "Fraction(598, 4096)", "Right"),
    ("15.1", str(stats.binomtest(3, 12).pvalue), "Right"),
    ("15.2", '"the validation set is too small"', "rough"),
    ("15.2", '"the learning rate is too low"', "falls slowly"),
    ("15.4", "math.log(0.9 / 0.1)", "all five classes"),
    ("15.4", "math.log(0.9 / 0.025)", "not to the other four"),
    ("15.4", "math.log(0.92 / 0.08)", "sum of the four"),
    ("15.4", "1.663", "natural logarithm"),
    ("15.4", "np.log(46)", "Right"),
    (
        "best_of",
        """
        def best_of(values, k):
            n = len(values)
            return float(np.sum(np.array(values) * np.diff((np.arange(n + 1) / n) ** k)))
        """,
        "Sort the scores",
    ),
    ("best_of", "def best_of(values, k): return max(values)", "best of all n"),
    (
        "split_by_story",
        """
        def split_by_story(dataset, seed):
            parts = dataset.train_test_split(0.2, seed=seed)
            return tuple(sorted(parts[name].unique("document")) for name in ("train", "test"))
        """,
        "splits by rows",
    ),
]
