"""Relations between the gold entities of CoNLL-2003, labelled for this book.

The labels are the book's and stand in `notebooks/data/21-relations/`, with the guideline and the
data card; the sentences are Reuters' and come from the asset. They are joined here: a sentence is
known by its split and number, and a digest of its words says whether it is the one that was
labelled.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value

from helpers.data import corpora

__all__ = [
    "LABELS",
    "NONE",
    "SPLITS",
    "SYMMETRIC",
    "conll_relations",
    "digest",
    "entities",
    "labelled",
    "read_rows",
]

SPLITS = ("train", "validation", "test")
NONE = "none"
# The types that CoNLL-2003 may give to the head and to the tail of each relation.
ANY = ("PER", "ORG", "LOC", "MISC")
LABELS = {
    "works_for": (("PER",), ("ORG", "LOC", "MISC")),
    "comes_from": (("PER",), ("LOC", "MISC")),
    "based_in": (("ORG",), ("LOC", "MISC")),
    "located_in": (("LOC", "MISC"), ("LOC", "MISC")),
    "owns": (ANY, ("ORG", "MISC")),
    "beat": (ANY, ANY),
    "opponent": (ANY, ANY),
    "visits": (("PER",), ("LOC",)),
    "alias": (ANY, ANY),
}
SYMMETRIC = ("opponent", "alias")  # their head is the entity that stands first


def digest(tokens: Sequence[str]) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of a sentence's words."""
    return hashlib.sha256(" ".join(tokens).encode()).hexdigest()[:16]


def entities(tags: Sequence[int]) -> list[tuple[int, int, str]]:
    """The entities of IOB2 tags, numbered as in `corpora.NER_TAGS`: first word, end, type."""
    found: list[tuple[int, int, str]] = []
    for place, tag in enumerate(corpora.NER_TAGS[number] for number in tags):
        if tag.startswith("B-"):
            found.append((place, place + 1, tag[2:]))
        elif tag.startswith("I-"):
            found[-1] = (found[-1][0], place + 1, found[-1][2])
    return found


def labelled(folder: str | Path, labels: str) -> Iterator[tuple[dict, list[str], dict]]:
    """Each sentence of a labelled set: its row of the candidates, its words, its row of the labels.

    Args:
        folder: with `candidates.jsonl` and the labels.
        labels: the name of their file.

    Raises:
        AssetError: the corpus is not cached whole and cannot be fetched.
        ValueError: a sentence of the corpus isn't the one that was labelled, or has no labels; the
            message names it.
    """
    said = {row["id"]: row for row in read_rows(Path(folder, labels))}
    corpus = corpora.conll2003()
    for row in read_rows(Path(folder, "candidates.jsonl")):
        tokens = corpus[row["split"]][row["sentence"]]["tokens"]
        if digest(tokens) != row["sha256"]:
            raise ValueError(
                f"Sentence {row['id']} has the digest {digest(tokens)}; the one that was labelled "
                f"has {row['sha256']}. Fetch the asset conll2003 again."
            )
        if row["id"] not in said:
            raise ValueError(
                f"{labels} has no row for the sentence {row['id']}: give each candidate one, an "
                "empty one too."
            )
        yield row, tokens, said[row["id"]]


def read_rows(file: Path) -> list[dict]:
    """The objects of a file of JSON lines."""
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def conll_relations(folder: str | Path, labels: str = "labels.jsonl") -> DatasetDict:
    """Pairs of entities in sentences of CoNLL-2003, with the relation that the sentence states.

    The splits are the corpus's own, as in `corpora.conll2003`. Each pair is a row; its first
    entity stands before its second one, and `reverse` says that the second one is the head.

    Licences: labels CC BY 4.0; text © Reuters, for research use.

    Args:
        folder: `notebooks/data/21-relations`, which a chapter calls "data/21-relations".
        labels: a file in it, such as one annotator's instead of the final ones.

    Returns:
        Columns `sentence` (int, the number of the sentence in its split), `document` (int),
        `tokens` (list of str), `first` and `second` (first word and end of each entity, list of
        two int), `first_type` and `second_type` (str), `label` (ClassLabel: none and the nine
        relations) and `reverse` (bool).

    Raises:
        AssetError: the corpus is not cached whole and cannot be fetched.
        ValueError: a sentence of the corpus isn't the one that was labelled, or a label isn't of
            the schema; the message names the sentence.
    """
    rows: dict[str, list[dict]] = {split: [] for split in SPLITS}
    for row, tokens, said in labelled(folder, labels):
        rows[row["split"]] += _pairs(row, tokens, said["relations"])
    columns = Features(
        sentence=Value("int32"),
        document=Value("int32"),
        tokens=List(Value("string")),
        first=List(Value("int32")),
        second=List(Value("int32")),
        first_type=Value("string"),
        second_type=Value("string"),
        label=ClassLabel(names=[NONE, *LABELS]),
        reverse=Value("bool"),
    )
    return DatasetDict({name: Dataset.from_list(rows[name], columns) for name in rows})


def _pairs(row: dict, tokens: list[str], relations: list) -> list[dict]:
    stated = {(min(a, b), max(a, b)): (label, a > b) for a, label, b in relations}
    if unknown := stated.keys() - set(map(tuple, row["pairs"])):
        raise ValueError(f"Sentence {row['id']} has labels for {unknown}; expected {row['pairs']}.")
    found = []
    for pair in row["pairs"]:
        label, reverse = stated.get(tuple(pair), (NONE, False))
        spans = [row["entities"][number] for number in pair]
        head, tail = (spans[reverse][2], spans[not reverse][2])
        if label != NONE and (head not in LABELS[label][0] or tail not in LABELS[label][1]):
            raise ValueError(f"Sentence {row['id']}: {head} {label} {tail} isn't of the schema.")
        found.append(
            {"sentence": row["sentence"], "document": row["document"], "tokens": tokens}
            | {"first": spans[0][:2], "second": spans[1][:2]}
            | {"first_type": spans[0][2], "second_type": spans[1][2]}
            | {"label": label, "reverse": reverse}
        )
    return found
