"""The comparison of fine-tuning methods in chapter 14, with the definitions of the chapter itself.

    python -m experiments.chapter_14_methods [number of runs]

2,000 movie-review sentences, two passes, 250 updates of 16. First every method with four or five
learning rates, with a seed of their own and on the validation sentences; while no rate of a method
is better than the one at an end of its grid, the next one is tried too. Then, with the best rate
of each, five seeds on the validation and test sentences, frozen features among them; and LoRA of
two other ranks at the rate chosen for rank 8, three seeds. Each run is a process of its own, so
that its peak memory is its own.

Every run adds a row to notebooks/results/14-methods.json, and one that stands there isn't
repeated, so the script can be stopped and started again. On one core a run takes about two and a
half minutes, of full fine-tuning three and a half, of frozen features one: the rates 60 minutes,
the 25 runs with the chosen rates 60, and the 6 of the other ranks 15.
"""

import json
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import pandas as pd

from helpers.training.history import peak_memory
from tools.chapter_definitions import NOTEBOOKS, RESULTS, definitions

CHAPTER = NOTEBOOKS / "14-parameter-efficient-and-multi-task.ipynb"
FILE = RESULTS / "14-methods.json"
SENTENCES, EPOCHS = 2000, 2
RATES = {
    "full": (5e-5, 1e-4, 2e-4, 4e-4, 1e-3),
    "LoRA": (1e-4, 4e-4, 1e-3, 2e-3, 5e-3),
    "adapters": (4e-4, 1e-3, 2e-3, 5e-3),
    "BitFit": (4e-4, 1e-3, 2e-3, 5e-3),
}
LADDER = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 4e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 1e-1)
RATE_SEED, SEEDS, RANK_SEEDS = 100, range(5), range(3)
RANK, OTHER_RANKS = 8, (1, 64)
PENALTIES = (0.03, 0.1, 0.3, 1.0)  # of the frozen features' classifier; higher is weaker
KEY = ("kind", "method", "rate", "rank", "seed")


def rate_runs(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The grids and, where no rate so far is better than the one at an end, the rate beyond it."""
    runs = []
    for method, rates in RATES.items():
        found = {r["rate"]: r["validation"] for r in rows if is_rate_run(r, method)}
        grid = sorted({*rates, *found})
        if found.keys() >= set(rates):
            best, place = max(found.values()), LADDER.index
            beyond = {grid[0]: place(grid[0]) - 1, grid[-1]: place(grid[-1]) + 1}
            grid += [LADDER[step] for rate, step in beyond.items() if found[rate] == best]
        runs += [
            {"kind": "rate", "method": method, "rate": rate, "rank": RANK, "seed": RATE_SEED}
            for rate in grid
        ]
    return runs


def is_rate_run(row: dict[str, Any], method: str) -> bool:
    return row["kind"] == "rate" and row["method"] == method


def later_runs(rates: dict[str, float]) -> list[dict[str, Any]]:
    """The runs at the chosen rates, seed by seed; those of the ranks after three seeds."""
    final = [
        {"kind": "final", "method": method, "rate": rate, "rank": RANK, "seed": seed}
        for seed in SEEDS
        for method, rate in {"frozen": None, **rates}.items()
    ]
    ranks = [
        {"kind": "rank", "method": "LoRA", "rate": rates["LoRA"], "rank": rank, "seed": seed}
        for seed in RANK_SEEDS
        for rank in OTHER_RANKS
    ]
    early = [settings for settings in final if settings["seed"] in RANK_SEEDS]
    return early + ranks + [settings for settings in final if settings not in early]


def training_sentences(c, seed: int):
    """The sentences of a seed, the same for all methods."""
    generator = np.random.default_rng(seed)
    return c.sentences["train"].select(generator.permutation(len(c.sentences["train"]))[:SENTENCES])


def run(settings: dict[str, Any]) -> dict[str, Any]:
    """One row of the results; called in a process of its own."""
    c = definitions(CHAPTER)
    train = training_sentences(c, settings["seed"])
    validation, test = c.sentences["validation"], c.sentences["test"]
    method, chosen_rate = settings["method"], settings["kind"] != "rate"
    started = time.perf_counter()
    features, y = c.frozen_features(train), train["labels"][:]
    seconds = time.perf_counter() - started
    if method == "frozen":
        return settings | frozen(c, features, y, validation, test) | {"seconds": round(seconds, 1)}
    model, history = c.fine_tune(
        method,
        train,
        c.fit_probe(features, y),
        settings["rate"],
        epochs=EPOCHS,
        seed=settings["seed"],
        rank=settings["rank"],
    )
    return settings | {
        "trainable": c.trainable(model),
        "validation": round(c.accuracy(model, validation), 4),
        "test": round(c.accuracy(model, test), 4) if chosen_rate else None,
        "loss": round(float(np.mean(history.losses[-50:])), 4),
        "seconds": round(history.seconds, 1),
        "peak_memory": history.peak_memory,
    }


def frozen(c, features, y, validation, test) -> dict[str, Any]:
    """The classifier on frozen features, its penalty chosen on the validation sentences."""
    peak = peak_memory(c.device)
    held_out = c.frozen_features(validation), validation["labels"][:]
    probes = [c.fit_probe(features, y, C=penalty) for penalty in PENALTIES]
    best = max(probes, key=lambda probe: probe.score(*held_out))
    return {
        "trainable": 2 * features.shape[1] + 2,  # as a head of two logits
        "validation": round(best.score(*held_out), 4),
        "test": round(best.score(c.frozen_features(test), test["labels"][:]), 4),
        "loss": None,
        "peak_memory": peak,
    }


def read() -> list[dict[str, Any]]:
    return json.loads(FILE.read_text("utf-8")) if FILE.exists() else []


def write(rows: list[dict[str, Any]]) -> None:
    rows = sorted(rows, key=lambda row: [str(row[name]) for name in KEY])
    FILE.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def missing(rows: list[dict[str, Any]], c) -> list[dict[str, Any]]:
    """The runs still to do; those at the chosen rates wait until all rates were tried."""
    done = [{name: row[name] for name in KEY} for row in rows]
    first = [settings for settings in rate_runs(rows) if settings not in done]
    if first:
        return first
    rates = c.chosen_rates(pd.DataFrame(rows))
    return [settings for settings in later_runs(rates) if settings not in done]


def main(limit: int | None) -> None:
    c = definitions(CHAPTER)
    fresh = {"max_workers": 1, "max_tasks_per_child": 1}
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn"), **fresh) as pool:
        count = 0
        while (limit is None or count < limit) and (waiting := missing(read(), c)):
            started = time.perf_counter()
            row = pool.submit(run, waiting[0]).result()
            write([*read(), row])
            count += 1
            print(row, f"{time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else None)
