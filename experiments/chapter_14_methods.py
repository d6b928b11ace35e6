"""Chapter 14, "Five methods at one budget", fig-14-rates and fig-14-methods: 14-methods.json.

    python -m experiments.chapter_14_methods

2,000 movie-review sentences, two passes, 250 updates of 16. First every method with four or five
learning rates, with a seed of their own and on the validation sentences; while no rate of a method
is better than the one at an end of its grid, the next one is tried too. Then, with the best rate
of each, five seeds on the validation and test sentences, frozen features among them; and LoRA of
two other ranks at the rate chosen for rank 8, three seeds. Each run is a process of its own, so
that its peak memory is its own. A row a run.

On one core a run takes about two and a half minutes, of full fine-tuning three and a half, of
frozen features one: the rates 60 minutes, the 25 runs with the chosen rates 60, and the 6 of the
other ranks 15.
"""

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from experiments.common import RESULTS, Experiment, definitions
from helpers.training.history import peak_memory

FILE = RESULTS / "14-methods.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="the same 2,000 sentences of a seed for all methods",
    searched="five or six learning rates of each method, four penalties of the frozen features' "
    "classifier; LoRA's other ranks take the rate of rank 8",
    selected="the validation sentences, with a seed (100) that isn't used again",
    test="accuracy of every run at the chosen rates",
    seeds=(0, 1, 2, 3, 4),
)
SENTENCES, EPOCHS = 2000, 2
RATES = {
    "full": (5e-5, 1e-4, 2e-4, 4e-4, 1e-3),
    "LoRA": (1e-4, 4e-4, 1e-3, 2e-3, 5e-3),
    "adapters": (4e-4, 1e-3, 2e-3, 5e-3),
    "BitFit": (4e-4, 1e-3, 2e-3, 5e-3),
}
LADDER = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 4e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 1e-1)
RATE_SEED = 100
RANK_SEEDS = 3  # the first of the seeds
RANK, OTHER_RANKS = 8, (1, 64)
PENALTIES = (0.03, 0.1, 0.3, 1.0)  # of the frozen features' classifier; higher is weaker


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


def later_runs(rates: dict[str, float], seeds: list[int]) -> list[dict[str, Any]]:
    """The runs at the chosen rates, seed by seed; those of the ranks after three seeds."""
    final = [
        {"kind": "final", "method": method, "rate": rate, "rank": RANK, "seed": seed}
        for seed in seeds
        for method, rate in {"frozen": None, **rates}.items()
    ]
    ranks = [
        {"kind": "rank", "method": "LoRA", "rate": rates["LoRA"], "rank": rank, "seed": seed}
        for seed in seeds[:RANK_SEEDS]
        for rank in OTHER_RANKS
    ]
    early = [settings for settings in final if settings["seed"] in seeds[:RANK_SEEDS]]
    return early + ranks + [settings for settings in final if settings not in early]


def training_sentences(c, seed: int):
    """The sentences of a seed, the same for all methods."""
    generator = np.random.default_rng(seed)
    return c.sentences["train"].select(generator.permutation(len(c.sentences["train"]))[:SENTENCES])


def run(kind: str, method: str, rate: float | None, rank: int, seed: int) -> dict[str, Any]:
    """The rest of a row; called in a process of its own."""
    c = definitions("14")
    train = training_sentences(c, seed)
    validation, test = c.sentences["validation"], c.sentences["test"]
    started = time.perf_counter()
    features, y = c.frozen_features(train), train["labels"][:]
    seconds = time.perf_counter() - started
    if method == "frozen":
        return frozen(c, features, y, validation, test) | {"seconds": round(seconds, 1)}
    model, history = c.fine_tune(
        method, train, c.fit_probe(features, y), rate, epochs=EPOCHS, seed=seed, rank=rank
    )
    return {
        "trainable": c.trainable(model),
        "validation": round(c.accuracy(model, validation), 4),
        "test": round(c.accuracy(model, test), 4) if kind != "rate" else None,
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


def plan(c, seeds: list[int], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The runs that choose the rates; once they stand, those at the chosen rates too."""
    first = rate_runs(rows)
    if any(not any(settings.items() <= row.items() for row in rows) for settings in first):
        return first
    return first + later_runs(c.chosen_rates(pd.DataFrame(rows)), seeds)


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    c = definitions("14")
    fresh = {"max_workers": 1, "max_tasks_per_child": 1}
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn"), **fresh) as pool:
        EXPERIMENT.fill(
            FILE,
            arguments,
            partial(plan, c, arguments.seeds),
            lambda **settings: pool.submit(run, **settings).result(),
        )


if __name__ == "__main__":
    main()
