"""AdamW with weight decay on matrices alone, and the learning rate as a function of the step."""

import math

import torch
from torch import nn

from helpers.training.config import Schedule


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Trainable parameters in two groups: matrices, which decay, and vectors, which don't.

    Biases and the gains of normalisation layers are vectors. Pulling them towards 0 does
    not make the function simpler, so they are left alone.

    Raises:
        ValueError: if every parameter is frozen.
    """
    trainable = [p for p in model.parameters() if p.requires_grad]
    if not trainable:
        raise ValueError(
            "The model has no trainable parameter: requires_grad is False for all of them."
        )
    groups = [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def adamw(model: nn.Module, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter, ICLR 2019, algorithm 2), one fused kernel per update."""
    return torch.optim.AdamW(parameter_groups(model, weight_decay), lr=learning_rate, fused=True)


def learning_rate_factor(step: int, steps: int, warmup_ratio: float, schedule: Schedule) -> float:
    """The share of the peak learning rate in update `step`, counted from 0 to `steps` − 1.

    It climbs in a straight line over the first `warmup_ratio` × `steps` updates, then
    stays ("constant"), falls in a straight line ("linear") or along half a cosine
    ("cosine") to 0 at the end of the run.
    """
    warmup = round(warmup_ratio * steps)
    if step < warmup:
        # step + 1: an update with a learning rate of 0 would be a wasted one.
        return (step + 1) / warmup
    if schedule == "constant":
        return 1.0
    progress = (step - warmup) / max(1, steps - warmup)
    if schedule == "linear":
        return 1.0 - progress
    return 0.5 * (1.0 + math.cos(math.pi * progress))
