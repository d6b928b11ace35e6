"""Usual slips in the exercises of chapter 18: the exercise, an answer, words of the message."""

ORDER, CASE = "another order of the words", "capital letters for small ones"
NOT, TWICE = 'a "not" that is put in', "each word is said twice"
SLIPS = [
    ("18.1", "8 / 14", "the order counts"),
    ("18.1", "10 / 14", "Without stemming"),
    ("18.1", "0.4", "That is the precision"),
    ("18.1", "2 / 9", "That is the recall"),
    ("18.1", "Fraction(2, 7)", "Right"),
    ("18.2", f"[{ORDER!r}, {CASE!r}, {NOT!r}]", "the precision changes"),
    ("18.2", f"[{ORDER!r}, {CASE!r}, {TWICE!r}]", "twice as many to divide by"),
    ("18.2", f"[{ORDER!r}]", "capital letters first"),
    ("18.2", f"[{CASE!r}]", "have an order"),
    ("18.2", f"[{CASE!r}, {ORDER!r}]", "Right"),
    ("18.3", "46", "of the inputs"),
    ("18.3", "30", "labels that are learned"),
    ("18.3", "6.0", "Right"),
    ("18.4", "1 / 3", "if all jumps went anywhere"),
    ("18.4", "0.5", "without the jumps"),
    ("18.4", "(1 - 0.9 / 1.85) / 2", "the share of B"),
    ("18.4", "0.9 / 1.85", "Right"),
    ("18.6", "0.22", "That is A's value"),
    ("18.6", "0.36 - 0.32", "its own cosine"),
    ("18.6", "0.54", "counts against"),
    ("18.6", "0.28", "Right"),
    ("18.7", "7 / 4.2", "2 to the power"),
    ("18.7", "math.log(7 / 4.2)", "ratio of the lengths"),
    ("18.7", "math.log10(7 / 4.2)", "ratio of the lengths"),
    ("18.7", "1 / math.log2(7 / 4.2)", "Upside down"),
    ("18.7", "math.log2(7 / 4.2)", "Right"),
    (
        "copied_share",
        """
        def copied_share(summary, article):
            summary, article = summary.split(), article.split()
            pairs = set(zip(article, article[1:]))
            mine = list(zip(summary, summary[1:]))
            return sum(p in pairs for p in mine) / len(mine) if mine else 0.0
        """,
        "That is the share of pairs",
    ),
    (
        "copied_share",
        """
        def copied_share(summary, article):
            summary, article = summary.split(), article.split()
            return sum(w in article for w in summary) / len(summary) if summary else 0.0
        """,
        "A word alone",
    ),
    (
        "copied_share",
        """
        def copied_share(summary, article):
            summary, article = summary.split(), article.split()
            pairs = set(zip(article, article[1:]))
            return sum(p in pairs for p in zip(summary, summary[1:])) / max(len(summary), 1)
        """,
        "the second one too",
    ),
    (
        "copied_share",
        """
        def copied_share(summary, article):
            summary, article = summary.split(), article.split()
            pairs = set(zip(article, article[1:]))
            return 2 * sum(p in pairs for p in zip(summary, summary[1:])) / max(len(summary), 1)
        """,
        "counts once",
    ),
    (
        "copied_share",
        """
        def copied_share(summary, article):
            summary, article = summary.split(), article.split()
            pairs = set(zip(article, article[1:]))
            mine = enumerate(zip(summary, summary[1:]))
            marks = {k for i, p in mine if p in pairs for k in (i, i + 1)}
            return 1 - len(marks) / len(summary) if summary else 0.0
        """,
        "isn't copied",
    ),
    (
        "copied_share",
        """
        def copied_share(summary, article):
            summary, article = summary.split(), article.split()
            pairs = set(zip(article, article[1:]))
            mine = enumerate(zip(summary, summary[1:]))
            marks = {k for i, p in mine if p in pairs for k in (i, i + 1)}
            return len(marks) / max(len(summary), 1)
        """,
        "Right",
    ),
]
