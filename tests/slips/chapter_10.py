"""Usual slips in the exercises of chapter 10: the exercise, an answer, words of the message."""

SLIPS = [
    ("10.1", "1.112", "Divide the cosines by the temperature first"),
    ("10.1", "1.099", "don't multiply"),
    ("10.1", "1.4076 / math.log(10)", "natural logarithm"),
    ("10.1", "0.408", "third body"),
    ("10.1", "0.245", "probability"),
    ("10.1", "1.4", "3 decimals"),
    ("10.1", "np.log(np.exp(-1) + np.exp(1) + 1)", "Right"),
    ("10.2", "math.log(2)", "infinitely far"),
    ("10.2", "4.16", "as far away as they can go"),
    ("10.2", "0.76", "Two bodies have the cosine 1"),
    ("10.2", "2.34", "lie 4 apart"),
    ("10.2", "torch.tensor(1.1428)", "Right"),
    ("10.5", '"it is an upper bound"', "direction of the inequality"),
    ("10.5", '"it says nothing"', "these are new"),
    ("10.5", '"it is the information"', "perfect player"),
    (
        "hard_negative_loss",
        """
        def hard_negative_loss(queries, keys, hard, tau):
            scores = queries @ torch.cat([keys, hard]).T / tau
            return F.cross_entropy(scores, torch.arange(len(queries)))
        """,
        "divide the vectors by their lengths",
    ),
    (
        "hard_negative_loss",
        """
        def hard_negative_loss(queries, keys, hard, tau):
            queries, keys, hard = (F.normalize(x, dim=-1) for x in (queries, keys, hard))
            own = (queries * hard).sum(-1, keepdim=True)
            scores = torch.cat([queries @ keys.T, own], 1) / tau
            return F.cross_entropy(scores, torch.arange(len(queries)))
        """,
        "hard negatives of all others",
    ),
    (
        "hard_negative_loss",
        """
        def hard_negative_loss(queries, keys, hard, tau):
            scores = F.cosine_similarity(queries[:, None], torch.cat([keys, hard])[None], dim=-1)
            return -torch.log_softmax(scores / tau, -1).diagonal().mean()
        """,
        "Right",
    ),
    ("nearest", "nearest = 3", "a function is asked for"),
]
