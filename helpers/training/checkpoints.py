"""Checkpoints from which a run goes on exactly, in safetensors and JSON: nothing is unpickled.

A checkpoint is a folder `step-00000120` with

    model.safetensors      weights
    optimizer.safetensors  the optimizer's tensors, named <parameter>|<state>
    best.safetensors       the best weights so far, if the run keeps them
    state.json             step, history, and what the run must match to go on
    manifest.json          size and digest of each of these, compared before they are read

A run killed at any moment leaves whole checkpoints only, and so does a power cut: see
`helpers.data.disk`. Only folders of such a name are read or pruned; a copy `step-00000120-keep` is
left alone. With several machines, the folder must be on shared storage.
Whoever divides the model (`strategy="fsdp"`), a checkpoint holds the whole of it.
A run may go on with another number of processes, if batch_size × accumulation × processes stays
and an epoch leaves out as many sequences: those of a last window with fewer than the processes.

A new run starts from a checkpoint's weights, with its own settings and its own folder, by

    checkpoints.load_weights("runs/first/step-00000120", model)
"""

import json
import math
import re
import shutil
import warnings
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, load_model, save_file, save_model
from torch import nn

from helpers.data import disk
from helpers.training.sharding import full, placed_like, scatter

KEEP = 2  # the newest, and one more in case the disk damages it
LENGTH = ("epochs", "steps", "updates")  # what differs in a run that is to be longer
# What an update's window is divided by. The same window may be divided otherwise.
DIVISION = ("batch_size", "accumulation", "processes")
DIVIDED = (*DIVISION, "strategy")
ANEW = (
    "To start a new run from its weights: helpers.training.checkpoints.load_weights(<the "
    "checkpoint's folder>, model), and another checkpoint_dir."
)


class CheckpointError(RuntimeError):
    """A checkpoint that can't be written or used: damaged, or of another run."""


def latest(folder: Path) -> Path | None:
    """The newest checkpoint in `folder`, or None."""
    return next(iter(_newest_first(folder)), None)


def _newest_first(folder: Path, ending: str = "") -> list[Path]:
    own = re.compile(r"step-\d{8}" + ending)
    found = (path for path in folder.glob("step-*") if own.fullmatch(path.name))
    return sorted((path for path in found if path.is_dir()), reverse=True)


def save(
    folder: Path,
    progress: dict,
    *,
    model: nn.Module,
    optimizer: dict[str, torch.Tensor],
    scaler: torch.amp.GradScaler,
    best_weights: dict[str, torch.Tensor] | None,
    fingerprint: dict,
) -> Path:
    """Write the checkpoint of a run that has finished `progress["step"]` updates.

    All but the newest `KEEP` are dropped. `progress` is all that isn't a tensor, as JSON takes it;
    `optimizer` is what `optimizer_tensors` gives.

    Raises:
        CheckpointError: the disk is full, or fails otherwise; the checkpoints there stay whole.
    """
    target = folder / f"step-{progress['step']:08d}"
    state = {"fingerprint": fingerprint, "scaler": scaler.state_dict(), **progress}
    for leftover in _newest_first(folder, rf"(\{disk.PARTIAL}|\{disk.REPLACED})"):
        shutil.rmtree(leftover)
    try:
        with disk.new_folder(target) as new:
            save_model(model, str(new / "model.safetensors"))
            save_file(optimizer, new / "optimizer.safetensors")
            if best_weights is not None:
                save_file(best_weights, new / "best.safetensors")
            # Metrics are often numpy's numbers or arrays, which json doesn't know.
            text = json.dumps(state, default=lambda value: value.tolist())
            (new / "state.json").write_text(text, encoding="utf-8")
    except (OSError, SafetensorError) as error:
        last = latest(folder)
        free = shutil.disk_usage(folder).free / 1e6
        raise CheckpointError(
            f"The checkpoint {target} can't be written, with {free:,.0f} MB free there: {error}. "
            + (f"{last} is as it was. " if last else "There is no earlier one. ")
            + "Make room, then start the run again with resume=True."
        ) from None
    for old in _newest_first(folder)[KEEP:]:
        disk.remove(old)
    return target


