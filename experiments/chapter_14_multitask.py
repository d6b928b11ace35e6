"""Joint against separate training in chapter 14, with the definitions of the chapter itself.

    python -m experiments.chapter_14_multitask [number of runs]

Two tasks, the sentiment of reviews and the entities of newswire, in 375 updates of 16. First three
learning rates for the joint model and for each task alone, on the validation sets. Then, at the
best rate of each and on the test sets, three seeds of two experiments. "even": 1,000 sentences of
each task, the joint model against two separate ones that share its updates, and one encoder
trained on one task after the other. "uneven": 200 reviews beside 1,800 newswire sentences,
separate models and joint ones at three temperatures.

Every run adds a row to notebooks/results/14-multitask.json, and one that stands there isn't
repeated, so the script can be stopped and started again. A run on both tasks takes about four
minutes on one core, one on one task two: the rates 25 minutes, "even" 35, "uneven" 45.
"""

import json
import math
import sys
import time
from typing import Any

import numpy as np
import pandas as pd

from tools.chapter_definitions import NOTEBOOKS, RESULTS, definitions

CHAPTER = NOTEBOOKS / "14-parameter-efficient-and-multi-task.ipynb"
FILE = RESULTS / "14-multitask.json"
UPDATES = 375
RATES, RATE_SEED, SEEDS = (1e-4, 2e-4, 4e-4), 100, range(3)
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


def later_runs(rates: dict[str, float]) -> list[dict[str, Any]]:
    """The runs at the chosen rates, seed by seed."""
    runs, both = [], ["sentiment", "entities"]
    for kind in ("even", "uneven"):
        for seed in SEEDS:
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


def run(c, settings: dict[str, Any]) -> dict[str, Any]:
    model, seconds, share = fit(c, settings)
    row = settings | {"share of sentiment": share, "seconds": round(seconds, 1)}
    split, prefix = ("validation", "") if settings["kind"] == "rate" else ("test", "test ")
    held_out = {"sentiment": c.sentences[split], "entities": c.encoded_news(split)}
    found = c.scores(model, held_out, c.true_tags(split))
    return row | {prefix + name: round(score, 4) for name, score in found.items()}


def read() -> list[dict[str, Any]]:
    return json.loads(FILE.read_text("utf-8")) if FILE.exists() else []


def write(rows: list[dict[str, Any]]) -> None:
    rows = sorted(rows, key=lambda row: [str(row[name]) for name in KEY])
    text = json.dumps(rows, indent=1, ensure_ascii=False)
    FILE.write_text(text + "\n", encoding="utf-8")


def missing(rows: list[dict[str, Any]], c) -> list[dict[str, Any]]:
    """The runs still to do; those at the chosen rates wait until all rates were tried."""
    done = [{name: row[name] for name in KEY} for row in rows]
    first = [settings for settings in rate_runs() if settings not in done]
    if first:
        return first
    tried = pd.DataFrame(rows)
    rates = {name: c.chosen_rate(tried, name) for name in ("joint", "sentiment", "entities")}
    return [settings for settings in later_runs(rates) if settings not in done]


def main(limit: int | None) -> None:
    c, count = definitions(CHAPTER), 0
    while (limit is None or count < limit) and (waiting := missing(read(), c)):
        started = time.perf_counter()
        row = run(c, waiting[0])
        write([*read(), row])
        count += 1
        print(row, f"{time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else None)
