"""Counting instead of training: n-grams with Kneser–Ney smoothing, the baseline to respect."""

import numpy as np

__all__ = ["KneserNey", "look_up", "pack_ngrams"]


def pack_ngrams(tokens: np.ndarray, n: int, bits: int) -> np.ndarray:
    """Every n-gram of a (T,) array of ids below 2^bits, as one integer each: (T - n + 1,) int64.

    Raises:
        ValueError: n ids of that many bits don't fit into 63, or there are fewer than n.
    """
    if n * bits > 63 or len(tokens) < n:
        raise ValueError(
            f"{n}-grams of {bits}-bit ids, from {len(tokens)} tokens: expected n × bits of at "
            "most 63 and at least n tokens. Take a smaller n or a smaller vocabulary."
        )
    last = len(tokens) - n + 1
    return sum(tokens[k : k + last].astype(np.int64) << bits * (n - 1 - k) for k in range(n))


def look_up(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The value of each wanted key, 0 for a key that isn't there; `keys` are sorted."""
    i, there = _find(keys, wanted)
    return np.where(there, values[i], 0)


def _find(keys: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each wanted key would be among the sorted `keys`, and whether it is there."""
    i = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    return i, keys[i] == wanted


class KneserNey:
    """Interpolated Kneser–Ney n-grams (Chen & Goodman, 1999, section 2.7).

    The n-grams of each order are sorted integers, so that counting is `np.unique` and looking up
    is a binary search.
    """

    def __init__(self, tokens: np.ndarray, order: int, V: int, discount: float | None = None):
        """Count.

        Args:
            tokens: the training text, ids below V, (T,).
            order: n, the longest n-gram.
            V: entries of the vocabulary.
            discount: D, taken off each count; by default estimated for each order from the
                numbers of n-grams seen once and twice, n_1 / (n_1 + 2 n_2).

        Raises:
            ValueError: an id isn't below V, or n-grams of this order don't fit into an integer.
        """
        if not 0 <= tokens.min() <= tokens.max() < V:
            raise ValueError(
                f"tokens hold ids from {tokens.min()} to {tokens.max()}; expected 0 to {V - 1}."
            )
        self.order, self.V, self.bits = order, V, max(1, (V - 1).bit_length())
        self.levels = []
        for n in range(order, 0, -1):
            grams, counts = self._count(tokens, n)
            once, twice = (counts == 1).sum(), (counts == 2).sum()
            d = once / max(once + 2 * twice, 1) if discount is None else discount
            # Sorted n-grams are sorted by context too, so that one context is one run.
            contexts, start = np.unique(grams >> self.bits, return_index=True)
            totals = np.add.reduceat(counts, start)
            kinds = np.diff(np.append(start, len(grams)))  # different continuations
            self.levels.insert(0, (d, grams, counts, contexts, totals, kinds))

    def _count(self, tokens: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        """All n-grams and how often they occur; below the highest order, after how many tokens."""
        if n == self.order:
            return np.unique(pack_ngrams(tokens, n, self.bits), return_counts=True)
        # With counts NumPy sorts; without them it hashes, ten times as slow here (NumPy 2.4).
        longer, _ = np.unique(pack_ngrams(tokens, n + 1, self.bits), return_counts=True)
        return np.unique(longer & ((1 << self.bits * n) - 1), return_counts=True)

    def probability(self, contexts: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """p(token | context): contexts (N, order - 1) and tokens (N,) of ids -> (N,) float64."""
        p = np.full(len(tokens), 1 / self.V)
        context = np.zeros(len(tokens), dtype=np.int64)
        for n, (d, grams, counts, seen, totals, kinds) in enumerate(self.levels, start=1):
            if n > 1:
                earlier = contexts[:, 1 - n].astype(np.int64)
                context = context | earlier << self.bits * (n - 2)
            count = look_up(grams, counts, context << self.bits | tokens)
            i, there = _find(seen, context)  # one search for both values of a context
            backed_off = np.maximum(count - d, 0) + d * kinds[i] * p
            p = np.where(there, backed_off / totals[i], p)
        return p

    def log_probabilities(self, stream: np.ndarray) -> np.ndarray:
        """log p of every token after the first, given the ones before it: (T,) -> (T - 1,).

        Tokens missing in front of the stream are taken to be its first, a separator of texts.
        """
        padded = np.concatenate([np.full(self.order - 1, stream[0]), stream])
        windows = np.lib.stride_tricks.sliding_window_view(padded, self.order)[1:]
        return np.log(self.probability(windows[:, :-1], windows[:, -1]))
