"""How fast `train` fine-tunes, against four other loops, in one process: `make bench`.

One epoch of named entity recognition on CoNLL-2003 sentences with MiniLM. The contenders take
turns; each round starts from the same weights. Speeds are real tokens a second (padding not
counted), shown as ratios: median and range over the rounds. Nothing else should run meanwhile.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from tempfile import TemporaryDirectory

import numpy as np
import torch
from datasets import Dataset
from torch import nn
from transformers import (
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    Trainer,
    TrainingArguments,
)
from transformers.utils import logging

from helpers.data import assets, corpora
from helpers.training.batches import plan_epoch, sequence_lengths, take
from helpers.training.loop import TrainingConfig, train
from helpers.training.objective import to_device
from helpers.training.optim import adamw, learning_rate_factor
from helpers.training.precision import autocast, resolve_precision

LEARNING_RATE = 1e-4
BATCH_SIZE = 16
PADDED_LENGTH = 128


@dataclass(frozen=True)
class Task:
    """What all contenders work on."""

    dataset: Dataset
    tokenizer: AutoTokenizer
    initial: dict[str, torch.Tensor]
    model: nn.Module
    device: torch.device
    precision: str  # the fast one: bf16 where it is native, else fp32

    @property
    def collate(self) -> DataCollatorForTokenClassification:
        return DataCollatorForTokenClassification(self.tokenizer)

    @property
    def tokens(self) -> int:
        return int(sequence_lengths(self.dataset).sum())


def prepare(sentences: int) -> Task:
    tokenizer = AutoTokenizer.from_pretrained(assets.path("minilm"))
    words = corpora.conll2003()["train"].shuffle(seed=0).select(range(sentences))
    encoded = tokenizer(words["tokens"][:], is_split_into_words=True)
    labels = []
    for i, tags in enumerate(words["ner_tags"]):
        ids = encoded.word_ids(i)
        first = [
            w is not None and w != before for before, w in zip([None, *ids], ids, strict=False)
        ]
        labels.append([tags[w] if new else -100 for w, new in zip(ids, first, strict=True)])
    dataset = Dataset.from_dict(
        {
            "input_ids": encoded["input_ids"],
            "attention_mask": encoded["attention_mask"],
            "labels": labels,
        }
    )
    torch.manual_seed(0)
    model = AutoModelForTokenClassification.from_pretrained(assets.path("minilm"), num_labels=9)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    initial = {name: value.clone() for name, value in model.state_dict().items()}
    return Task(dataset, tokenizer, initial, model, device, resolve_precision("auto", device))


def padded_loop(task: Task) -> None:
    """What many tutorials show: every sentence padded to 128 pieces, fp32, AdamW as it comes."""
    collate = DataCollatorForTokenClassification(
        task.tokenizer, padding="max_length", max_length=PADDED_LENGTH
    )
    loader = torch.utils.data.DataLoader(
        task.dataset, batch_size=BATCH_SIZE, shuffle=True, collate_fn=collate
    )
    optimizer = torch.optim.AdamW(task.model.parameters(), lr=LEARNING_RATE)
    for batch in loader:
        task.model(**to_device(batch, task.device)).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def bare_loop(task: Task) -> None:
    """The batches, precision and optimizer of `train`, written out with nothing around them."""
    optimizer = adamw(task.model, LEARNING_RATE, weight_decay=0.01)
    plan = plan_epoch(
        sequence_lengths(task.dataset), BATCH_SIZE, seed=0, epoch=0, group_by_length=True
    )
    for step, rows in enumerate(plan):
        batch = to_device(task.collate(take(task.dataset, rows)), task.device)
        with autocast(task.precision, task.device):
            loss = task.model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(task.model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * learning_rate_factor(step, len(plan), 0.1, "linear")
        optimizer.step()
        optimizer.zero_grad()


def our_train(task: Task) -> None:
    config = TrainingConfig(
        epochs=1, batch_size=BATCH_SIZE, learning_rate=LEARNING_RATE, progress=False
    )
    train(task.model, task.dataset, config, collate_fn=task.collate)


def trainer(task: Task, *, grouped: bool) -> None:
    """transformers' Trainer with dynamic padding; `grouped` adds length groups and bf16."""
    with TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=1,
            per_device_train_batch_size=BATCH_SIZE,
            learning_rate=LEARNING_RATE,
            weight_decay=0.01,
            bf16=grouped and task.precision == "bf16",
            train_sampling_strategy="group_by_length" if grouped else "random",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            dataloader_pin_memory=task.device.type == "cuda",
        )
        Trainer(
            task.model, arguments, train_dataset=task.dataset, data_collator=task.collate
        ).train()


CONTENDERS: dict[str, Callable[[Task], None]] = {
    "train": our_train,
    "bare loop, same batches": bare_loop,
    "Trainer, grouped, fast precision": lambda task: trainer(task, grouped=True),
    "Trainer, dynamic padding, fp32": lambda task: trainer(task, grouped=False),
    "loop padded to 128, fp32": padded_loop,
}


def seconds_of(contender: Callable[[Task], None], task: Task) -> float:
    task.model.load_state_dict(task.initial)
    task.model.to(task.device).train()
    torch.manual_seed(0)
    started = time.perf_counter()
    contender(task)
    if task.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def gemm_peak(task: Task, size: int = 1024, seconds: float = 2.0) -> float:
    """FLOP/s of a square matrix product in the fast precision."""
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[task.precision]
    a, b = torch.randn(2, size, size, device=task.device).to(dtype)
    a @ b
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        a @ b
        done += 1
    if task.device.type == "cuda":
        torch.cuda.synchronize()
    return done * 2 * size**3 / (time.perf_counter() - started)


def training_flops(task: Task) -> float:
    """FLOPs of an epoch without padding: 6 per weight of a matrix and token, and attention's.

    Two for the forward pass and four for the backward pass (Kaplan et al. 2020, section 2.1);
    looking up embeddings costs none.
    """
    matrices = sum(
        p.numel()
        for name, p in task.model.named_parameters()
        if p.ndim == 2 and "embeddings" not in name
    )
    config = task.model.config
    lengths = sequence_lengths(task.dataset)
    attention = 12 * config.num_hidden_layers * config.hidden_size * float((lengths**2).sum())
    return 6.0 * matrices * task.tokens + attention


def ratio(ours: list[float], theirs: list[float]) -> str:
    ratios = np.divide(theirs, ours)
    return f"{statistics.median(ratios):6.2f} × ({ratios.min():.2f} to {ratios.max():.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sentences", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    task = prepare(arguments.sentences)
    mean = task.tokens / len(task.dataset)
    print(
        f"{len(task.dataset)} sentences, {mean:.1f} pieces each; fast precision: {task.precision}"
    )
    seconds_of(our_train, task)  # the first call allocates and compiles; it isn't counted
    seconds = {name: [] for name in CONTENDERS}
    for _ in range(arguments.rounds):
        for name, contender in CONTENDERS.items():
            seconds[name].append(seconds_of(contender, task))
    print(f"\n{'contender':34} {'tokens/s':>9}   speed of `train` over it")
    for name, values in seconds.items():
        speed = task.tokens / statistics.median(values)
        print(f"{name:34} {speed:9.0f}   {ratio(seconds['train'], values)}")
    peak, median = gemm_peak(task), statistics.median(seconds["train"])
    print(f"\nmatrix products peak at {peak / 1e9:.0f} GFLOP/s in {task.precision};")
    print(
        f"`train` uses {training_flops(task) / median / peak:.0%} of that (model FLOPs, no padding)"
    )


if __name__ == "__main__":
    main()
