"""Usual slips in the exercises of chapter 11: the exercise, an answer, words of the message."""

from torch import nn  # noqa: F401  an answer below uses it

SLIPS = [
    ("11.1", "(1.0, 2.0)", "a number is asked for"),
    ("11.1", "4 * (math.log(1001 / 10) + 1)", "as 1 + log tf"),
    ("11.1", "(1 + math.log10(4)) * (math.log10(1001 / 10) + 1)", "natural ones"),
    ("11.1", "(1 + math.log2(4)) * (math.log2(1001 / 10) + 1)", "natural ones"),
    ("11.1", "(1 + math.log(4)) * (math.log(1000 / 9) + 1)", "added to N and to df"),
    ("11.1", "(1 + math.log(4)) * math.log(1001 / 10)", "of the second factor"),
    ("11.1", "math.log(4) * (math.log(1001 / 10) + 1)", "of the count too"),
    ("11.1", "7", "one by one"),
    ("11.1", "(1 + np.log(4)) * (np.log(1001 / 10) + 1)", "Right"),
    ("11.2", "12", "not of hundreds"),
    ("11.2", "1100", "the textbook's interval"),
    ("11.2", "200", "that has one too"),
    ("11.2", "1300", "Go up in hundreds"),
    ("11.4", "1", "Without return_overflowing_tokens=True"),
    ("11.4", "11.0", "Without stride the windows share nothing"),
    ("11.4", "4", "the number of columns"),
    ("11.4", "10", "Count the rows"),
    ("11.5", "'normal for 20 classes'", "probability 1/20"),
    ("11.5", "'learning rate too high'", "How many updates"),
    (
        "smoothed_loss",
        """
        def smoothed_loss(logits, labels, epsilon):
            # The smoothing is left out.
            return -F.log_softmax(logits, -1)[torch.arange(len(labels)), labels].mean()
        """,
        "Epsilon changes nothing",
    ),
    (
        "smoothed_loss",
        """
        def smoothed_loss(logits, labels, epsilon):
            log_p, C = logits.log_softmax(-1), logits.shape[1]
            right = log_p[torch.arange(len(labels)), labels]
            others = log_p.sum(-1) - right
            return -((1 - epsilon) * right + epsilon / (C - 1) * others).mean()
        """,
        "the label's too",
    ),
    (
        "smoothed_loss",
        """
        def smoothed_loss(logits, labels, epsilon):
            log_p = logits.log_softmax(-1)
            right = log_p[torch.arange(len(labels)), labels]
            return -((1 - epsilon) * right + epsilon * log_p.mean(-1)).sum()
        """,
        "the mean is asked for",
    ),
    (
        "smoothed_loss",
        """
        def smoothed_loss(logits, labels, epsilon):
            log_p = logits.log_softmax(-1)
            right = log_p[torch.arange(len(labels)), labels]
            return -((1 - epsilon) * right + epsilon * log_p.sum(-1)).mean()
        """,
        "not epsilon",
    ),
    (
        "smoothed_loss",
        """
        def smoothed_loss(logits, labels, epsilon):
            log_p = logits.log_softmax(-1)
            right = log_p[torch.arange(len(labels)), labels]
            return ((1 - epsilon) * right + epsilon * log_p.mean(-1)).mean()
        """,
        "Look at the sign",
    ),
    (
        "smoothed_loss",
        """
        def smoothed_loss(logits, labels, epsilon):
            right = logits[torch.arange(len(labels)), labels]
            return -((1 - epsilon) * right + epsilon * logits.mean(-1)).mean()
        """,
        "needs log-probabilities",
    ),
    (
        "smoothed_loss",
        """
        def smoothed_loss(logits, labels, epsilon):
            targets = F.one_hot(labels, logits.shape[1]) * (1 - epsilon)
            targets = targets + epsilon / logits.shape[1]
            return -(logits.softmax(-1) * targets).sum(-1).log().mean()
        """,
        "before the weighing",
    ),
    (
        "smoothed_loss",
        """
        def smoothed_loss(logits, labels, epsilon):
            return F.cross_entropy(logits, labels, label_smoothing=epsilon)
        """,
        "do without cross_entropy",
    ),
    (
        "smoothed_loss",
        """
        def smoothed_loss(logits, labels, epsilon):
            return nn.CrossEntropyLoss(label_smoothing=epsilon)(logits, labels)
        """,
        "do without CrossEntropyLoss",
    ),
    (
        "smoothed_loss",
        """
        def smoothed_loss(logits, labels, epsilon):
            log_p = logits.log_softmax(-1)
            return (1 - epsilon) * F.nll_loss(log_p, labels) - epsilon * log_p.mean()
        """,
        "do without nll_loss",
    ),
    (
        "smoothed_loss",
        """
        def smoothed_loss(logits, labels, epsilon):
            targets = F.one_hot(labels, logits.shape[1]) * (1 - epsilon)
            targets = targets + epsilon / logits.shape[1]
            return -(logits.log_softmax(-1) * targets).sum(-1).mean()
        """,
        "Right",
    ),
]
