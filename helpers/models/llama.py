"""A decoder in the form that Llama gave it (Touvron et al., arXiv:2302.13971, section 2.2).

Shapes: B sequences, T new tokens, S tokens so far with the new ones, d features, h query heads and
h_kv key and value heads of width d_k = d / h, d_ff features inside the feed-forward layer, V
entries of the vocabulary. Masks are boolean, True where a query may look, as in `attention`.
"""

import os
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
import transformers
from torch import nn

from helpers.models._checkpoint import (
    filled,
    join_attention,
    read_config,
    read_weights,
    refuse_unless,
    renamed,
)
from helpers.models._checks import CheckedConfig, check_inputs
from helpers.models.attention import causal_mask, is_padded, padding_mask
from helpers.models.cache import KeyValueCache, LayerCache
from helpers.models.positions import apply_rotary, rotary_angles

__all__ = [
    "GroupedQueryAttention",
    "Llama",
    "LlamaBlock",
    "LlamaConfig",
    "RotaryModel",
    "SwiGlu",
    "rms_norm",
]

INITIAL_STD = 0.02  # of GPT-2 and Llama
# The matrices whose output is added to the residual path.
RESIDUAL_WRITERS = (
    "attention.output.weight",
    "feed_forward.down.weight",
    "feed_forward.outer.weight",
)

# Parts of a tensor's name, in a Llama checkpoint of transformers and in this module.
WEIGHT_NAMES = (
    ("model.embed_tokens.", "embedding."),
    ("model.layers.", "blocks."),
    ("model.norm.", "norm."),
    ("lm_head.", "head."),
    (".input_layernorm.", ".attention_norm."),
    (".self_attn.o_proj.", ".attention.output."),
    (".self_attn.", ".attention."),
    (".post_attention_layernorm.", ".feed_forward_norm."),
    (".mlp.gate_proj.", ".feed_forward.gate."),
    (".mlp.up_proj.", ".feed_forward.up."),
    (".mlp.down_proj.", ".feed_forward.down."),
)


@dataclass(frozen=True)
class LlamaConfig(CheckedConfig):
    """What a `Llama` is made of.

    Raises:
        ValueError: a number isn't positive, or the heads don't divide as they must.
    """

    vocab_size: int  # entries of the vocabulary, V
    d_model: int  # features of a token, d
    n_layers: int  # blocks, L
    n_heads: int  # query heads, h; divides d_model into heads of an even width
    n_kv_heads: int  # key and value heads, h_kv; divides n_heads, equal to it for multi-head
    d_ff: int  # features inside the feed-forward layer
    max_positions: int  # longest sequence that the model is trained on
    rope_base: float = 10_000.0  # sets the frequencies of the rotary positions
    eps: float = 1e-5  # of the norms
    tie_embeddings: bool = True  # whether the output layer is the embedding's matrix

    causal: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_heads % self.n_kv_heads:
            raise ValueError(
                f"{self.n_heads} query heads can't share {self.n_kv_heads} key and value heads "
                "equally; choose an n_kv_heads that divides n_heads."
            )


def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float = 1e-5) -> torch.Tensor:
    """Each token divided by the root of its mean square (Zhang & Sennrich, 2019, equation 4).

    `torch.nn.RMSNorm` is the same with a learned scale, through a fused kernel.

    Args:
        x: (..., d).
        weight: the scale of each feature, the paper's gain g (d,).
        eps: added to the mean square, so that a token of zeros isn't divided by zero.
    """
    mean_square = x.square().mean(dim=-1, keepdim=True)  # (..., 1)
    return x * torch.rsqrt(mean_square + eps) * weight


