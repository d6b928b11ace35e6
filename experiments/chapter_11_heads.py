"""Two heads for chapter 11: transformers' own, on [CLS], and one on the mean of all vectors.

    python -m experiments.chapter_11_heads

Each head starts from a linear classifier fitted to what it will read: the frozen encoder's pooler
output, or the mean of its vectors, of 50 articles of each class. Then the chapter's fine-tuning,
three seeds each: all training articles once, the first 48 pieces of each, and 128 in tests. The
settings are the same for both heads and were not tuned for either. Writes
notebooks/results/11-heads.json, a row a run, with the accuracy on validation and test articles.
"""

import json
import time
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from sklearn.linear_model import LogisticRegression
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding

from helpers.data import assets, corpora
from helpers.models.classification import MeanPoolClassifier
from helpers.training.loop import TrainingConfig, predict, train

RESULTS = Path(__file__).parents[1] / "notebooks" / "results" / "11-heads.json"
HEADS = {"[CLS]": AutoModelForSequenceClassification, "mean": MeanPoolClassifier}
PIECES, PIECES_READ = 48, 128  # with a gradient, and without
PROBE_ROWS = 50  # of each class
SEEDS = 3

tokenizer = AutoTokenizer.from_pretrained(assets.path("minilm"))
collate = DataCollatorWithPadding(tokenizer)


def encoded(split: Dataset, pieces: int) -> Dataset:
    texts = [f"{article['headline']}. {article['body']}" for article in split]
    columns = tokenizer(texts, truncation=True, max_length=pieces)
    return Dataset.from_dict({**columns, "label": split["label"][:]})


def load(head: str) -> nn.Module:
    return (
        HEADS[head]
        .from_pretrained(
            assets.path("minilm"),
            num_labels=5,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
        .eval()
    )


@torch.inference_mode()
def features(head: str, dataset: Dataset) -> np.ndarray:
    """What the head of the untrained model reads of each row, (n, 384)."""
    model, vectors = load(head), []
    for start in range(0, len(dataset), 32):
        batch = collate([dataset[i] for i in range(start, min(start + 32, len(dataset)))])
        del batch["labels"]
        vectors.append(
            model.embed(**batch) if head == "mean" else model.bert(**batch).pooler_output
        )
    return torch.cat(vectors).numpy()


def fine_tuned(head: str, probe: LogisticRegression, dataset: Dataset, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    model = load(head)
    model.classifier.weight.data = torch.tensor(probe.coef_, dtype=torch.float32)
    model.classifier.bias.data = torch.tensor(probe.intercept_, dtype=torch.float32)
    config = TrainingConfig(epochs=1, batch_size=8, learning_rate=1e-4, seed=seed)
    train(model, dataset, config, collate_fn=collate)
    return model


def accuracy(model: nn.Module, dataset: Dataset) -> float:
    found = predict(model, dataset, collate_fn=collate)
    return round(float(np.mean(found.logits.argmax(-1) == found.labels)), 4)


def main() -> None:
    news = corpora.bbc_news()
    train_set = encoded(news["train"], PIECES)
    read = {name: encoded(news[name], PIECES_READ) for name in ("validation", "test")}
    y = np.array(train_set["label"])
    few = np.concatenate([np.flatnonzero(y == c)[:PROBE_ROWS] for c in range(5)])
    results = []
    for head in HEADS:
        x = features(head, train_set.select(few))
        probe = LogisticRegression(C=1.0, max_iter=2000).fit(x, y[few])
        for seed in range(SEEDS):
            started = time.perf_counter()
            model = fine_tuned(head, probe, train_set, seed)
            row = {"head": head, "seed": seed}
            row |= {name: accuracy(model, rows) for name, rows in read.items()}
            results.append(row)
            print(row, f"{time.perf_counter() - started:.0f} s", flush=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
