"""Chapter 10, "Train it", "The test": 10-minilm.safetensors, 10-matrix.json, minilm-headlines.

    python -m experiments.chapter_10_minilm vectors
    python -m experiments.chapter_10_minilm head
    python -m experiments.chapter_10_minilm runs

`vectors` stores what MiniLM, which isn't trained here, makes of all headlines and of the beginnings
of all bodies: unit vectors in half precision. About two minutes on one core.

`head` trains the chapter's matrix behind these vectors, with the learning rate that the validation
articles choose among four and the seed 0, and stores it as sentence-transformers' module. Seconds.

`runs` trains the matrix at each rate, and at the chosen one with each seed, with the bodies of the
batch for negatives and with hard ones beside them. A row a matrix: what it finds. A minute.
"""

import argparse
import time

import torch
from safetensors.torch import load_file, save_file

from experiments.common import CHECKPOINTS, RESULTS, Experiment, Row, definitions, log

FILE, FOLDER = RESULTS / "10-minilm.safetensors", CHECKPOINTS / "minilm-headlines"
MATRICES = RESULTS / "10-matrix.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE, MATRICES, FOLDER),
    reads="a headline and the text of a body's first 96 pieces; one line: whole bodies",
    searched="the learning rate of the matrix, four values; nothing for the two weights",
    selected="MRR on the validation articles, seed 0",
    test="ranks of the articles, once",
    seeds=(0, 1, 2, 3, 4),
)


def vectors() -> None:
    c = definitions("10")
    model = c.SentenceTransformer(str(c.assets.path("minilm")), device=str(c.device))
    stored = {}
    for split in c.headlines:
        headlines, bodies = c.library_vectors(model, split)
        stored |= {f"{split} headlines": headlines.half(), f"{split} bodies": bodies.half()}
        log(split, c.measures(c.cosine_similarities(headlines, bodies)))
    save_file(stored, FILE)
    FILE.chmod(0o644)


def head() -> None:
    c = definitions("10")
    data = c.minilm_vectors()
    found = {rate: c.train_head(data["train"], learning_rate=rate) for rate in c.RATES}
    mrr = {
        rate: c.measures(c.cosine_similarities(*c.through(matrix, data["validation"])))["MRR"]
        for rate, matrix in found.items()
    }
    log(mrr)
    module = c.head_module(found[max(mrr, key=mrr.get)])
    FOLDER.mkdir(exist_ok=True)
    module.save(str(FOLDER))
    file = FOLDER / "model.safetensors"
    weights = {name: weight.half() for name, weight in load_file(file).items()}
    save_file(weights, file, metadata={"format": "pt"})
    file.chmod(0o644)


def plan(rows: list[Row], rates: tuple[float, ...], seeds: tuple[int, ...]) -> list[Row]:
    """Seed 0 at each rate; then the other seeds at the one that the validation articles choose."""
    runs = []
    for hard in (False, True):
        runs += [{"hard": hard, "rate": rate, "seed": 0} for rate in rates]
        searched = [row for row in rows if row["hard"] == hard and row["seed"] == 0]
        if len(searched) == len(rates):
            rate = max(searched, key=lambda row: row["validation"])["rate"]
            runs += [{"hard": hard, "rate": rate, "seed": seed} for seed in seeds if seed]
    return runs


def runs(arguments: argparse.Namespace) -> None:
    c = definitions("10")
    data = c.minilm_vectors()
    words = c.tfidf_scores(c.headlines["train"], c.read_part(c.bodies["train"])).float()
    hardest = c.hard_negatives(words)

    def found(hard: bool, rate: float, seed: int) -> Row:
        wrong = hardest if hard else None
        matrix = c.train_head(data["train"], learning_rate=rate, seed=seed, hard=wrong)
        cosines = {split: c.cosine_similarities(*c.through(matrix, data[split])) for split in data}
        row = {split: round(c.measures(cosines[split])["MRR"], 5) for split in data}
        del row["test"]  # its ranks say it
        return row | {"test ranks": c.ranks(cosines["test"]).tolist()}

    EXPERIMENT.fill(MATRICES, arguments, lambda rows: plan(rows, c.RATES, arguments.seeds), found)


def main() -> None:
    parser = EXPERIMENT.parser(rows=True)
    parser.add_argument("what", choices=("vectors", "head", "runs"))
    arguments = parser.parse_args()
    what = arguments.what
    if what == "runs":
        runs(arguments)
        return
    started = time.perf_counter()
    torch.manual_seed(0)
    (vectors if what == "vectors" else head)()
    target = FILE if what == "vectors" else FOLDER
    EXPERIMENT.record(target, {"part": what}, round(time.perf_counter() - started, 1))


if __name__ == "__main__":
    main()
