"""Chapter 21: how its relations between entities were drawn and labelled, step by step.

    python -m experiments.relations draw        # candidates.jsonl
    python -m experiments.relations sheets DIR  # the sentences in batches, for an annotator
    python -m experiments.relations read NAME FILE …  # an annotator's notes -> labels-NAME.jsonl
    python -m experiments.relations disagreements  # what an adjudicator has to decide
    python -m experiments.relations decide FILE …  # decisions -> adjudication.jsonl, labels.jsonl
    python -m experiments.relations agreement   # agreement.json
    python -m experiments.relations counts      # the data card's table

All files stand in `notebooks/data/21-relations/`. An annotator's notes hold a line for each
sentence: its id, and for each relation the number of the head, a letter and the number of the tail.
"""

import random
import re
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from sklearn.metrics import cohen_kappa_score

from experiments import labelling
from experiments.common import NOTEBOOKS, Row
from experiments.labelling import command, lines_of, marked
from helpers.data import cleaning, corpora, relations

FOLDER = NOTEBOOKS / "data" / "21-relations"
FILES = labelling.Files(FOLDER)
read, write = FILES.read, FILES.write
SENTENCES = {"train": 300, "validation": 100, "test": 200}
PER_DOCUMENT = 2
PILOT = 110  # documents of train whose sentences the guideline was made from
SEED = 7
BATCH = 50
PAIRS = 6  # candidates of a sentence, at most: the ones whose entities are closest
LETTERS = dict(zip("WCBLOXPVA", relations.LABELS, strict=True))


# Which sentences and pairs


def draw() -> list[Row]:
    """At most two sentences of a document, of documents in random order, split by split."""
    pool = labelling.pool(SENTENCES)
    copies = cleaning.near_copies([" ".join(row["tokens"]) for row in pool])
    drawn = []
    for split, number in SENTENCES.items():
        documents: dict[int, list[Row]] = {}
        for i, row in enumerate(pool):
            if row["split"] == split:
                fit = i not in copies and candidate(row)["pairs"]
                documents.setdefault(row["document"], []).extend([row] if fit else [])
        order = sorted(documents)
        generator = random.Random(SEED)
        generator.shuffle(order)
        rows = []
        for document in order[PILOT if split == "train" else 0 :]:
            sentences = documents[document]
            rows += generator.sample(sentences, min(PER_DOCUMENT, len(sentences)))
        drawn += sorted(rows[:number], key=lambda row: row["sentence"])
    return [candidate(row) for row in drawn]


def candidate(row: Row) -> Row:
    return {
        "id": f"{row['split']}-{row['sentence']}",
        **{name: row[name] for name in ("split", "sentence", "document")},
        "sha256": relations.digest(row["tokens"]),
        "entities": row["entities"],
        "pairs": pairs(row["tokens"], row["entities"]),
    }


def pairs(tokens: Sequence[str], spans: Sequence[tuple[int, int, str]]) -> list[list[int]]:
    """The pairs of entities that are labelled, by number: the closest six with different words."""
    words = [" ".join(tokens[start:end]).lower() for start, end, _ in spans]
    every = [(i, j) for i, j in combinations(range(len(spans)), 2) if words[i] != words[j]]
    closest = sorted(every, key=lambda pair: (spans[pair[1]][0] - spans[pair[0]][1], pair))
    return [list(pair) for pair in sorted(closest[:PAIRS])]


# Notes


def sheets(folder: Path) -> None:
    corpus = corpora.conll2003()
    rows = read("candidates.jsonl")
    folder.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(rows), BATCH):
        lines = [
            marked(row, corpus[row["split"]][row["sentence"]]["tokens"])
            for row in rows[start : start + BATCH]
        ]
        (folder / f"batch-{start // BATCH + 1:02}.txt").write_text("\n".join(lines) + "\n", "utf-8")


