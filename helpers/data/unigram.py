"""The unigram language model of subwords: a probability for each piece, found by EM.

Kudo (2018), Subword Regularization, section 3.2. A segmentation's probability is the product of
its pieces' probabilities; a word's is the sum over its segmentations. Logarithms are natural.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from helpers.data.subwords import alphabet_of

LONGEST = 12  # letters of the longest piece in the first vocabulary
SEEDS = 4  # times as many pieces in the first vocabulary as in the last
KEPT = 0.75  # share of the pieces that survive a round of pruning


def viterbi(word: str, log_p: Mapping[str, float]) -> tuple[list[str], float]:
    """The most probable segmentation of a word (Kudo 2018, equation 7).

    Args:
        word: one word.
        log_p: log-probability of each piece.

    Returns:
        The pieces, and the logarithm of their probability.

    Raises:
        ValueError: no sequence of pieces spells the word.
    """
    best = [0.0] + [-math.inf] * len(word)  # best[j]: of the first j letters
    start = [0] * (len(word) + 1)  # where the last piece of that segmentation begins
    for i, j, piece in _edges(word, log_p):
        if best[i] + log_p[piece] > best[j]:
            best[j], start[j] = best[i] + log_p[piece], i
    _check_reached(word, best)
    pieces, end = [], len(word)
    while end:
        pieces.append(word[start[end] : end])
        end = start[end]
    return pieces[::-1], best[-1]


def forward(word: str, log_p: Mapping[str, float]) -> list[float]:
    """Log-probability that pieces spell the first j letters, for j from 0 to the word's length.

    The last entry is the word's own log-probability, summed over all segmentations.

    Raises:
        ValueError: no sequence of pieces spells the word.
    """
    alpha = [0.0] + [-math.inf] * len(word)
    for i, j, piece in _edges(word, log_p):
        alpha[j] = _log_add(alpha[j], alpha[i] + log_p[piece])
    _check_reached(word, alpha)
    return alpha


def expected_counts(
    word_counts: Mapping[str, int], log_p: Mapping[str, float]
) -> tuple[dict[str, float], float]:
    """The E-step: how often each piece is used, on average over all segmentations.

    Args:
        word_counts: how often each word occurs.
        log_p: log-probability of each piece.

    Returns:
        Expected counts of the pieces, and the log-likelihood of all words.

    Raises:
        ValueError: no sequence of pieces spells one of the words.
    """
    expected: dict[str, float] = defaultdict(float)
    likelihood = 0.0
    for word, count in word_counts.items():
        alpha = forward(word, log_p)
        likelihood += count * alpha[-1]
        # beta[i]: log-probability that pieces spell the letters from i on.
        beta = [-math.inf] * len(word) + [0.0]
        for i, j, piece in reversed([*_edges(word, log_p)]):
            onward = log_p[piece] + beta[j]
            beta[i] = _log_add(beta[i], onward)
            expected[piece] += count * math.exp(alpha[i] + onward - alpha[-1])
    return dict(expected), likelihood


def train_unigram(word_counts: Mapping[str, int], vocab_size: int) -> dict[str, float]:
    """Start from many frequent substrings, and prune those that the likelihood misses least.

    Training begins with four times as many pieces as it ends with. Each round makes two steps of
    EM and keeps the best three quarters of the pieces; letters always stay, so that every word of
    the corpus can be spelt.

    Args:
        word_counts: how often each word occurs.
        vocab_size: pieces to end with, letters included.

    Returns:
        Log-probability of each piece.

    Raises:
        ValueError: there is no word, a count isn't a positive integer, or ``vocab_size`` is
            smaller than the alphabet.
    """
    letters = set(alphabet_of(word_counts))
    if vocab_size < len(letters):
        raise ValueError(
            f"vocab_size is {vocab_size}: expected at least {len(letters)}, the size of the "
            "alphabet."
        )
    log_p = seed_pieces(word_counts, SEEDS * vocab_size)
    while True:
        for _ in range(2):
            counts, _ = expected_counts(word_counts, log_p)
            log_p = _maximise(counts, letters)
        if len(log_p) <= vocab_size:
            return log_p
        size = max(vocab_size, int(KEPT * len(log_p)))
        loss = {piece: counts[piece] * _worth(piece, log_p) for piece in log_p}
        ranked = sorted(log_p, key=lambda piece: (piece not in letters, -loss[piece], piece))
        log_p = {piece: log_p[piece] for piece in ranked[:size]}


def seed_pieces(word_counts: Mapping[str, int], size: int) -> dict[str, float]:
    """All letters, and the substrings that cover most letters of the corpus, with their shares."""
    counts: Counter[str] = Counter()
    for word, count in word_counts.items():
        for i in range(len(word)):
            for j in range(i + 1, min(i + LONGEST, len(word)) + 1):
                counts[word[i:j]] += count
    ranked = sorted(counts, key=lambda p: (len(p) > 1, -counts[p] * len(p), p))[:size]
    total = sum(counts[piece] for piece in ranked)
    return {piece: math.log(counts[piece] / total) for piece in ranked}


def _maximise(counts: Mapping[str, float], letters: set[str]) -> dict[str, float]:
    """The M-step: a piece's probability is its share of the expected counts."""
    # A piece that is hardly ever used goes at once; a letter stays, with a little probability.
    used = {p: max(n, 1e-3) for p, n in counts.items() if n >= 0.5 or p in letters}
    total = sum(used.values())
    return {piece: math.log(count / total) for piece, count in used.items()}


def _worth(piece: str, log_p: Mapping[str, float]) -> float:
    """What each use of a piece would lose in log-probability if it were spelt by others."""
    if len(piece) == 1:
        return math.inf
    others = {p: log_p[p] for *_, p in _edges(piece, log_p) if p != piece}
    return log_p[piece] - viterbi(piece, others)[1]


def _edges(word: str, log_p: Mapping[str, float]) -> Iterator[tuple[int, int, str]]:
    """(i, j, word[i:j]) for each piece that stands in the word, in the order of i."""
    for i in range(len(word)):
        for j in range(i + 1, min(i + LONGEST, len(word)) + 1):
            if (piece := word[i:j]) in log_p:
                yield i, j, piece


def _log_add(a: float, b: float) -> float:
    """log(exp(a) + exp(b)) without overflow."""
    high, low = (a, b) if a > b else (b, a)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))


def _check_reached(word: str, scores: list[float]) -> None:
    if scores[-1] == -math.inf:
        stuck = max(j for j, score in enumerate(scores) if score > -math.inf)
        raise ValueError(
            f"no sequence of pieces spells {word!r}: none leads on from {word[stuck:]!r}. Train "
            "on text that holds its letters, or replace them by an unknown piece first."
        )