class SwiGlu(nn.Module):
    """(silu(x W_gate) ⊙ x W_up) W_down, without biases (Shazeer, arXiv:2002.05202, equation 6)."""

    def __init__(self, d_model: int, d_ff: int):
        super().__init__()
        self.gate = nn.Linear(d_model, d_ff, bias=False)
        self.up = nn.Linear(d_model, d_ff, bias=False)
        self.down = nn.Linear(d_ff, d_model, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., d) -> (..., d), each token by itself."""
        return self.down(F.silu(self.gate(x)) * self.up(x))


class GroupedQueryAttention(nn.Module):
    """Attention in which h / h_kv query heads share the keys and values of one head.

    Ainslie et al., EMNLP 2023, section 2.2: with h_kv = h it is multi-head attention, with
    h_kv = 1 multi-query attention. Queries and keys are turned by their positions.
    """

    def __init__(self, d_model: int, n_heads: int, n_kv_heads: int, *, causal: bool = True):
        """`n_heads` must divide `d_model`, and `n_kv_heads` must divide `n_heads`.

        Without a mask a token sees itself and those before it, or if not `causal` all.
        """
        super().__init__()
        self.causal = causal
        d_k = d_model // n_heads
        self.n_heads, self.n_kv_heads = n_heads, n_kv_heads
        # One product makes them all: the three matrices side by side, a head after the other.
        self.query_key_value = nn.Linear(d_model, (n_heads + 2 * n_kv_heads) * d_k, bias=False)
        self.output = nn.Linear(d_model, d_model, bias=False)

    def forward(
        self,
        x: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        mask: torch.Tensor | None = None,
        cache: LayerCache | None = None,
    ) -> torch.Tensor:
        """Attend from T new tokens to all S.

        Args:
            x: (B, T, d).
            cos: of the new tokens' positions, from `rotary_angles`: (T, d_k) or (B, 1, T, d_k).
            sin: as `cos`.
            mask: bool, (T, S) or (B, 1, T or 1, S).
            cache: holds the S - T earlier tokens' keys and values, and gets the new ones'.

        Returns:
            (B, T, d).
        """
        q, k, v = self.queries_keys_values(x, cos, sin)
        if cache is not None:
            k, v = cache.append(k, v)  # (B, h_kv, S, d_k)
        n_queries, n_keys = q.size(2), k.size(2)
        if mask is None and self.causal and 1 < n_queries < n_keys:
            # torch's is_causal counts from the first key; our queries are the last T.
            mask = causal_mask(n_queries, n_keys, device=x.device)
        heads = F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=mask,
            # A single new token sees all.
            is_causal=self.causal and mask is None and n_queries > 1,
            enable_gqa=self.n_kv_heads < self.n_heads,
        )  # (B, h, T, d_k)
        return self.output(heads.transpose(1, 2).flatten(2))

    def queries_keys_values(
        self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(B, h, T, d_k), (B, h_kv, T, d_k) twice; the first two turned by their positions."""
        h, h_kv = self.n_heads, self.n_kv_heads
        heads = self.query_key_value(x).unflatten(-1, (h + 2 * h_kv, -1)).transpose(1, 2)
        q_and_k, v = heads.split((h + h_kv, h_kv), dim=1)
        q, k = apply_rotary(q_and_k, cos, sin).split((h, h_kv), dim=1)
        return q, k, v


class LlamaBlock(nn.Module):
    """Causal self-attention and a feed-forward layer, each normalised first and then added."""

    def __init__(self, config: LlamaConfig):
        super().__init__()
        d = config.d_model
        self.attention_norm = nn.RMSNorm(d, config.eps)
        self.attention = GroupedQueryAttention(d, config.n_heads, config.n_kv_heads)
        self.feed_forward_norm = nn.RMSNorm(d, config.eps)
        self.feed_forward = SwiGlu(d, config.d_ff)

    def forward(
        self,
        x: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        mask: torch.Tensor | None = None,
        cache: LayerCache | None = None,
    ) -> torch.Tensor:
        """(B, T, d) -> (B, T, d); arguments as for `GroupedQueryAttention`."""
        x = x + self.attention(self.attention_norm(x), cos, sin, mask, cache)
        return x + self.feed_forward(self.feed_forward_norm(x))


class RotaryModel(nn.Module):
    """What `Llama` and `ModernBert` share: the way through the blocks, and a decoder's cache.

    Of the subclass it uses `config`, `embedding`, `blocks` and `norm`.
    """

    def initialise(self) -> None:
        """Draw the matrices from torch's global generator.

        Normal with standard deviation 0.02; those that write to the residual path are smaller by
        √(2L), since 2L of them add up there (Radford et al., 2019, section 2.3).
        """
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                writes = name.endswith(RESIDUAL_WRITERS)
                shrink = (2 * self.config.n_layers) ** -0.5 if writes else 1.0
                nn.init.normal_(parameter, std=INITIAL_STD * shrink)

    def embed(self, input_ids: torch.Tensor) -> torch.Tensor:
        """What the first block reads: ids (B, T) -> (B, T, d)."""
        return self.embedding(input_ids)

    def hidden(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        cache: KeyValueCache | None = None,
    ) -> torch.Tensor:
        """The last layer's normalised vectors, (B, T, d); arguments and errors as for `forward`."""
        past = 0 if cache is None else cache.length
        check_inputs(input_ids, attention_mask, self.config, past)
        if cache is not None and cache.batch_size != len(input_ids):
            raise ValueError(
                f"the cache was made for a batch of {cache.batch_size}, input_ids has "
                f"{len(input_ids)} sequences; make a new cache for another batch."
            )
        mask, positions = self._mask_and_positions(input_ids, attention_mask, past)
        cos, sin = rotary_angles(positions, self.config.d_k, base=self.config.rope_base)
        x = self.embed(input_ids)  # (B, T, d)
        for i, block in enumerate(self.blocks):
            x = block(x, cos, sin, mask, None if cache is None else cache.layers[i])
        return self.norm(x)

    def _mask_and_positions(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None, past: int
    ) -> tuple[torch.Tensor | None, torch.Tensor]:
        """No mask where nothing is padded: attention is faster without one."""
        n_new, n_all = input_ids.size(1), past + input_ids.size(1)
        if not is_padded(attention_mask):
            return None, torch.arange(past, n_all, device=input_ids.device)  # (T,)
        mask = padding_mask(attention_mask)  # (B, 1, 1, S)
        if self.config.causal:
            mask = mask & causal_mask(n_new, n_all, device=input_ids.device)  # (B, 1, T, S)
        # Padding isn't counted, so that a padded sequence gets the positions it has alone.
        return mask, attention_mask.long().cumsum(1)[:, None, past:].sub(1).clamp(min=0)

    def new_cache(self, batch_size: int, max_length: int) -> KeyValueCache:
        """An empty cache of this model's shape, precision and device for `max_length` tokens.

        Raises:
            ValueError: `max_length` exceeds `max_positions`, or the network is an encoder.
        """
        c = self.config
        if not c.causal:
            raise ValueError(
                "An encoder has no use for a cache: a new token changes the vectors of all earlier "
                "ones. Make the network with causal=True."
            )
        if max_length > c.max_positions:
            raise ValueError(
                f"a cache of {max_length} tokens is longer than the model's {c.max_positions} "
                "positions; shorten the prompt or generate fewer tokens."
            )
        weight = self.embedding.weight
        shape = (2, c.n_layers, batch_size, c.n_kv_heads, max_length, c.d_k)
        return KeyValueCache(*torch.empty(shape, dtype=weight.dtype, device=weight.device))