def from_notes(lines: Sequence[str], rows: Sequence[Row]) -> list[Row]:
    """An annotator's notes as rows of labels; the message says all that is wrong with them."""
    notes = [line.split() for line in lines if line.strip()]
    said = {name: notes for name, *notes in notes}
    wrong = [f"{name}: twice" for name, n in Counter(n for n, *_ in notes).items() if n > 1]
    wrong += [f"{name}: no such sentence" for name in said.keys() - {row["id"] for row in rows}]
    wrong += [f"{row['id']}: no note" for row in rows if row["id"] not in said]
    labelled = []
    for row in rows:
        found = []
        for note in said.get(row["id"], []):
            parts = re.fullmatch(r"(\d+)([A-Z])(\d+)", note)
            if not parts or parts[2] not in LETTERS:
                wrong.append(f"{row['id']}: {note} isn't a note")
                continue
            head, tail, label = int(parts[1]), int(parts[3]), LETTERS[parts[2]]
            if label in relations.SYMMETRIC:
                head, tail = sorted((head, tail))
            if sorted((head, tail)) not in [list(pair) for pair in row["pairs"]]:
                wrong.append(f"{row['id']}: {note} isn't of a pair")
            elif any({head, tail} == {a, b} for a, _, b in found):
                wrong.append(f"{row['id']}: {note} is a second label")
            elif not all(
                row["entities"][n][2] in kinds
                for n, kinds in zip((head, tail), relations.LABELS[label], strict=True)
            ):
                wrong.append(f"{row['id']}: {note} isn't of the schema's types")
            found.append([head, label, tail])
        labelled.append({"id": row["id"], "relations": sorted(found)})
    if wrong:
        raise ValueError("\n".join(wrong))
    return labelled


# Agreement


def by_pair(labelled: Sequence[Row], rows: Sequence[Row]) -> list[str]:
    """The label of every pair, with an arrow for its direction."""
    relations_of = {row["id"]: row["relations"] for row in labelled}
    found = []
    for row in rows:
        stated = {(min(a, b), max(a, b)): (label, a > b) for a, label, b in relations_of[row["id"]]}
        for pair in row["pairs"]:
            label, reverse = stated.get(tuple(pair), (relations.NONE, False))
            found.append(label + (" <" if reverse else ""))
    return found


def kappas(a: Sequence[str], b: Sequence[str], units: Sequence, draws: int = 1000) -> Row:
    """Cohen's kappa of all labels, of any against none, and of each label against the others.

    Args:
        a, b: the labels of the pairs.
        units: what is drawn again for the interval, such as the document of each pair.

    Returns:
        For each the kappa, its interval of 95 % by the bootstrap, and how often each said it.
    """
    a, b, units = np.array(a), np.array(b), np.array(units)
    plain_a, plain_b = (np.char.replace(x, " <", "") for x in (a, b))
    views = {"all": (a, b), "any": (plain_a != relations.NONE, plain_b != relations.NONE)}
    views |= {label: (plain_a == label, plain_b == label) for label in relations.LABELS}
    of_unit = [np.flatnonzero(units == unit) for unit in np.unique(units)]
    generator = np.random.default_rng(SEED)
    samples = [
        np.concatenate([of_unit[i] for i in generator.integers(len(of_unit), size=len(of_unit))])
        for _ in range(draws)
    ]
    result = {}
    for name, (x, y) in views.items():
        if name in relations.LABELS and not (x | y).any():
            continue
        numbers = np.unique(np.concatenate([x, y]), return_inverse=True)[1].reshape(2, -1)
        drawn = np.array([kappa(*numbers[:, sample]) for sample in samples])
        interval = np.quantile(drawn[~np.isnan(drawn)], [0.025, 0.975]).round(3).tolist()
        row = {"kappa": round(kappa(*numbers), 3), "interval": interval}
        row |= {"agree": int((x == y).sum()), "of": len(x)}
        if name != "all":
            row |= {"a": int(x.sum()), "b": int(y.sum()), "both": int((x & y).sum())}
        result[name] = row
    return result


def kappa(a: np.ndarray, b: np.ndarray) -> float:
    """Cohen's kappa; not a number where both have said one and the same thing throughout."""
    return float("nan") if len({*a, *b}) < 2 else float(cohen_kappa_score(a, b))


