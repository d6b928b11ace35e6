"""What `train` does on a CUDA GPU, written to one JSON: `make gpu-check`.

It needs no asset and no network: weights are random, and so are the pieces, since neither changes
a speed. Three questions. Does the GPU give the CPU's losses in fp32? How often must the CPU wait
for the GPU in an update (`torch.cuda.set_sync_debug_mode`)? How fast is it: `train` against other
loops on fine-tuning (benchmarks/finetuning.py) and on pretraining with 124 million parameters, in
alternating rounds, with the share of the GPU's peak in matrix products? About five minutes.
"""

import argparse
import json
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import torch
import transformers
from accelerate import PartialState
from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch import nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertForTokenClassification,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging

from benchmarks.finetuning import CONTENDERS, Task, gemm_peak, seconds_of, training_flops
from helpers.data.batching import collate_causal
from helpers.data.masking import MaskedCollator
from helpers.models.modernbert import ModernBert, ModernBertConfig
from helpers.training.config import TrainingConfig
from helpers.training.loop import train
from helpers.training.objective import to_device
from helpers.training.optim import adamw
from helpers.training.precision import autocast, resolve_precision
from helpers.training.run import Run

RESULTS = Path(__file__).parent / "results"
CUDA = torch.device("cuda")
MINILM = {
    "vocab_size": 30_522,
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
}
VOCABULARY = 1000  # of the small models
MASK = 4
BATCH = 16  # blocks in an update of pretraining


def machine() -> dict:
    properties = torch.cuda.get_device_properties(CUDA)
    return {
        "date": date.today().isoformat(),
        "gpu": properties.name,
        "memory_gib": round(properties.total_memory / 2**30),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "precision": resolve_precision("auto", CUDA),
    }


# Models and data, by name.


def blocks(rows: int, length: int, vocab_size: int) -> Dataset:
    ids = np.random.default_rng(0).integers(5, vocab_size, (rows, length))
    return Dataset.from_dict({"input_ids": ids.tolist()}).with_format("numpy")


def sentences(rows: int, vocab_size: int, *, labels: str) -> Dataset:
    """Random pieces in sentences as long as CoNLL's: 2 to 70 pieces, about 20 on average."""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.gamma(2.0, 10.0, rows).astype(int), 2, 70)
    ids = [rng.integers(5, vocab_size, n).tolist() for n in lengths]
    tags = [[piece % 3 for piece in row] for row in ids]
    if labels == "sentence":
        tags = [row[0] for row in tags]
    mask = [[1] * len(row) for row in ids]
    return Dataset.from_dict({"input_ids": ids, "attention_mask": mask, "labels": tags})


def tokenizer() -> PreTrainedTokenizerFast:
    """Only pads."""
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel({"[PAD]": 0})), pad_token="[PAD]"
    )


def pad(examples: list[dict]) -> dict[str, torch.Tensor]:
    """Sentences with one label each."""
    labels = torch.tensor([example.pop("labels") for example in examples])
    return {**tokenizer().pad(examples, return_tensors="pt"), "labels": labels}


def cases() -> dict[str, tuple[Callable[[], nn.Module], Dataset, Callable]]:
    """Each kind of model of the book, small, with its data and collator."""
    small = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    bert = BertConfig(vocab_size=VOCABULARY, intermediate_size=128, num_labels=3, **small)
    shape = {"vocab_size": VOCABULARY, "d_model": 64, "n_layers": 2, "n_heads": 2, "d_ff": 128}
    masked = MaskedCollator(MASK, VOCABULARY, (0, 1, 2, 3), rate=0.3)
    tags = transformers.DataCollatorForTokenClassification(tokenizer())
    rows = blocks(256, 64, VOCABULARY)
    return {
        "BERT, classes": (
            lambda: BertForSequenceClassification(bert),
            sentences(256, VOCABULARY, labels="sentence"),
            pad,
        ),
        "BERT, tags": (
            lambda: BertForTokenClassification(bert),
            sentences(256, VOCABULARY, labels="tokens"),
            tags,
        ),
        "ModernBert, masked": (lambda: ModernBert(ModernBertConfig(**shape)), rows, masked),
        "ModernBert, causal": (
            lambda: ModernBert(ModernBertConfig(**shape, causal=True)),
            rows,
            collate_causal,
        ),
    }


# Equality with the CPU, and waiting for the GPU.


def losses(make: Callable, dataset: Dataset, collate: Callable, *, cpu: bool) -> list[float]:
    """Twenty updates in fp32 without dropout."""
    torch.manual_seed(0)
    model = make()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    config = TrainingConfig(steps=20, learning_rate=1e-3, precision="fp32", progress=False)
    PartialState._reset_state()
    PartialState(cpu=cpu)  # left to itself, Accelerate takes the GPU
    history = train(model, dataset, config, collate_fn=collate)
    PartialState._reset_state()
    return [record["loss"] for record in history.records]


def waits(make: Callable, dataset: Dataset, collate: Callable) -> dict[str, int]:
    """Where the CPU waited for the GPU during one update after the fifth, and how often."""
    torch.manual_seed(0)
    config = TrainingConfig(steps=8, learning_rate=1e-3, progress=False)
    run = Run.start(
        make(),
        dataset,
        config,
        None,
        collate_fn=collate,
        evaluate_fn=None,
        loss_fn=None,
        after_update=None,
    )
    places: dict[str, int] = {}
    for window in run.windows():
        if run.step != 5:
            run.update(window)
            continue
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("warn")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run.update(window)
        torch.cuda.set_sync_debug_mode("default")
        for warning in caught:
            if "synchroniz" in str(warning.message):
                parts = Path(warning.filename).parts
                place = f"{'/'.join(parts[-2:])}:{warning.lineno}"
                places[place] = places.get(place, 0) + 1
    return places


