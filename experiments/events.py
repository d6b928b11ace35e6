"""Chapter 21: how its events were drawn and labelled, step by step.

    python -m experiments.events draw           # candidates.jsonl
    python -m experiments.events sheet FILE     # the sentences, for an annotator
    python -m experiments.events read NAME FILE …  # an annotator's notes -> labels-NAME.jsonl
    python -m experiments.events disagreements  # what an adjudicator has to decide
    python -m experiments.events decide FILE …  # decisions -> adjudication.jsonl, labels.jsonl
    python -m experiments.events agreement      # agreement.json

All files stand in `notebooks/data/21-events/`. A note is `id none`, or the id, the event and its
slots: the number of an entity, or words joined by `_` (`score=6-2_6-4`, `price=$_13_million`).
"""

import random
import re
from collections.abc import Sequence
from pathlib import Path

from sklearn.metrics import cohen_kappa_score

from experiments import labelling
from experiments.common import NOTEBOOKS, Row
from experiments.labelling import alike, command, lines_of, marked
from helpers.data import cleaning, corpora, relations
from helpers.data.events import SLOTS

FOLDER = NOTEBOOKS / "data" / "21-events"
FILES = labelling.Files(FOLDER)
read, write = FILES.read, FILES.write
# Sentences with one of these words; those of the second row hold two organisations as well.
SPORTS = r"\b(beats?|beaten|defeat(s|ed)?|edged|downed|(win|victory) over|los[st] to|loss to|won|"
SPORTS += r"outpointed|crushed|thrashed|routed|topped)\b"
BUSINESS = (
    r"\b(acquir\w+|acquisition|takeover|merger?|buys?|buying|bought|purchased?|stake|bid for|"
)
BUSINESS += r"sells?|sold|buyout)\b"
NUMBERS = {"train": (60, 40), "validation": (25, 10), "test": (40, 10)}  # at most: sports, business
SEED = 21


def draw() -> list[Row]:
    """One sentence of a document for each kind, of documents in random order."""
    pool = labelling.pool(NUMBERS)
    copies = cleaning.near_copies([" ".join(row["tokens"]) for row in pool], share=0.6)
    pool = [row for i, row in enumerate(pool) if i not in copies]
    drawn: dict[tuple, Row] = {}
    for split, numbers in NUMBERS.items():
        for fits, number in zip((is_sports, is_business), numbers, strict=True):
            rows = [row for row in pool if row["split"] == split and fits(row)]
            random.Random(SEED).shuffle(rows)
            first = list({row["document"]: row for row in reversed(rows)}.values())[::-1]
            drawn |= {(split, row["sentence"]): row for row in first[:number]}
    return [
        {"id": f"{split}-{number}", "split": split, "sentence": number, "document": row["document"]}
        | {"sha256": relations.digest(row["tokens"]), "entities": row["entities"], "pairs": []}
        for (split, number), row in sorted(
            drawn.items(), key=lambda x: ([*NUMBERS].index(x[0][0]), x[0][1])
        )
    ]


def is_sports(row: Row) -> bool:
    return re.search(SPORTS, " ".join(row["tokens"])) is not None


def is_business(row: Row) -> bool:
    organisations = sum(kind == "ORG" for *_, kind in row["entities"])
    return organisations >= 2 and re.search(BUSINESS, " ".join(row["tokens"])) is not None


def tokens_of(rows: Sequence[Row]) -> dict[str, list[str]]:
    corpus = corpora.conll2003()
    return {row["id"]: corpus[row["split"]][row["sentence"]]["tokens"] for row in rows}


