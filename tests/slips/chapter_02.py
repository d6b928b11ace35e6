"""Usual slips in the exercises of chapter 02: the exercise, an answer, words of the message."""

SLIPS = [
    ("2.1", "'s tar s'", "st and tar tie"),
    ("2.1", "'st ar s'", "fifth merge"),
    ("2.1", "'s t ar s'", "do five"),
    ("2.1", "'star'", "is none of"),
    ("2.2", "20**1.3", "model A"),
    ("2.2", "30", "a word has 1.1"),
    ("2.2", "30 * 1.1", "an exponent"),
    ("2.2", "math.exp(1.1 * math.log(30))", "Right"),
    ("2.3", "3", "tides has an id"),
    ("2.3", "30524", "new size"),
    ("2.4", "0.03", "one segmentation"),
    ("2.4", "0.033675", "sum over all segmentations"),
    ("2.4", "0.15", "the piece itself"),
    ("2.4", "Fraction(30000, 33675)", "Right"),
    (
        "fewest_pieces",
        """
        def fewest_pieces(word, vocabulary):
            number = 0
            while word:
                ends = [i for i in range(1, len(word) + 1) if word[:i] in vocabulary]
                word, number = word[max(ends) :], number + 1
            return number
        """,
        "the greedy choice",
    ),
    (
        "fewest_pieces",
        """
        def fewest_pieces(word, vocabulary):
            return len(word)
        """,
        "those are the letters",
    ),
    (
        "fewest_pieces",
        """
        def fewest_pieces(word, vocabulary):
            fewest = [0]
            for j in range(1, len(word) + 1):
                fewest.append(min(fewest[i] + 1 for i in range(j) if word[i:j] in vocabulary))
            return fewest[-1]
        """,
        "Right",
    ),
]
