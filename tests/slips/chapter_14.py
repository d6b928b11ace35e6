"""Usual slips in the exercises of chapter 14: the exercise, an answer, words of the message."""

import torch

# As the chapter's cell makes them: a merged weight, two tasks, alpha; and the other merged weight.
generator = torch.Generator().manual_seed(0)
cases, expected = [], []
for d_in, d_out, r1, r2, alpha in [(4, 4, 1, 1, 1.0), (6, 3, 2, 2, 16.0), (5, 8, 4, 1, 8.0)]:
    weight = torch.randn(d_out, d_in, generator=generator)
    pairs = [
        (torch.randn(r, d_in, generator=generator), torch.randn(d_out, r, generator=generator))
        for r in (r1, r2)
    ]
    merged = [weight + alpha / len(a) * b @ a for a, b in pairs]
    cases.append((merged[0], *pairs, alpha))
    expected.append(merged[1])

SLIPS = [
    ("14.1", "12 * 4 * 4 * 768", "Half of it is missing"),
    ("14.1", "12 * 12 * 4 * 4 * 2 * 768", "share its matrices"),
    ("14.1", "294_912.0", "Right"),
    ("14.2", "97.68e9 / 2**30", "10^9 bytes here"),
    ("14.2", "112 - 14", "need gradients and AdamW's state"),
    ("14.2", "Decimal('97.68')", "Right"),
    (
        "switch",
        """
        def switch(weight, old, new, alpha):
            (a1, b1), (a2, b2) = old, new
            return weight - b1 @ a1 + b2 @ a2  # without the scale
        """,
        "The scale is missing",
    ),
    (
        "switch",
        """
        def switch(weight, old, new, alpha):
            (a1, b1), (a2, b2) = old, new
            return weight + alpha * (b2 @ a2 - b1 @ a1)  # not divided by the rank
        """,
        "The scale is alpha over the rank",
    ),
    (
        "switch",
        """
        def switch(weight, old, new, alpha):
            (a1, b1), (a2, b2) = old, new
            return weight + alpha / len(a1) * (b2 @ a2 - b1 @ a1)
        """,
        "may have different ranks",
    ),
    (
        "switch",
        """
        def switch(weight, old, new, alpha):
            (a1, b1), (a2, b2) = old, new
            return weight + alpha / len(a2) * (b2 @ a2 - b1 @ a1)
        """,
        "may have different ranks",
    ),
    (
        "switch",
        """
        def switch(weight, old, new, alpha):
            a, b = new
            return weight + alpha / len(a) * b @ a
        """,
        "The old update is still in",
    ),
    (
        "switch",
        """
        def switch(weight, old, new, alpha):
            a, b = old
            return weight - alpha / len(a) * b @ a
        """,
        "The new update isn't in",
    ),
    (
        "switch",
        """
        def switch(weight, old, new, alpha):
            (a1, b1), (a2, b2) = old, new
            return weight + alpha / len(a1) * b1 @ a1 - alpha / len(a2) * b2 @ a2
        """,
        "Look at the signs",
    ),
    (
        "switch",
        """
        def switch(weight, old, new, alpha):
            (a1, b1), (a2, b2) = old, new
            return weight + (b2 @ a2 / len(a2) - b1 @ a1 / len(a1)) * alpha
        """,
        "Right",
    ),
    ("14.4", "'b'", "Would the other one do as well"),
    ("14.4", "'neither'", "When is the product of the two zero"),
    ("14.5", "84_480", "The head is trained too"),
    ("14.5", "338_690", "That is rank 8"),
    ("14.6", "0.5", "τ is asked for"),
    ("14.6", "math.log(16) / math.log(5)", "a ratio of 4"),
    ("14.6", "Fraction(2)", "Right"),
]
