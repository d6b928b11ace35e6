"""Chapters 08 and 09, fig-08-few-labels and fig-09-downstream: 08-few-labels.json.

    python -m experiments.chapter_08_few_labels

What pretraining on 1,409 articles is worth when labels are rare. For 5, 20 and 100 BBC News
articles of each class, and the five random choices of the articles that chapter 11 makes, a network
is fine-tuned and its accuracy measured on all test articles: from the checkpoint bbc-mlm or
bbc-clm, or from random weights. A linear layer reads the mean of the last layer's vectors; it
starts from zero. A row a run; those of MiniLM and TF-IDF are copied from chapter 11.
"""

from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from transformers import DataCollatorWithPadding
from transformers.modeling_outputs import SequenceClassifierOutput

from experiments.chapter_11_few_labels import FILE as CHAPTER_11
from experiments.chapter_11_few_labels import choose
from experiments.common import CHECKPOINTS, RESULTS, Experiment, definitions, read
from helpers.models.contrastive import mean_pool
from helpers.models.modernbert import ModernBert
from helpers.training.loop import TrainingConfig, predict, train

FILE = RESULTS / "08-few-labels.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="the first 128 pieces of the same labelled articles; TF-IDF whole articles",
    searched="four learning rates for each network, one run each; MiniLM's are chapter 11's",
    selected="the validation articles, with 20 labels a class and seed 0",
    test="accuracy of every run on all test articles",
    seeds=(0, 1, 2, 3, 4),
)
FOLDERS = {"MLM": "bbc-mlm", "CLM": "bbc-clm"}
METHODS_OF_CHAPTER_11 = {"MiniLM": "fine-tuned", "TF-IDF": "TF-IDF"}  # by the name here
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


def measure(
    c: SimpleNamespace, data: dict[str, list[dict]], model: str, per_class: int, seed: int
) -> float:
    """Accuracy of a network on the test articles, with one choice of labelled articles."""
    y = np.array([example["label"] for example in data["train"]])
    examples = [data["train"][i] for i in choose(y, per_class, seed)]
    torch.manual_seed(seed)
    return fine_tuned(
        network(c, model),
        examples,
        DataCollatorWithPadding(c.tokenizer),
        data["test"],
        learning_rate=LEARNING_RATE[model],
        epochs=EPOCHS[per_class],
        seed=seed,
    )


def from_chapter_11(model: str, **run: int) -> float:
    """Accuracy of MiniLM or TF-IDF with the same articles."""
    wanted = {"method": METHODS_OF_CHAPTER_11[model], **run}
    [row] = [row for row in read(CHAPTER_11, []) if wanted.items() <= row.items()]
    return row["accuracy"]


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    c = definitions("08")
    data = {split: encoded(c, split) for split in ("train", "test")}
    plan = [
        {"model": model, "per_class": per_class, "seed": seed}
        for model in (*LEARNING_RATE, *METHODS_OF_CHAPTER_11)
        for per_class in EPOCHS
        for seed in arguments.seeds
    ]

    def run(model: str, **settings: int) -> dict[str, float]:
        if model in METHODS_OF_CHAPTER_11:
            return {"accuracy": from_chapter_11(model, **settings)}
        return {"accuracy": round(measure(c, data, model, **settings), 4)}

    EXPERIMENT.fill(FILE, arguments, plan, run)


if __name__ == "__main__":
    main()
