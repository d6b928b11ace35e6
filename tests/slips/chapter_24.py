"""Usual slips in the exercises of chapter 24: the exercise, an answer, words of the message."""

from transformers import AutoTokenizer

from helpers.data import assets

tokenizer = AutoTokenizer.from_pretrained(assets.path("minilm"))  # of the chapter, which is asked


def windows(line):
    """An answer to 24.4 whose last line is this one."""
    return f"""
        def count_windows(pieces, size, stride):
            room = size - 2
            if pieces <= room:
                return 1
            {line}
    """


SLIPS = [
    ("24.1", "22.68", "the embeddings stay fp32, four"),
    ("24.1", "90.7", "that is all in fp32"),
    ("24.1", "54.97", "the other way round"),
    ("24.1", "58.435 / 1.048576", "not 2**20"),
    ("24.2", "'by chance'", "on both sides"),
    ("24.2", "'by label'", "has never seen"),
    ("24.3", "0.416 / math.log(10)", "base 10"),
    ("24.3", "0.416 / math.log(2)", "base 2"),
    ("24.3", "0.8 * math.log(1.6) + 0.2 * math.log(0.4)", "not the new share"),
    ("24.3", "0.5 * math.log(0.625) + 0.5 * math.log(2.5)", "not the old share"),
    ("24.3", "0.141", "the second bin"),
    ("24.3", "0.275", "the first bin"),
    ("24.3", "-0.416", "sign"),
    ("count_windows", windows("return 1 + math.ceil((pieces - room) / (room - stride))"), "Right"),
    (
        "count_windows",
        windows("return 1 + math.ceil((pieces - room) / stride)"),
        "what two windows",
    ),
    ("count_windows", windows("return math.ceil(pieces / room)"), "windows overlap"),
    ("count_windows", windows("return 1 + (pieces - room) // (room - stride)"), "round up"),
    (
        "count_windows",
        """
        def count_windows(pieces, size, stride):
            return math.ceil(pieces / (size - 2 - stride))
        """,
        "the first window",
    ),
    (
        "count_windows",
        """
        def count_windows(pieces, size, stride):
            return 1 if pieces <= size else 1 + math.ceil((pieces - size) / (size - stride))
        """,
        "[CLS] and [SEP]",
    ),
    ("24.5", "17", "stride=32"),
    ("24.5", "1", "without truncation=True"),
    ("24.5", "2062", "the pieces of the article"),
    ("24.5", "128", "the pieces of a window"),
]
