"""Relations between the gold entities of CoNLL-2003, labelled for this book.

The labels are the book's and stand in `notebooks/data/21-relations/`, with the guideline and the
data card; the sentences are Reuters' and come from the asset. They are joined here: a sentence is
known by its split and number, and a digest of its words says whether it is the one that was
labelled.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value

from helpers.data import corpora

__all__ = ["LABELS", "NONE", "SYMMETRIC", "conll_relations", "digest", "entities"]

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
    read = {name: _lines(Path(folder, name)) for name in ("candidates.jsonl", labels)}
    relations = {row["id"]: row["relations"] for row in read[labels]}
    corpus = corpora.conll2003()
    rows: dict[str, list[dict]] = {split: [] for split in corpus}
    for row in read["candidates.jsonl"]:
        tokens = corpus[row["split"]][row["sentence"]]["tokens"]
        if digest(tokens) != row["sha256"]:
            raise ValueError(
                f"Sentence {row['id']} has the digest {digest(tokens)}; the one that was labelled "
                f"has {row['sha256']}. Fetch the asset conll2003 again."
            )
        rows[row["split"]] += _pairs(row, tokens, relations[row["id"]])
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


def _lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]
