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
    ("17.5", "1 / 61 + 1 / 110", "That is A's score"),
    ("17.5", "0.25", "Add 60 to each rank"),
    ("17.5", "2 / 68", "Right"),
]
