"""Usual slips in the exercises of chapter 00: the exercise, an answer, words of the message."""

SLIPS = [
    ("00.1", "10", "[CLS] and [SEP]"),
    ("00.1", "4", "cut into several pieces"),
    ("00.1", "11", "Words are not pieces"),
    ("00.2", "1 - 0.8581", "of negative"),
    ("00.2", "1.2 / (1.2 + 0.6)", "no share itself"),
    ("00.2", "math.exp(1.2) / (1 + math.exp(1.2))", "−0.6 and not 0"),
    ("00.2", "math.exp(1.2)", "divide by the sum"),
    ("00.2", "0.86", "3 decimals"),
    ("00.2", "Fraction(8581, 10000)", "Right"),
    ("00.3", "0.9654", "the upper end"),
    ("00.3", "0.7347", 'method="wilson"'),
    ("00.3", "0.9", "the share that was right"),
    ("00.3", "0.7926", "textbook's formula"),
    ("00.3", "0.74", "3 decimals"),
    ("00.3", "22.3", "not a count"),
]
