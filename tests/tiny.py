"""Tiny random models and datasets: the real classes, at a size that trains in a second."""

from collections.abc import Callable

import torch
from datasets import Dataset
from torch import nn
from transformers import BertConfig, BertForSequenceClassification, BertForTokenClassification

from helpers.training.batches import sequence_lengths
from helpers.training.config import TrainingConfig
from helpers.training.run import Run

VOCABULARY = 50
POSITIONS = 32


def bert_config(*, dropout: float = 0.1, num_labels: int = 3, **changes) -> BertConfig:
    settings = {
        "vocab_size": VOCABULARY,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": POSITIONS,
        "hidden_dropout_prob": dropout,
        "attention_probs_dropout_prob": dropout,
        "num_labels": num_labels,
    }
    return BertConfig(**(settings | changes))


def classifier(*, seed: int = 0, **changes) -> BertForSequenceClassification:
    torch.manual_seed(seed)
    return BertForSequenceClassification(bert_config(**changes))


def tagger(*, dropout: float = 0.1, num_labels: int = 3) -> BertForTokenClassification:
    torch.manual_seed(0)
    return BertForTokenClassification(bert_config(dropout=dropout, num_labels=num_labels))


def classification_data(n: int = 40, *, seed: int = 0) -> Dataset:
    """Sequences of 3 to 20 random pieces; the class is the first piece modulo 3."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(3, 21, (n,), generator=generator).tolist()
    ids = [torch.randint(1, VOCABULARY, (k,), generator=generator).tolist() for k in lengths]
    return Dataset.from_dict({"input_ids": ids, "labels": [row[0] % 3 for row in ids]})


def tagging_data(n: int = 40, *, seed: int = 0) -> Dataset:
    """The same sequences; a piece's tag is its id modulo 3, and every fifth has none (-100)."""
    ids = classification_data(n, seed=seed)["input_ids"][:]
    tags = [[piece % 3 if piece % 5 else -100 for piece in row] for row in ids]
    return Dataset.from_dict({"input_ids": ids, "labels": tags})


def collate(examples: list[dict]) -> dict[str, torch.Tensor]:
    """Right-pad ids with 0 and tags with -100."""
    rows = [torch.tensor(example["input_ids"]) for example in examples]
    pad = torch.nn.utils.rnn.pad_sequence
    batch = {
        "input_ids": pad(rows, batch_first=True),
        "attention_mask": pad([torch.ones_like(row) for row in rows], batch_first=True),
    }
    labels = [torch.tensor(example["labels"]) for example in examples if "labels" in example]
    if labels and labels[0].ndim:
        batch["labels"] = pad(labels, batch_first=True, padding_value=-100)
    elif labels:
        batch["labels"] = torch.stack(labels)
    return batch


def fresh_run(
    model: nn.Module,
    data: Dataset,
    config: TrainingConfig,
    group: object,
    optimizer: torch.optim.Optimizer,
    *,
    collate_fn: Callable = collate,
    loss_fn: Callable | None = None,
) -> Run:
    """What `train` makes of its arguments before the first update, in fp32 and for any group."""
    return Run(
        config=config,
        dataset=data,
        collate_fn=collate_fn,
        evaluate_fn=None,
        after_update=None,
        loss_fn=loss_fn,
        group=group,
        model=model,
        wrapped=model,
        optimizer=optimizer,
        scaler=torch.amp.GradScaler("cpu", enabled=False),
        precision="fp32",
        lengths=sequence_lengths(data),
        peaks=[group["lr"] for group in optimizer.param_groups],
    )
