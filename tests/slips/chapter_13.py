"""Usual slips in the exercises of chapter 13: the exercise, an answer, words of the message."""

from helpers.data.tagging import entities  # noqa: F401  an answer below uses it

RIGHT = "a wrong entity becomes right"
WRONG = "a right entity becomes wrong"
FEWER = "fewer tags are right"
SLIPS = [
    ("13.1", "4 / 6", "Four tags of six are right"),
    ("13.1", "0.33", "3 decimals"),
    ("13.1", "Fraction(1, 3)", "Right"),
    ("13.2", f"[{RIGHT!r}, {FEWER!r}]", "Can that be lost"),
    ("13.2", f"[{RIGHT!r}, {WRONG!r}]", "And what of single tags"),
    ("13.2", f"[{RIGHT!r}, 'a valid sequence changes']", "the best of all sequences"),
    ("13.2", f"[{FEWER!r}, {WRONG!r}, {RIGHT!r}]", "Right"),
    ("13.3", "67 / 507", "The padding counts as well"),
    ("13.3", "261 / 768", "That is the padding alone"),
    ("13.3", "torch.tensor(328 / 768)", "Right"),
    ("13.4", "9**3", "all sequences, valid or not"),
    ("13.4", "309", "can't stand at the first word"),
    ("13.4", "169.0", "Right"),
    (
        "to_iob2",
        """
        def to_iob2(tags):
            # Every I- of a type becomes B-.
            return ["B" + tag[1:] if tag != "O" else tag for tag in tags]
        """,
        "Only the first word",
    ),
    (
        "to_iob2",
        """
        def to_iob2(tags):
            pairs = zip(["O", *tags], tags)
            return ["B" + t[1:] if before == "O" and t != "O" else t for before, t in pairs]
        """,
        "of another type than the tag before",
    ),
    (
        "to_iob2",
        """
        def to_iob2(tags):
            converted, before = [], "O"
            for tag in tags:
                mark = "I" if before[2:] == tag[2:] else "B"  # a B- of the same type is lost
                converted.append(tag if tag == "O" else mark + tag[1:])
                before = tag
            return converted
        """,
        "keep it",
    ),
    (
        "to_iob2",
        """
        def to_iob2(tags):
            converted = tags[:1]  # the first one stays as it is
            for before, tag in zip(tags, tags[1:]):
                begins = tag != "O" and before[2:] != tag[2:]
                converted.append("B" + tag[1:] if begins else tag)
            return converted
        """,
        "Nothing stands before the first word",
    ),
    (
        "to_iob2",
        """
        def to_iob2(tags):
            converted = ["O"] * len(tags)
            for kind, first, end in entities(tags):
                converted[first:end] = [f"B-{kind}"] + [f"I-{kind}"] * (end - first - 1)
            return converted
        """,
        "Right",
    ),
]
