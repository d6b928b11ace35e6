"""Usual slips in the exercises of chapter 04: the exercise, an answer, words of the message."""

SLIPS = [
    ("04.1", "4 * 768**2", "biases"),
    ("04.1", "3 * (768**2 + 768)", "output projection"),
    ("04.1", "12 * 4 * (768**2 + 768)", "number doesn't matter"),
    (
        "contributions",
        """
        def contributions(heads, w_o):
            return heads @ w_o.T.unflatten(0, (heads.size(1), -1))
        """,
        "blocks of columns",
    ),
    (
        "contributions",
        """
        def contributions(heads, w_o):
            return heads @ w_o.unflatten(0, (-1, heads.size(1))).transpose(0, 1)
        """,
        "neighbouring rows",
    ),
    (
        "contributions",
        """
        def contributions(heads, w_o):
            d_k = heads.size(-1)
            parts = [heads[:, i] @ w_o[i * d_k : (i + 1) * d_k] for i in range(heads.size(1))]
            return torch.stack(parts, dim=1)
        """,
        "Right",
    ),
    ("04.3", "'an error'", "dtype"),
    ("04.3", "'the mask is ignored'", "may look"),
    ("04.4", "0.25", "keep their size"),
    ("04.4", "0.8125", "Both"),
    ("04.4", "Fraction(5, 8)", "Right"),
]
