"""What the labellings of chapter 21 share: sentences to draw from, files of rows, steps.

Each has a folder of its own with `candidates.jsonl`, the labels of each annotator
(`labels-NAME.jsonl`), what an adjudicator decided (`adjudication.jsonl`), the final labels
(`labels.jsonl`) and how well the annotators agree (`agreement.json`).
"""

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.common import Row, as_text, to_json
from helpers.data import corpora, disk, relations


@dataclass(frozen=True)
class Files:
    """The files of a labelling, in their folder."""

    folder: Path

    def read(self, name: str) -> list[Row]:
        return relations.read_rows(self.folder / name)

    def write(self, name: str, rows: Iterable[Row]) -> None:
        disk.write_file(self.folder / name, "".join(to_json(row) + "\n" for row in rows))

    def write_decided(self, decisions: Iterable[Row], final: Iterable[Row]) -> None:
        self.write("adjudication.jsonl", decisions)
        self.write("labels.jsonl", final)

    def write_agreement(self, agreement: Row) -> None:
        disk.write_file(self.folder / "agreement.json", as_text(agreement) + "\n")


def pool(splits: Iterable[str]) -> list[Row]:
    """The sentences of CoNLL-2003 that are prose and hold two entities, with these."""
    corpus = corpora.conll2003()
    rows = [
        {"split": split, "sentence": i, "document": row["document"], "tokens": row["tokens"]}
        | {"entities": relations.entities(row["ner_tags"])}
        for split in splits
        for i, row in enumerate(corpus[split])
    ]
    return [row for row in rows if len(row["entities"]) >= 2 and is_prose(row["tokens"])]


def is_prose(tokens: Sequence[str]) -> bool:
    """Neither a table of results nor a headline in capitals: eight words, two fifths lower-case."""
    lower = sum(word.islower() for word in tokens)
    return len(tokens) >= 8 and lower >= 0.4 * len(tokens) and tokens[-1] in {".", '"', "?", "!"}


def marked(row: Row, tokens: Sequence[str]) -> str:
    """A sentence with its entities in brackets, and its pairs behind it."""
    words = list(tokens)
    for number, (start, end, kind) in enumerate(row["entities"]):
        words[start] = f"[{number}{kind} {words[start]}"
        words[end - 1] += "]"
    pairs = " ".join(f"{i}-{j}" for i, j in row["pairs"])
    return f"{row['id']} | {' '.join(words)} | {pairs}"


def alike(a: set, b: set) -> Row:
    """How many marks each annotator made, how many are the same, and the F1 of B against A."""
    both = len(a & b)
    f1 = round(2 * both / max(1, len(a) + len(b)), 3)
    return {"a": len(a), "b": len(b), "both": both, "F1": f1}


def lines_of(files: Sequence[str]) -> list[str]:
    return [line for file in files for line in Path(file).read_text("utf-8").splitlines() if line]


def command(about: str) -> tuple[argparse.ArgumentParser, str, list[str]]:
    """The parser of a script with this docstring, the step that it was asked for, and its words."""
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("step")
    parser.add_argument("words", nargs="*")
    arguments = parser.parse_args()
    return parser, arguments.step, arguments.words
