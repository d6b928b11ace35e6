"""Chapter 14, fig-14-spectrum, "Do the tasks help or hinder each other?": 14-closer-look.json.

    python -m experiments.chapter_14_closer_look

What the chapter looks for inside trained models.
"update": full fine-tuning at the rate that chapter_14_methods.py chose, on its sentences:
40 updates on 640 of them with three seeds, and all 250 updates with one; the singular values of
what was added to the matrices of queries and values.
"joint": the joint model of chapter_14_multitask.py on 1,000 sentences of each task, at the
rate chosen there: 60 updates with three seeds, and all 375 with one; its training losses, the
cosines of the tasks' gradients on the first validation sentences (four batches of 32 of each
task), and its answers to two sentences.

A row a run. On one core with bfloat16 the short runs take half a minute each and the long ones two:
ten minutes in all.
"""

from functools import partial
from typing import Any

import pandas as pd

from experiments import chapter_14_methods as methods
from experiments import chapter_14_multitask as multitask
from experiments.common import RESULTS, Experiment, definitions

FILE = RESULTS / "14-closer-look.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="the sentences of the two comparisons",
    searched="nothing here: the rates that the two comparisons chose",
    selected="nothing",
    test="not used",
    seeds=(0, 1, 2),
)
UPDATES = {40: (640, 1), 250: (methods.SENTENCES, methods.EPOCHS)}  # sentences and passes
BATCHES, SIZE = 4, 32  # for the cosines, of each task
TEXTS = ("Spielberg disappointed us.", "A wonderful evening with Audrey Hepburn in Rome.")


def update(c, steps: int, seed: int) -> dict[str, Any]:
    rates = c.chosen_rates(pd.read_json(methods.FILE))
    sentences, epochs = UPDATES[steps]
    rows = methods.training_sentences(c, seed).select(range(sentences))
    probe = c.fit_probe(c.frozen_features(rows), rows["labels"][:])
    model, history = c.fine_tune("full", rows, probe, rates["full"], epochs=epochs, seed=seed)
    assert len(history.losses) == steps
    spectra = c.update_spectra(model)
    return {part: [short(row) for row in found.tolist()] for part, found in spectra.items()}


def short(values: list[float]) -> list[float]:
    """To four digits, enough for a share of the squared size."""
    return [float(f"{value:.4g}") for value in values]


def joint(c, steps: int, seed: int) -> dict[str, Any]:
    rate = c.chosen_rate(pd.read_json(multitask.FILE), "joint")
    rows = multitask.training_rows(c, "even", seed)
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


def run(c, kind: str, **settings: int) -> dict[str, Any]:
    return update(c, **settings) if kind == "update" else joint(c, **settings)


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    c = definitions("14")
    plan = [
        {"kind": kind, "steps": steps, "seed": seed}
        for kind, steps in (("update", 40), ("joint", 60))
        for seed in arguments.seeds
    ]
    plan += [{"kind": "update", "steps": 250, "seed": 0}]
    plan += [{"kind": "joint", "steps": multitask.UPDATES, "seed": 0}]
    EXPERIMENT.fill(FILE, arguments, plan, partial(run, c))


if __name__ == "__main__":
    main()
