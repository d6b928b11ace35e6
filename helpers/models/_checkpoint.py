"""Reading published checkpoints: a folder or a Hugging Face Hub id, safetensors only.

A `.bin` checkpoint is a pickle, which may run any code when it is read, so none is ever opened.
"""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

__all__ = ["check_architecture", "load_weights", "read_config", "read_weights"]

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"  # of a checkpoint in several files
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


def read_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The checkpoint's config.json.

    Args:
        path: a folder, or a Hub id as in "google-bert/bert-base-uncased".

    Raises:
        FileNotFoundError: there is no such folder or repository, or no config.json in it.
        ValueError: config.json doesn't hold a JSON object.
    """
    folder = _folder(path, (CONFIG,))
    if not (folder / CONFIG).is_file():
        raise FileNotFoundError(
            f"{path} holds no {CONFIG}, only {_names(folder)}; expected what save_pretrained of "
            "transformers writes."
        )
    return _read_json(folder / CONFIG)


def check_architecture(
    config: Mapping[str, Any], model_type: str, path: str | os.PathLike[str]
) -> None:
    """Refuse a config.json of another kind of model before its weights are read.

    Old files that name no model_type pass; their weights' names decide.

    Raises:
        ValueError: the message has both names.
    """
    found = config.get("model_type", model_type)
    if found != model_type:
        classes = ", ".join(config.get("architectures") or ()) or "not named"
        raise ValueError(
            f"{path} holds a model of type {found!r} (class {classes}), expected {model_type!r}. "
            "Choose a checkpoint of this architecture, or load it with transformers' AutoModel."
        )


def read_weights(path: str | os.PathLike[str]) -> dict[str, torch.Tensor]:
    """All tensors of the checkpoint by name, on the CPU, in the precision they are stored in.

    Args:
        path: a folder with model.safetensors, or with its index and the files named there; or a
            Hub id.

    Raises:
        FileNotFoundError: there is no such folder or repository, or no safetensors in it.
        ValueError: a file is damaged, or the index and the files disagree.
    """
    folder = _folder(path, (WEIGHTS, INDEX, "model-*.safetensors"))
    if (folder / WEIGHTS).is_file():
        return _read_tensors(folder / WEIGHTS)
    if (folder / INDEX).is_file():
        return _read_sharded(folder)
    pickled = sorted(file.name for pattern in PICKLES for file in folder.glob(pattern))
    found = (
        f"only {', '.join(pickled)}, a pickle, which may run any code when it is read"
        if pickled
        else f"only {_names(folder)}"
    )
    raise FileNotFoundError(
        f"{path} holds no {WEIGHTS} and no {INDEX}: {found}. If you trust a .bin checkpoint, "
        "convert it once: AutoModel.from_pretrained(source).save_pretrained(folder) of "
        f"transformers writes {WEIGHTS}; then give that folder."
    )


def load_weights(
    module: nn.Module, weights: Mapping[str, torch.Tensor], path: str | os.PathLike[str]
) -> None:
    """Copy `weights` into the module's parameters, in the precision of the parameters.

    Args:
        module: whose state_dict names are those of `weights`, all of them and no others.
        weights: name -> tensor, floating point.
        path: where they come from, for messages.

    Raises:
        ValueError: a name is missing or left over, a shape differs, or a tensor isn't floating
            point (a quantised checkpoint). Nothing is copied then.
    """
    wanted = module.state_dict()
    missing = [name for name in wanted if name not in weights]
    unexpected = [name for name in weights if name not in wanted]
    if missing or unexpected:
        raise ValueError(
            f"The weights of {path} don't fit {type(module).__name__}: missing {_some(missing)}; "
            f"unexpected {_some(unexpected)}. Is it a checkpoint of this architecture, and whole?"
        )
    for name, tensor in weights.items():
        if tensor.shape != wanted[name].shape:
            raise ValueError(
                f"{name} of {path} has shape {tuple(tensor.shape)}, expected "
                f"{tuple(wanted[name].shape)} by its {CONFIG}: the two files don't belong together."
            )
        if not tensor.is_floating_point():
            raise ValueError(
                f"{name} of {path} holds {tensor.dtype}, expected floating-point numbers; "
                "quantised checkpoints aren't supported, choose the original one."
            )
    module.load_state_dict(weights)


def _folder(path: str | os.PathLike[str], files: tuple[str, ...]) -> Path:
    """The local folder of a checkpoint; for a Hub id, fetches `files` into its cache first."""
    name = os.fspath(path)
    local = Path(name).expanduser()
    if local.is_dir():
        return local
    if local.exists():
        raise FileNotFoundError(
            f"{path} is a file; expected the folder that holds {CONFIG} and {WEIGHTS}."
        )
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", name):
        raise FileNotFoundError(
            f"There is no folder {name!r}; expected one with {CONFIG} and {WEIGHTS}, or a Hugging "
            "Face Hub id such as 'google-bert/bert-base-uncased'."
        )
    try:
        return Path(snapshot_download(name, allow_patterns=list(files)))
    except OSError as error:  # of the Hub, of the network, or of the disk
        hint = "" if "/" in name else f" For an asset of the book, give assets.path({name!r})."
        raise FileNotFoundError(
            f"{name!r} is no folder here, and the Hugging Face Hub didn't give it "
            f"({type(error).__name__}). Check the spelling and the network, or give a folder.{hint}"
        ) from error


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is no JSON ({error}); it is damaged, fetch it again.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file} holds a {type(content).__name__}; expected a JSON object.")
    return content


def _read_tensors(file: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(file)
    except SafetensorError as error:
        raise ValueError(
            f"{file} can't be read as safetensors ({error}); it is damaged or cut short, fetch it "
            "again."
        ) from error


def _read_sharded(folder: Path) -> dict[str, torch.Tensor]:
    """The tensors of all files that the index names."""
    places = _read_json(folder / INDEX).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise ValueError(f"{folder / INDEX} has no weight_map; expected one, tensor name -> file.")
    files = sorted(set(places.values()))
    # An index may name nothing but its neighbours: "../" would read any file of the machine.
    missing = [f for f in files if Path(f).name != f or not (folder / f).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{folder} lacks {_some(missing)}, named in {INDEX}; fetch all files of the checkpoint."
        )
    weights = {}
    for file in files:
        weights |= _read_tensors(folder / file)
    absent = [name for name in places if name not in weights]
    if absent:
        raise ValueError(f"{INDEX} of {folder} names {_some(absent)}, which no file there holds.")
    return weights


def _names(folder: Path) -> str:
    return _some(sorted(file.name for file in folder.iterdir()))


def _some(names: list[str]) -> str:
    """The first few names, and how many there are."""
    if not names:
        return "nothing"
    rest = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(names[:4]) + rest
