"""The few-label experiment of chapter 11: how much does pretraining buy when labels are rare?

    python -m experiments.chapter_11_few_labels

For 5, 20 and 100 BBC News articles of each class, five random choices of the articles, and
three methods, the accuracy on all test articles; and for all training articles, three seeds.
TF-IDF reads whole articles, frozen features are of the first 128 pieces, and fine-tuning
trains on 48 and tests on 128, with a head on the mean (experiments/chapter_11_heads.py compares it
with the head on [CLS] that the chapter saves). Writes notebooks/results/11-few-labels.json, a row
a result.
"""

import json
import time
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from transformers import AutoTokenizer, DataCollatorWithPadding

from helpers.data import assets, corpora
from helpers.models.classification import MeanPoolClassifier
from helpers.training.loop import TrainingConfig, predict, train

RESULTS = Path(__file__).parents[1] / "notebooks" / "results" / "11-few-labels.json"
PIECES, PIECES_READ = 48, 128  # with a gradient, and without
RUNS = {5: 5, 20: 5, 100: 5, None: 3}  # labelled articles of each class (None: all): seeds
EPOCHS = {5: 20, 20: 8, 100: 2, None: 1}  # more passes over fewer articles
LEARNING_RATE = 1e-4
BATCH_SIZE = 8

tokenizer = AutoTokenizer.from_pretrained(assets.path("minilm"))
collate = DataCollatorWithPadding(tokenizer)


def full_texts(split: Dataset) -> list[str]:
    return [f"{article['headline']}. {article['body']}" for article in split]


def encoded(split: Dataset, pieces: int) -> Dataset:
    columns = tokenizer(full_texts(split), truncation=True, max_length=pieces)
    return Dataset.from_dict({**columns, "label": split["label"][:]})


def classifier() -> MeanPoolClassifier:
    return MeanPoolClassifier.from_pretrained(
        assets.path("minilm"),
        num_labels=5,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    ).eval()


def choose(labels: np.ndarray, per_class: int | None, seed: int) -> np.ndarray:
    """Rows of `per_class` articles of each class, drawn at random; all rows for None."""
    if per_class is None:
        return np.arange(len(labels))
    generator = np.random.default_rng([seed, per_class])
    return np.concatenate(
        [generator.choice(np.flatnonzero(labels == c), per_class, replace=False) for c in range(5)]
    )


@torch.inference_mode()
def features(dataset: Dataset) -> np.ndarray:
    """The frozen model's mean vector of each row, (n, 384)."""
    model, vectors = classifier(), []
    for start in range(0, len(dataset), 32):
        batch = collate([dataset[i] for i in range(start, min(start + 32, len(dataset)))])
        del batch["labels"]
        vectors.append(model.embed(**batch))
    return torch.cat(vectors).numpy()


def linear(x, y, C: float = 1.0) -> LogisticRegression:
    return LogisticRegression(C=C, max_iter=2000).fit(x, y)


def fine_tuned(dataset: Dataset, probe: LogisticRegression, epochs: int, seed: int, test: Dataset):
    """Accuracy on `test` after fine-tuning from the probe's head."""
    torch.manual_seed(seed)
    model = classifier()
    model.classifier.weight.data = torch.tensor(probe.coef_, dtype=torch.float32)
    model.classifier.bias.data = torch.tensor(probe.intercept_, dtype=torch.float32)
    config = TrainingConfig(
        epochs=epochs, batch_size=BATCH_SIZE, learning_rate=LEARNING_RATE, seed=seed
    )
    train(model, dataset, config, collate_fn=collate)
    predictions = predict(model, test, collate_fn=collate)
    return np.mean(predictions.logits.argmax(-1) == predictions.labels)


def main() -> None:
    started = time.perf_counter()
    news = corpora.bbc_news()
    words = {name: full_texts(news[name]) for name in ("train", "test")}
    train_set, test = encoded(news["train"], PIECES), encoded(news["test"], PIECES_READ)
    y, y_test = np.array(train_set["label"]), np.array(test["label"])
    start = features(train_set)  # for the head that fine-tuning starts from
    frozen, frozen_test = features(encoded(news["train"], PIECES_READ)), features(test)
    results = []
    for per_class, seeds in RUNS.items():
        for seed in range(seeds):
            rows = choose(y, per_class, seed)
            tfidf = TfidfVectorizer(sublinear_tf=True, stop_words="english")
            counts = tfidf.fit_transform([words["train"][i] for i in rows])
            probe = linear(start[rows], y[rows])
            accuracies = {
                "TF-IDF": linear(counts, y[rows], C=10.0).score(
                    tfidf.transform(words["test"]), y_test
                ),
                "frozen features": linear(frozen[rows], y[rows]).score(frozen_test, y_test),
                "fine-tuned": fine_tuned(
                    train_set.select(rows), probe, EPOCHS[per_class], seed, test
                ),
            }
            results += [
                {
                    "method": method,
                    "per_class": per_class,
                    "labels": len(rows),
                    "seed": seed,
                    "accuracy": round(float(accuracy), 4),
                }
                for method, accuracy in accuracies.items()
            ]
            print(per_class, seed, accuracies, f"{time.perf_counter() - started:.0f} s", flush=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"{(time.perf_counter() - started) / 60:.0f} minutes")


if __name__ == "__main__":
    main()
