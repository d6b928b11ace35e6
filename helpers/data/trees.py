"""Dependency trees: sentences of Universal Dependencies, and the format they come in, CoNLL-U."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from datasets import Dataset, DatasetDict

from helpers.data import assets

__all__ = ["petrogold", "read_conllu"]

# Of nineteen documents, by the number that their name begins with.
VALIDATION = ("202", "243")
TEST = ("25", "240", "241", "247", "279", "391")


def read_conllu(lines: Iterable[str], name: str = "the file") -> Iterator[dict]:
    """The trees of a CoNLL-U file, a sentence at a time.

    A word is what has a head: "na" is the two words "em" and "a". Lines of tokens that hold
    several words (`9-10`) and of words left out (`8.1`) are skipped.

    Args:
        lines: the file's lines; an empty one ends a sentence.
        name: what an error calls the file.

    Yields:
        `id` (str, the comment sent_id), `words` (list of str), `upos` (list of str), `heads` (list
        of int, 0 is the root and 1 the first word) and `relations` (list of str).

    Raises:
        ValueError: a line has no ten columns, or a sentence's heads are no tree with one root;
            the message names the place.
    """
    sentence: dict = {"id": "", "words": [], "upos": [], "heads": [], "relations": []}
    for number, ending in enumerate([*lines, ""], start=1):
        line = ending.rstrip("\n")
        if line.startswith("# sent_id = "):
            sentence["id"] = line.removeprefix("# sent_id = ")
        elif line and not line.startswith("#"):
            columns = line.split("\t")
            if len(columns) != 10:
                raise ValueError(
                    f"Line {number} of {name} has {len(columns)} columns; CoNLL-U has ten, divided "
                    "by tabs."
                )
            if columns[0].isdigit():
                sentence["words"].append(columns[1])
                sentence["upos"].append(columns[3])
                sentence["heads"].append(int(columns[6]))
                sentence["relations"].append(columns[7])
        elif not line and sentence["words"]:
            if not _is_tree(sentence["heads"]):
                raise ValueError(
                    f"The sentence {sentence['id']!r} that ends at line {number} of {name} has the "
                    f"heads {sentence['heads']}: no tree with one root."
                )
            yield sentence
            sentence = {"id": "", "words": [], "upos": [], "heads": [], "relations": []}


def _is_tree(heads: list[int]) -> bool:
    """Whether one word hangs from the root, 0, and each word from it by some way."""
    if heads.count(0) != 1 or max(heads) > len(heads):
        return False
    for word in range(1, len(heads) + 1):
        node, steps = word, 0
        while node and steps <= len(heads):
            node, steps = heads[node - 1], steps + 1
        if node:
            return False
    return True


def petrogold() -> DatasetDict:
    """9,127 Portuguese sentences of theses about oil and geology, with their dependency trees.

    Six of nineteen documents are the test set and two the validation set, so that no document is
    in two splits. The relations are universal ones: subtypes (`obl:arg`) are cut off, as the
    evaluation script of the CoNLL shared task of 2018 does.

    Hub twin: "universal_dependencies", configuration "pt_petrogold", whose splits are others.
    Licence: CC BY-SA 4.0. de Souza, Silveira, Cavalcanti, Castro and Freitas (2021), PetroGold:
    Corpus padrão ouro para o domínio do petróleo, STIL.

    Returns:
        Columns `document` (str) and those of `read_conllu`.

    Raises:
        AssetError: the file is not cached whole and cannot be fetched.
    """
    file = Path(assets.path("petrogold"), "annotated.conllu")
    parts: dict[str, list[dict]] = {"train": [], "validation": [], "test": []}
    with file.open(encoding="utf-8") as lines:
        for row in read_conllu(lines, file.name):
            row["relations"] = [relation.partition(":")[0] for relation in row["relations"]]
            document = re.match(r"(\d+)-", row["id"])[1]
            part = {**dict.fromkeys(TEST, "test"), **dict.fromkeys(VALIDATION, "validation")}
            parts[part.get(document, "train")].append({"document": document, **row})
    return DatasetDict({name: Dataset.from_list(rows) for name, rows in parts.items()})
