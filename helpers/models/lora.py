"""LoRA: fine-tuning through low-rank updates of frozen matrices (Hu et al., ICLR 2022).

What `save_lora` writes, peft reads, and the other way round.

Shapes: d_in and d_out of a linear layer, r the rank of its update.
"""

import math
import os
from collections.abc import Collection
from pathlib import Path

import torch
import torch.nn.functional as F
import transformers
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from torch import nn

__all__ = ["LoraLinear", "add_lora", "load_lora", "lora_state", "merge_lora", "save_lora"]


class LoraLinear(nn.Module):
    """x Wᵀ + b + (α / r) (x Aᵀ) Bᵀ with W and b frozen (section 4.1, equation 3).

    B starts at zero, so at first the layer computes what it computed before.
    """

    def __init__(self, linear: nn.Linear, *, rank: int, alpha: float, dropout: float = 0.0):
        """
        Args:
            linear: the layer to adapt; its weights are shared and no longer trained.
            rank: r, columns of the update's two factors; at most the layer's smaller width.
            alpha: α, scales the update by α / r, so that r can change with α kept.
            dropout: share of the update's input that is dropped in training.

        Raises:
            ValueError: a number is out of range.
        """
        super().__init__()
        smaller = min(linear.in_features, linear.out_features)
        if not 1 <= rank <= smaller:
            raise ValueError(
                f"rank is {rank}; expected 1 to {smaller}, the smaller width of a layer from "
                f"{linear.in_features} to {linear.out_features} features."
            )
        if alpha <= 0 or not 0.0 <= dropout < 1.0:
            raise ValueError(
                f"alpha is {alpha} and dropout {dropout}; expected a positive number, and a share "
                "from 0 to below 1."
            )
        like = {"dtype": linear.weight.dtype, "device": linear.weight.device}
        self.a = nn.Parameter(torch.empty(rank, linear.in_features, **like))  # (r, d_in)
        self.b = nn.Parameter(torch.zeros(linear.out_features, rank, **like))  # (d_out, r)
        nn.init.kaiming_uniform_(self.a, a=math.sqrt(5))  # as nn.Linear does, and peft
        self.linear = linear.requires_grad_(False)
        self.alpha, self.scale = alpha, alpha / rank
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., d_in) -> (..., d_out)."""
        # Through the r features in the middle: the (d_out, d_in) update is never formed.
        update = F.linear(F.linear(self.dropout(x), self.a), self.b)
        return self.linear(x) + self.scale * update

    def update(self) -> torch.Tensor:
        """What the adapted weight adds to the frozen one: (α / r) B A, (d_out, d_in)."""
        return self.scale * (self.b @ self.a)


def add_lora(
    model: nn.Module,
    targets: Collection[str],
    *,
    rank: int,
    alpha: float,
    dropout: float = 0.0,
    train_also: Collection[str] = (),
) -> list[str]:
    """Freeze a model and put a `LoraLinear` in the place of its chosen linear layers.

    Args:
        model: changed in place.
        targets: the end of the layers' names, such as {"query", "value"}.
        rank: as for `LoraLinear`.
        alpha: as for `LoraLinear`.
        dropout: as for `LoraLinear`.
        train_also: the end of the names of modules that stay trainable in full, such as a new
            head's, "classifier"; no layer inside them is adapted.

    Returns:
        The full names of the adapted layers.

    Raises:
        ValueError: a name fits no layer, or the model has LoRA already.
    """
    _refuse_lora(model)
    linear, kept = _find(model, targets, train_also)
    # All are made before the first is put in, so that a rank that is refused changes nothing.
    options = {"rank": rank, "alpha": alpha, "dropout": dropout}
    adapted = {name: LoraLinear(layer, **options) for name, layer in linear.items()}
    model.requires_grad_(False)
    for module in kept.values():
        module.requires_grad_(True)
    for name, layer in adapted.items():
        _replace(model, name, layer)
    return list(linear)


def merge_lora(model: nn.Module) -> None:
    """Add each update to its frozen weight and put the plain layer back, in place.

    The merged model computes the same as before, at the cost of the original one (section 4.1).
    All that it holds is trainable again.
    """
    with torch.no_grad():
        for name, layer in list(model.named_modules()):
            if isinstance(layer, LoraLinear):
                layer.linear.weight += layer.update()
                _replace(model, name, layer.linear)
    model.requires_grad_(True)


def lora_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """What fine-tuning changed: the trainable tensors by name, which is all there is to keep."""
    return {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}


def save_lora(model: nn.Module, folder: str | os.PathLike[str], *, base: str | None = None) -> None:
    """Write what fine-tuning changed as peft does: `PeftModel.from_pretrained(base, folder)`.

    Args:
        model: of a class that transformers has. For another class peft would put the adapter on
            one of transformers' with the same names, and get other predictions without a word.
        folder: made if it isn't there; gets adapter_config.json and adapter_model.safetensors.
        base: the checkpoint that the adapter belongs on, as the Hub calls it; None for the place
            that the model was loaded from.

    Raises:
        ValueError: the model is of another class, its LoRA layers have several settings, or of a
            module only a part is trained.
    """
    kind = type(model)
    if kind is not getattr(transformers, kind.__name__, None):
        raise ValueError(
            f"{kind.__name__} isn't a class of transformers, so nobody could put this adapter on "
            "its base. Merge it with merge_lora and save the whole model."
        )
    layers = {n: m for n, m in model.named_modules() if isinstance(m, LoraLinear)}
    settings = {(len(layer.a), layer.alpha, layer.dropout.p) for layer in layers.values()}
    if len(settings) != 1:
        raise ValueError(
            f"The model's LoRA layers have the settings {sorted(settings)} (rank, alpha, dropout); "
            "expected one for all, as add_lora gives them."
        )
    rank, alpha, dropout = settings.pop()
    trained = lora_state(model)
    names = _trained_in_full(model)
    kept = _meant_by_peft(model, names)
    parts = [n for n in trained if not _inside(n, [*layers, *kept])]
    if parts:
        raise ValueError(
            f"{parts[0]!r} is trained, and not all of its module; peft keeps whole modules. Give "
            "add_lora the module's name in train_also."
        )
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=_names_for(model, layers, kept),
        modules_to_save=names or None,
        task_type=_task(model, kept),
        base_model_name_or_path=base or model.name_or_path,
        inference_mode=True,
    )
    Path(folder).mkdir(parents=True, exist_ok=True)
    config.save_pretrained(os.fspath(folder))
    for name in kept:
        for inner, parameter in model.get_submodule(name).named_parameters(prefix=name):
            trained[inner] = parameter.detach()
    tensors = {_name_in_peft(n, layers): p.contiguous() for n, p in trained.items()}
    save_file(tensors, Path(folder) / _WEIGHTS, metadata={"format": "pt"})


def load_lora(model: nn.Module, folder: str | os.PathLike[str]) -> None:
    """Add to a model, in place, the LoRA that `save_lora` or peft's `save_pretrained` wrote.

    Raises:
        ValueError: the folder holds something else than LoRA as it is here, or the LoRA of
            another model; the message has it. Nothing is changed then.
    """
    _refuse_lora(model)
    config = LoraConfig.from_pretrained(os.fspath(folder))
    start = config.init_lora_weights
    plain = LoraConfig(
        r=config.r,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=config.target_modules,
        # Others, such as PiSSA, take what they start from out of the frozen weights.
        init_lora_weights=start if start in _PLAIN_STARTS else True,
    ).to_dict()
    settings = config.to_dict()
    unknown = {k: v for k, v in settings.items() if k not in _NO_MATTER and v != plain.get(k)}
    if unknown:
        raise ValueError(f"{folder} was made with {unknown}, which LoraLinear doesn't have.")
    # For classifiers, peft names every head that it knows of.
    also = _meant_by_peft(model, config.modules_to_save or ())
    linear, kept = _find(model, config.target_modules, also)
    wanted = {f"{n}.{k}": tuple(p.shape) for n, m in kept.items() for k, p in m.named_parameters()}
    for n, layer in linear.items():
        wanted[f"{n}.a"] = (config.r, layer.in_features)
        wanted[f"{n}.b"] = (layer.out_features, config.r)
    wanted = {_name_in_peft(n, linear): (n, shape) for n, shape in wanted.items()}
    saved = load_file(Path(folder) / _WEIGHTS)
    differing = sorted(saved.keys() ^ wanted.keys())
    if differing:
        raise ValueError(
            f"{folder} and the model differ in {len(differing)} tensors, such as {differing[0]!r}: "
            "it is the adapter of another model."
        )
    for name, tensor in saved.items():
        if tuple(tensor.shape) != wanted[name][1]:
            raise ValueError(
                f"{name} has shape {tuple(tensor.shape)} in {folder}, where the model needs "
                f"{wanted[name][1]}: it is the adapter of another model."
            )
    add_lora(
        model,
        config.target_modules,
        rank=config.r,
        alpha=config.lora_alpha,
        dropout=config.lora_dropout,
        train_also=also,
    )
    with torch.no_grad():
        for name, tensor in saved.items():
            model.get_parameter(wanted[name][0]).copy_(tensor)


_WEIGHTS = "adapter_model.safetensors"
_TASKS = {  # the end of a class's name: what peft calls its task
    "ForSequenceClassification": "SEQ_CLS",
    "ForTokenClassification": "TOKEN_CLS",
    "ForCausalLM": "CAUSAL_LM",
    "LMHeadModel": "CAUSAL_LM",
}
_HEADS = ("classifier", "score")  # which peft takes for trained where it knows the task
_PLAIN_STARTS = (True, False, "gaussian", "orthogonal")  # of A, with the frozen weights as they are
_NO_MATTER = {  # settings of peft that say where the weights come from, not what is computed
    "auto_mapping",
    "base_model_name_or_path",
    "inference_mode",
    "modules_to_save",
    "peft_version",
    "revision",
    "task_type",
}


def _name_in_peft(name: str, layers: Collection[str]) -> str:
    """`…query.a` -> `base_model.model.…query.lora_A.weight`; other names get the prefix alone."""
    layer, _, last = name.rpartition(".")
    return f"base_model.model.{f'{layer}.lora_{last.upper()}.weight' if layer in layers else name}"


def _refuse_lora(model: nn.Module) -> None:
    if any(isinstance(module, LoraLinear) for module in model.modules()):
        raise ValueError(
            "The model has LoRA layers already: merge_lora them first, or load the model anew."
        )


def _trained_in_full(model: nn.Module) -> list[str]:
    """The outermost modules of which every parameter is trained, by name."""
    found: list[str] = []
    for name, module in model.named_modules():  # what a module is in comes before it
        parameters = list(module.parameters())
        whole = bool(parameters) and all(p.requires_grad for p in parameters)
        container = not name or isinstance(module, nn.ModuleList | nn.ModuleDict)
        if whole and not container and not _inside(name, found):
            found.append(name)
    return sorted(found)


def _meant_by_peft(model: nn.Module, names: Collection[str]) -> list[str]:
    """The modules that peft finds by these names: for "classifier", "pre_classifier" as well."""
    return [n for n, _ in model.named_modules() if n.endswith(tuple(names))]


def _names_for(model: nn.Module, layers: Collection[str], kept: Collection[str]) -> list[str]:
    """The ends of the layers' names where no other linear layer ends so, else the whole names."""
    ends = sorted({name.rpartition(".")[2] for name in layers})
    meant = {
        n
        for n, m in model.named_modules()
        if isinstance(m, nn.Linear | LoraLinear) and _ends(n, ends)
    }
    others = {n for n in meant - set(layers) if not _inside(n, [*layers, *kept])}
    return sorted(layers) if others else ends


