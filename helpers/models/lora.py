"""LoRA: fine-tuning through low-rank updates of frozen matrices (Hu et al., ICLR 2022).

To save an adapter and to load one is peft's work: its matrices are these, and chapter 14 copies
them there.

Shapes: d_in and d_out of a linear layer, r the rank of its update.
"""

import math
from collections.abc import Collection

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["LoraLinear", "add_lora", "merge_lora"]


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
        rank, alpha, dropout: as for `LoraLinear`.
        train_also: the end of the names of modules that stay trainable in full, such as a new
            head's, "classifier"; no layer inside them is adapted.

    Returns:
        The full names of the adapted layers.

    Raises:
        ValueError: a name fits no layer, or the model has LoRA already.
    """
    if any(isinstance(module, LoraLinear) for module in model.modules()):
        raise ValueError(
            "The model has LoRA layers already: merge_lora them first, or load the model anew."
        )
    linear, kept = _find(model, targets, train_also)
    # All are made before the first is put in, so that a rank that is refused changes nothing.
    options = {"rank": rank, "alpha": alpha, "dropout": dropout}
    adapted = {name: LoraLinear(layer, **options) for name, layer in linear.items()}
    model.requires_grad_(False)
    for module in kept.values():
        module.requires_grad_(True)
    for name, layer in adapted.items():
        model.set_submodule(name, layer)
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
                model.set_submodule(name, layer.linear)
    model.requires_grad_(True)


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
