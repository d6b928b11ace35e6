"""Usual slips in the exercises of chapter 01: the exercise, an answer, words of the message."""

SLIPS = [
    ("01.1", "13 / 6", "the mean in bits"),
    ("01.1", "13 / 6 * math.log(2)", "cross-entropy in nats"),
    ("01.1", "math.exp(13 / 6)", "to base 2"),
    ("01.1", "2**13", "not their sum"),
    ("01.1", "1 / np.mean([1 / 2, 1 / 4, 1 / 8, 1 / 2, 1 / 4, 1 / 16])", "geometric"),
    ("01.1", "4.5", "3 decimals"),
    ("01.1", "math.prod([2, 4, 8, 2, 4, 16]) ** Fraction(1, 6)", "Right"),
    ("01.2", "'the first'", "bits per byte"),
    ("01.2", "'can\\'t be said'", "what both share"),
    ("01.3", "torch.tensor([2.0, 1.0, 0.0]).softmax(0)[1]", "that is the probability"),
    ("01.3", "1 - torch.tensor([2.0, 1.0, 0.0]).softmax(0)[1]", "the sign"),
    ("01.3", "F.cross_entropy(torch.tensor([2.0, 1.0, 0.0]), torch.tensor(1))", "loss itself"),
    ("01.3", "torch.tensor([2.0, 1.0, 0.0]).softmax(0)[0] - 1", "second logit"),
    ("01.3", "torch.tensor([2.0, 1.0, 0.0]).softmax(0)[1] - 1", "Right"),
    ("01.4", "3.2661", "take its exponential"),
    ("01.4", "2**3.2661", "take e and not 2"),
    ("01.4", "28.24", "puts around the sentence"),
    ("01.4", "10369.9", "shifts the labels"),
    ("01.4", "math.exp(3.26613)", "Right"),
    ("01.5", "43", "still above"),
    ("01.5", "45", "one step fewer"),
    ("01.5", "22", "not for its square"),
    (
        "clip",
        """
        def clip(gradients, limit):
            return [g * min(1.0, limit / max(g.norm().item(), 1e-12)) for g in gradients]
        """,
        "its own norm",
    ),
    (
        "clip",
        """
        def clip(gradients, limit):
            return [g.clamp(-limit, limit) for g in gradients]
        """,
        "clipping by value",
    ),
    (
        "clip",
        """
        def clip(gradients, limit):
            norm = math.sqrt(sum(g.square().sum().item() for g in gradients))
            return [limit / norm * g for g in gradients]
        """,
        "below the limit",
    ),
    (
        "clip",
        """
        def clip(gradients, limit):
            total = sum(g.norm().item() for g in gradients)
            return [min(1.0, limit / total) * g for g in gradients]
        """,
        "root of the sum of squares",
    ),
    (
        "clip",
        """
        def clip(gradients, limit):
            nn.utils.clip_grad_norm_(gradients, limit)
        """,
        "without clip_grad_norm_",
    ),
    (
        "clip",
        """
        def clip(gradients, limit):
            norm = torch.cat([g.flatten() for g in gradients]).norm()
            return [g * (limit / norm).clamp(max=1) for g in gradients]
        """,
        "Right",
    ),
]