def _task(model: nn.Module, kept: Collection[str]) -> str | None:
    """peft's name of the task; None where it would look for a trained head that isn't there."""
    name = type(model).__name__
    task = next((task for end, task in _TASKS.items() if name.endswith(end)), None)
    heads = [] if task == "CAUSAL_LM" else _meant_by_peft(model, _HEADS)
    return task if all(_inside(head, kept) for head in heads) else None


def _inside(name: str, modules: Collection[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def _ends(name: str, ends: Collection[str]) -> bool:
    return any(name == end or name.endswith(f".{end}") for end in ends)


def _find(
    model: nn.Module, targets: Collection[str], train_also: Collection[str]
) -> tuple[dict[str, nn.Linear], dict[str, nn.Module]]:
    """The layers to adapt and the modules to train in full, by name."""
    if isinstance(targets, str) or isinstance(train_also, str):
        raise ValueError("targets and train_also are collections of names: give [name].")
    modules = dict(model.named_modules())
    kept = {n: m for n, m in modules.items() if _ends(n, train_also)}
    inside = {f"{n}.{k}".removesuffix(".") for n, m in kept.items() for k, _ in m.named_modules()}
    linear = {
        n: m
        for n, m in modules.items()
        if isinstance(m, nn.Linear) and _ends(n, targets) and n not in inside
    }
    for asked, found, what in (
        (targets, linear, "a linear layer"),
        (train_also, kept, "a module"),
    ):
        absent = sorted(end for end in asked if not any(_ends(n, [end]) for n in found))
        if absent:
            every = {n.rpartition(".")[2] for n, m in modules.items() if isinstance(m, nn.Linear)}
            raise ValueError(
                f"No name of {what} ends with {absent}. The model's linear layers are called "
                f"{sorted(every)}."
            )
    return linear, kept


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)
