"""Usual slips in the exercises of chapter 03: the exercise, an answer, words of the message."""

from helpers.models.attention import causal_mask  # noqa: F401  the check uses it

SLIPS = [
    ("03.1", "10 * torch.tensor([4.0, 0.0]).softmax(0)[0]", "not divided"),
    ("03.1", "10 * torch.tensor([1.0, 0.0]).softmax(0)[0]", "and not by d_k"),
    ("03.1", "torch.tensor([2.0, 0.0]).softmax(0)[0]", "that is the weight"),
    ("03.1", "5", "the two scores differ"),
    ("03.1", "8.8", "3 decimals"),
    ("03.1", "10 * torch.tensor([2.0, 0.0]).softmax(0)[0]", "Right"),
    ("03.2", "384 * 0.02**2", "one component"),
    ("03.2", "32 * 0.1536**2", "its variance by d_k"),
    ("03.2", "0.1536**2 / 32", "32 terms"),
    ("03.2", "(384 * 0.02**2) ** 2", "Right"),
    ("03.4", "'learning rate too high'", "single sentences"),
    ("03.4", "'no division by the root of d_k'", "single sentences"),
    ("03.4", "'padding on the right is masked'", "no padding on the right"),
    ("03.5", "6 * 12 * 6**2", "eight tokens"),
    ("03.5", "12 * 8**2", "one layer"),
    ("03.5", "6 * 8**2", "one head"),
    (
        "window_mask",
        """
        def window_mask(n, w):
            i, j = torch.arange(n)[:, None], torch.arange(n)
            return (j <= i) & (i - j <= w)
        """,
        "one token too wide",
    ),
    (
        "window_mask",
        """
        def window_mask(n, w):
            i, j = torch.arange(n)[:, None], torch.arange(n)
            return (i - j).abs() < w
        """,
        "looks ahead",
    ),
    (
        "window_mask",
        """
        def window_mask(n, w):
            i, j = torch.arange(n)[:, None], torch.arange(n)
            return (i <= j) & (j - i < w)
        """,
        "queries are rows",
    ),
    (
        "window_mask",
        """
        def window_mask(n, w):
            return torch.ones(n, n, dtype=torch.bool).tril().triu(1 - w)
        """,
        "Right",
    ),
    (
        "score_gradient",
        """
        def score_gradient(A, V, Z, Z_bar):
            return A * (Z_bar @ V.mT)
        """,
        "row sum r is missing",
    ),
    (
        "score_gradient",
        """
        def score_gradient(A, V, Z, Z_bar):
            return Z_bar @ V.mT - (Z * Z_bar).sum(-1, keepdim=True)
        """,
        "factor A",
    ),
    (
        "score_gradient",
        """
        def score_gradient(A, V, Z, Z_bar):
            A_bar = Z_bar @ V.mT
            return A * (A_bar - (A * A_bar).sum(-1, keepdim=True))
        """,
        "Right",
    ),
]
