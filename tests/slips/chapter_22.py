"""Usual slips in the exercises of chapter 22: the exercise, an answer, words of the message."""

CHANCE = "p falls further than by chance"
WEIGHTS = "it changes when the weights are random"
PEOPLE = "it marks the words that people would mark"
PARTS = "its parts add up to the margin"
SLIPS = [
    ("22.1", "108", "no score is above lms"),
    ("22.1", "54.0", "What does the formula divide by"),
    ("22.1", "36", "Divide by 50"),
    ("22.1", "90", "keeps its lms"),
    ("22.1", "72", "Right"),
    ("22.3", "6 * 17 * 17", "second dimension"),
    ("22.3", "6 * 12 * 15 * 15", "pieces too"),
    ("22.3", "6 * 12 * 17", "T · T weights"),
    ("22.3", "20808", "Right"),
    ("22.4", f"[{CHANCE!r}, {WEIGHTS!r}, {PEOPLE!r}]", "Does the model"),
    ("22.4", f"[{CHANCE!r}, {WEIGHTS!r}, {PARTS!r}]", "do the parts add up"),
    ("22.4", f"[{CHANCE!r}]", "ignores the model"),
    ("22.4", f"[{WEIGHTS!r}, {CHANCE!r}]", "Right"),
    ("22.5", "3", "rank alone"),
    ("22.5", "8 / 1000", "share of the codes"),
    ("22.5", "4.828", "base 2"),
    ("22.5", "6.97", "Right"),
    (
        "stereotype_scores",
        """
        def stereotype_scores(rows):
            n = len(rows)
            lms = sum(50 * ((s > u) + (a > u)) for _, s, a, u in rows) / n
            ss = sum(100 * (s > a) for _, s, a, u in rows) / n
            return lms, ss, lms * min(ss, 100 - ss) / 50
        """,
        "mean for each target first",
    ),
    (
        "stereotype_scores",
        """
        def stereotype_scores(rows):
            found = {}
            for t, s, a, u in rows:
                found.setdefault(t, []).append((50 * ((s > u) + (a > u)), 100 * (s > a)))
            means = [[sum(x) / len(x) for x in zip(*f)] for f in found.values()]
            lms, ss = (sum(x) / len(x) for x in zip(*means))
            return lms, ss, lms * ss / 50
        """,
        "on either side of 50",
    ),
    (
        "stereotype_scores",
        """
        def stereotype_scores(rows):
            found = {}
            for t, s, a, u in rows:
                found.setdefault(t, []).append((100 * (max(s, a) > u), 100 * (s > a)))
            means = [[sum(x) / len(x) for x in zip(*f)] for f in found.values()]
            lms, ss = (sum(x) / len(x) for x in zip(*means))
            return lms, ss, lms * min(ss, 100 - ss) / 50
        """,
        "two comparisons an item",
    ),
    (
        "stereotype_scores",
        """
        def stereotype_scores(rows):
            found = {}
            for t, s, a, u in rows:
                found.setdefault(t, []).append((((s > u) + (a > u)) / 2, float(s > a)))
            lms = 100 * sum(sum(x for x, _ in f) / len(f) for f in found.values()) / len(found)
            ss = 100 * sum(sum(x for _, x in f) / len(f) for f in found.values()) / len(found)
            return lms, ss, lms * (50 - abs(ss - 50)) / 50
        """,
        "Right",
    ),
]
