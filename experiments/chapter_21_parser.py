"""Chapter 21, "A parser from more sentences": 21-parser.json and the weights petrogold-parser.

    python -m experiments.chapter_21_parser

The chapter's biaffine parser, on the frozen vectors of 2,000 training sentences of PetroGold. It
learns relations with their subtypes, which say what is a passive.
"""

import random
import time

import torch
from safetensors.torch import save_file

from experiments.common import CHECKPOINTS, RESULTS, Experiment, Row, as_text, definitions, log
from helpers.data import disk, trees

FILE, FOLDER = RESULTS / "21-parser.json", CHECKPOINTS / "petrogold-parser"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE, FOLDER),
    reads="the words alone",
    searched="nothing: six passes and the chapter's other settings were set by hand",
    selected="nothing",
    test="400 sentences of six documents that training has not; one answer of the finished parser",
    seeds=(0,),
)
NUMBERS = {"train": 2000, "test": 400}  # sentences, drawn from those of at most MOST words
MOST = 30
PASSES = 6


def main() -> None:
    EXPERIMENT.parser().parse_args()
    if not FILE.exists():
        EXPERIMENT.make(FILE, train)


def train() -> Row:
    c = definitions("21")
    data = trees.petrogold(subtypes=True)
    parts = {}
    for split, number in NUMBERS.items():
        fits = [row for row in data[split] if len(row["words"]) <= MOST]
        parts[split] = random.Random(0).sample(fits, number)
    names = sorted({relation for row in parts["train"] for relation in row["relations"]})
    started = time.perf_counter()
    vectors = {s: c.word_vectors([row["words"] for row in rows]) for s, rows in parts.items()}
    log("vectors of", {s: len(rows) for s, rows in parts.items()}, time.perf_counter() - started)
    parser = c.train_parser(vectors["train"], parts["train"], names, epochs=PASSES)
    FOLDER.mkdir(parents=True, exist_ok=True)
    weights = {name: x.detach().to(torch.float16) for name, x in parser.state_dict().items()}
    save_file(weights, FOLDER / "model.safetensors")
    disk.write_file(FOLDER / "relations.json", as_text(names) + "\n")
    parser.load_state_dict({name: x.float() for name, x in weights.items()})  # as a reader has it
    found = c.parse(parser, vectors["test"], names)
    plain = [(heads, [name.partition(":")[0] for name in labels]) for heads, labels in found]
    for row in parts["test"]:
        row["relations"] = [name.partition(":")[0] for name in row["relations"]]  # as it is scored
    each = [c.attachment([f], [row]) for f, row in zip(plain, parts["test"], strict=True)]
    words = [len(row["words"]) for row in parts["test"]]
    return {
        "sentences": {split: len(rows) for split, rows in parts.items()},
        "minutes": round((time.perf_counter() - started) / 60, 1),
        "right heads": [round(uas * n) for (uas, _), n in zip(each, words, strict=True)],
        "right arcs": [round(las * n) for (_, las), n in zip(each, words, strict=True)],
        "words": words,
        "documents": [row["document"] for row in parts["test"]],
    }


if __name__ == "__main__":
    main()
