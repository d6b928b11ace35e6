"""Contrastive learning of text embeddings: pooling, the InfoNCE loss, and what to measure.

InfoNCE is by van den Oord et al. (arXiv:1807.03748); its use on pairs of texts, or on one text
under two dropout masks, follows SimCSE (Gao et al., EMNLP 2021); alignment and uniformity are by
Wang and Isola (ICML 2020).

Shapes: B pairs in a batch, N texts, T tokens, d features.
"""

import os
import tempfile
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedTokenizerBase

from helpers.models.modernbert import ModernBert

__all__ = [
    "ContrastiveOutput",
    "PairEncoder",
    "alignment",
    "cosine_similarities",
    "info_nce",
    "mean_pool",
    "ranks",
    "uniformity",
]


def mean_pool(hidden: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    """The mean of each text's vectors, padding left out (Reimers & Gurevych, 2019, section 3).

    Args:
        hidden: (B, T, d), an encoder's output.
        attention_mask: (B, T), 1 at real tokens and 0 at padding.

    Returns:
        (B, d).

    Raises:
        ValueError: a text has no real token; on a GPU its mean is then 0/0.
    """
    weights = attention_mask.to(hidden.dtype)[..., None]  # (B, T, 1)
    lengths = weights.sum(1)  # (B, 1)
    # On a GPU, the CPU would wait to look.
    if lengths.device.type == "cpu" and not bool((lengths > 0).all()):
        row = int((lengths[:, 0] == 0).nonzero()[0])
        raise ValueError(f"Text {row} has no real token, so it has no mean; leave it out.")
    return (hidden * weights).sum(1) / lengths


def cosine_similarities(queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """Cosines of all pairs of rows: (B, d) and (N, d) -> (B, N)."""
    # A cosine in bf16 has an error of up to 0.004, and a small temperature makes much of it.
    with torch.autocast(queries.device.type, enabled=False):
        return F.normalize(queries, dim=-1) @ F.normalize(keys, dim=-1).T


def info_nce(
    queries: torch.Tensor,
    keys: torch.Tensor,
    *,
    temperature: float = 0.05,
    symmetric: bool = False,
) -> torch.Tensor:
    """Which key belongs to each query? Key i is query i's; the others in the batch are negatives.

    The mean cross-entropy of a softmax over cosines divided by the temperature (van den Oord et
    al., 2018, equation 4, with the score of Gao et al., 2021, equation 1).

    Args:
        queries: (B, d).
        keys: (B, d) or, with further negatives behind the first B, (N, d).
        temperature: what the cosines are divided by.
        symmetric: the mean of this loss and of the one that asks which query belongs to each key.

    Returns:
        Scalar, nats.

    Raises:
        ValueError: a temperature that isn't positive, fewer keys than queries, or, if symmetric,
            not as many keys as queries.
    """
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}; expected a number above 0, such as 0.05.")
    logits = cosine_similarities(queries, keys) / temperature  # (B, N)
    n_queries, n_keys = logits.shape
    if n_keys < n_queries or (symmetric and n_keys != n_queries):
        raise ValueError(
            f"{n_queries} queries and {n_keys} keys; expected "
            + ("as many keys as queries." if symmetric else "a key for each query, or more keys.")
        )
    labels = torch.arange(n_queries, device=logits.device)  # query i's key is key i
    loss = F.cross_entropy(logits, labels)
    if not symmetric:
        return loss
    return (loss + F.cross_entropy(logits.T, labels)) / 2


def alignment(queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """Mean squared distance of matching unit vectors, 0 to 4: (N, d) twice -> scalar.

    Wang & Isola (2020), section 4.1, with α = 2.
    """
    return (F.normalize(queries, dim=-1) - F.normalize(keys, dim=-1)).square().sum(-1).mean()


def uniformity(vectors: torch.Tensor) -> torch.Tensor:
    """log of the mean of exp(-2 ‖x - y‖²) over pairs of unit vectors: (N, d) -> scalar.

    0 if all texts have one vector; the lower, the more evenly they spread (Wang & Isola, 2020,
    section 4.1, with t = 2).
    """
    distances = torch.pdist(F.normalize(vectors, dim=-1))  # (N (N - 1) / 2,)
    return (-2 * distances.square()).exp().mean().log()


def ranks(scores: torch.Tensor) -> torch.Tensor:
    """The place of each query's own key among all keys, from 1: (B, N) -> int64 (B,).

    Key i is query i's. A key that scores as much as the right one counts as better, so a method
    that gives all keys the same score gets no credit.
    """
    own = scores.diagonal()[:, None]  # (B, 1)
    return (scores >= own).sum(-1)


class ContrastiveOutput(NamedTuple):
    """What `PairEncoder` gives."""

    loss: torch.Tensor  # scalar, nats
    logits: torch.Tensor  # (B, B), cosines of all queries and keys divided by the temperature


class PairEncoder(nn.Module):
    """One encoder for both texts of a pair, trained to bring the two together.

    With a pair of one text and itself, the two passes differ by their dropout masks alone: that is
    unsupervised SimCSE, and needs an encoder with dropout.
    """

    def __init__(self, encoder: ModernBert, *, temperature: float = 0.05):
        super().__init__()
        self.encoder = encoder
        self.temperature = temperature

    def embed(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Unit vectors: ids and mask (B, T) -> (B, d)."""
        hidden = self.encoder.hidden(input_ids, attention_mask)  # (B, T, d)
        return F.normalize(mean_pool(hidden, attention_mask), dim=-1)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        key_ids: torch.Tensor,
        key_mask: torch.Tensor,
        labels: torch.Tensor | None = None,
    ) -> ContrastiveOutput:
        """Loss and logits of B pairs.

        Args:
            input_ids: int64 (B, T), the queries.
            attention_mask: (B, T).
            key_ids: int64 (B, S); row i belongs to query i.
            key_mask: (B, S).
            labels: for the training loop, which counts them; the right key of row i is i anyway.
        """
        queries = self.embed(input_ids, attention_mask)  # (B, d)
        keys = self.embed(key_ids, key_mask)  # (B, d)
        loss = info_nce(queries, keys, temperature=self.temperature, symmetric=True)
        return ContrastiveOutput(loss, cosine_similarities(queries, keys) / self.temperature)

    def save_pretrained(
        self,
        folder: str | os.PathLike[str],
        *,
        tokenizer: PreTrainedTokenizerBase,
        max_length: int,
    ) -> None:
        """Write a folder by which sentence-transformers does what `embed` does, from text on.

        Args:
            folder: made if absent.
            tokenizer: of the encoder.
            max_length: pieces, [CLS] and [SEP] among them, that are read of a text.

        Raises:
            ValueError: `max_length` isn't between 3 and the encoder's positions.
        """
        positions = self.encoder.config.max_positions
        if not 3 <= max_length <= positions:
            raise ValueError(
                f"max_length is {max_length}; expected 3 to {positions}, the encoder's positions."
            )
        # Seconds to import, and wanted for saving alone.
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415
        from sentence_transformers.sentence_transformer.modules import (  # noqa: PLC0415
            Normalize,
            Pooling,
            Transformer,
        )

        with tempfile.TemporaryDirectory() as encoder:
            self.encoder.save_pretrained(encoder, tokenizer=tokenizer, head=False)
            reader = Transformer(encoder, max_seq_length=max_length)
            modules = [reader, Pooling(self.encoder.config.d_model, "mean"), Normalize()]
            model = SentenceTransformer(modules=modules, device="cpu")
            model.save(os.fspath(folder), create_model_card=False)
