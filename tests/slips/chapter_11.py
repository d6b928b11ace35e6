"""Usual slips in the exercises of chapter 11: the exercise, an answer, words of the message."""

from torch import nn  # noqa: F401  an answer below uses it

SLIPS = [
    ("11.1", "(1.0, 2.0)", "a number is asked for"),
    ("11.6", "1", "Without return_overflowing_tokens=True"),
    ("11.6", "11.0", "without stride the windows share nothing"),
    (
        "smoothed_loss",
        """
        def smoothed_loss(logits, labels, epsilon):
            # The smoothing is left out.
            return -F.log_softmax(logits, -1)[torch.arange(len(labels)), labels].mean()
        """,
        "in case 2 of 3",
    ),
    (
        "smoothed_loss",
        """
        def smoothed_loss(logits, labels, epsilon):
            log_p = logits.log_softmax(-1)
            right = log_p[torch.arange(len(labels)), labels]
            return -((1 - epsilon) * right + epsilon * log_p.mean(-1)).mean()
        """,
        "Right",
    ),
]
