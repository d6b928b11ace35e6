"""Masked language modelling: which pieces to predict, and what the model sees in their place."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from helpers.data.batching import stack_blocks
from helpers.hardware import IGNORED


def mask_tokens(
    input_ids: torch.Tensor,
    candidates: torch.Tensor,
    *,
    mask_token_id: int | None,
    vocab_size: int,
    generator: torch.Generator,
    rate: float = 0.15,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Choose pieces to predict and hide most of them (Devlin et al., NAACL 2019, section 3.1).

    Each candidate is chosen with probability `rate`, independently; but if none is, one of them
    is, since there would be nothing to learn. Of the chosen, 80 % become the mask token, 10 % a
    random piece of the vocabulary, and 10 % stay: so the model can't tell from a piece in front of
    it whether it must be predicted.

    Args:
        input_ids: int64 of any shape; left as they are.
        candidates: bool of the same shape, False at [CLS], [SEP] and padding.
        mask_token_id: the tokenizer's `mask_token_id`.
        vocab_size: ids are 0 to `vocab_size - 1`, the mask token's included.
        generator: the source of all randomness. The draws are made on its device, so a generator
            of the CPU gives the same masks whatever the device of `input_ids`.
        rate: share of the candidates to choose, above 0 and at most 1.

    Returns:
        What the model sees, and the labels: the original ids where chosen, `IGNORED` elsewhere.
        Both are int64 and have the shape and device of `input_ids`.

    Raises:
        TypeError: the ids aren't int64, or the candidates aren't bool.
        ValueError: shapes that differ, no mask token, an id outside the vocabulary, or a rate
            outside its range.
    """
    _check(input_ids, candidates, mask_token_id, vocab_size, rate)
    shape, device = input_ids.shape, input_ids.device

    def draw() -> torch.Tensor:
        return torch.rand(shape, generator=generator, device=generator.device).to(device)

    luck = draw()
    chosen = candidates & (luck < rate)
    if candidates.any() and not chosen.any():
        chosen = candidates & (luck == luck[candidates].min())
    fate = draw()
    pieces = torch.randint(vocab_size, shape, generator=generator, device=generator.device)
    seen = input_ids.masked_fill(chosen & (fate < 0.8), mask_token_id)
    seen = torch.where(chosen & (fate >= 0.9), pieces.to(device), seen)
    return seen, input_ids.masked_fill(~chosen, IGNORED)


def _check(
    input_ids: torch.Tensor,
    candidates: torch.Tensor,
    mask_token_id: int | None,
    vocab_size: int,
    rate: float,
) -> None:
    if input_ids.dtype != torch.int64 or candidates.dtype != torch.bool:
        raise TypeError(
            f"input_ids are {input_ids.dtype} and candidates {candidates.dtype}; expected "
            "torch.int64 and torch.bool (True where a piece may be chosen)."
        )
    if input_ids.shape != candidates.shape:
        raise ValueError(f"Shapes differ: {input_ids.shape} and {candidates.shape}.")
    if not 0 < rate <= 1:
        raise ValueError(f"rate is {rate}; expected a share above 0 and at most 1, such as 0.15.")
    if mask_token_id is None:
        raise ValueError(
            "The tokenizer has no mask token (mask_token_id is None). Use a tokenizer made for "
            "masked language modelling, or add a mask token and resize the model's embeddings."
        )
    ends = input_ids.aminmax() if input_ids.numel() else ()
    for i in (mask_token_id, *map(int, ends)):
        if not 0 <= i < vocab_size:
            raise ValueError(
                f"The id {i} is outside the vocabulary of {vocab_size} pieces (ids 0 to "
                f"{vocab_size - 1}). Does the vocabulary belong to another tokenizer?"
            )


@dataclass(frozen=True)
class MaskedCollator:
    """Blocks, masked anew each time they are seen, from torch's default generator.

    `helpers.training` seeds that generator for each batch, so a run that resumes masks the same.

    Attributes:
        mask_token_id: the tokenizer's `mask_token_id`.
        vocab_size: ids are 0 to `vocab_size - 1`.
        special_ids: never chosen, such as the tokenizer's `all_special_ids`.
        rate: share of the other pieces to choose; see `mask_tokens`.
    """

    mask_token_id: int | None
    vocab_size: int
    special_ids: tuple[int, ...]
    rate: float = 0.15

    def __call__(self, examples: Sequence[dict]) -> dict[str, torch.Tensor]:
        """`input_ids` and `labels`, int64 (B, T), of B blocks; raises as `mask_tokens` does."""
        return self.mask(stack_blocks(examples), torch.default_generator)

    def mask(self, input_ids: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """The same for ids (B, T), from a generator of the caller's."""
        candidates = ~torch.isin(input_ids, torch.tensor(self.special_ids, dtype=torch.int64))
        seen, labels = mask_tokens(
            input_ids,
            candidates,
            mask_token_id=self.mask_token_id,
            vocab_size=self.vocab_size,
            generator=generator,
            rate=self.rate,
        )
        return {"input_ids": seen, "labels": labels}


@dataclass(frozen=True)
class FixedMasks:
    """Blocks masked once and for all, to measure a model on: row i by a seed and i alone.

    So the loss is that of the same pieces whatever the batch size, the number of processes, or
    the rate that a model was trained at.

    Attributes:
        blocks: map-style, each row with `input_ids`, all of one length.
        collator: says how to mask.
        seed: another one gives other masks.
    """

    blocks: Sequence[dict]
    collator: MaskedCollator
    seed: int = 0

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, row: int) -> dict[str, torch.Tensor]:
        """`input_ids` and `labels` of one row, int64 (T,)."""
        # Mixed, since torch's generator looks at the lower 32 bits of a seed alone.
        mixed = np.random.SeedSequence([self.seed, row]).generate_state(1)
        generator = torch.Generator().manual_seed(int(mixed[0]))
        masked = self.collator.mask(stack_blocks([self.blocks[row]]), generator)
        return {key: value[0] for key, value in masked.items()}

    @cached_property
    def lengths(self) -> np.ndarray:
        """Pieces per row, int64."""
        return np.full(len(self), len(self.blocks[0]["input_ids"]), dtype=np.int64)

    @staticmethod
    def collate(rows: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """Stack rows that are masked already into a batch."""
        return {key: torch.stack([row[key] for row in rows]) for key in rows[0]}
