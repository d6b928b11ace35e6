"""Chapter 21: how its semantic roles were drawn and labelled, step by step.

    python -m experiments.roles draw            # candidates.jsonl
    python -m experiments.roles sheet FILE      # the sentences, for an annotator
    python -m experiments.roles read NAME FILE …  # an annotator's notes -> labels-NAME.jsonl
    python -m experiments.roles disagreements   # what an adjudicator has to decide
    python -m experiments.roles decide FILE …   # decisions -> adjudication.jsonl, labels.jsonl
    python -m experiments.roles agreement       # agreement.json

All files stand in `notebooks/data/21-roles/`. A note is a line: the sentence's id, the verb's
number, the first letter of its way, `+` if it is passive, the roles, `|`, and what the tree shows,
as in `train-37 5 r+ p3 t11 | s4 b7`. The guideline explains the letters.
"""

import random
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from datasets import DatasetDict
from sklearn.metrics import cohen_kappa_score

from experiments import labelling
from experiments.common import NOTEBOOKS, Row
from experiments.labelling import alike, command, lines_of
from helpers.data import assets, corpora, relations
from helpers.data.roles import ROLES, TREE, WAYS

FOLDER = NOTEBOOKS / "data" / "21-roles"
FILES = labelling.Files(FOLDER)
read, write = FILES.read, FILES.write
NUMBERS = {"train": 120, "test": 80}
MOST = 30  # words of a sentence
VERBS = 2  # of a sentence, at most
SEED = 21
TWICE, TWICE_SEED = 100, 5  # sentences that were labelled a second time, drawn at random
LEFT_OUT = r"(be|am|is|are|was|were|been|being|'s|'re|'m|have|has|had|having|'ve|do|does|did|done)"
LEFT_OUT += r"|doing|say|says|said|saying|'d|'ll"
CORPUS = {"train": "train.txt", "test": "test.txt"}
WAY = {way[0]: way for way in WAYS}  # and "x": no verb in use
NAMES = {name[0]: name for name in (*ROLES, *TREE)} | {"w": "where", "t": "when"}


@cache
def sentences() -> DatasetDict:
    return corpora.conll2003()


def columns(split: str) -> list[list[list[str]]]:
    """The lines of each sentence of the corpus's file: word, part of speech, chunk, entity."""
    text = Path(assets.path("conll2003"), CORPUS[split]).read_text("utf-8")
    blocks = [[line.split() for line in b.splitlines()] for b in re.split(r"\n\s*\n", text)]
    return [block for block in blocks if block and block[0] and block[0][0] != "-DOCSTART-"]


def draw() -> list[Row]:
    """Sentences of the relations, one of a document, with two verbs at most, drawn at random."""
    corpus = {split: sentences()[split]["tokens"] for split in NUMBERS}
    labelled = relations.read_rows(NOTEBOOKS / "data" / "21-relations" / "candidates.jsonl")
    drawn = []
    for split, number in NUMBERS.items():
        every = columns(split)
        pool = []
        for row in labelled:
            if row["split"] == split:
                lines = every[row["sentence"]]
                tokens = corpus[split][row["sentence"]]
                assert [line[0] for line in lines] == tokens, row["id"]
                verbs = verbs_of(lines)
                if len(tokens) <= MOST and verbs:
                    pool.append(row | {"verbs": verbs, "groups": groups(lines)})
        generator = random.Random(SEED)
        generator.shuffle(pool)
        first = list({row["document"]: row for row in reversed(pool)}.values())[::-1]
        rest = [row for row in pool if row not in first]
        for row in sorted([*first, *rest][:number], key=lambda row: row["sentence"]):
            some = sorted(generator.sample(row["verbs"], min(VERBS, len(row["verbs"]))))
            drawn.append(
                {name: row[name] for name in ("id", "split", "sentence", "document", "sha256")}
                | {"verbs": some, "groups": row["groups"]}
            )
    return drawn


def verbs_of(lines: Sequence[Sequence[str]]) -> list[int]:
    return [
        i
        for i, (word, tag, *_) in enumerate(lines)
        if tag.startswith("VB") and not re.fullmatch(LEFT_OUT, word.lower())
    ]


def groups(lines: Sequence[Sequence[str]]) -> list[list[int]]:
    """The corpus's own noun groups, first word and end, of two words or more."""
    found: list[list[int]] = []
    for i, line in enumerate(lines):
        if line[2] == "I-NP" and found and found[-1][1] == i:
            found[-1][1] = i + 1
        elif line[2].endswith("-NP"):
            found.append([i, i + 1])
    return [group for group in found if group[1] - group[0] > 1]


def of_labelling(name: str, rows: Sequence[Row]) -> list[Row]:
    """The sentences that a labelling has: all of them, or if it is "b" those labelled twice."""
    if name != "b":
        return list(rows)
    order = list(rows)
    random.Random(TWICE_SEED).shuffle(order)
    twice = {row["id"] for row in order[:TWICE]}
    return [row for row in rows if row["id"] in twice]


def sheet(rows: Sequence[Row]) -> list[str]:
    corpus = sentences()
    lines = []
    for row in rows:
        words = corpus[row["split"]][row["sentence"]]["tokens"]
        shown = (f"{i}:{w.upper() if i in row['verbs'] else w}" for i, w in enumerate(words))
        lines.append(f"{row['id']} {row['verbs']} | {' '.join(shown)}")
    return lines


