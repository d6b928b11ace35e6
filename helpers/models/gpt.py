"""A decoder in the style of Llama (Touvron et al., arXiv:2302.13971, section 2.2).

Shapes: B sequences, T new tokens, S tokens so far with the new ones, d features, h query heads and
h_kv key and value heads of width d_k = d / h, d_ff features inside the feed-forward layer, V
entries of the vocabulary. Masks are boolean, True where a query may look, as in `attention`.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import nn

from helpers.models._checkpoint import (
    check_architecture,
    load_weights,
    read_config,
    read_weights,
)
from helpers.models.attention import attention_weights, causal_mask, padding_mask
from helpers.models.cache import KeyValueCache, LayerCache
from helpers.models.positions import apply_rotary, rotary_angles

__all__ = [
    "Gpt",
    "GptBlock",
    "GptConfig",
    "GroupedQueryAttention",
    "RMSNorm",
    "SwiGlu",
    "rms_norm",
]

INITIAL_STD = 0.02  # of GPT-2 and Llama

# transformers' names of a Llama checkpoint's tensors, and this module's.
NAMES = {
    "model.embed_tokens.": "embedding.",
    "model.layers.": "blocks.",
    "model.norm.": "norm.",
    "lm_head.": "head.",
    "input_layernorm.": "attention_norm.",
    "self_attn.q_proj.": "attention.query.",
    "self_attn.k_proj.": "attention.key.",
    "self_attn.v_proj.": "attention.value.",
    "self_attn.o_proj.": "attention.output.",
    "post_attention_layernorm.": "feed_forward_norm.",
    "mlp.gate_proj.": "feed_forward.gate.",
    "mlp.up_proj.": "feed_forward.up.",
    "mlp.down_proj.": "feed_forward.down.",
}


@dataclass(frozen=True)
class GptConfig:
    """What a `Gpt` is made of."""

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

    def __post_init__(self) -> None:
        for name in ("vocab_size", "d_model", "n_layers", "n_heads", "n_kv_heads", "d_ff"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected 1 or more.")
        if self.max_positions < 1:
            raise ValueError(f"max_positions is {self.max_positions}; expected 1 or more.")
        if self.d_model % (2 * self.n_heads):
            raise ValueError(
                f"{self.n_heads} heads don't divide {self.d_model} features into equal parts of an "
                "even width, which rotary positions need; choose a d_model that is a multiple of "
                f"{2 * self.n_heads}."
            )
        if self.n_heads % self.n_kv_heads:
            raise ValueError(
                f"{self.n_heads} query heads can't share {self.n_kv_heads} key and value heads "
                "equally; choose an n_kv_heads that divides n_heads."
            )
        if self.rope_base <= 0 or self.eps <= 0:
            raise ValueError(
                f"rope_base is {self.rope_base} and eps {self.eps}; expected positive numbers."
            )

    @property
    def d_k(self) -> int:
        """Features of one head."""
        return self.d_model // self.n_heads


def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float = 1e-5) -> torch.Tensor:
    """Each token divided by the root of its mean square (Zhang & Sennrich, 2019, equation 4).

    Args:
        x: (..., d).
        weight: the scale of each feature, the paper's gain g (d,).
        eps: added to the mean square, so that a token of zeros isn't divided by zero.
    """
    mean_square = x.square().mean(dim=-1, keepdim=True)  # (..., 1)
    return x * torch.rsqrt(mean_square + eps) * weight


class RMSNorm(nn.Module):
    """`rms_norm` with a learned scale, through torch's fused kernel."""

    def __init__(self, d_model: int, eps: float = 1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d_model))
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., d) -> (..., d)."""
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


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

    def __init__(self, d_model: int, n_heads: int, n_kv_heads: int):
        """`n_heads` must divide `d_model`, and `n_kv_heads` must divide `n_heads`."""
        super().__init__()
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
            mask: bool, (T, S) or (B, 1, T, S); causal by default.
            cache: holds the S - T earlier tokens' keys and values, and gets the new ones'.

        Returns:
            (B, T, d).
        """
        q, k, v = self.queries_keys_values(x, cos, sin)
        if cache is not None:
            k, v = cache.append(k, v)  # (B, h_kv, S, d_k)
        n_queries, n_keys = q.size(2), k.size(2)
        if mask is None and 1 < n_queries < n_keys:
            # torch's is_causal counts from the first key; our queries are the last T.
            mask = causal_mask(n_queries, n_keys, device=x.device)
        heads = F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=mask,
            is_causal=mask is None and n_queries > 1,  # a single new token sees all
            enable_gqa=self.n_kv_heads < self.n_heads,
        )  # (B, h, T, d_k)
        return self.output(heads.transpose(1, 2).flatten(2))

    def weights(
        self,
        x: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """What `forward` weighs the values with when there is no cache: (B, h, T, T)."""
        q, k, _ = self.queries_keys_values(x, cos, sin)
        k = k.repeat_interleave(self.n_heads // self.n_kv_heads, dim=1)  # (B, h, T, d_k)
        mask = causal_mask(x.size(1), device=x.device) if mask is None else mask
        return attention_weights(q, k, mask)

    def queries_keys_values(
        self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(B, h, T, d_k), (B, h_kv, T, d_k) twice; the first two turned by their positions."""
        h, h_kv = self.n_heads, self.n_kv_heads
        heads = self.query_key_value(x).unflatten(-1, (h + 2 * h_kv, -1)).transpose(1, 2)
        q_and_k, v = heads.split((h + h_kv, h_kv), dim=1)
        q, k = apply_rotary(q_and_k, cos, sin).split((h, h_kv), dim=1)
        return q, k, v


class GptBlock(nn.Module):
    """Causal self-attention and a feed-forward layer, each normalised first and then added."""

    def __init__(self, config: GptConfig):
        super().__init__()
        d = config.d_model
        self.attention_norm = RMSNorm(d, config.eps)
        self.attention = GroupedQueryAttention(d, config.n_heads, config.n_kv_heads)
        self.feed_forward_norm = RMSNorm(d, config.eps)
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


class CachedModel(nn.Module):
    """What decoders share: an empty cache of their shape, and a look at what they are given.

    Of the subclass it uses `config`, `embedding` and `blocks`.
    """

    def new_cache(self, batch_size: int, max_length: int) -> KeyValueCache:
        """An empty cache of this model's shape, precision and device for `max_length` tokens.

        Raises:
            ValueError: `max_length` exceeds `max_positions`, or a size isn't positive.
        """
        c = self.config
        if max_length > c.max_positions:
            raise ValueError(
                f"a cache of {max_length} tokens is longer than the model's {c.max_positions} "
                "positions; shorten the prompt or generate fewer tokens."
            )
        weight = self.embedding.weight
        return KeyValueCache(
            c.n_layers,
            batch_size,
            c.n_kv_heads,
            max_length,
            c.d_k,
            dtype=weight.dtype,
            device=weight.device,
        )

    def _layers(self, cache: KeyValueCache | None) -> tuple[LayerCache | None, ...]:
        return (None,) * len(self.blocks) if cache is None else cache.layers

    def _check(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None,
        cache: KeyValueCache | None,
        past: int,
    ) -> None:
        shape = tuple(input_ids.shape)
        if input_ids.ndim != 2 or 0 in shape or input_ids.dtype not in (torch.int64, torch.int32):
            raise ValueError(
                f"input_ids has shape {shape} and dtype {input_ids.dtype}; expected int64 (B, T) "
                "with at least one sequence and one token."
            )
        low, high = (int(bound) for bound in input_ids.aminmax())
        if low < 0 or high >= self.config.vocab_size:
            raise ValueError(
                f"input_ids holds {low if low < 0 else high}; the model's vocabulary has ids from "
                f"0 to {self.config.vocab_size - 1}. Use the tokenizer that belongs to it."
            )
        n_all = past + shape[1]
        if n_all > self.config.max_positions:
            raise ValueError(
                f"a sequence of {n_all} tokens is longer than the model's "
                f"{self.config.max_positions} positions; cut it."
            )
        if cache is not None and cache.batch_size != shape[0]:
            raise ValueError(
                f"the cache was made for a batch of {cache.batch_size}, input_ids has {shape[0]} "
                "sequences; make a new cache for another batch."
            )
        if attention_mask is not None and tuple(attention_mask.shape) != (shape[0], n_all):
            raise ValueError(
                f"attention_mask has shape {tuple(attention_mask.shape)}; expected "
                f"{(shape[0], n_all)}: all tokens so far, {past} in the cache and {shape[1]} new."
            )


class Gpt(CachedModel):
    """Token embedding, blocks, a last norm, and one score for each entry of the vocabulary."""

    def __init__(self, config: GptConfig):
        """Random weights from torch's global generator.

        Matrices are normal with standard deviation 0.02; those that write to the residual path
        are smaller by √(2L), since 2L of them add up there (Radford et al., 2019, section 2.3).
        """
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.blocks = nn.ModuleList(GptBlock(config) for _ in range(config.n_layers))
        self.norm = RMSNorm(config.d_model, config.eps)
        if not config.tie_embeddings:
            self.head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        self._initialise()

    def _initialise(self) -> None:
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                writes = name.endswith(("attention.output.weight", "feed_forward.down.weight"))
                shrink = (2 * self.config.n_layers) ** -0.5 if writes else 1.0
                nn.init.normal_(parameter, std=INITIAL_STD * shrink)

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

    def hidden(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        cache: KeyValueCache | None = None,
    ) -> torch.Tensor:
        """The last layer's normalised vectors, (B, T, d); arguments and errors as for `forward`."""
        past = 0 if cache is None else cache.length
        self._check(input_ids, attention_mask, cache, past)
        n_new, n_all = input_ids.size(1), past + input_ids.size(1)
        if attention_mask is None:
            mask, positions = None, torch.arange(past, n_all, device=input_ids.device)  # (T,)
        else:
            # Padding isn't counted, so that a padded sequence gets the positions it has alone.
            positions = attention_mask.long().cumsum(1)[:, None, past:].sub(1).clamp(min=0)
            seen = causal_mask(n_new, n_all, device=input_ids.device)
            mask = seen & padding_mask(attention_mask)  # (B, 1, T, S)
        cos, sin = rotary_angles(positions, self.config.d_k, base=self.config.rope_base)
        x = self.embedding(input_ids)  # (B, T, d)
        for block, layer in zip(self.blocks, self._layers(cache), strict=True):
            x = block(x, cos, sin, mask, layer)
        return self.norm(x)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """(..., d) -> (..., V); on the positions that are needed alone, since V is large."""
        head = self.embedding if self.config.tie_embeddings else self.head
        return F.linear(hidden, head.weight)

    @classmethod
    def from_pretrained(
        cls, path: str | os.PathLike[str], *, dtype: torch.dtype = torch.float32
    ) -> Self:
        """Load a checkpoint of transformers' LlamaForCausalLM, in evaluation mode, on the CPU.

        Args:
            path: a folder with config.json and safetensors, or a Hugging Face Hub id.
            dtype: of the weights.

        Raises:
            FileNotFoundError: a file is absent; the message says which.
            ValueError: it is another architecture, or a Llama with parts this module hasn't.
        """
        settings = read_config(path)
        check_architecture(settings, "llama", path)
        config = _llama_config(settings, path)
        with torch.device("meta"):  # no memory, and no random numbers to be overwritten
            model = cls(config)
        model = model.to(dtype).to_empty(device="cpu")
        load_weights(model, _our_weights(read_weights(path), config), path)
        return model.eval()


def _our_weights(theirs: dict[str, torch.Tensor], config: GptConfig) -> dict[str, torch.Tensor]:
    """A Llama checkpoint's tensors by this module's names."""
    weights = {}
    for name, tensor in theirs.items():
        # Files of early versions hold the rotary frequencies, which the base gives.
        if not name.endswith("rotary_emb.inv_freq"):
            weights[_our_name(name)] = tensor
    if config.tie_embeddings:
        weights.pop("head.weight", None)  # some files hold the shared matrix twice
    for i in range(config.n_layers):
        three = [f"blocks.{i}.attention.{part}.weight" for part in ("query", "key", "value")]
        if all(name in weights for name in three):
            joined = torch.cat([weights.pop(name) for name in three])  # (d + 2 h_kv d_k, d)
            weights[f"blocks.{i}.attention.query_key_value.weight"] = joined
    return weights


def _our_name(name: str) -> str:
    for theirs, ours in NAMES.items():
        name = name.replace(theirs, ours)
    return name


def _llama_config(settings: Mapping[str, Any], path: str | os.PathLike[str]) -> GptConfig:
    """A `GptConfig` from transformers' config.json of a Llama, old or new.

    Raises:
        ValueError: it asks for something that `Gpt` doesn't compute; the message names it.
    """
    heads = settings["num_attention_heads"]
    # transformers 5 writes rope_parameters; before it were rope_theta and rope_scaling.
    rope = settings.get("rope_parameters") or {}
    scaling = settings.get("rope_scaling") or rope
    d_k = settings["hidden_size"] // heads
    refused = {
        "attention_bias": bool(settings.get("attention_bias")),
        "mlp_bias": bool(settings.get("mlp_bias")),
        "hidden_act": settings.get("hidden_act", "silu") not in ("silu", "swish"),
        "head_dim": (settings.get("head_dim") or d_k) != d_k,
        "rope_scaling": scaling.get("rope_type", scaling.get("type", "default")) != "default",
        "partial_rotary_factor": rope.get("partial_rotary_factor", 1.0) != 1.0,
        "quantization_config": bool(settings.get("quantization_config")),
    }
    for name, wrong in refused.items():
        if wrong:
            found = settings.get(name, rope or None)
            raise ValueError(
                f"{path} has {name} = {found}, which Gpt doesn't compute: it has no biases, silu, "
                f"heads of d / h features, and plain rotary positions. Choose another checkpoint."
            )
    return GptConfig(
        vocab_size=settings["vocab_size"],
        d_model=settings["hidden_size"],
        n_layers=settings["num_hidden_layers"],
        n_heads=heads,
        n_kv_heads=settings.get("num_key_value_heads") or heads,
        d_ff=settings["intermediate_size"],
        max_positions=settings["max_position_embeddings"],
        rope_base=rope.get("rope_theta") or settings.get("rope_theta") or 10_000.0,
        eps=settings.get("rms_norm_eps", 1e-6),
        tie_embeddings=bool(settings.get("tie_word_embeddings", False)),
    )
