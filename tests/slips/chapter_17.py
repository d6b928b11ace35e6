"""Usual slips in the exercises of chapter 17: the exercise, an answer, words of the message."""

FEWER = "no fewer questions get no answer"
NEVER_RISES = "the F1 of answerable questions can't rise"
NEVER_FALLS = "the F1 of unanswerable questions can't fall"
MEAN = "the mean F1 falls"
SLIPS = [
    ("17.1", "4 / 7", "take the articles out"),
    ("17.1", "0.5", "That is the precision"),
    ("17.1", "0", "credit for words in common"),
    ("17.1", "Fraction(2, 3)", "Right"),
    ("17.2", "7", "places for [CLS]"),
    ("17.2", "13", "not how far they move"),
    ("17.2", "5", "share pieces"),
    ("17.2", "8.0", "Right"),
    ("17.3", "34", "in the passage alone"),
    ("17.3", "214", "That is the character"),
    ("17.3", "50", "Right"),
    ("17.4", f"[{FEWER!r}, {NEVER_RISES!r}, {NEVER_FALLS!r}, {MEAN!r}]", "can the mean not rise"),
    ("17.4", f"[{FEWER!r}, {NEVER_FALLS!r}]", "Can its F1 rise"),
    ("17.4", f"[{NEVER_FALLS!r}, {FEWER!r}, {NEVER_RISES!r}]", "Right"),
    ("17.6", "1 / 61 + 1 / 110", "That is A's score"),
    ("17.6", "0.25", "Add 60 to each rank"),
    ("17.6", "2 / 68", "Right"),
    (
        "score_at",
        """
        def score_at(threshold, f1, margins, has_answer):
            given = [m > threshold for m in margins]
            return sum(v for v, g in zip(f1, given) if g) / len(f1)
        """,
        "it scores 1 there",
    ),
    (
        "score_at",
        """
        def score_at(threshold, f1, margins, has_answer):
            rows = zip(f1, margins, has_answer)
            return sum(v if m <= threshold else float(not a) for v, m, a in rows) / len(f1)
        """,
        "above the threshold",
    ),
    (
        "score_at",
        """
        def score_at(threshold, f1, margins, has_answer):
            rows = [v * (m > threshold) for v, m, a in zip(f1, margins, has_answer) if a]
            return sum(rows) / len(rows)
        """,
        "those without an answer too",
    ),
    (
        "score_at",
        """
        def score_at(threshold, f1, margins, has_answer):
            return sum(v if m > threshold else 1 for v, m in zip(f1, margins)) / len(f1)
        """,
        "0 where there is an answer",
    ),
    (
        "score_at",
        """
        def score_at(threshold, f1, margins, has_answer):
            given = [v for v, m in zip(f1, margins) if m > threshold]
            return sum(given) / len(given)
        """,
        "has a score as well",
    ),
    (
        "score_at",
        """
        def score_at(threshold, f1, margins, has_answer):
            rows = zip(f1, margins, has_answer)
            return sum(v if m > threshold else float(not a) for v, m, a in rows)
        """,
        "That is the sum",
    ),
    (
        "score_at",
        """
        def score_at(threshold, f1, margins, has_answer):
            given = np.array(margins) > threshold
            return np.where(given, f1, ~np.array(has_answer)).mean()
        """,
        "Right",
    ),
]
