"""A small training run as a program of its own, for tests that kill it or start it twice.

    python -m tests.training_process FOLDER [--kill-at N] [--wait-at N] [--half] [--dropout P]
        [--fsdp] [--compile]

Writes FOLDER/result.json (losses, evaluations) and FOLDER/result.safetensors (weights) when
it gets to its end. With --kill-at, the first process sends itself SIGKILL when it collates
its N-th batch; with --wait-at, it waits there for a file FOLDER/go. With --half, the batch is
half as large: for two processes. With --compile, the model is compiled for torch's "eager" backend,
which needs no compiler.
"""

import argparse
import importlib
import json
import os
import signal
import time
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_model

from helpers.training.loop import TrainingConfig, evaluate, train
from helpers.training.processes import join_processes
from tests.tiny import collate, tagger, tagging_data


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kill-at", type=int)
    parser.add_argument("--wait-at", type=int)
    parser.add_argument("--half", action="store_true")
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--fsdp", action="store_true")
    parser.add_argument("--compile", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # two processes on two cores
    torch.compile = partial(torch.compile, backend="eager")
    group = join_processes()
    collated = 0

    def collate_or_die(examples):
        nonlocal collated
        collated += 1
        if collated == arguments.kill_at and group.is_main_process:
            os.kill(os.getpid(), signal.SIGKILL)
        while collated == arguments.wait_at and not (arguments.folder / "go").exists():
            time.sleep(0.1)
        batch = collate(examples)
        # A set's order is another one in each process, and must not make it another function.
        assert all(key in {"input_ids", "attention_mask", "labels"} for key in batch)
        # A random mask, as in masked language modelling: it must come back after a resume.
        keep = torch.rand(batch["labels"].shape) < 0.8
        batch["labels"] = batch["labels"].where(keep | (arguments.dropout == 0), -100)
        batch["labels"][:, 0] = batch["input_ids"][:, 0] % 3  # one label at least
        return batch

    model = tagger(dropout=arguments.dropout)
    history = train(
        model,
        tagging_data(45),  # not a multiple of anything: the last window is smaller
        TrainingConfig(
            epochs=4,
            batch_size=2 if arguments.half else 4,
            accumulation=2,
            learning_rate=1e-2,
            strategy="fsdp" if arguments.fsdp else "ddp",
            compile=arguments.compile,
            precision="fp32",
            evaluate_every=5,
            best_metric="loss",
            higher_is_better=False,
            checkpoint_dir=arguments.folder / "checkpoints",
            checkpoint_every=3,
            resume=True,
            progress=False,
        ),
        collate_fn=collate_or_die,
        evaluate_fn=lambda model: evaluate(model, tagging_data(21, seed=1), collate_fn=collate),
    )
    if group.is_main_process:
        save_model(model, str(arguments.folder / "result.safetensors"))
        model.save_pretrained(arguments.folder / "model")
        result = {"losses": history.losses, "evaluations": history.evaluations}
        result["graphs"] = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        (arguments.folder / "result.json").write_text(json.dumps(result))
    group.destroy_process_group()


if __name__ == "__main__":
    # A checkpoint knows its functions by their module, which is the same in a fork.
    importlib.import_module("tests.training_process").main()