def from_notes(lines: Sequence[str], rows: Sequence[Row], tokens: dict) -> list[Row]:
    """An annotator's notes as rows of labels; the message says all that is wrong with them."""
    said = {line.split()[0]: line.split()[1:] for line in lines}
    wrong = [f"{row['id']}: no note" for row in rows if not said.get(row["id"])]
    labelled = []
    for row in rows:
        event, *notes = said.get(row["id"]) or ["none"]
        slots = {}
        for note in notes:
            name, _, value = note.partition("=")
            span = place(value, row["entities"], tokens[row["id"]])
            if name not in SLOTS.get(event, ()) or not span:
                wrong.append(f"{row['id']}: {note} isn't a slot of {event} in the sentence")
            slots[name] = span
        if event not in ("none", *SLOTS):
            wrong.append(f"{row['id']}: {event} isn't an event")
        labelled.append({"id": row["id"], "event": event, "slots": slots})
    if wrong:
        raise ValueError("\n".join(wrong))
    return labelled


def place(value: str, entities: Sequence, tokens: Sequence[str]) -> list[int] | None:
    """The span of an entity's number, or the first place of words joined by `_`."""
    if value.isdigit() and int(value) < len(entities):
        return list(entities[int(value)][:2])
    words = value.split("_")
    starts = [i for i in range(len(tokens)) if list(tokens[i : i + len(words)]) == words]
    return [starts[0], starts[0] + len(words)] if starts else None


def agreement() -> Row:
    """Kappa of the kind of event; of the slots the F1 of B's spans against A's."""
    a, b = (read(f"labels-{name}.jsonl") for name in "ab")
    kinds = [[row["event"] for row in x] for x in (a, b)]
    result = {"event": {"kappa": round(float(cohen_kappa_score(*kinds)), 3), "sentences": len(a)}}
    result["event"] |= {"agree": sum(x == y for x, y in zip(*kinds, strict=True))}
    for name in (name for slots in SLOTS.values() for name in slots):
        said = [{(r["id"], *r["slots"][name]) for r in x if name in r["slots"]} for x in (a, b)]
        result[name] = alike(*said)
    return result


def disagreements() -> list[str]:
    rows, (a, b) = read("candidates.jsonl"), (read(f"labels-{name}.jsonl") for name in "ab")
    tokens = tokens_of(rows)
    return [
        f"{marked(row, tokens[row['id']])} A {shown(x, tokens)} | B {shown(y, tokens)}"
        for row, x, y in zip(rows, a, b, strict=True)
        if x != y
    ]


def shown(label: Row, tokens: dict) -> str:
    words = tokens[label["id"]]
    slots = (f"{k}={'_'.join(words[i:j])}" for k, (i, j) in label["slots"].items())
    return " ".join([label["event"], *slots])


def decide(lines: Sequence[str]) -> tuple[list[Row], list[Row]]:
    """Decisions, a line for each sentence on which the two differ: a note, " # " and why."""
    rows, (a, b) = read("candidates.jsonl"), (read(f"labels-{name}.jsonl") for name in "ab")
    tokens, notes = tokens_of(rows), {line.split()[0]: line.split(" # ") for line in lines}
    final, decisions = [], []
    for row, x, y in zip(rows, a, b, strict=True):
        final.append(x)
        if x != y:
            note, why = notes.pop(row["id"])
            [final[-1]] = from_notes([note], [row], tokens)
            decisions.append({"id": row["id"], "a": x, "b": y, "final": final[-1], "why": why})
    assert not notes, f"Nothing to decide: {list(notes)}"
    return decisions, final


def main() -> None:
    parser, step, words = command(__doc__)
    match step, words:
        case "draw", []:
            write("candidates.jsonl", draw())
        case "sheet", [file]:
            rows = read("candidates.jsonl")
            tokens = tokens_of(rows)
            lines = [marked(row, tokens[row["id"]]).rstrip(" |") for row in rows]
            Path(file).write_text("\n".join(lines) + "\n", "utf-8")
        case "read", [name, *files]:
            rows = read("candidates.jsonl")
            write(f"labels-{name}.jsonl", from_notes(lines_of(files), rows, tokens_of(rows)))
        case "disagreements", []:
            print("\n".join(disagreements()))
        case "decide", files:
            FILES.write_decided(*decide(lines_of(files)))
        case "agreement", []:
            FILES.write_agreement(agreement())
        case _:
            parser.error("no such step; see --help")


if __name__ == "__main__":
    main()
