"""Published checkpoints, read by transformers: a folder or a Hugging Face Hub id.

Safetensors only: a `.bin` checkpoint is a pickle, which may run any code when it is read.
"""

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.utils import logging

__all__ = [
    "check_architecture",
    "filled",
    "join_attention",
    "read_config",
    "read_weights",
    "refuse_unless",
    "renamed",
    "split_attention",
]

Source = str | os.PathLike[str]  # a folder or a Hub id
Weights = dict[str, torch.Tensor]  # by name
Names = Iterable[tuple[str, str]]  # parts of a weight's name: transformers', ours
Model = TypeVar("Model", bound=nn.Module)


def check_architecture(config: Mapping[str, Any], model_type: str, path: Source) -> None:
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


def read_config(path: Source, *kinds: type[PretrainedConfig]) -> PretrainedConfig:
    """The checkpoint's config.json as transformers completes it, of the kind that it names.

    Raises:
        OSError: there is no such folder or repository, or no config.json in it.
        ValueError: it is of none of these kinds, or quantised.
    """
    settings, _ = kinds[0].get_config_dict(path)
    if not settings:
        raise FileNotFoundError(f"{path} holds no config.json; expected what transformers saves.")
    kind = next((k for k in kinds if k.model_type == settings.get("model_type")), kinds[0])
    check_architecture(settings, kind.model_type, path)
    if method := settings.get("quantization_config"):
        raise ValueError(f"{path} is quantised ({method}); choose the original checkpoint.")
    return kind.from_dict(settings)


def refuse_unless(
    fits: Mapping[str, bool], config: PretrainedConfig, path: Source, computed: str
) -> None:
    """Raise ValueError for the first setting that isn't what our module computes."""
    for name, fit in fits.items():
        if not fit:
            raise ValueError(
                f"{path} has {name} = {getattr(config, name)}, which isn't computed here: "
                f"{computed}. Load it with transformers' AutoModel."
            )


def read_weights(
    path: Source,
    kind: type[PreTrainedModel],
    config: PretrainedConfig,
    *,
    optional: str = "",
) -> tuple[Weights, set[str]]:
    """The tensors of a checkpoint by transformers' names: fp32, on the CPU.

    Args:
        path: with safetensors, in one file or in several with an index.
        kind: transformers' class whose tensors are wanted.
        config: from `read_config`.
        optional: a pattern of names that the file may lack, or hold besides.

    Returns:
        All tensors of that class, and the names of those that the file lacks: they are random.

    Raises:
        OSError: there is no such folder or repository, or no safetensors in it.
        ValueError: the file is damaged, or its names or shapes aren't those of the configuration.
    """
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # what transformers reports in a table is raised below
    try:
        model, info = kind.from_pretrained(
            path,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or cut short ({error}); fetch it again.") from error
    finally:
        logging.set_verbosity(verbosity)
    wrong = [
        f"{what} {name}"
        for what in ("missing", "unexpected")
        for name in sorted(info[f"{what}_keys"])
        if not (optional and re.match(optional, name))
    ]
    wrong += [
        f"{name} has shape {tuple(found)}, expected {tuple(expected)}"
        for name, found, expected in sorted(info["mismatched_keys"])
    ]
    if wrong:
        more = f"; and {len(wrong) - 2} more" if len(wrong) > 2 else ""
        raise ValueError(
            f"The weights of {path} don't fit its config.json: {'; '.join(wrong[:2])}{more}. Is it "
            "a checkpoint of this architecture, and whole?"
        )
    return model.state_dict(), set(info["missing_keys"])


def renamed(weights: Mapping[str, torch.Tensor], names: Names, *, back: bool = False) -> Weights:
    """The tensors under our names; with `back`, ours under transformers'.

    A part that begins with a dot is replaced anywhere, another at the beginning of a name.
    """
    return {_renamed(name, names, back): tensor for name, tensor in weights.items()}


def _renamed(name: str, names: Names, back: bool) -> str:
    for theirs, ours in names:
        old, new = (ours, theirs) if back else (theirs, ours)
        if old.startswith("."):
            name = name.replace(old, new)
        elif name.startswith(old):
            name = new + name.removeprefix(old)
    return name


def join_attention(weights: Weights) -> None:
    """In place, one matrix of queries, keys and values for each three."""
    for name in [name for name in weights if ".q_proj." in name]:
        three = [weights.pop(name.replace(".q_proj.", f".{part}_proj.")) for part in "qkv"]
        weights[name.replace(".q_proj.", ".query_key_value.")] = torch.cat(three)


def split_attention(weights: Weights) -> None:
    """What `join_attention` did, undone where all three have as many heads."""
    for name in [name for name in weights if ".query_key_value." in name]:
        for part, matrix in zip("qkv", weights.pop(name).chunk(3), strict=True):
            weights[name.replace(".query_key_value.", f".{part}_proj.")] = matrix.contiguous()


def filled(kind: type[Model], config: object, weights: Weights) -> Model:
    """`kind(config)` in evaluation mode, with these tensors for its parameters."""
    with torch.device("meta"):  # no memory, and no random numbers to be overwritten
        model = kind(config)
    model.load_state_dict(weights, assign=True)
    return model.eval()
