"""Usual slips in the exercises of chapter 16: the exercise, an answer, words of the message."""

WEIGHTS, MOMENTS, GRADIENT = "weights", "moments of AdamW", "gradient"
INPUTS = "inputs that linear layers keep"
SLIPS = [
    ("16.1", "16 * 110", "What is written back"),
    ("16.1", "12 * 110", "What is read before"),
    ("16.1", "8 * 110", "keeps, not what it moves"),
    ("16.1", "7 * 110", "How many bytes has one"),
    ("16.1", "28 * 110.0", "Right"),
    ("16.2", "(2.0 + 1.0) / 2", "mean of the means"),
    ("16.2", "1.75", "wrong way round"),
    ("16.2", "3.0", "sum of the means"),
    ("16.2", "(10 * 2.0 + 30 * 1.0) / 40", "Right"),
    ("16.3", f"[{WEIGHTS!r}, {MOMENTS!r}, {GRADIENT!r}, {INPUTS!r}]", "what must stay fp32"),
    ("16.3", f"[{WEIGHTS!r}, {INPUTS!r}]", "the weights themselves stay"),
    ("16.3", f"[{GRADIENT!r}, {INPUTS!r}]", "the format of its weight"),
    ("16.3", f"{{{INPUTS!r}}}", "Right"),
    ("16.5", "334.1", "without the pooling layer"),
    ("16.5", "302.3", "embeddings are weights too"),
    ("16.5", "109.5", "That is BERT-base"),
    ("16.5", "335.141888", "Right"),
    ("16.6", "3 / 12", "m + p - 1 steps, not m"),
    ("16.6", "12 / 15", "in which it works"),
    ("16.6", "3 / 16", "counted one more"),
    ("16.6", "1 / 5", "Right"),
    ("16.7", "16 * 7", "That is DDP"),
    ("16.7", "8 * 7 / 8", "FSDP holds both"),
    ("16.7", "8 * 7 + 8 * 7 / 8", "That is stage 1"),
    ("16.7", "4 * 7 + 12 * 7 / 8", "the weights are divided too"),
    ("16.7", "16 * 7e9 / 8 / 1e9", "Right"),
    (
        "noise_from",
        """
        def noise_from(small, large, b, B):
            return (small - large) / (1 / b - 1 / B) / large
        """,
        "what is left of it",
    ),
    (
        "noise_from",
        """
        def noise_from(small, large, b, B):
            signal = (B * large - b * small) / (B - b)
            return signal / ((small - large) / (1 / b - 1 / B))
        """,
        "not the reverse",
    ),
    (
        "noise_from",
        """
        def noise_from(small, large, b, B):
            return (small - large) / ((B * large - b * small) / (B - b))
        """,
        "noise times 1/b - 1/B",
    ),
    (
        "noise_from",
        """
        def noise_from(small, large, b, B):
            noise = (small - large) * b * B / (B - b)
            return noise / (small - noise / b)
        """,
        "Right",
    ),
]
