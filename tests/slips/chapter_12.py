"""Usual slips in the exercises of chapter 12: the exercise, an answer, words of the message."""

from scipy.stats import spearmanr  # noqa: F401  the chapter's check uses it

RANKED = """
        def my_spearman(a, b):
            def ranks(values):
                return RANKS

            return np.corrcoef(ranks(a), ranks(b))[0, 1]
        """


def by(ranks):
    return RANKED.replace("RANKS", ranks)


SLIPS = [
    ("12.1", "(3.1 - 1.406) / math.sqrt((3.1 - 1.406) ** 2 + 15)", "counts half"),
    ("12.1", "4.4 / math.sqrt(4.4**2 + 15)", "has a not before it"),
    ("12.1", "0.991 / math.sqrt(0.991**2 + 15)", "great comes before but"),
    ("12.1", "0.144 / math.sqrt(0.144**2 + 15)", "good comes after but"),
    ("12.1", "-0.559", "That is the sum s"),
    ("12.1", "0.714", "The part after but counts more"),
    ("12.1", "0.143", "each step"),
    ("12.1", "-0.559 / math.sqrt(0.559**2 + 15)", "Right"),
    ("12.2", "['loss']", "what compares them with accuracy"),
    ("12.2", "['ECE']", "the size of m too"),
    ("12.2", "['accuracy', 'loss', 'ECE']", "has the sign of m"),
    ("12.2", "['loss', 'ECE', 'order of the sentences by p(positive)']", "p grows with m"),
    (
        "12.2",
        "['accuracy', 'loss', 'ECE', 'order of the sentences by p(positive)']",
        "and p grows with it",
    ),
    ("12.2", "'accuracy'", "what it depends on"),
    ("12.3", "189 / 500", "one less"),
    ("12.3", "186 / 500", "counts as an update"),
    ("12.3", "185 / 500", "counts as an update"),
    ("12.3", "187.5 / 500", "a whole number"),
    ("12.3", "62 / 500", "the run has three"),
    ("12.3", "1", "fewer updates than the warm-up"),
    ("12.3", "0", "get_last_lr()"),
    ("my_spearman", by("np.argsort(np.argsort(values, kind='stable'))"), "different ranks"),
    ("my_spearman", by("values"), "Pearson's correlation of the values"),
    ("my_spearman", by("np.argsort(values, kind='stable')"), "not the rank of each"),
    ("my_spearman", by("[(values < v).sum() for v in values]"), "lowest rank"),
    ("my_spearman", by("[(values <= v).sum() for v in values]"), "highest rank"),
    ("my_spearman", by("np.unique(values, return_inverse=True)[1]"), "goes on where"),
    (
        "my_spearman",
        """
        def my_spearman(a, b):
            return spearmanr(a, b).statistic
        """,
        "do without spearmanr",
    ),
    (
        "my_spearman",
        by("[((values < v).sum() + (values <= v).sum() + 1) / 2 for v in values]"),
        "Right",
    ),
]
