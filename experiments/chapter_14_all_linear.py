"""Chapter 14, "Five methods at one budget", a first look at LoRA on all layers: 14-all-linear.json.

    python -m experiments.chapter_14_all_linear

One run at each of four learning rates, with the seed, the 2,000 sentences, the rank and the 250
updates with which `chapter_14_methods.py` chose the rates of the other methods, scored on the
validation sentences alone. A row a run.

About nine minutes on one core. It is one seed and one choice of rates, so it settles nothing.
"""

from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from experiments.chapter_14_methods import EPOCHS, RANK, training_sentences
from experiments.common import RESULTS, Experiment, definitions
from helpers.models.lora import add_lora
from helpers.training.loop import TrainingConfig, train

FILE = RESULTS / "14-all-linear.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="the 2,000 sentences with which the other methods' rates were chosen",
    searched="four learning rates",
    selected="the validation sentences, which give the result too",
    test="not used",
    seeds=(100,),  # RATE_SEED of chapter_14_methods
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
        "loss": round(float(np.mean(history.losses[-50:])), 4),
        "seconds": round(history.seconds, 1),
    }


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    c = definitions("14")
    plan = [{"rate": rate, "seed": seed} for seed in arguments.seeds for rate in RATES]
    EXPERIMENT.fill(FILE, arguments, plan, partial(run, c))


if __name__ == "__main__":
    main()
