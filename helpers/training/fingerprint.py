"""What a checkpoint must match for a run to go on from it exactly."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
from torch import nn

from helpers.training.batches import take
from helpers.training.config import TrainingConfig

# Settings that may differ when a run goes on: they change no number.
FREE_TO_CHANGE = ("checkpoint_dir", "checkpoint_every", "resume", "num_workers", "progress")
COMPARED = ("input_ids", "labels", "label")
SAMPLED_ROWS = 64  # enough to notice another corpus, few enough for a corpus of any size


def fingerprint(
    model: nn.Module,
    dataset: Sequence,
    lengths: np.ndarray,
    config: TrainingConfig,
    precision: str,
    processes: int,
) -> dict:
    """A flat, JSON-ready description of the run; `precision` is the resolved one."""
    settings = {k: v for k, v in asdict(config).items() if k not in FREE_TO_CHANGE}
    shapes = [(name, tuple(p.shape), p.requires_grad) for name, p in model.named_parameters()]
    rows = np.unique(np.linspace(0, len(lengths) - 1, SAMPLED_ROWS).astype(int))
    examples = [
        [np.asarray(example[key]).tolist() for key in COMPARED if key in example]
        for example in take(dataset, rows)
    ]
    return settings | {
        "precision": precision,
        "processes": processes,
        "model": f"{type(model).__name__} {_digest(shapes)}",
        "dataset": f"{len(lengths)} rows {_digest([lengths.tolist(), examples])}",
    }


def _digest(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:12]
