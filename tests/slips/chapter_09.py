"""Usual slips in the exercises of chapter 09: the exercise, an answer, words of the message."""

from transformers import (  # noqa: F401  the checks use them
    MinPLogitsWarper,
    NoRepeatNGramLogitsProcessor,
)

SLIPS = [
    ("09.1", "math.exp(2.25)", "the base is 2"),
    ("09.1", "2.25", "the loss in bits"),
    ("09.1", "2.25 * math.log(2)", "the loss in nats"),
    ("09.1", "2**9", "the sum"),
    ("09.1", "4", "not the probabilities"),
    ("09.1", "5.5", "the losses are averaged"),
    ("09.1", "4.8", "2 decimals"),
    ("09.1", "torch.tensor(2.25).exp2()", "Right"),
    ("09.2", "3.34", "the perplexity is its exponential"),
    ("09.2", "2**3.34379", "the base is e"),
    ("09.2", "1833.2", "shifted twice"),
    ("09.2", "24.4", "[CLS] is missing"),
    ("09.2", "26.7", "[SEP] at the end"),
    ("09.2", "28.33", "Right"),
    ("09.4", "'top-p'", "looks at probabilities"),
    ("09.4", "'both'", "One of the two looks at probabilities"),
    ("09.4", "'neither'", "keeps the order"),
    ("09.6", "10_000 * 127 / (0.3 * 127)", "never masked"),
    ("09.6", "67_196", "not 15 %"),
    ("09.6", "33_597", "nearest"),
    (
        "min_p",
        """
        def min_p(logits, p_min):
            return logits.masked_fill(logits.softmax(-1) < p_min, -torch.inf)
        """,
        "The bound is relative",
    ),
    (
        "min_p",
        """
        def min_p(logits, p_min):
            least = logits.max() + math.log(p_min)
            return logits.masked_fill(logits < least, -torch.inf)
        """,
        "Each row",
    ),
    (
        "min_p",
        """
        def min_p(logits, p_min):
            p = logits.softmax(-1)
            return torch.where(p >= p_min * p.amax(-1, keepdim=True), logits, -torch.inf)
        """,
        "Right",
    ),
    (
        "banned",
        """
        def banned(ids, n):
            return set(ids)
        """,
        "whole n-grams may not",
    ),
    (
        "banned",
        """
        def banned(ids, n):
            past = ids[len(ids) - n + 1 :]
            for i in range(len(ids) - n + 1):
                if ids[i : i + n - 1] == past:
                    return {ids[i + n - 1]}
            return set()
        """,
        "more than once",
    ),
]
