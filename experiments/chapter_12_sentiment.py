"""The runs of chapter 12 on all training sentences: classes, ratings, and training on typos.

    python -m experiments.chapter_12_sentiment            # every run that is still missing
    python -m experiments.chapter_12_sentiment --runs 1   # one of them, then stop

Fine-tunes MiniLM with `helpers.training.train`, two passes, no dropout, 64 pieces, on

    binary      negative or positive;
    typos       as binary, but half the training words of four letters and more are misspelt;
    regression  the mean rating;
    five        five classes;

seed by seed. `binary` tries two learning rates with seed 0, and all else takes the one with the
lower final validation loss. Every model predicts all validation and test sentences, the neutral
ones too; `binary` and `typos` also predict misspelt test sentences. A run is appended to
notebooks/results/12-sentiment.json when it is done, so an interrupted script goes on behind the
last finished run.

A run trains 400,000 pieces and predicts 250,000 to 400,000. On one core without bfloat16 and
beside other work it took 12 to 16 minutes.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding

from helpers.data import assets, corpora
from helpers.data.typos import swap_letters
from helpers.training.loop import TrainingConfig, evaluate, predict, train

RESULTS = Path(__file__).parents[1] / "notebooks" / "results" / "12-sentiment.json"
PIECES, EPOCHS, BATCH_SIZE = 64, 2, 16
LEARNING_RATES = (5e-5, 1e-4)  # tried on `binary`, seed 0
SEEDS = (0,)  # more of them give the spread of a run, about an hour of one core each
TYPO_RATES = (0.0, 0.1, 0.2, 0.4, 0.8)  # shares of the words of four letters and more
TRAINED_TYPO_RATE = 0.5
CLASSES = {"binary": 2, "typos": 2, "regression": 1, "five": 5}

tokenizer = AutoTokenizer.from_pretrained(assets.path("minilm"))
collate = DataCollatorWithPadding(tokenizer)


def misspelt(texts: list[str], rate: float, seed: int) -> list[str]:
    """The same typos as in the chapter: one generator for each rate and seed."""
    generator = np.random.default_rng([seed, round(100 * rate)])
    return [swap_letters(text, rate, generator) for text in texts]


def encoded(texts: list[str], labels: list) -> Dataset:
    columns = tokenizer(texts, truncation=True, max_length=PIECES)
    return Dataset.from_dict({**columns, "label": labels})


def training_set(task: str, seed: int) -> Dataset:
    split = corpora.movie_reviews(binary=task in ("binary", "typos"))["train"]
    texts = split["text"][:]
    if task == "typos":
        texts = misspelt(texts, TRAINED_TYPO_RATE, seed + 1000)  # not those of the tests
    return encoded(texts, split["rating" if task == "regression" else "label"][:])


def everything(name: str, task: str, texts: list[str] | None = None) -> Dataset:
    """All sentences of a split, with labels that the task's loss can take."""
    split = corpora.movie_reviews()[name]
    ratings = split["rating"][:]
    if task == "regression":
        labels = ratings
    elif task == "five":
        labels = split["label"][:]
    else:
        labels = [int(rating > 0) for rating in ratings]
    return encoded(split["text"][:] if texts is None else texts, labels)


def outputs(model: torch.nn.Module, dataset: Dataset) -> list:
    """What is kept of the logits: rating, margin (positive minus negative), or five of them."""
    logits = predict(model, dataset, collate_fn=collate).logits  # (n, C)
    if logits.shape[1] == 1:
        logits = logits[:, 0]  # (n,)
    elif logits.shape[1] == 2:
        logits = logits[:, 1] - logits[:, 0]  # (n,): two classes depend on nothing else
    return np.round(logits.astype(float), 3).tolist()


def fine_tuned(task: str, seed: int, learning_rate: float) -> dict:
    """One run, as a row of the results."""
    torch.manual_seed(seed)
    model = AutoModelForSequenceClassification.from_pretrained(
        assets.path("minilm"),
        num_labels=CLASSES[task],
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    split = corpora.movie_reviews(binary=task in ("binary", "typos"))["validation"]
    validation = encoded(split["text"][:], split["rating" if task == "regression" else "label"][:])
    config = TrainingConfig(
        epochs=EPOCHS, batch_size=BATCH_SIZE, learning_rate=learning_rate, seed=seed
    )
    history = train(
        model,
        training_set(task, seed),
        config,
        collate_fn=collate,
        evaluate_fn=lambda model: evaluate(model, validation, collate_fn=collate),
    )
    row = {
        "task": task,
        "seed": seed,
        "learning_rate": learning_rate,
        "validation_losses": [round(e["loss"], 4) for e in history.evaluations],
        "training_seconds": round(history.seconds),
        "validation": outputs(model, everything("validation", task)),
        "test": outputs(model, everything("test", task)),
    }
    if task in ("binary", "typos"):
        row["misspelt"] = {str(rate): misspelt_accuracy(model, rate, seed) for rate in TYPO_RATES}
    return row


def misspelt_accuracy(model: torch.nn.Module, rate: float, seed: int) -> float:
    """Accuracy on the test sentences that aren't neutral, misspelt at `rate`."""
    split = corpora.movie_reviews(binary=True)["test"]
    dataset = encoded(misspelt(split["text"][:], rate, seed), split["label"][:])
    predictions = predict(model, dataset, collate_fn=collate)
    return round(float(np.mean(predictions.logits.argmax(-1) == predictions.labels)), 4)


def best_rate(rows: list[dict]) -> float:
    """The learning rate with the lowest final validation loss of `binary`, seed 0."""
    tried = [row for row in rows if row["task"] == "binary" and row["seed"] == 0]
    return min(tried, key=lambda row: row["validation_losses"][-1])["learning_rate"]


def next_run(rows: list[dict]) -> tuple[str, int, float] | None:
    """Task, seed and learning rate of the first run that isn't in the results; None at the end."""
    done = {(row["task"], row["seed"], row["learning_rate"]) for row in rows}
    for rate in LEARNING_RATES:
        if ("binary", 0, rate) not in done:
            return "binary", 0, rate
    rate = best_rate(rows)
    # Seed by seed, so that a script that is stopped early has all tasks.
    runs = [(task, seed, rate) for seed in SEEDS for task in CLASSES]
    return next((run for run in runs if run not in done), None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100, help="stop after so many runs")
    for _ in range(parser.parse_args().runs):
        rows = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
        run = next_run(rows)
        if run is None:
            break
        started = time.perf_counter()
        row = fine_tuned(*run)
        lines = ",\n".join(json.dumps(row) for row in [*rows, row])  # a run a line
        RESULTS.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
        minutes = (time.perf_counter() - started) / 60
        print(*run, row["validation_losses"], f"{minutes:.1f} minutes", flush=True)


if __name__ == "__main__":
    main()
