"""Usual slips in the exercises of chapter 19: the exercise, an answer, words of the message."""

ONE = "a beam of one is greedy decoding"
NEVER_LESS = "a beam of four never finds a less probable target than greedy decoding"
LONGER = "of two finished hypotheses, a larger α can only help the longer one"
SURVIVE = "α changes which hypotheses survive a step"
SLIPS = [
    ("19.1", "56.99", "what do they pay"),
    ("19.1", "46.73", "geometric, not arithmetic"),
    ("19.1", "45.59", "not the ratio of the lengths"),
    ("19.1", "100 * math.exp(-0.25) * (18 / 20 * 10 / 16 * 6 / 12 * 3 / 8) ** 0.25", "Right"),
    ("19.2", "1.386", "each gets ε/V"),
    ("19.2", "3.602", "base-10"),
    ("19.2", "math.log(0.8002 / 0.0002)", "Right"),
    ("19.3", "99", "padding of the sources"),
    ("19.3", "128", "Those are all labels"),
    ("19.3", "74", "Right"),
    ("19.5", f"[{ONE!r}, {NEVER_LESS!r}, {LONGER!r}]", "fall out of a beam"),
    ("19.5", f"[{ONE!r}, {LONGER!r}, {SURVIVE!r}]", "living hypotheses of one step"),
    ("19.5", f"[{ONE!r}]", "Two of the four"),
    ("19.5", f"[{LONGER!r}, {ONE!r}]", "Right"),
    ("19.6", "4 * 0.75**3", "multiplied by 1 − f"),
    ("19.6", "0.75**4", "three"),
    ("19.6", "0.421875", "Right"),
    (
        "best_of",
        """
        def best_of(log_p, lengths, alpha):
            scores = [p / n for p, n in zip(log_p, lengths)]
            return scores.index(max(scores))
        """,
        "alpha isn't used",
    ),
    (
        "best_of",
        """
        def best_of(log_p, lengths, alpha):
            return log_p.index(max(log_p))
        """,
        "lengths aren't used",
    ),
    (
        "best_of",
        """
        def best_of(log_p, lengths, alpha):
            scores = [p / n**alpha for p, n in zip(log_p, lengths)]
            return scores.index(min(scores))
        """,
        "the largest, not the smallest",
    ),
    (
        "best_of",
        """
        def best_of(log_p, lengths, alpha):
            scores = [p / (n * alpha) if alpha else p for p, n in zip(log_p, lengths)]
            return scores.index(max(scores))
        """,
        "A power is asked for",
    ),
    (
        "best_of",
        """
        def best_of(log_p, lengths, alpha):
            scores = [p * n**alpha for p, n in zip(log_p, lengths)]
            return scores.index(max(scores))
        """,
        "punishes the long ones",
    ),
    (
        "best_of",
        """
        def best_of(log_p, lengths, alpha):
            scores = [p / n**alpha for p, n in zip(log_p, lengths)]
            return max(range(len(scores)), key=lambda i: (scores[i], i))
        """,
        "two that are equal",
    ),
    (
        "best_of",
        """
        def best_of(log_p, lengths, alpha):
            return int(np.argmax(np.array(log_p) / np.array(lengths) ** alpha))
        """,
        "Right",
    ),
]
