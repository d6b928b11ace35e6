"""Usual slips in the exercises of chapter 05: the exercise, an answer, words of the message."""

import torch.nn.functional as F  # noqa: F401  an answer below uses it

SLIPS = [
    ("5.1", "math.sqrt(2)", "divides by d = 4"),
    ("5.1", "2 / 1.5", "root of the variance"),
    ("5.1", "3 / math.sqrt(1.5)", "Take the mean off"),
    ("5.1", "1.633", "Right"),
    (
        "my_rms_norm",
        """
        def my_rms_norm(x, weight, eps):
            return F.layer_norm(x, weight.shape, weight, None, eps)
        """,
        "that is layer norm",
    ),
    (
        "my_rms_norm",
        """
        def my_rms_norm(x, weight, eps):
            return x / (x.square().mean(-1, keepdim=True).sqrt() + eps) * weight
        """,
        "under the root",
    ),
    (
        "my_rms_norm",
        """
        def my_rms_norm(x, weight, eps):
            return F.rms_norm(x, weight.shape, weight, eps)
        """,
        "rms_norm",
    ),
    (
        "my_rms_norm",
        """
        def my_rms_norm(x, weight, eps):
            return weight * x / torch.sqrt((x**2).mean(dim=-1, keepdim=True) + eps)
        """,
        "Right",
    ),
    ("5.3", "'no, never'", "second block receive"),
    ("5.3", "'yes, with any number of blocks'", "In the first block"),
    ("5.4", "4 * (512**2 + 512) + 2 * 512 * 2048 + 2048 + 512 + 2 * 1024", "two attentions"),
    ("5.4", "8 * 512**2 + 2 * 512 * 2048 + 3 * 1024", "biases"),
    ("5.5", "2 * math.pi * 10", "i = 31"),
    ("5.5", "10_000 ** (62 / 64) / 1000", "2π"),
    ("5.5", "2 * math.pi * 10_000 ** (62 / 64)", "thousands"),
    ("5.6", "['GPT-2', 'Llama']", "pre-norm"),
    ("5.6", "['DistilBERT', 'BERT']", "Right"),
]
