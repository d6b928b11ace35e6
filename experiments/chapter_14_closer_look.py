"""What chapter 14 looks for inside trained models, with the definitions of the chapter itself.

    python -m experiments.chapter_14_closer_look [number of runs]

"update": full fine-tuning at the rate that chapter_14_methods.py chose, on its sentences:
40 updates on 640 of them with three seeds, and all 250 updates with one; the singular values of
what was added to the matrices of queries and values.
"joint": the joint model of chapter_14_multitask.py on 1,000 sentences of each task, at the
rate chosen there: 60 updates with three seeds, and all 375 with one; its training losses, the
cosines of the tasks' gradients on the first validation sentences (four batches of 32 of each
task), and its answers to two sentences.

Every run adds a row to notebooks/results/14-closer-look.json, and one that stands there isn't
repeated, so the script can be stopped and started again. On one core with bfloat16 the short runs
take half a minute each and the long ones two: ten minutes in all.
"""

import json
import sys
import time
from typing import Any

import pandas as pd

from experiments import chapter_14_methods as methods
from experiments import chapter_14_multitask as multitask
from tools.chapter_definitions import RESULTS, definitions

FILE = RESULTS / "14-closer-look.json"
SEEDS = range(3)
UPDATES = {40: (640, 1), 250: (methods.SENTENCES, methods.EPOCHS)}  # sentences and passes
BATCHES, SIZE = 4, 32  # for the cosines, of each task
TEXTS = ("Spielberg disappointed us.", "A wonderful evening with Audrey Hepburn in Rome.")
KEY = ("kind", "steps", "seed")


def jobs() -> list[dict[str, Any]]:
    many = [("update", 40, seed) for seed in SEEDS] + [("joint", 60, seed) for seed in SEEDS]
    long = [("update", 250, 0), ("joint", multitask.UPDATES, 0)]
    return [dict(zip(KEY, values, strict=True)) for values in many + long]


def update(c, settings: dict[str, Any]) -> dict[str, Any]:
    rates = c.chosen_rates(pd.DataFrame(methods.read()))
    sentences, epochs = UPDATES[settings["steps"]]
    rows = methods.training_sentences(c, settings["seed"]).select(range(sentences))
    probe = c.fit_probe(c.frozen_features(rows), rows["labels"][:])
    model, history = c.fine_tune(
        "full", rows, probe, rates["full"], epochs=epochs, seed=settings["seed"]
    )
    assert len(history.losses) == settings["steps"]
    spectra = c.update_spectra(model)
    return {part: [short(row) for row in found.tolist()] for part, found in spectra.items()}


def short(values: list[float]) -> list[float]:
    """To four digits, enough for a share of the squared size."""
    return [float(f"{value:.4g}") for value in values]


def joint(c, settings: dict[str, Any]) -> dict[str, Any]:
    rate = c.chosen_rate(pd.DataFrame(multitask.read()), "joint")
    rows = multitask.training_rows(c, "even", settings["seed"])
    steps, seed = settings["steps"], settings["seed"]
    model, history, data = c.train_tasks(c.TASKS, rows, rate, steps=steps, seed=seed)
    held_out = {
        "sentiment": c.sentences["validation"],
        "entities": c.encoded_news("validation", BATCHES * SIZE),
    }
    cosines = c.gradient_cosines(model, held_out, batches=BATCHES, size=SIZE)
    return {
        "losses": {
            name: [round(history.losses[i], 4) for i in range(steps) if data.tasks[i] == number]
            for number, name in enumerate(c.TASKS)
        },
        "cosines": {name: [round(value, 4) for value in found] for name, found in cosines.items()},
        "answers": [answer(c, model, text) for text in TEXTS],
    }


def answer(c, model, text: str) -> dict[str, Any]:
    positive, tagged = c.read(model, text)
    return {"text": text, "positive": round(positive, 3), "tags": [tag for _, tag in tagged]}


def read() -> list[dict[str, Any]]:
    return json.loads(FILE.read_text("utf-8")) if FILE.exists() else []


def write(rows: list[dict[str, Any]]) -> None:
    """One row a line: indented, the singular values alone would fill 14,000 lines."""
    rows = sorted(rows, key=lambda row: [str(row[name]) for name in KEY])
    FILE.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n", encoding="utf-8")


def main(limit: int | None) -> None:
    c = definitions(methods.CHAPTER)
    done = [{name: row[name] for name in KEY} for row in read()]
    for settings in [settings for settings in jobs() if settings not in done][:limit]:
        started = time.perf_counter()
        row = settings | (update if settings["kind"] == "update" else joint)(c, settings)
        write([*read(), row])
        print(settings, f"{time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else None)
