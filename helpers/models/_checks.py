"""What the models ask of their configurations and their inputs."""

from dataclasses import fields
from typing import ClassVar

import torch

__all__ = ["CheckedConfig", "check_ids", "check_inputs"]


class CheckedConfig:
    """For a frozen dataclass that describes a model: refuses what can't be.

    Whole numbers are sizes and positive. A number whose name ends in "dropout" is a share from 0
    to below 1; others are positive.
    """

    rotary: ClassVar[bool] = True  # whether a head's features are turned in pairs

    def __post_init__(self) -> None:
        """Raises ValueError with the field's name, what it is, and what is expected."""
        for field in fields(self):
            value = getattr(self, field.name)
            numbers = {int: int, float: int | float}.get(field.type)
            if numbers is None:
                continue
            number = isinstance(value, numbers) and not isinstance(value, bool)
            share = field.name.endswith("dropout")
            if not number or not (0 <= value < 1 if share else value > 0):
                kind = "positive whole number" if field.type is int else "positive number"
                expected = "share from 0 to below 1" if share else kind
                raise ValueError(f"{field.name} is {value!r}; expected a {expected}.")
        parts = self.n_heads * (2 if self.rotary else 1)
        if self.d_model % parts:
            even = " of an even width, which rotary positions need" if self.rotary else ""
            raise ValueError(
                f"{self.n_heads} heads don't divide {self.d_model} features into equal parts"
                f"{even}; choose a d_model that is a multiple of {parts}."
            )

    @property
    def d_k(self) -> int:
        """Features of one head."""
        return self.d_model // self.n_heads


def check_inputs(
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor | None,
    config: CheckedConfig,
    past: int = 0,
) -> None:
    """Refuse what would fail deep inside, on a GPU without a message, or not at all.

    Args:
        input_ids: should be int64 or int32 (B, T).
        attention_mask: should be (B, past + T).
        config: has `vocab_size` and `max_positions`.
        past: tokens in the cache.

    Raises:
        TypeError: ids that aren't integers.
        ValueError: a shape that doesn't fit, too long a sequence, or an id without a vector.
    """
    shape = tuple(input_ids.shape)
    if input_ids.ndim != 2 or 0 in shape:
        raise ValueError(
            f"input_ids has shape {shape}; expected (B, T) with at least one sequence and one "
            "token."
        )
    check_ids("input_ids", input_ids, config.vocab_size, "Does the tokenizer fit the model?")
    n_all = past + shape[1]
    if n_all > config.max_positions:
        raise ValueError(
            f"a sequence of {n_all} tokens is longer than the model's {config.max_positions} "
            "positions; truncate it, or split it into parts."
        )
    if attention_mask is not None and tuple(attention_mask.shape) != (shape[0], n_all):
        parts = f", {past} tokens in the cache and {shape[1]} new" if past else ", as input_ids"
        raise ValueError(
            f"attention_mask has shape {tuple(attention_mask.shape)}; expected "
            f"{(shape[0], n_all)}{parts}."
        )


def check_ids(name: str, ids: torch.Tensor, n: int, hint: str) -> None:
    """Refuse ids that aren't integers from 0 to n - 1: TypeError or ValueError.

    Ids on a GPU are taken as they are: to look at them, the CPU would wait for the GPU. The
    training loop looks at the CPU's copy.
    """
    if ids.dtype not in (torch.int64, torch.int32):
        raise TypeError(f"{name} has dtype {ids.dtype}; expected torch.int64, as tokenizers give.")
    if ids.device.type != "cpu":
        return
    low, high = (int(end) for end in ids.aminmax())
    if low < 0 or high >= n:
        raise ValueError(f"{name} holds {low if low < 0 else high}; expected 0 to {n - 1}. {hint}")
