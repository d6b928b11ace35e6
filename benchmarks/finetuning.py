"""How fast `train` fine-tunes, against four other loops, in one process: `make bench`.

    python -m benchmarks.finetuning [--out FILE]

One epoch of named entity recognition on CoNLL-2003 sentences with MiniLM. The contenders take
turns; each round starts from the same weights. Speeds are real tokens a second (padding not
counted), shown as ratios: median and range over the rounds, and written to benchmarks/results with
the machine's description. Nothing else should run meanwhile.
"""

import argparse
import gc
import json
import math
import re
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
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

from experiments.common import machine
from helpers.data import assets, corpora
from helpers.training.batches import plan_epoch, sequence_lengths, take
from helpers.training.loop import TrainingConfig, train
from helpers.training.objective import to_device
from helpers.training.optim import adamw, learning_rate_factor
from helpers.training.precision import autocast, resolve_precision

RESULTS = Path(__file__).parent / "results"
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

    def renew(self) -> None:
        """The weights as they were."""
        self.model.load_state_dict(self.initial)
        self.model.to(self.device).train()

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


def our_train(task: Task, **settings: bool) -> None:
    config = TrainingConfig(
        epochs=1, batch_size=BATCH_SIZE, learning_rate=LEARNING_RATE, progress=False, **settings
    )
    train(task.model, task.dataset, config, collate_fn=task.collate)


def trainer(task: Task, *, grouped: bool, **settings: bool) -> None:
    """transformers' Trainer with dynamic padding; `grouped` adds length groups and bf16.

    Its optimizer is fused AdamW, as it is by default where torch has that.
    """
    with TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=1,
            per_device_train_batch_size=BATCH_SIZE,
            learning_rate=LEARNING_RATE,
            weight_decay=0.01,
            bf16=grouped and task.precision == "bf16",
            optim="adamw_torch_fused",
            use_cpu=task.device.type == "cpu",
            train_sampling_strategy="group_by_length" if grouped else "random",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            dataloader_pin_memory=task.device.type == "cuda",
            **settings,
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


COMPILED: dict[str, Callable[[Task], None]] = {  # on a GPU: here it takes minutes to compile
    "train, compiled": lambda task: our_train(task, compile=True),
    "Trainer, grouped, fast precision, compiled": lambda task: trainer(
        task, grouped=True, torch_compile=True
    ),
}


def alternate(
    contenders: dict[str, Callable[[], object]],
    rounds: int,
    device: torch.device,
    deadline: float = math.inf,
    before: Callable[[], object] = lambda: None,
) -> dict[str, list[float]]:
    """Seconds of each contender in each round; they take turns, in another order every other time.

    A round before these isn't counted, nor is what `before` does before each turn. After
    `deadline`, by `time.monotonic`, no round begins but the first.
    """
    seconds = {name: [] for name in contenders}
    for number in range(rounds + 1):
        if number > 1 and time.monotonic() > deadline:
            break
        for name in list(contenders)[:: -1 if number % 2 else 1]:
            before()
            gc.collect()
            torch.manual_seed(0)
            started = time.perf_counter()
            contenders[name]()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if number:
                seconds[name].append(time.perf_counter() - started)
    return seconds


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
    parser.add_argument("--out", type=Path, help="the JSON; by default named by the processor")
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    task = prepare(arguments.sentences)
    mean = task.tokens / len(task.dataset)
    print(
        f"{len(task.dataset)} sentences, {mean:.1f} pieces each; fast precision: {task.precision}"
    )
    contenders = {
        name: lambda contender=contender: contender(task) for name, contender in CONTENDERS.items()
    }
    seconds = alternate(contenders, arguments.rounds, task.device, before=task.renew)
    print(f"\n{'contender':34} {'tokens/s':>9}   speed of `train` over it")
    for name, values in seconds.items():
        speed = task.tokens / statistics.median(values)
        print(f"{name:34} {speed:9.0f}   {ratio(seconds['train'], values)}")
    peak, median = gemm_peak(task), statistics.median(seconds["train"])
    print(f"\nmatrix products peak at {peak / 1e9:.0f} GFLOP/s in {task.precision};")
    print(
        f"`train` uses {training_flops(task) / median / peak:.0%} of that (model FLOPs, no padding)"
    )
    report = {
        "machine": {"date": date.today().isoformat(), **machine(), "precision": task.precision},
        "fine_tuning": {
            "sentences": len(task.dataset),
            "tokens": task.tokens,
            "tokens_per_second": {
                name: [round(task.tokens / value) for value in values]
                for name, values in seconds.items()
            },
            "gemm_peak_gflops": round(peak / 1e9),
            "train_share_of_peak": round(training_flops(task) / median / peak, 4),
        },
    }
    name = report["machine"]["gpu"] or f"cpu-{report['machine']['processor']}"
    name = re.sub(r"[^a-z0-9]+", "-", f"{name} finetuning".lower())
    file = arguments.out or RESULTS / f"{name}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"Written to {file}")


if __name__ == "__main__":
    main()