class Llama(RotaryModel):
    """Token embedding, blocks, a last norm, and one score for each entry of the vocabulary."""

    def __init__(self, config: LlamaConfig):
        """Random weights, as `initialise` draws them."""
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.blocks = nn.ModuleList(LlamaBlock(config) for _ in range(config.n_layers))
        self.norm = nn.RMSNorm(config.d_model, config.eps)
        if not config.tie_embeddings:
            self.head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.initialise()

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        cache: KeyValueCache | None = None,
    ) -> torch.Tensor:
        """Scores of the next token after each token.

        Args:
            input_ids: int64 (B, T), the tokens that the cache doesn't hold yet.
            attention_mask: (B, S) for all tokens, the cached ones too: 1 at real ones, 0 at
                padding, which may stand on either side. No padding by default.
            cache: from `new_cache`; gets the new tokens' keys and values.

        Returns:
            Logits (B, T, V). What stands at padding has no meaning.

        Raises:
            ValueError: an id is out of the vocabulary, shapes don't fit, or the sequence is longer
                than `max_positions`.
        """
        return self.logits(self.hidden(input_ids, attention_mask, cache))

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """(..., d) -> (..., V); on the positions that are needed alone, since V is large."""
        head = self.embedding if self.config.tie_embeddings else self.head
        return F.linear(hidden, head.weight)

    @classmethod
    def from_pretrained(cls, path: str | os.PathLike[str]) -> Self:
        """Load a checkpoint of transformers' LlamaForCausalLM: fp32, CPU, evaluation mode.

        Args:
            path: a folder with config.json and safetensors, or a Hugging Face Hub id.

        Raises:
            OSError: a file is absent; the message says which.
            ValueError: it is another architecture, or a Llama with parts this module hasn't.
        """
        theirs = read_config(path, transformers.LlamaConfig)
        config = _config_from(theirs, path)
        weights, _ = read_weights(path, transformers.LlamaForCausalLM, theirs)
        weights = renamed(weights, WEIGHT_NAMES)
        join_attention(weights)
        if config.tie_embeddings:
            del weights["head.weight"]  # the embedding's matrix once more
        return filled(cls, config, weights)


def _config_from(theirs: transformers.LlamaConfig, path: str | os.PathLike[str]) -> LlamaConfig:
    """Raises ValueError for something that `Llama` doesn't compute; the message names it."""
    rope = theirs.rope_parameters
    fits = {
        "attention_bias": not theirs.attention_bias,
        "mlp_bias": not theirs.mlp_bias,
        "hidden_act": theirs.hidden_act in ("silu", "swish"),
        "head_dim": theirs.head_dim == theirs.hidden_size // theirs.num_attention_heads,
        "rope_parameters": rope["rope_type"] == "default"
        and rope.get("partial_rotary_factor", 1.0) == 1.0,
    }
    computed = "a Llama has no biases, silu, heads of d / h features, and plain rotary positions"
    refuse_unless(fits, theirs, path, computed)
    return LlamaConfig(
        vocab_size=theirs.vocab_size,
        d_model=theirs.hidden_size,
        n_layers=theirs.num_hidden_layers,
        n_heads=theirs.num_attention_heads,
        n_kv_heads=theirs.num_key_value_heads,
        d_ff=theirs.intermediate_size,
        max_positions=theirs.max_position_embeddings,
        rope_base=rope["rope_theta"],
        eps=theirs.rms_norm_eps,
        tie_embeddings=theirs.tie_word_embeddings,
    )
