"""Checkpoints from which a run goes on exactly, in safetensors and JSON: nothing is unpickled.

A checkpoint is a folder `step-00000120` with

    model.safetensors      weights
    optimizer.safetensors  the optimizer's tensors, named <parameter>|<state>
    best.safetensors       the best weights so far, if the run keeps them
    state.json             step, history, and what the run must match to go on

It is written under another name and renamed when complete, so a run killed at any moment
leaves whole checkpoints only. With several machines, the folder must be on shared storage.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, load_model, save_file, save_model
from torch import nn

KEEP = 2  # the newest, and one more in case the disk damages it
_PARTIAL = ".partial"


class CheckpointError(RuntimeError):
    """A checkpoint that can't be used: incomplete, or of another model, data or config."""


@dataclass
class Progress:
    """Where a run stands: all that isn't a tensor. `step` counts finished updates."""

    step: int
    records: list[dict]
    evaluations: list[dict]
    best: dict | None
    stale_evaluations: int  # since the last new best
    seconds: float


def latest(folder: Path) -> Path | None:
    """The newest complete checkpoint in `folder`, or None."""
    found = sorted(p for p in folder.glob("step-*") if p.suffix != _PARTIAL)
    return found[-1] if found else None


def save(
    folder: Path,
    progress: Progress,
    *,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    best_weights: dict[str, torch.Tensor] | None,
    fingerprint: dict,
) -> Path:
    """Write the checkpoint of `progress.step` and drop all but the newest `KEEP`."""
    target = folder / f"step-{progress.step:08d}"
    partial = target.with_suffix(_PARTIAL)
    for leftover in folder.glob(f"step-*{_PARTIAL}"):
        shutil.rmtree(leftover)
    partial.mkdir(parents=True)
    save_model(model, str(partial / "model.safetensors"))
    save_file(_optimizer_tensors(model, optimizer), partial / "optimizer.safetensors")
    if best_weights is not None:
        save_file(best_weights, partial / "best.safetensors")
    state = {"fingerprint": fingerprint, "scaler": scaler.state_dict(), **vars(progress)}
    # Metrics are often numpy's numbers or arrays, which json doesn't know.
    text = json.dumps(state, default=lambda value: value.tolist())
    (partial / "state.json").write_text(text, encoding="utf-8")
    if target.exists():  # the same step again, after a resume from an older checkpoint
        shutil.rmtree(target)
    partial.rename(target)
    for old in sorted(folder.glob("step-*"))[:-KEEP]:
        shutil.rmtree(old)
    return target


def load(
    checkpoint: Path,
    *,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    fingerprint: dict,
) -> tuple[Progress, dict[str, torch.Tensor] | None]:
    """Put a run back to where `checkpoint` left it; returns its progress and best weights.

    Raises:
        CheckpointError: if the checkpoint is of another model, data or config (it names
            what differs), or if a file of it is missing or damaged.
    """
    try:
        state = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
        _check_fingerprint(checkpoint, state.pop("fingerprint"), fingerprint)
        load_model(model, checkpoint / "model.safetensors", device=_device(model))
        tensors = load_file(checkpoint / "optimizer.safetensors", device=_device(model))
        best = checkpoint / "best.safetensors"
        best_weights = load_file(best) if best.exists() else None
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError(
            f"The checkpoint {checkpoint} can't be read ({type(error).__name__}: {error}). "
            "Delete this folder to go on from the one before it."
        ) from error
    _restore_optimizer(model, optimizer, tensors)
    scaler.load_state_dict(state.pop("scaler"))
    return Progress(**state), best_weights


def _check_fingerprint(checkpoint: Path, saved: dict, current: dict):
    differing = [
        f"{key}: {saved.get(key)!r} there, {current.get(key)!r} now"
        for key in sorted(saved.keys() | current.keys())
        if saved.get(key) != current.get(key)
    ]
    if differing:
        raise CheckpointError(
            f"The checkpoint {checkpoint} is of another run:\n  "
            + "\n  ".join(differing)
            + "\nGo on with the settings it was made with, or train in another checkpoint_dir."
        )


def _device(model: nn.Module) -> str:
    return str(next(model.parameters()).device)


def _optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict:
    """The optimizer's state as a flat dict; its hyper-parameters follow from the config."""
    return {
        f"{name}|{key}": value.contiguous()
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def _restore_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict):
    parameters = dict(model.named_parameters())
    for full_name, value in tensors.items():
        name, key = full_name.rsplit("|", 1)
        parameter = parameters[name]
        state = optimizer.state[parameter]
        state[key] = value
        if value.shape == parameter.shape:
            # The fused update walks through memory, so both must lie there in the same order.
            state[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
