"""Chapter 14, "Five methods at one budget", LoRA on all linear layers: 14-all-linear.json.

    python -m experiments.chapter_14_all_linear

As `chapter_14_methods.py` does it for the other methods, with the same sentences, rank and 250
updates: first one run at each of four learning rates, scored on the validation sentences; then,
with the best rate, three of its seeds on the test sentences too. A row a run.

A run takes two to five minutes on one core: half an hour in all.
"""

from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from experiments.chapter_14_methods import EPOCHS, RANK, RATE_SEED, training_sentences
from experiments.common import RESULTS, Experiment, definitions
from helpers.models.lora import add_lora
from helpers.training.loop import TrainingConfig, train

FILE = RESULTS / "14-all-linear.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="the same 2,000 sentences of a seed as the other methods",
    searched="four learning rates",
    selected="the validation sentences, with a seed (100) that isn't used again",
    test="accuracy of the three runs at the chosen rate",
    seeds=(0, 1, 2),
)
ALL_LINEAR = ("query", "key", "value", "dense")  # dense: of attention and of the feed-forward part
RATES = (4e-4, 1e-3, 2e-3, 5e-3)


def run(c: SimpleNamespace, rate: float, seed: int) -> dict[str, Any]:
    rows = training_sentences(c, seed)
    model = c.start_from_probe(
        c.classifier(), c.fit_probe(c.frozen_features(rows), rows["labels"][:])
    )
    c.torch.manual_seed(seed)
    adapted = add_lora(model, ALL_LINEAR, rank=RANK, alpha=c.ALPHA, train_also=["classifier"])
    trainable = c.trainable(model)
    config = TrainingConfig(epochs=EPOCHS, batch_size=16, learning_rate=rate, seed=seed)
    history = train(model, rows, config, collate_fn=c.collate)
    return {
        "rank": RANK,
        "layers": len(adapted),
        "trainable": trainable,
        "updates": len(history.losses),
        "validation": round(c.accuracy(model, c.sentences["validation"]), 4),
        "test": None if seed == RATE_SEED else round(c.accuracy(model, c.sentences["test"]), 4),
        "loss": round(float(np.mean(history.losses[-50:])), 4),
        "seconds": round(history.seconds, 1),
    }


def plan(seeds: list[int], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The runs that choose the rate; once they stand, those at the chosen rate too."""
    tried = {row["rate"]: row["validation"] for row in rows if row["seed"] == RATE_SEED}
    runs = [{"rate": rate, "seed": RATE_SEED} for rate in RATES]
    if tried.keys() >= set(RATES):
        runs += [{"rate": max(tried, key=tried.get), "seed": seed} for seed in seeds]
    return runs


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    c = definitions("14")
    EXPERIMENT.fill(FILE, arguments, partial(plan, arguments.seeds), partial(run, c))


if __name__ == "__main__":
    main()
