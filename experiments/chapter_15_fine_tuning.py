"""Chapter 15, "On MiniLM itself", fig-15-range, "Warm-up and decay": 15-fine-tuning.json.

    python -m experiments.chapter_15_fine_tuning

Remedies against overfitting, a range test and schedules on a fine-tuned MiniLM. Review sentences,
negative or positive; all 22.7 million weights are trained.

- remedies: 300 updates of 8 sentences on 200 sentences (12 passes; 1,600 sentences for "more
  data"), each remedy alone. Three to four minutes a run, 55 in all.
- range_test: 100 updates of 16 with a learning rate that rises from 1e-7 to 1e-2. About 90 s.
- schedules: one pass over 2,000 sentences, four schedules. About 100 s a run, 20 minutes in all.

Times are of one core. A row a run.
"""

from functools import partial

import numpy as np
import torch
from datasets import Dataset

from experiments import minilm
from experiments.common import RESULTS, Experiment, read
from helpers.data import corpora
from helpers.models.classification import MeanPoolClassifier
from helpers.teaching import environment
from helpers.training.loop import TrainingConfig, evaluate, predict, train
from helpers.training.optim import adamw

FILE = RESULTS / "15-fine-tuning.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="the same 200 sentences of a seed for all remedies but more data; 2,000 for schedules",
    searched="nothing: the strengths were set beforehand",
    selected="nothing but the step at which early stopping stops, on the validation sentences",
    test="loss and accuracy of every run",
    seeds=(0, 1, 2),
)
POOL = 2000  # sentences that training sets are drawn from, as in the chapter
LEARNING_RATE = 1e-4
FEW, MORE, STEPS = 200, 1600, 300
# remedy: (sentences, dropout, other settings of TrainingConfig)
REMEDIES = {
    "nothing": (FEW, 0.0, {"weight_decay": 0.0}),
    "more data": (MORE, 0.0, {"weight_decay": 0.0}),
    "weight decay 1": (FEW, 0.0, {"weight_decay": 1.0}),
    "dropout 0.3": (FEW, 0.3, {"weight_decay": 0.0}),
    "smoothing 0.2": (FEW, 0.0, {"weight_decay": 0.0, "label_smoothing": 0.2}),
    "early stopping": (
        FEW,
        0.0,
        {"weight_decay": 0.0, "best_metric": "loss", "higher_is_better": False},
    ),
}
SCHEDULES = {
    "constant": ("constant", 0.0),
    "linear": ("linear", 0.0),
    "warm-up, linear": ("linear", 0.1),
    "warm-up, cosine": ("cosine", 0.1),
}


def classifier(seed: int, dropout: float = 0.0) -> MeanPoolClassifier:
    """MiniLM with a head of random weights that `seed` draws."""
    torch.manual_seed(seed)
    return minilm.classifier(MeanPoolClassifier, 2, dropout)


def test_scores(model: MeanPoolClassifier, test: Dataset) -> dict[str, float]:
    predictions = predict(model, test, collate_fn=minilm.collate)
    accuracy = np.mean(predictions.logits.argmax(-1) == predictions.labels)
    return {"test_loss": round(predictions.loss, 4), "test_accuracy": round(float(accuracy), 4)}


def run_remedy(data: dict[str, Dataset], remedy: str, seed: int) -> dict:
    size, dropout, settings = REMEDIES[remedy]
    rows = np.random.default_rng(seed).permutation(POOL)[:size]
    model = classifier(seed, dropout)
    config = TrainingConfig(
        steps=STEPS,
        batch_size=8,
        learning_rate=LEARNING_RATE,
        seed=seed,
        evaluate_every=50,
        **settings,
    )
    history = train(
        model,
        data["train"].select(rows),
        config,
        collate_fn=minilm.collate,
        evaluate_fn=lambda model: evaluate(model, data["validation"], collate_fn=minilm.collate),
    )
    course = [
        {"step": record["step"], "loss": round(record["loss"], 4)} for record in history.evaluations
    ]
    return {
        **test_scores(model, data["test"]),
        "training_loss": round(float(np.mean(history.losses[-25:])), 5),
        "validation": course,
    }


def run_schedule(data: dict[str, Dataset], schedule: str, seed: int) -> dict:
    shape, warmup = SCHEDULES[schedule]
    model = classifier(seed)
    config = TrainingConfig(
        epochs=1,
        batch_size=16,
        learning_rate=LEARNING_RATE,
        schedule=shape,
        warmup_ratio=warmup,
        seed=seed,
    )
    train(model, data["train"], config, collate_fn=minilm.collate)
    return test_scores(model, data["test"])


def run_range_test(data: dict[str, Dataset]) -> dict[str, list[float]]:
    """Losses of single updates, each with a higher rate than the last."""
    rates = np.geomspace(1e-7, 1e-2, 100)
    order = np.random.default_rng(0).permutation(POOL)
    model = classifier(0).train()
    optimizer = adamw(model, rates[0], weight_decay=0.0)
    losses = []
    for step, rate in enumerate(rates):
        for group in optimizer.param_groups:
            group["lr"] = float(rate)
        batch = minilm.collate([data["train"][int(i)] for i in order[16 * step : 16 * (step + 1)]])
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(round(loss.item(), 4))
    return {"rates": rates.tolist(), "losses": losses}


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    environment.set_up()
    reviews = corpora.movie_reviews(binary=True)
    reviews["train"] = reviews["train"].select(range(POOL))
    data = {
        name: minilm.encoded(split["text"][:], split["label"][:], pieces=128)
        for name, split in reviews.items()
    }
    for seed in arguments.seeds:  # all of a seed before the next one
        remedies = [{"remedy": name, "seed": seed} for name in REMEDIES]
        EXPERIMENT.fill(FILE, arguments, remedies, partial(run_remedy, data), part="remedies")
        schedules = [{"schedule": name, "seed": seed} for name in SCHEDULES]
        EXPERIMENT.fill(FILE, arguments, schedules, partial(run_schedule, data), part="schedules")
    if "range_test" not in read(FILE, {}):
        EXPERIMENT.make(FILE, lambda: run_range_test(data), part="range_test")


if __name__ == "__main__":
    main()
