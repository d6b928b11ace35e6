"""Chapter 15 on a fine-tuned MiniLM: remedies against overfitting, a range test, schedules.

    python -m experiments.chapter_15_fine_tuning [--runs 2]

Review sentences, negative or positive; all 22.7 million weights are trained.

- remedies: 300 updates of 8 sentences on 200 sentences (12 passes; 1,600 sentences for "more
  data"), each remedy alone, three seeds. Three to four minutes a run, 55 in all.
- range_test: 100 updates of 16 with a learning rate that rises from 1e-7 to 1e-2. About 90 s.
- schedules: one pass over 2,000 sentences, four schedules, three seeds. About 100 s a run, 20
  minutes in all.

Times are of one core. The strengths of the remedies were set beforehand and not tuned; validation
texts serve early stopping alone. Writes notebooks/results/15-fine-tuning.json after each run and
leaves out the runs that it holds already, so `--runs` does the next few.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from transformers import AutoTokenizer, DataCollatorWithPadding

from helpers.data import assets, corpora
from helpers.models.classification import MeanPoolClassifier
from helpers.training.loop import TrainingConfig, evaluate, predict, train
from helpers.training.optim import adamw

RESULTS = Path(__file__).parents[1] / "notebooks" / "results" / "15-fine-tuning.json"
POOL = 2000  # sentences that training sets are drawn from, as in the chapter
SEEDS = 3
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

tokenizer = AutoTokenizer.from_pretrained(assets.path("minilm"))
collate = DataCollatorWithPadding(tokenizer)


def encoded(split: Dataset) -> Dataset:
    columns = tokenizer(list(split["text"]), truncation=True, max_length=128)
    return Dataset.from_dict({**columns, "label": list(split["label"])})


def classifier(seed: int, dropout: float = 0.0) -> MeanPoolClassifier:
    """MiniLM with a head of random weights that `seed` draws."""
    torch.manual_seed(seed)
    return MeanPoolClassifier.from_pretrained(
        assets.path("minilm"),
        num_labels=2,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )


def test_scores(model: MeanPoolClassifier, test: Dataset) -> dict[str, float]:
    predictions = predict(model, test, collate_fn=collate)
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
        collate_fn=collate,
        evaluate_fn=lambda model: evaluate(model, data["validation"], collate_fn=collate),
    )
    course = [
        {"step": record["step"], "loss": round(record["loss"], 4)} for record in history.evaluations
    ]
    return {
        "remedy": remedy,
        "seed": seed,
        **test_scores(model, data["test"]),
        "training_loss": round(float(np.mean(history.losses[-25:])), 5),
        "validation": course,
    }


def run_schedule(data: dict[str, Dataset], name: str, seed: int) -> dict:
    schedule, warmup = SCHEDULES[name]
    model = classifier(seed)
    config = TrainingConfig(
        epochs=1,
        batch_size=16,
        learning_rate=LEARNING_RATE,
        schedule=schedule,
        warmup_ratio=warmup,
        seed=seed,
    )
    train(model, data["train"], config, collate_fn=collate)
    return {"schedule": name, "seed": seed, **test_scores(model, data["test"])}


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
        batch = collate([data["train"][int(i)] for i in order[16 * step : 16 * (step + 1)]])
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(round(loss.item(), 4))
    return {"rates": rates.tolist(), "losses": losses}


def jobs() -> list[tuple[str, str, int]]:
    """Every run, as (part of the results, name, seed); a seed of all before the next seed."""
    found = [("range_test", "", 0)]
    for seed in range(SEEDS):
        found += [("remedies", name, seed) for name in REMEDIES]
        found += [("schedules", name, seed) for name in SCHEDULES]
    return found


def is_done(results: dict, part: str, name: str, seed: int) -> bool:
    if part == "range_test":
        return bool(results[part])
    return any(name in row.values() and row["seed"] == seed for row in results[part])


def in_order(results: dict) -> dict:
    """The same results in the order of the tables above, whatever order they were run in."""
    for part, key, names in (
        ("remedies", "remedy", list(REMEDIES)),
        ("schedules", "schedule", list(SCHEDULES)),
    ):
        results[part].sort(
            key=lambda row, key=key, names=names: (names.index(row[key]), row["seed"])
        )
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, help="how many runs to do now; all by default")
    wanted = parser.parse_args().runs
    results = {"remedies": [], "range_test": {}, "schedules": []}
    if RESULTS.exists():
        results = json.loads(RESULTS.read_text(encoding="utf-8"))
    reviews = corpora.movie_reviews(binary=True)
    reviews["train"] = reviews["train"].select(range(POOL))
    data = {name: encoded(split) for name, split in reviews.items()}
    for part, name, seed in [job for job in jobs() if not is_done(results, *job)][:wanted]:
        started = time.perf_counter()
        if part == "range_test":
            results[part] = run_range_test(data)
        else:
            run = run_remedy if part == "remedies" else run_schedule
            results[part].append(run(data, name, seed))
        RESULTS.write_text(json.dumps(in_order(results), indent=1) + "\n", encoding="utf-8")
        print(part, name, seed, f"{time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
