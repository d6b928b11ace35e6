"""Chapter 14, "Joint against separate", fig-14-uneven: 14-multitask.json.

    python -m experiments.chapter_14_multitask

Two tasks, the sentiment of reviews and the entities of newswire, in 375 updates of 16. First three
learning rates for the joint model and for each task alone, on the validation sets. Then, at the
best rate of each and on the test sets, three seeds of two experiments. "even": 1,000 sentences of
each task, the joint model against two separate ones that share its updates, and one encoder
trained on one task after the other. "uneven": 200 reviews beside 1,800 newswire sentences,
separate models and joint ones at three temperatures.

A row a run. One on both tasks takes about four minutes on one core, one on one task two: the rates
25 minutes, "even" 35, "uneven" 45.
"""

import math
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from experiments.common import RESULTS, Experiment, definitions

FILE = RESULTS / "14-multitask.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="the same sentences of a seed for joint and separate models, 375 updates in all for each",
    searched="three learning rates for the joint model and for each task alone, with even data",
    selected="the validation sets, with a seed (100) that isn't used again",
    test="accuracy and entity F1 of every run at the chosen rates",
    seeds=(0, 1, 2),
)
UPDATES = 375
RATES, RATE_SEED = (1e-4, 2e-4, 4e-4), 100
SIZES = {  # training sentences of each task
    "rate": {"sentiment": 1000, "entities": 1000},
    "even": {"sentiment": 1000, "entities": 1000},
    "uneven": {"sentiment": 200, "entities": 1800},
}
TEMPERATURES = {"joint": 1.0, "τ = 1": 1.0, "τ = 2": 2.0, "τ = ∞": math.inf}
KEY = ("kind", "setting", "tasks", "rate", "seed")


def rate_runs() -> list[dict[str, Any]]:
    """`setting` is the joint model, or the one task."""
    tasks = {
        "joint": ["sentiment", "entities"],
        "sentiment": ["sentiment"],
        "entities": ["entities"],
    }
    return [
        {"kind": "rate", "setting": setting, "tasks": names, "rate": rate, "seed": RATE_SEED}
        for rate in RATES
        for setting, names in tasks.items()
    ]


def later_runs(rates: dict[str, float], seeds: list[int]) -> list[dict[str, Any]]:
    """The runs at the chosen rates, seed by seed."""
    runs, both = [], ["sentiment", "entities"]
    for kind in ("even", "uneven"):
        for seed in seeds:
            settings = ["joint", "in a row"] if kind == "even" else ["τ = 1", "τ = 2", "τ = ∞"]
            base = {"kind": kind, "seed": seed}
            runs += [
                base | {"setting": "separate", "tasks": [name], "rate": rates[name]}
                for name in both
            ]
            runs += [
                base | {"setting": setting, "tasks": both, "rate": rates["joint"]}
                for setting in settings
            ]
    return [{name: settings[name] for name in KEY} for settings in runs]


def updates_of(kind: str, name: str) -> int:
    """A separate model's share of the updates: that of its task's sentences."""
    return round(UPDATES * SIZES[kind][name] / sum(SIZES[kind].values()))


def training_rows(c, kind: str, seed: int) -> dict[str, list[dict]]:
    pools = {"sentiment": c.sentences["train"], "entities": c.encoded_news("train")}
    chosen = {}
    for number, (name, pool) in enumerate(pools.items()):
        order = np.random.default_rng([seed, number]).permutation(len(pool))
        chosen[name] = list(pool.select(order[: SIZES[kind][name]]))
    return chosen


def fit(c, settings: dict[str, Any]):
    """The trained model, the seconds, and the share of the updates that the sentiment had."""
    kind, tasks, rate, seed = (settings[name] for name in ("kind", "tasks", "rate", "seed"))
    rows = training_rows(c, kind, seed)
    options = {"rate": rate, "seed": seed}
    if settings["setting"] == "in a row":
        model, seconds = c.shared_model(tasks, seed), 0.0
        for name in tasks:
            steps = updates_of(kind, name)
            _, history, _ = c.train_tasks([name], rows, steps=steps, model=model, **options)
            seconds += history.seconds
        return model, seconds, None
    if len(tasks) == 1:
        steps = updates_of(kind, tasks[0])
        model, history, _ = c.train_tasks(tasks, rows, steps=steps, **options)
        return model, history.seconds, None
    temperature = TEMPERATURES[settings["setting"]]
    model, history, data = c.train_tasks(
        tasks, rows, steps=UPDATES, temperature=temperature, **options
    )
    return model, history.seconds, round(float(np.mean(data.tasks == 0)), 3)


def run(c, **settings: Any) -> dict[str, Any]:
    model, seconds, share = fit(c, settings)
    row = {"share of sentiment": share, "seconds": round(seconds, 1)}
    split, prefix = ("validation", "") if settings["kind"] == "rate" else ("test", "test ")
    held_out = {"sentiment": c.sentences[split], "entities": c.encoded_news(split)}
    found = c.scores(model, held_out, c.true_tags(split))
    return row | {prefix + name: round(score, 4) for name, score in found.items()}


def plan(c, seeds: list[int], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The runs that choose the rates; once they stand, those at the chosen rates too."""
    first = rate_runs()
    if any(not any(settings.items() <= row.items() for row in rows) for settings in first):
        return first
    tried = pd.DataFrame(rows)
    rates = {name: c.chosen_rate(tried, name) for name in ("joint", "sentiment", "entities")}
    return first + later_runs(rates, seeds)


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    c = definitions("14")
    EXPERIMENT.fill(FILE, arguments, partial(plan, c, arguments.seeds), partial(run, c))


if __name__ == "__main__":
    main()
