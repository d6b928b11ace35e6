"""Usual slips in the exercises of chapter 06: the exercise, an answer, words of the message."""

SLIPS = [
    ("06.1", "124_645_632 - 768**2 - 768", "pooler"),
    ("06.1", "124_645_632 + 768", "one segment"),
    ("06.1", "124_645_632 - 2 * 768", "norm behind the tables"),
    (
        "max_pool",
        """
        def max_pool(hidden, mask):
            return (hidden * mask[..., None]).amax(1)
        """,
        "zero at the padding",
    ),
    (
        "max_pool",
        """
        def max_pool(hidden, mask):
            return hidden.max(dim=1).values
        """,
        "mask isn't used",
    ),
    (
        "max_pool",
        """
        def max_pool(hidden, mask):
            return (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        """,
        "the mean",
    ),
    (
        "max_pool",
        """
        def max_pool(hidden, mask):
            return torch.where(mask[..., None].bool(), hidden, -torch.inf).amax(1)
        """,
        "Right",
    ),
    ("06.3", "['eps']", "one more"),
    ("06.3", "['tanh', 'heads', 'eps']", "Loading without complaint"),
    ("06.3", "['relu', 'heads']", "that fail"),
    ("06.3", "['tanh', 'eps']", "Right"),
    ("06.4", "4", "quadratic part alone"),
    ("06.4", "2.0", "leaves the quadratic part out"),
    ("06.4", "4864 / 10240", "divide the larger"),
]