def from_notes(lines: Sequence[str], rows: Sequence[Row]) -> list[Row]:
    """An annotator's notes as rows of labels; the message says all that is wrong with them."""
    corpus, said, wrong = sentences(), {}, []
    for line in lines:
        name, verb, way, *notes = line.split()
        if (name, verb) in said:
            wrong.append(f"{name} {verb}: twice")
        said[name, verb] = way, notes
    labelled = []
    for row in rows:
        length = len(corpus[row["split"]][row["sentence"]]["tokens"])
        verbs = []
        for verb in row["verbs"]:
            way, notes = said.pop((row["id"], str(verb)), ("", []))
            words = {}
            for note in (note for note in notes if note != "|"):
                if note[0] not in NAMES or not note[1:].isdigit() or int(note[1:]) >= length:
                    wrong.append(f"{row['id']} {verb}: {note} isn't a note")
                    continue
                if NAMES[note[0]] in words:
                    wrong.append(f"{row['id']} {verb}: {note} is a second one")
                words[NAMES[note[0]]] = int(note[1:])
            if way.removesuffix("+") not in {*WAY, "x"} or (way == "x" and words):
                wrong.append(f"{row['id']} {verb}: {way!r} isn't a way")
                continue
            verbs.append(
                {"verb": verb, "way": WAY.get(way[0], ""), "passive": "+" in way, "words": words}
            )
        labelled.append({"id": row["id"], "verbs": verbs})
    wrong += [f"{name} {verb}: nothing to label" for name, verb in said]
    if wrong:
        raise ValueError("\n".join(wrong))
    return labelled


# Agreement


def word(place: int, row: Row) -> int:
    """The place that stands for its noun group: words of one group count as the same."""
    return next((end - 1 for start, end in row["groups"] if start <= place < end), place)


def by_verb(labelled: Sequence[Row], rows: Sequence[Row]) -> dict[tuple, Row]:
    """The label of each verb, its words each by the group they stand in."""
    return {
        (row["id"], verb["verb"]): verb
        | {"words": {name: word(place, row) for name, place in verb["words"].items()}}
        for row, said in zip(rows, labelled, strict=True)
        for verb in said["verbs"]
    }


def twice() -> tuple[list[Row], list[Row], list[Row]]:
    """The sentences that were labelled twice, and both labellings of them."""
    rows = of_labelling("b", read("candidates.jsonl"))
    a = {row["id"]: row for row in read("labels-a.jsonl")}
    return rows, [a[row["id"]] for row in rows], read("labels-b.jsonl")


def agreement() -> Row:
    """Kappa of how a verb stands, and of each role and place in the tree the F1 of B against A."""
    rows, a, b = twice()
    a, b = by_verb(a, rows), by_verb(b, rows)
    ways = [[v["way"] + "+" * v["passive"] for v in x.values()] for x in (a, b)]
    result = {"way": {"kappa": round(float(cohen_kappa_score(*ways)), 3), "verbs": len(a)}}
    result["way"] |= {"agree": sum(x == y for x, y in zip(*ways, strict=True))}
    result["verbs alike in all"] = sum(a[key] == b[key] for key in a)
    for name in (*ROLES, *TREE):
        said = [
            {(key, v["words"][name]) for key, v in x.items() if name in v["words"]} for x in (a, b)
        ]
        result[name] = alike(*said)
    return result


# Adjudication


def shown(verb: Row, tokens: Sequence[str]) -> str:
    words = (f"{name}={tokens[place]}({place})" for name, place in verb["words"].items())
    return " ".join([verb["way"] + "+" * verb["passive"], *words])


def disagreements() -> list[str]:
    (rows, a, b), corpus = twice(), sentences()
    same = [by_verb(x, rows) for x in (a, b)]
    found = []
    for row, x, y in zip(rows, a, b, strict=True):
        tokens = corpus[row["split"]][row["sentence"]]["tokens"]
        for one, other in zip(x["verbs"], y["verbs"], strict=True):
            key = row["id"], one["verb"]
            if same[0][key] != same[1][key]:
                verb = f"{row['id']} {one['verb']} {tokens[one['verb']]}"
                found.append(
                    f"{verb} | A {shown(one, tokens)} | B {shown(other, tokens)} | "
                    + " ".join(tokens)
                )
    return found


def decide(lines: Sequence[str]) -> tuple[list[Row], list[Row]]:
    """Decisions, a line for each verb on which the two differ: a note, " # " and why."""
    rows, a, b = twice()
    one, other = by_verb(a, rows), by_verb(b, rows)
    differ = [key for key in one if one[key] != other[key]]
    notes = {(name, int(verb)): line for line in lines for name, verb in [line.split()[:2]]}
    assert notes.keys() == set(differ), f"Not decided, or nothing to: {notes.keys() ^ set(differ)}"
    plain = [{(row["id"], v["verb"]): v for row in x for v in row["verbs"]} for x in (a, b)]
    decided, decisions = {}, []
    for name, verb in differ:
        note, why = notes[name, verb].split(" # ")
        [row] = (row for row in rows if row["id"] == name)
        [label] = from_notes([note], [row | {"verbs": [verb]}])
        [decided[name, verb]] = label["verbs"]
        said = {"a": plain[0][name, verb], "b": plain[1][name, verb]}
        decisions.append({"id": name, **said, "final": decided[name, verb], "why": why})
    final = [
        {"id": row["id"], "verbs": [decided.get((row["id"], v["verb"]), v) for v in row["verbs"]]}
        for row in read("labels-a.jsonl")
    ]
    return decisions, final


def main() -> None:
    parser, step, words = command(__doc__)
    match step, words:
        case "draw", []:
            write("candidates.jsonl", draw())
        case "sheet", [file]:
            Path(file).write_text("\n".join(sheet(read("candidates.jsonl"))) + "\n", "utf-8")
        case "read", [name, *files]:
            rows = of_labelling(name, read("candidates.jsonl"))
            write(f"labels-{name}.jsonl", from_notes(lines_of(files), rows))
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
