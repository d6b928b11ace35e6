"""The long runs of chapter 01, with the definitions of the chapter itself.

    python -m experiments.chapter_01_same_budget short LSTM 0
    python -m experiments.chapter_01_same_budget short Transformer 0
    python -m experiments.chapter_01_same_budget language LSTM 0
    python -m experiments.chapter_01_same_budget language Transformer 0
    python -m experiments.chapter_01_same_budget copy LSTM 0
    python -m experiments.chapter_01_same_budget copy Transformer 0

`short` trains one model with one seed for the chapter's own number of updates, measures it on the
test articles, follows its gradient back through the text, and uses its states to classify articles
with few labels. `language` does the same, but for the gradient, after two to three minutes of
training on two CPU cores, and measures the model on the validation articles on the way. `copy`
trains on the long-range copy task at five distances with one seed. Each call replaces its own rows
in notebooks/results/01-same-budget.json.

The cells of the notebook that are tagged `definitions` are run here, so that the chapter and this
script can't drift apart. They also read the corpus and learn the vocabulary.
"""

import argparse
import json
import statistics
import time
from types import SimpleNamespace

import torch

from tools.chapter_definitions import NOTEBOOKS, RESULTS, definitions

CHAPTER = NOTEBOOKS / "01-language-models.ipynb"
FILE = RESULTS / "01-same-budget.json"
# Chosen so that both take the same time on the two cores of the machine this was run on.
UPDATES = {"LSTM": 3000, "Transformer": 2320}
MEASUREMENTS = 10  # on the way
MEASURED = 30_000  # validation tokens, on the way
DISTANCES, COPY_UPDATES = (5, 10, 20, 40, 80), 300


def trained(c: SimpleNamespace, name: str, seed: int, updates: int, after=None) -> tuple:
    """A language model after `updates`, its row of results, and each update's loss and seconds."""
    train_stream = torch.as_tensor(c.streams["train"])
    torch.manual_seed(seed)
    model = c.language_models()[name].to(c.device)
    untrained = c.few_labels(model)
    losses, seconds = c.train(
        model,
        lambda generator: c.random_blocks(train_stream, c.BATCH, generator),
        updates,
        c.PEAKS[name],
        seed=seed,
        after=after and (lambda update: after(model, update)),
    )
    counts = c.KneserNey(c.streams["train"], 5, c.V)
    five = {n: counts.log_probabilities(c.streams[n]) for n in ("validation", "test")}
    row = {"model": name, "seed": seed}
    row |= {key: round(value, 5) for key, value in c.network_results(model, five).items()}
    row |= {"untrained": untrained, "pretrained": c.few_labels(model)}
    return model, row, losses, seconds


def short(c: SimpleNamespace, name: str, seed: int) -> dict:
    """The chapter's own training; all losses, and how far back the model looks."""
    model, row, losses, _ = trained(c, name, seed, c.UPDATES[name])
    reach = [float(f"{value:.3g}") for value in c.reach(model, c.streams["test"])]
    losses = [round(loss, 4) for loss in losses]
    return {"part": "short"} | row | {"losses": losses, "reach": reach}


def language(c: SimpleNamespace, name: str, seed: int) -> dict:
    """The longer training; its curve of validation perplexities."""
    curve = []

    def measure(model: torch.nn.Module, update: int) -> None:
        if update % (UPDATES[name] // MEASUREMENTS) == 0:
            part = c.log_probabilities(model, c.streams["validation"][:MEASURED])
            curve.append({"updates": update, "validation": round(c.perplexity(part), 3)})
            print(name, seed, curve[-1], flush=True)

    _, row, _, seconds = trained(c, name, seed, UPDATES[name], after=measure)
    # The median: other work on the machine can stretch single updates.
    per_update = statistics.median(seconds)
    for point in curve:
        point["seconds"] = round(point["updates"] * per_update, 2)
    speed = {
        "seconds per update": round(per_update, 5),
        "tokens per second": round(c.BATCH * c.CONTEXT / per_update),
    }
    return {"part": "language"} | speed | row | {"curve": curve}


def copy(c: SimpleNamespace, name: str, seed: int) -> list[dict]:
    """Train on the copy task for each distance; the share of symbols recalled."""
    rows = []
    for distance in DISTANCES:
        torch.manual_seed(seed)
        model = c.copy_models()[name].to(c.device)
        started = time.perf_counter()
        c.train_to_copy(model, distance, COPY_UPDATES, c.COPY_PEAKS[name], seed)
        rows.append(
            {
                "part": "copy",
                "model": name,
                "distance": distance,
                "seed": seed,
                "recalled": c.recalled(model, distance, seed=1000 + seed),
                "seconds": round(time.perf_counter() - started, 1),
            }
        )
        print(rows[-1], flush=True)
    return rows


def save(new: list[dict]) -> None:
    """Write the rows, in place of earlier ones of the same part, model, distance and seed."""

    def key(row: dict) -> tuple:
        return row["part"], row["model"], row.get("distance", 0), row["seed"]

    old = json.loads(FILE.read_text("utf-8")) if FILE.exists() else []
    rows = {key(row): row for row in [*old, *new]}
    text = json.dumps([rows[k] for k in sorted(rows)], indent=1, default=float)
    FILE.write_text(text + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("short", "language", "copy"))
    parser.add_argument("model", choices=tuple(UPDATES))
    parser.add_argument("seed", type=int, nargs="?", default=0, help="default: 0")
    arguments = parser.parse_args()
    started = time.perf_counter()
    c = definitions(CHAPTER)
    if arguments.part == "copy":
        save(copy(c, arguments.model, arguments.seed))
    else:
        part = {"short": short, "language": language}[arguments.part]
        save([part(c, arguments.model, arguments.seed)])
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
