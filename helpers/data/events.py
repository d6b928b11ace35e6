"""Events in sentences of CoNLL-2003, labelled for this book: who beat whom, who bought whom.

As in `helpers.data.relations` the labels are the book's, in `notebooks/data/21-events/`, the
sentences are Reuters' and come from the asset, and a digest holds them together.
"""

from pathlib import Path

from datasets import Dataset, DatasetDict, Features, List, Value

from helpers.data.relations import SPLITS, labelled

__all__ = ["SLOTS", "conll_events"]

SLOTS = {
    "win": ("winner", "loser", "score", "competition"),
    "purchase": ("buyer", "target", "price"),
}


def conll_events(folder: str | Path, labels: str = "labels.jsonl") -> DatasetDict:
    """Sentences of sports and business news with the first event of each, as slots.

    The splits are the corpus's own. A sentence without an event has the event "none".

    Licences: labels CC BY 4.0; text © Reuters, for research use.

    Args:
        folder: `notebooks/data/21-events`, which a chapter calls "data/21-events".
        labels: a file in it, such as one annotator's instead of the final ones.

    Returns:
        Columns `sentence` and `document` (int), `tokens` (list of str), `event` (str: none, win or
        purchase), and for each slot of `SLOTS` a column with the first word and the end of what
        fills it (list of two int), empty where nothing does.

    Raises:
        AssetError: the corpus is not cached whole and cannot be fetched.
        ValueError: a sentence of the corpus isn't the one that was labelled; the message names it.
    """
    names = [name for slots in SLOTS.values() for name in slots]
    rows: dict[str, list[dict]] = {split: [] for split in SPLITS}
    for row, tokens, said in labelled(folder, labels):
        slots = said["slots"]
        rows[row["split"]].append(
            {"sentence": row["sentence"], "document": row["document"], "tokens": tokens}
            | {"event": said["event"]}
            | {name: slots.get(name, []) for name in names}
        )
    columns = Features(
        {"sentence": Value("int32"), "document": Value("int32"), "tokens": List(Value("string"))}
        | {"event": Value("string")}
        | {name: List(Value("int32")) for name in names}
    )
    return DatasetDict({name: Dataset.from_list(rows[name], columns) for name in rows})
