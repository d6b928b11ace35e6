"""Chapter 11, fig-11-few-labels: 11-few-labels.json.

    python -m experiments.chapter_11_few_labels

How much does pretraining buy when labels are rare? For 5, 20 and 100 BBC News articles of each
class, five random choices of the articles, and three methods, the accuracy on all test articles;
and for all training articles, three seeds. Fine-tuning has a head on the mean
(experiments/chapter_11_heads.py compares it with the head on [CLS] that the chapter saves). A row a
result, a quarter of an hour in all on two cores.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from datasets import Dataset, DatasetDict
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from torch import nn

from experiments import minilm
from experiments.common import RESULTS, Experiment
from helpers.data import corpora
from helpers.models.classification import MeanPoolClassifier
from helpers.teaching import environment
from helpers.training.loop import TrainingConfig, train

FILE = RESULTS / "11-few-labels.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="the same labelled articles for all; whole articles for TF-IDF (the chapter adds one on "
    "128 pieces), 128 pieces for frozen features; fine-tuning trains on 48 and is tested on 128",
    searched="nothing: `C` is 10 for TF-IDF and 1 for frozen features; fine-tuning has batches of "
    "8, a learning rate of 0.0001, and more passes over fewer articles",
    selected="nothing",
    test="all of them, for every run",
    seeds=(0, 1, 2, 3, 4),
)
PIECES, PIECES_READ = 48, 128  # with a gradient, and without
RUNS = {5: 5, 20: 5, 100: 5, None: 3}  # labelled articles of each class (None: all): seeds
EPOCHS = {5: 20, 20: 8, 100: 2, None: 1}  # more passes over fewer articles
LEARNING_RATE = 1e-4
BATCH_SIZE = 8


@cache
def news() -> DatasetDict:
    return corpora.bbc_news()


@cache
def full_texts(split: str) -> list[str]:
    return [f"{article['headline']}. {article['body']}" for article in news()[split]]


@cache
def encoded(split: str, pieces: int) -> Dataset:
    return minilm.encoded(full_texts(split), news()[split]["label"][:], pieces)


def choose(labels: np.ndarray, per_class: int | None, seed: int) -> np.ndarray:
    """Rows of `per_class` articles of each class, drawn at random; all rows for None."""
    if per_class is None:
        return np.arange(len(labels))
    generator = np.random.default_rng([seed, per_class])
    return np.concatenate(
        [generator.choice(np.flatnonzero(labels == c), per_class, replace=False) for c in range(5)]
    )


@torch.inference_mode()
def vectors(embed: Callable[..., torch.Tensor], dataset: Dataset) -> np.ndarray:
    """`embed`'s vector of each row, (n, 384)."""
    found = []
    for start in range(0, len(dataset), 32):
        rows = range(start, min(start + 32, len(dataset)))
        batch = minilm.collate([dataset[i] for i in rows])
        del batch["labels"]
        found.append(embed(**batch))
    return torch.cat(found).numpy()


@cache
def features(split: str, pieces: int) -> np.ndarray:
    """The frozen model's mean vector of each article, (n, 384)."""
    model = minilm.classifier(MeanPoolClassifier, 5)
    return vectors(model.embed, encoded(split, pieces))


def linear(x, y, C: float = 1.0) -> LogisticRegression:
    return LogisticRegression(C=C, max_iter=2000).fit(x, y)


def fine_tuned(
    kind: type, probe: LogisticRegression, dataset: Dataset, *, epochs: int, seed: int
) -> nn.Module:
    """A classifier that started from the probe's head."""
    torch.manual_seed(seed)
    model = minilm.classifier(kind, 5)
    model.classifier.weight.data = torch.tensor(probe.coef_, dtype=torch.float32)
    model.classifier.bias.data = torch.tensor(probe.intercept_, dtype=torch.float32)
    config = TrainingConfig(
        epochs=epochs, batch_size=BATCH_SIZE, learning_rate=LEARNING_RATE, seed=seed
    )
    train(model, dataset, config, collate_fn=minilm.collate)
    return model


def test_accuracy(method: str, rows: np.ndarray, per_class: int | None, seed: int) -> float:
    y, y_test = (np.array(news()[split]["label"]) for split in ("train", "test"))
    if method == "TF-IDF":
        tfidf = TfidfVectorizer(sublinear_tf=True, stop_words="english")
        counts = tfidf.fit_transform([full_texts("train")[i] for i in rows])
        found = linear(counts, y[rows], C=10.0)
        return found.score(tfidf.transform(full_texts("test")), y_test)
    if method == "frozen features":
        found = linear(features("train", PIECES_READ)[rows], y[rows])
        return found.score(features("test", PIECES_READ), y_test)
    probe = linear(features("train", PIECES)[rows], y[rows])
    model = fine_tuned(
        MeanPoolClassifier,
        probe,
        encoded("train", PIECES).select(rows),
        epochs=EPOCHS[per_class],
        seed=seed,
    )
    return minilm.accuracy(model, encoded("test", PIECES_READ))


def run(method: str, per_class: int | None, seed: int) -> dict:
    rows = choose(np.array(news()["train"]["label"]), per_class, seed)
    accuracy = round(float(test_accuracy(method, rows, per_class, seed)), 4)
    return {"labels": len(rows), "accuracy": accuracy}


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    environment.set_up()
    plan = [
        {"method": method, "per_class": per_class, "seed": seed}
        for per_class, runs in RUNS.items()
        for seed in arguments.seeds[:runs]
        for method in ("TF-IDF", "frozen features", "fine-tuned")
    ]
    EXPERIMENT.fill(FILE, arguments, plan, run)


if __name__ == "__main__":
    main()
