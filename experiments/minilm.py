"""MiniLM, its tokenizer and its classifiers, for the experiments of chapters 11, 12 and 15."""

from functools import cache

import numpy as np
import torch
from datasets import Dataset
from torch import nn
from transformers import AutoTokenizer, DataCollatorWithPadding, PreTrainedTokenizerBase

from helpers.data import assets
from helpers.training.loop import predict


@cache
def tokenizer() -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(assets.path("minilm"))


def collate(examples: list[dict]) -> dict[str, torch.Tensor]:
    """A batch, padded to its longest text."""
    return DataCollatorWithPadding(tokenizer())(examples)


def encoded(texts: list[str], labels: list, pieces: int) -> Dataset:
    """The first pieces of each text, with its label."""
    columns = tokenizer()(texts, truncation=True, max_length=pieces)
    return Dataset.from_dict({**columns, "label": labels})


def classifier(kind: type, num_labels: int, dropout: float = 0.0) -> nn.Module:
    """MiniLM with a head of random weights from torch's generator, in evaluation mode."""
    return kind.from_pretrained(
        assets.path("minilm"),
        num_labels=num_labels,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    ).eval()


def accuracy(model: nn.Module, dataset: Dataset) -> float:
    found = predict(model, dataset, collate_fn=collate)
    return round(float(np.mean(found.logits.argmax(-1) == found.labels)), 4)