# Speed.


def fine_tuning(rounds: int) -> dict:
    """One epoch over 2,000 sentences with a network of MiniLM's shape."""
    torch.manual_seed(0)
    model = BertForTokenClassification(BertConfig(**MINILM, num_labels=3))
    initial = {name: value.clone() for name, value in model.state_dict().items()}
    data = sentences(2000, MINILM["vocab_size"], labels="tokens")
    task = Task(data, tokenizer(), initial, model, CUDA, resolve_precision("auto", CUDA))
    for contender in CONTENDERS.values():
        seconds_of(contender, task)  # allocates and picks kernels; not counted
    seconds = {name: [] for name in CONTENDERS}
    for _ in range(rounds):
        for name, contender in CONTENDERS.items():
            seconds[name].append(seconds_of(contender, task))
    peak = gemm_peak(task, size=8192)
    speeds = {
        name: [round(task.tokens / value) for value in values] for name, values in seconds.items()
    }
    share = training_flops(task) / statistics.median(seconds["train"]) / peak
    return {
        "tokens": task.tokens,
        "tokens_per_second": speeds,
        "gemm_peak_tflops": round(peak / 1e12),
        "train_share_of_peak": round(share, 4),
    }


def pretraining(*, causal: bool, rounds: int, steps: int, peak: float) -> dict:
    """124 million parameters on blocks of 1,024 pieces, masked or causal."""
    config = ModernBertConfig(
        vocab_size=50_304, n_layers=12, d_ff=2048, max_positions=1024, causal=causal
    )
    torch.manual_seed(0)
    model = ModernBert(config).to(CUDA)
    compiled = torch.compile(model)
    data = blocks(BATCH * 12, 1024, config.vocab_size)
    masked = MaskedCollator(MASK, config.vocab_size, (0, 1, 2, 3), rate=0.3)
    collate = collate_causal if causal else masked
    contenders = {
        "train": lambda: our_train(model, data, collate, steps),
        "bare loop": lambda: bare_loop(model, data, collate, steps),
        "bare loop, compiled": lambda: bare_loop(compiled, data, collate, steps),
    }
    torch.cuda.reset_peak_memory_stats()
    seconds = {name: [] for name in contenders}
    for counted in [False] + [True] * rounds:  # the first round allocates and compiles
        for name, contender in contenders.items():
            torch.cuda.synchronize()
            started = time.perf_counter()
            contender()
            torch.cuda.synchronize()
            if counted:
                seconds[name].append(time.perf_counter() - started)
    tokens = steps * BATCH * 1024
    flops = tokens * flops_per_token(model, 1024)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "tokens_per_second": {
            name: [round(tokens / value) for value in values] for name, values in seconds.items()
        },
        "model_flop_utilisation": {
            name: round(flops / statistics.median(values) / peak, 4)
            for name, values in seconds.items()
        },
        "peak_memory_gib": round(torch.cuda.max_memory_allocated() / 2**30, 1),
    }


def flops_per_token(model: ModernBert, length: int) -> float:
    """6 per weight of a matrix, the output's included, and 12 L d T for attention.

    Half of the attention's where a token sees only those before it (PaLM, appendix B). The masked
    model computes its output at the masked positions alone: the count is too high for it there.
    """
    matrices = sum(p.numel() for p in model.parameters() if p.ndim == 2)
    config = model.config
    attention = 12 * config.n_layers * config.d_model * length
    return 6.0 * matrices + attention * (0.5 if config.causal else 1.0)


def our_train(model: nn.Module, data: Dataset, collate: Callable, steps: int) -> None:
    config = TrainingConfig(steps=steps, batch_size=BATCH, learning_rate=1e-4, progress=False)
    train(model, data, config, collate_fn=collate)


def bare_loop(model: nn.Module, data: Dataset, collate: Callable, steps: int) -> None:
    """The same batches from memory, the same optimizer and precision, nothing else."""
    model.train()
    optimizer = adamw(model, 1e-4, weight_decay=0.01)
    precision = resolve_precision("auto", CUDA)
    for step in range(steps):
        first = step * BATCH % len(data)
        batch = collate([data[i] for i in range(first, first + BATCH)])
        with autocast(precision, CUDA):
            loss = model(**to_device(batch, CUDA)).loss
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=30, help="of pretraining, in each round")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("No CUDA device is here: this check measures one.")
    logging.set_verbosity_error()
    report = {"machine": machine(), "cpu_difference": {}, "waits_per_update": {}}
    for name, case in cases().items():
        on_cpu, on_gpu = (np.array(losses(*case, cpu=cpu)) for cpu in (True, False))
        report["cpu_difference"][name] = float(np.abs(on_cpu - on_gpu).max())
        report["waits_per_update"][name] = waits(*case)
    report["fine_tuning"] = fine_tuning(arguments.rounds)
    peak = report["fine_tuning"]["gemm_peak_tflops"] * 1e12
    report["pretraining"] = {
        name: pretraining(
            causal=name == "causal", rounds=arguments.rounds, steps=arguments.steps, peak=peak
        )
        for name in ("masked", "causal")
    }
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{report['machine']['gpu'].lower().replace(' ', '-')}.json"
    file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=2))
    print(f"Written to {file}")


if __name__ == "__main__":
    main()
