"""What pretraining on 1,409 articles is worth when labels are rare.

    python -m experiments.chapter_08_few_labels MLM|CLM|untrained

For 5, 20 and 100 BBC News articles of each class, and the five random choices of the articles that
chapter 11 makes, a network is fine-tuned and its accuracy measured on all test articles: from the
checkpoint bbc-mlm or bbc-clm, or from random weights. A linear layer reads the mean of the last
layer's vectors; it starts from zero. The rows for MiniLM and TF-IDF are those of chapter 11.
Writes notebooks/results/08-few-labels.json, a row a result, in place of the model's earlier rows.
"""

import argparse
import json
import time
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from transformers import DataCollatorWithPadding
from transformers.modeling_outputs import SequenceClassifierOutput

from experiments.chapter_11_few_labels import RESULTS as CHAPTER_11
from experiments.chapter_11_few_labels import choose
from helpers.models.contrastive import mean_pool
from helpers.models.modernbert import ModernBert
from helpers.training.loop import TrainingConfig, predict, train
from tools.chapter_definitions import CHECKPOINTS, NOTEBOOKS, RESULTS, definitions

CHAPTER = NOTEBOOKS / "08-masked-language-modelling.ipynb"
FILE = RESULTS / "08-few-labels.json"
FOLDERS = {"MLM": "bbc-mlm", "CLM": "bbc-clm"}
ROWS_OF_CHAPTER_11 = {"fine-tuned": "MiniLM", "TF-IDF": "TF-IDF"}  # method: model
SEEDS = 5
PIECES = 128  # read of an article
EPOCHS = {5: 20, 20: 10, 100: 5}  # by labelled articles of a class
# The best on the validation articles, with 20 labels a class and seed 0, of 3e-4, 1e-3, 3e-3 and
# 1e-4 (pretrained) or 1e-2 (untrained).
LEARNING_RATE = {"MLM": 1e-3, "CLM": 3e-4, "untrained": 3e-3}
BATCH_SIZE = 8


class MeanClassifier(nn.Module):
    """A `ModernBert` with one linear layer on the mean of its vectors, padding left out."""

    def __init__(self, encoder: ModernBert, num_labels: int):
        super().__init__()
        self.encoder = encoder
        self.classifier = nn.Linear(encoder.config.d_model, num_labels)
        nn.init.zeros_(self.classifier.weight)  # all classes are equally likely at first
        nn.init.zeros_(self.classifier.bias)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, labels: torch.Tensor
    ) -> SequenceClassifierOutput:
        """ids (B, T), mask (B, T), labels (B,) -> mean cross-entropy in nats, logits (B, C)."""
        hidden = self.encoder.hidden(input_ids, attention_mask)  # (B, T, d)
        logits = self.classifier(mean_pool(hidden, attention_mask))  # (B, C)
        return SequenceClassifierOutput(loss=F.cross_entropy(logits, labels), logits=logits)


def network(c: SimpleNamespace, name: str) -> ModernBert:
    """A pretrained network, or one of random weights from torch's generator."""
    if name == "untrained":
        return ModernBert(c.CONFIG)
    return ModernBert.from_pretrained(CHECKPOINTS / FOLDERS[name])


def encoded(c: SimpleNamespace, split: str) -> list[dict]:
    """The first pieces of each article, with its label."""
    ids = c.tokenizer(c.documents[split], truncation=True, max_length=PIECES)["input_ids"]
    return [
        {"input_ids": row, "label": label}
        for row, label in zip(ids, c.news[split]["label"], strict=True)
    ]


def fine_tuned(
    encoder: ModernBert,
    examples: list[dict],
    collate: DataCollatorWithPadding,
    test: list[dict],
    *,
    learning_rate: float,
    epochs: int,
    seed: int,
) -> float:
    """Accuracy on `test` after training the whole network on the examples."""
    model = MeanClassifier(encoder, num_labels=5)
    config = TrainingConfig(
        epochs=epochs,
        batch_size=BATCH_SIZE,
        learning_rate=learning_rate,
        seed=seed,
        progress=False,
    )
    train(model, examples, config, collate_fn=collate)
    predictions = predict(model, test, collate_fn=collate)
    return float(np.mean(predictions.logits.argmax(-1) == predictions.labels))


def measure(c: SimpleNamespace, name: str) -> list[dict]:
    """A row for each number of labels and choice of articles."""
    train_set, test = encoded(c, "train"), encoded(c, "test")
    y = np.array([example["label"] for example in train_set])
    collate = DataCollatorWithPadding(c.tokenizer)
    results = []
    for per_class, epochs in EPOCHS.items():
        for seed in range(SEEDS):
            torch.manual_seed(seed)
            accuracy = fine_tuned(
                network(c, name),
                [train_set[i] for i in choose(y, per_class, seed)],
                collate,
                test,
                learning_rate=LEARNING_RATE[name],
                epochs=epochs,
                seed=seed,
            )
            results.append({"model": name, "per_class": per_class, "seed": seed})
            results[-1]["accuracy"] = round(accuracy, 4)
            print(results[-1], flush=True)
    return results


def rows_of_chapter_11() -> list[dict]:
    """Results of MiniLM and TF-IDF with the same articles."""
    return [
        {
            "model": ROWS_OF_CHAPTER_11[row["method"]],
            **{key: row[key] for key in ("per_class", "seed", "accuracy")},
        }
        for row in json.loads(CHAPTER_11.read_text("utf-8"))
        if row["method"] in ROWS_OF_CHAPTER_11 and row["per_class"] in EPOCHS
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=tuple(LEARNING_RATE))
    name = parser.parse_args().model
    started = time.perf_counter()
    new = measure(definitions(CHAPTER), name)
    replaced = {name, *ROWS_OF_CHAPTER_11.values()}
    old = json.loads(FILE.read_text("utf-8")) if FILE.exists() else []
    rows = [row for row in old if row["model"] not in replaced] + new + rows_of_chapter_11()
    rows.sort(key=lambda row: (row["model"], row["per_class"], row["seed"]))
    FILE.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(f"{(time.perf_counter() - started) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
