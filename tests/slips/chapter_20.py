"""Usual slips in the exercises of chapter 20: the exercise, an answer, words of the message."""

SAME = "the most probable token stays the same"
CHANCE = "a token of probability 0 gets a chance"
RATIO = "the ratio of two probabilities grows"
ENTROPY = "the entropy falls"
SLIPS = [
    ("20.1", "0", "the loss is −log σ(0)"),
    ("20.1", "0.5", "its negative logarithm"),
    ("20.1", "0.1 * np.log(2)", "it multiplies 0"),
    ("20.1", "np.log(2)", "Right"),
    ("20.2", "1 / (1 + np.exp(-7))", "β multiplies"),
    ("20.2", "1 / (1 + np.exp(0.7))", "That is for the worse one"),
    ("20.2", "1 / (1 + np.exp(1.1))", "not their sum"),
    ("20.2", "torch.tensor(0.7).sigmoid()", "Right"),
    ("20.3", "11", "end mark of each answer"),
    ("20.3", "64", "Those are all tokens"),
    ("20.3", "21", "words of both speakers"),
    ("20.3", "13.0", "Right"),
    ("20.4", f"[{SAME!r}, {CHANCE!r}, {RATIO!r}, {ENTROPY!r}]", "Which logit"),
    ("20.4", f"[{SAME!r}, {ENTROPY!r}]", "smaller τ"),
    ("20.4", f"[{SAME!r}, {RATIO!r}]", "more or less uncertain"),
    ("20.4", f"[{ENTROPY!r}, {SAME!r}, {RATIO!r}]", "Right"),
    (
        "win_rate",
        """
        def win_rate(first, second):
            return sum(a > 0 for a in first) / len(first)
        """,
        "one order alone",
    ),
    (
        "win_rate",
        """
        def win_rate(first, second):
            return sum(a > 0 and b > 0 for a, b in zip(first, second)) / len(first)
        """,
        "ours gets one half",
    ),
    (
        "win_rate",
        """
        def win_rate(first, second):
            kept = [a > 0 for a, b in zip(first, second) if (a > 0) == (b > 0)]
            return sum(kept) / len(kept) if kept else 0.0
        """,
        "count too, one half each",
    ),
    (
        "win_rate",
        """
        def win_rate(first, second):
            return sum(a > 0 or b > 0 for a, b in zip(first, second)) / len(first)
        """,
        "One order isn't enough",
    ),
    (
        "win_rate",
        """
        def win_rate(first, second):
            return sum(a + b > 0 for a, b in zip(first, second)) / len(first)
        """,
        "The signs decide",
    ),
    (
        "win_rate",
        """
        def win_rate(first, second):
            return np.mean((np.sign(first) + np.sign(second) + 2) / 4)
        """,
        "Right",
    ),
    ("20.6", "95", "with a cache"),
    ("20.6", "32 * 64", "grows by a token"),
    ("20.6", "sum(range(65, 97))", "first pass reads 64"),
    ("20.6", "sum(range(64, 97))", "goes through no pass"),
    ("20.6", "32 * 96", "near the full length"),
    ("20.6", "sum(range(64, 96))", "Right"),
]
