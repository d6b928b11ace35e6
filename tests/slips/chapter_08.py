"""Usual slips in the exercises of chapter 08: the exercise, an answer, words of the message."""

SLIPS = [
    ("08.1", "1", "not over all twelve"),
    ("08.1", "12", "the sum"),
    ("08.1", "3 * math.log(2)", "Those are nats; bits"),
    ("08.1", "math.log(2)", "Those are nats, and"),
    ("08.1", "torch.tensor([1.0, 2, 4, 5]).mean()", "Right"),
    ("08.2", "0.15 * 0.8 * 128", "never chosen"),
    ("08.2", "0.15 * 0.8 * 127", "Two pieces are special"),
    ("08.2", "0.15 * 126", "not all of them are shown"),
    ("08.2", "0.15 * 128", "never chosen, and not all"),
    ("08.2", "15.1", "2 decimals"),
    ("08.2", "Decimal('15.12')", "Right"),
    ("08.3", "'30 %'", "more to go by"),
    ("08.3", "'they are equal'", "not what they see"),
    ("08.5", "0.121 / 0.188", "the other way round"),
    ("08.5", "0.188", "divide it by the other"),
    (
        "whole_words",
        """
        def whole_words(pieces, chosen):
            return [i in chosen for i in range(len(pieces))]
        """,
        "numbers of words",
    ),
    (
        "whole_words",
        """
        def whole_words(pieces, chosen):
            marks, word = [], -1
            for piece in pieces:
                word += not piece.startswith("##")
                marks.append(word in chosen and not piece.startswith("##"))
            return marks
        """,
        "are left out",
    ),
    (
        "whole_words",
        """
        def whole_words(pieces, chosen):
            words = np.cumsum([not piece.startswith("##") for piece in pieces]) - 1
            return [bool(word in chosen) for word in words]
        """,
        "Right",
    ),
]
