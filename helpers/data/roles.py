"""Semantic roles in sentences of CoNLL-2003, labelled for this book: who did what to whom.

As in `helpers.data.relations` the labels are the book's, in `notebooks/data/21-roles/`, the
sentences are Reuters' and come from the asset, and a digest holds them together.
"""

from pathlib import Path

from datasets import Dataset, DatasetDict, Features, List, Value

from helpers.data.relations import labelled

__all__ = ["ROLES", "SPLITS", "TREE", "WAYS", "conll_roles"]

SPLITS = ("train", "test")
ROLES = ("agent", "patient", "recipient", "when", "where")
TREE = ("subject", "object", "by")  # what hangs from the verb: nsubj, obj, obl:agent
WAYS = ("main", "coordinated", "infinitive", "relative", "participle")  # how a verb stands


def conll_roles(folder: str | Path, labels: str = "labels.jsonl") -> DatasetDict:
    """Verbs in sentences of CoNLL-2003, with their roles and with what the tree shows under them.

    The splits are the corpus's own. Each verb is a row; a marked word that is no verb in use has
    none.

    Licences: labels CC BY 4.0; text © Reuters, for research use.

    Args:
        folder: `notebooks/data/21-roles`, which a chapter calls "data/21-roles".
        labels: a file in it, such as one labelling instead of the final one.

    Returns:
        Columns `sentence` and `document` (int), `tokens` (list of str), `groups` (the sentence's
        noun groups of two words or more: first word and end of each), `verb` (int, its place from
        0), `way` (str, one of WAYS), `passive` (bool), and for each name of ROLES and TREE the
        place of its head word (int), -1 where nothing fills it.

    Raises:
        AssetError: the corpus is not cached whole and cannot be fetched.
        ValueError: a sentence of the corpus isn't the one that was labelled, or a verb of it has no
            label; the message names the sentence.
    """
    rows: dict[str, list[dict]] = {split: [] for split in SPLITS}
    for row, tokens, said in labelled(folder, labels):
        if [verb["verb"] for verb in said["verbs"]] != row["verbs"]:
            raise ValueError(f"Sentence {row['id']}: expected labels for the verbs {row['verbs']}.")
        for verb in said["verbs"]:
            if verb["way"]:
                rows[row["split"]].append(
                    {"sentence": row["sentence"], "document": row["document"], "tokens": tokens}
                    | {"groups": row["groups"]}
                    | {name: verb[name] for name in ("verb", "way", "passive")}
                    | {name: verb["words"].get(name, -1) for name in (*ROLES, *TREE)}
                )
    columns = Features(
        {"sentence": Value("int32"), "document": Value("int32"), "tokens": List(Value("string"))}
        | {"groups": List(List(Value("int32"))), "verb": Value("int32"), "way": Value("string")}
        | {"passive": Value("bool")}
        | {name: Value("int32") for name in (*ROLES, *TREE)}
    )
    return DatasetDict({name: Dataset.from_list(rows[name], columns) for name in rows})