def load(
    checkpoint: Path,
    *,
    model: nn.Module,
    trained: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    fingerprint: dict,
    extend: bool = False,
) -> tuple[dict, dict[str, torch.Tensor] | None]:
    """Put a run back to where `checkpoint` left it; returns its progress and best weights.

    Args:
        model: gets the weights.
        trained: whose parameters `optimizer` moves: `model`, or the shards of a copy of it, which
            then get their share of the weights.
        extend: whether the run may now be longer.

    Raises:
        CheckpointError: if the checkpoint is of another model, data or config (it names
            what differs), or if a file of it is missing or damaged.
    """
    _check_whole(checkpoint)
    state = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
    _check_fingerprint(checkpoint, state.pop("fingerprint"), fingerprint, extend)
    device = _device(model)
    load_model(model, checkpoint / "model.safetensors", device=device)
    tensors = load_file(checkpoint / "optimizer.safetensors", device=device)
    if trained is not model:
        scatter(model, trained)
    _restore_optimizer(trained, optimizer, tensors)
    scaler.load_state_dict(state.pop("scaler"))
    has_best = "best.safetensors" in disk.read_manifest(checkpoint)["files"]
    return state, load_file(checkpoint / "best.safetensors") if has_best else None


def load_weights(checkpoint: str | Path, model: nn.Module) -> None:
    """Put a checkpoint's weights into a model of the same shapes, for a new run.

    Raises:
        CheckpointError: a file is missing or damaged.
        RuntimeError: the weights aren't those of such a model.
    """
    _check_whole(Path(checkpoint))
    load_model(model, Path(checkpoint) / "model.safetensors", device=_device(model))


def _check_whole(checkpoint: Path) -> None:
    damage = disk.damage(checkpoint)
    if not damage:
        return
    others = [path for path in _newest_first(checkpoint.parent) if path < checkpoint]
    older = next((path for path in others if not disk.damage(path)), None)
    raise CheckpointError(
        f"The checkpoint {checkpoint} is damaged, and nothing was changed: {damage[0]} "
        + (f"{older} is whole: to go on from there, " if older else "No older one is whole: ")
        + f"delete {checkpoint.name} and start the run again."
    )


def _check_fingerprint(checkpoint: Path, saved: dict, current: dict, extend: bool) -> None:
    longer = current.get("updates", 0) > saved.get("updates", 0)
    if extend and longer:
        saved = saved | {key: current[key] for key in LENGTH}
    divided = []
    if (window := _window(current)) and _window(saved) == window:
        ours = {key: current.get(key) for key in DIVIDED}
        divided = disk.differences(saved, saved | ours)
        saved = saved | ours
    if not (differing := disk.differences(saved, current)):
        if divided:
            warnings.warn(
                f"{checkpoint} goes on with {', '.join(divided)}. The updates see the same "
                "sequences in the same order; sums are rounded otherwise, and if the sequences "
                "are divided otherwise, what dropout and collate_fn draw is another draw.",
                stacklevel=2,
            )
        return
    more = "To train longer, set extend=True. " if longer and not extend else ""
    if divided and saved.get("left_out") != current.get("left_out"):
        more += (
            "An epoch leaves out the sequences that don't go round the processes (left_out), so "
            "its updates are others now: go on with as many processes as it was made with. "
        )
    raise CheckpointError(
        f"The checkpoint {checkpoint} is of another run:\n  "
        + "\n  ".join(differing)
        + f"\nGo on with the settings it was made with, or train in another checkpoint_dir. {more}"
        + ANEW
    )


def _window(run: dict) -> int | None:
    """Sequences in an update, or None of a description that isn't a run's."""
    return math.prod(run[key] for key in DIVISION) if run.keys() >= set(DIVISION) else None


def _device(model: nn.Module) -> str:
    return str(next(model.parameters()).device)


def optimizer_tensors(
    model: nn.Module, optimizer: torch.optim.Optimizer, *, keep: bool = True
) -> dict[str, torch.Tensor]:
    """The optimizer's state as a flat dict; its hyper-parameters follow from the config.

    `model` is the one whose parameters it moves. If that is sharded, all processes call this, and
    those without `keep` get an empty dict: two more models in each would fill a machine.
    """
    tensors = {}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            whole = full(value)
            if keep:
                tensors[f"{name}|{key}"] = whole.contiguous()
    return tensors


def _restore_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict):
    parameters = dict(model.named_parameters())
    for full_name, value in tensors.items():
        name, key = full_name.rsplit("|", 1)
        parameter = parameters[name]
        state = optimizer.state[parameter]
        state[key] = value.to(parameter.device)
        if value.shape == parameter.shape:
            # The fused update walks through memory, so both must lie there in the same order.
            state[key] = placed_like(parameter, value)
