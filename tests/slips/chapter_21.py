"""Usual slips in the exercises of chapter 21: the exercise, an answer, words of the message."""

VALID, KEYS = "valid JSON", "the keys of the schema"
WORDS, TRUE = "values that stand in the sentence", "right values"
SLIPS = [
    ("21.1", "0.85", "share of equal labels"),
    ("21.1", "0.65", "what chance gives"),
    ("21.1", "0.2", "Divide by what chance leaves"),
    ("21.1", "0.2 / 0.35", "Right"),
    ("21.2", "62 / 90", "a wrong direction isn't right"),
    ("21.2", "27 / 40", "That is the precision"),
    ("21.2", "27 / 50", "That is the recall"),
    ("21.2", "Fraction(3, 5)", "Right"),
    ("21.3", "9", "place among the words"),
    ("21.3", "10", "One off"),
    ("21.3", "11.0", "Right"),
    ("21.4", f"[{VALID!r}]", "knows its keys as well"),
    ("21.4", f"[{VALID!r}, {KEYS!r}, {WORDS!r}]", "the grammar allows any"),
    ("21.4", f"[{VALID!r}, {KEYS!r}, {WORDS!r}, {TRUE!r}]", "Who tells it what is true"),
    ("21.4", f"{{{KEYS!r}, {VALID!r}}}", "Right"),
    ("21.6", "21", "would hang from each other"),
    ("21.6", "15", "at a smaller price"),
    ("21.6", "8 + 3 + 6", "Right"),
    ("21.7", "2 / 3", "That is F1"),
    ("21.7", "0.75", "That is the precision"),
    ("21.7", "0.6", "That is the recall"),
    ("21.7", "150 / 240", "That is F2"),
    ("21.7", "37.5 / 52.5", "Right"),
    (
        "tags_of",
        """
        def tags_of(n, slots):
            tags = ["O"] * n
            for name, first, end in slots:
                for i in range(first, min(n, end + 1)):
                    tags[i] = f"B-{name}" if i == first else f"I-{name}"
            return tags
        """,
        "behind the last word",
    ),
    (
        "tags_of",
        """
        def tags_of(n, slots):
            tags = ["O"] * n
            for name, first, end in slots:
                for i in range(first, end):
                    tags[i] = f"I-{name}"
            return tags
        """,
        "The first word of a slot has B-",
    ),
    (
        "tags_of",
        """
        def tags_of(n, slots):
            tags = ["O"] * n
            for name, first, end in slots:
                for i in range(first, end):
                    tags[i] = f"B-{name}"
            return tags
        """,
        "the others have I-",
    ),
    (
        "tags_of",
        """
        def tags_of(n, slots):
            tags = ["O"] * n
            for name, first, end in slots:
                for i in range(first, end):
                    new = i == first and (i == 0 or tags[i - 1] == "O")
                    tags[i] = ("B-" if new else "I-") + name
            return tags
        """,
        "whatever stands before it",
    ),
    (
        "tags_of",
        """
        def tags_of(n, slots):
            where = {i: ("BI"[i > s], name) for name, s, e in slots for i in range(s, e)}
            return ["-".join(where[i]) if i in where else "O" for i in range(n)]
        """,
        "Right",
    ),
]