def agreement() -> Row:
    rows = read("candidates.jsonl")
    a, b, final = (by_pair(read(f"labels{name}.jsonl"), rows) for name in ("-a", "-b", ""))
    documents = [f"{row['split']} {row['document']}" for row in rows for _ in row["pairs"]]
    confusion = Counter(zip(a, b, strict=True))
    return {
        "kappa": kappas(a, b, documents),
        "confusion": [
            {"a": x, "b": y, "pairs": n} for (x, y), n in sorted(confusion.items()) if x != y
        ],
        "final": {
            name: {"kappa": round(float(cohen_kappa_score(x, final)), 3)}
            | {"differs": sum(p != q for p, q in zip(x, final, strict=True))}
            for name, x in (("a", a), ("b", b))
        },
    }


def counts(labels: str) -> str:
    """A table in Markdown: how many pairs of each split have each label."""
    data = relations.conll_relations(FOLDER, labels)
    lines = ["| label | train | validation | test | all |", "|---|---:|---:|---:|---:|"]
    for number, label in enumerate([relations.NONE, *relations.LABELS]):
        row = [list(data[split]["label"]).count(number) for split in SENTENCES]
        lines.append(f"| {label} | {' | '.join(map(str, [*row, sum(row)]))} |")
    row = [len(data[split]) for split in SENTENCES]
    return "\n".join([*lines, f"| pairs | {' | '.join(map(str, [*row, sum(row)]))} |"])


# Adjudication


def disagreements() -> list[Row]:
    rows, corpus = read("candidates.jsonl"), corpora.conll2003()
    a, b = (
        {row["id"]: row["relations"] for row in read(f"labels-{name}.jsonl")} for name in ("a", "b")
    )
    return [
        {"text": marked(row, corpus[row["split"]][row["sentence"]]["tokens"])}
        | {"id": row["id"], "a": only(a, b, row["id"]), "b": only(b, a, row["id"])}
        for row in rows
        if a[row["id"]] != b[row["id"]]
    ]


def only(these: dict, those: dict, name: str) -> list:
    return [relation for relation in these[name] if relation not in those[name]]


def decide(lines: Sequence[str]) -> tuple[list[Row], list[Row]]:
    """Decisions, a line for each disagreement: id, pair, a note or "-" for none, and why."""
    rows = {row["id"]: row for row in read("candidates.jsonl")}
    a, b = (
        {row["id"]: row["relations"] for row in read(f"labels-{name}.jsonl")} for name in ("a", "b")
    )
    decided = {}
    for line in lines:
        name, pair, note, why = line.split(maxsplit=3)
        pair = tuple(map(int, pair.split("-")))
        [row] = from_notes([f"{name} {note}".rstrip(" -")], [rows[name]])
        assert all({x, y} == {*pair} for x, _, y in row["relations"]), line
        decided[name, pair] = row["relations"], why
    final, decisions = [], []
    for name, row in rows.items():
        kept = []
        for pair in map(tuple, row["pairs"]):
            said = [[r for r in x[name] if {r[0], r[2]} == {*pair}] for x in (a, b)]
            relation = said[0]
            if said[0] != said[1]:
                relation, why = decided.pop((name, pair))
                decisions.append(
                    {"id": name, "pair": pair, "a": said[0], "b": said[1]}
                    | {"final": relation, "why": why}
                )
            kept += relation
        final.append({"id": name, "relations": sorted(kept)})
    assert not decided, f"Nothing to decide: {list(decided)}"
    return decisions, final


def main() -> None:
    parser, step, words = command(__doc__)
    match step, words:
        case "draw", []:
            write("candidates.jsonl", draw())
        case "sheets", [folder]:
            sheets(Path(folder))
        case "read", [name, *files]:
            write(f"labels-{name}.jsonl", from_notes(lines_of(files), read("candidates.jsonl")))
        case "disagreements", []:
            for row in disagreements():
                print(row["text"], "| A", row["a"], "| B", row["b"])
        case "decide", files:
            FILES.write_decided(*decide(lines_of(files)))
        case "agreement", []:
            FILES.write_agreement(agreement())
        case "counts", []:
            print(counts("labels.jsonl"))
        case _:
            parser.error("no such step; see --help")


if __name__ == "__main__":
    main()
