"""ModernBERT (Warner et al., arXiv:2412.13663): BERT's encoder with what was learned since.

Against `bert`: norms before the sublayers, rotary positions, a gated feed-forward layer, no
biases. With `causal=True` the same network is a decoder, transformers' "modernbert-decoder"; such
pairs were trained by Weller et al. (Ettin, arXiv:2507.11412).

Shapes: B sequences, T new tokens, S tokens so far with the new ones, d features, h heads of width
d_k = d / h, V entries of the vocabulary.
"""

import copy
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn
from transformers import GenerationConfig, PreTrainedTokenizerBase

from helpers.models._checkpoint import (
    CONFIG,
    WEIGHTS,
    check_architecture,
    load_weights,
    read_config,
    read_weights,
)
from helpers.models.attention import causal_mask, padding_mask
from helpers.models.cache import KeyValueCache, LayerCache
from helpers.models.gpt import CachedModel, GroupedQueryAttention
from helpers.models.positions import rotary_angles

__all__ = ["LanguageModelOutput", "ModernBert", "ModernBertBlock", "ModernBertConfig"]

INITIAL_STD = 0.02
IGNORED = -100  # the label that torch's cross-entropy leaves out

# Hugging Face's names in config.json, and ours.
CONFIG_NAMES = {
    "vocab_size": "vocab_size",
    "hidden_size": "d_model",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "intermediate_size": "d_ff",
    "max_position_embeddings": "max_positions",
    "norm_eps": "eps",
    "embedding_dropout": "dropout",
}
GLOBAL, LOCAL = "full_attention", "sliding_attention"  # in its layer_types
MODEL_TYPES = {False: "modernbert", True: "modernbert-decoder"}  # by `causal`
CLASSES = {False: "ModernBertForMaskedLM", True: "ModernBertDecoderForCausalLM"}
BASE_CLASSES = {False: "ModernBertModel", True: "ModernBertDecoderModel"}  # without a head

# Special tokens in config.json, each with the tokenizer's that serve: text made of WordPieces
# begins and ends with [CLS] and [SEP], as in ModernBERT's own config.json.
SPECIAL_IDS = {
    "pad": ("pad",),
    "bos": ("bos", "cls"),
    "eos": ("eos", "sep"),
    "cls": ("cls", "bos"),
    "sep": ("sep", "eos"),
}

# Parts of a weight's name, ours and Hugging Face's.
WEIGHT_NAMES = (
    ("embedding.", "model.embeddings.tok_embeddings."),
    ("embedding_norm.", "model.embeddings.norm."),
    ("blocks.", "model.layers."),
    (".attention_norm.", ".attn_norm."),
    (".attention.query_key_value.", ".attn.Wqkv."),
    (".attention.output.", ".attn.Wo."),
    (".feed_forward_norm.", ".mlp_norm."),
    (".feed_forward.inner.", ".mlp.Wi."),
    (".feed_forward.outer.", ".mlp.Wo."),
    ("last_norm.", "model.final_norm."),
    ("head_dense.", "head.dense."),
    ("head_norm.", "head.norm."),
    ("head_bias", "decoder.bias"),
)


@dataclass(frozen=True)
class ModernBertConfig:
    """What a `ModernBert` is made of; the defaults are those of ModernBERT-base.

    Raises:
        ValueError: a size isn't positive, the heads don't divide the width into even parts, or
            the dropout isn't a share.
    """

    vocab_size: int = 50_368  # V, pieces in the vocabulary
    d_model: int = 768  # d, features of a token
    n_layers: int = 22  # L, blocks
    n_heads: int = 12  # h, attention heads in a block
    d_ff: int = 1152  # features inside the feed-forward layer, of each of its two halves
    max_positions: int = 8192  # the longest sequence it is meant for
    rope_base: float = 160_000.0  # sets the frequencies of the rotary positions
    eps: float = 1e-5  # of the norms
    dropout: float = 0.0  # of the embeddings and inside the feed-forward layer, in training
    causal: bool = False  # whether a token sees only itself and those before it

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is int and not (type(value) is int and value > 0):
                raise ValueError(f"{field.name} is {value!r}; expected a positive whole number.")
        if self.d_model % (2 * self.n_heads):
            raise ValueError(
                f"{self.n_heads} heads don't divide {self.d_model} features into equal parts of an "
                "even width, which rotary positions need; choose a d_model that is a multiple of "
                f"{2 * self.n_heads}."
            )
        if self.rope_base <= 0 or self.eps <= 0:
            raise ValueError(
                f"rope_base is {self.rope_base} and eps {self.eps}; expected positive numbers."
            )
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout is {self.dropout}; expected a share from 0 to below 1.")

    @property
    def d_k(self) -> int:
        """Features of one head."""
        return self.d_model // self.n_heads

    @property
    def n_kv_heads(self) -> int:
        """Heads of keys and values: as many as of queries."""
        return self.n_heads


@dataclass(frozen=True)
class LanguageModelOutput:
    """What `ModernBert` gives."""

    loss: torch.Tensor | None  # scalar, the mean over the labels; None without labels
    scores: torch.Tensor | Callable[[], torch.Tensor]  # the logits, or what computes them

    @cached_property
    def logits(self) -> torch.Tensor:
        """(B, T, V); of an encoder with labels computed when they are first read."""
        return self.scores if isinstance(self.scores, torch.Tensor) else self.scores()


class RotaryAttention(GroupedQueryAttention):
    """Multi-head attention with rotary positions; each token sees all, or with `causal` no later.

    It is `GroupedQueryAttention` with as many key heads as query heads.
    """

    def __init__(self, d_model: int, n_heads: int, *, causal: bool):
        super().__init__(d_model, n_heads, n_heads)
        self.causal = causal

    def forward(
        self,
        x: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        mask: torch.Tensor | None = None,
        cache: LayerCache | None = None,
    ) -> torch.Tensor:
        """(B, T, d) -> (B, T, d); arguments as for `GroupedQueryAttention`."""
        if self.causal:
            return super().forward(x, cos, sin, mask, cache)
        q, k, v = self.queries_keys_values(x, cos, sin)  # (B, h, T, d_k)
        heads = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.output(heads.transpose(1, 2).flatten(2))


class GatedFeedForward(nn.Module):
    """(gelu(x W_a) ∘ x W_b) W_o, each token by itself (Shazeer, arXiv:2002.05202: GEGLU)."""

    def __init__(self, d_model: int, d_ff: int, *, dropout: float):
        super().__init__()
        self.inner = nn.Linear(d_model, 2 * d_ff, bias=False)  # W_a and W_b side by side
        self.outer = nn.Linear(d_ff, d_model, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., d) -> (..., d)."""
        activated, gate = self.inner(x).chunk(2, dim=-1)  # (..., d_ff) each
        return self.outer(self.dropout(F.gelu(activated) * gate))


class ModernBertBlock(nn.Module):
    """Attention and a feed-forward layer, each normalised first and then added.

    The first block's attention needs no norm: the embeddings are normalised already.
    """

    def __init__(self, config: ModernBertConfig, *, first: bool):
        super().__init__()
        d = config.d_model
        self.attention_norm = nn.Identity() if first else _norm(config)
        self.attention = RotaryAttention(d, config.n_heads, causal=config.causal)
        self.feed_forward_norm = _norm(config)
        self.feed_forward = GatedFeedForward(d, config.d_ff, dropout=config.dropout)

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


class ModernBert(CachedModel):
    """Embeddings, blocks, a last norm, and a head that scores the vocabulary at a token.

    An encoder's logits at a token say which piece stands there (masked language modelling); a
    decoder's, which piece comes next. All layers attend globally; the published base and large
    models limit two in three to 128 neighbours, with a rotary base of their own, which is not
    computed here.
    """

    def __init__(self, config: ModernBertConfig):
        """Random weights from torch's global generator.

        Matrices are normal with standard deviation 0.02; those that write to the residual path
        are smaller by √(2L), since 2L of them add up there (Radford et al., 2019, section 2.3).
        """
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.embedding_norm = _norm(config)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            ModernBertBlock(config, first=i == 0) for i in range(config.n_layers)
        )
        self.last_norm = _norm(config)
        self.head_dense = nn.Linear(config.d_model, config.d_model, bias=False)
        self.head_norm = _norm(config)
        self.head_bias = nn.Parameter(torch.zeros(config.vocab_size))
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                writes = name.endswith(("attention.output.weight", "feed_forward.outer.weight"))
                shrink = (2 * config.n_layers) ** -0.5 if writes else 1.0
                nn.init.normal_(parameter, std=INITIAL_STD * shrink)

    @property
    def shifts_labels(self) -> bool:
        """Whether the label of token t is compared with the logits at t - 1."""
        return self.config.causal

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        cache: KeyValueCache | None = None,
    ) -> LanguageModelOutput:
        """Scores of the vocabulary, and the mean cross-entropy of the labels.

        Args:
            input_ids: int64 (B, T); with a cache, the tokens that it doesn't hold yet.
            attention_mask: (B, S), 1 at real tokens and 0 at padding; all real by default.
            labels: int64 (B, T), -100 where there is nothing to predict. An encoder then computes
                logits at the labelled tokens alone, which saves most of the head's work, and the
                others only if the output's `logits` are read. A decoder compares the label of each
                token with the logits before it.
            cache: of a decoder, from `new_cache`; gets the new tokens' keys and values.

        Raises:
            ValueError: an id is out of the vocabulary, shapes don't fit, or the sequence is longer
                than `max_positions`.
        """
        hidden = self.hidden(input_ids, attention_mask, cache)  # (B, T, d)
        if labels is None:
            return LanguageModelOutput(None, self.logits(hidden))
        if labels.shape != input_ids.shape:
            raise ValueError(
                f"labels has shape {tuple(labels.shape)}, input_ids {tuple(input_ids.shape)}; "
                "expected the same, (B, T)."
            )
        if self.config.causal:
            logits = self.logits(hidden)
            targets = labels[:, 1:].flatten()
            return LanguageModelOutput(
                F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), targets), logits
            )
        labelled = labels != IGNORED  # (B, T), n of them
        logits = self.logits(hidden[labelled])  # (n, V)
        loss = F.cross_entropy(logits.float(), labels[labelled])
        return LanguageModelOutput(loss, partial(self.logits, hidden))

    def hidden(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        cache: KeyValueCache | None = None,
    ) -> torch.Tensor:
        """The last layer's normalised vectors, (B, T, d); arguments and errors as for `forward`."""
        past = 0 if cache is None else cache.length
        self._check(input_ids, attention_mask, cache, past)
        mask, positions = self._mask_and_positions(input_ids, attention_mask, past)
        cos, sin = rotary_angles(positions, self.config.d_k, base=self.config.rope_base)
        x = self.dropout(self.embedding_norm(self.embedding(input_ids)))  # (B, T, d)
        for block, layer in zip(self.blocks, self._layers(cache), strict=True):
            x = block(x, cos, sin, mask, layer)
        return self.last_norm(x)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """(..., d) -> (..., V); the matrix is the embeddings', tied."""
        x = self.head_norm(F.gelu(self.head_dense(hidden)))
        return F.linear(x, self.embedding.weight, self.head_bias)

    def new_cache(self, batch_size: int, max_length: int) -> KeyValueCache:
        """As `CachedModel.new_cache`; also raises ValueError if the network is an encoder."""
        if not self.config.causal:
            raise ValueError(
                "An encoder has no use for a cache: a new token changes the vectors of all earlier "
                "ones. Make the network with causal=True."
            )
        return super().new_cache(batch_size, max_length)

    @classmethod
    def from_pretrained(cls, path: str | os.PathLike[str], *, head: bool = True) -> Self:
        """Load a checkpoint of transformers' or of `save_pretrained`: fp32, CPU, evaluation mode.

        Args:
            path: a folder with config.json and safetensors, or a Hugging Face Hub id. Its model
                is ModernBertForMaskedLM, or ModernBertDecoderForCausalLM.
            head: False for a folder that `save_pretrained` wrote with head=False; what scores the
                vocabulary is random then, and `hidden` is all that is of use.

        Raises:
            FileNotFoundError: a file is absent; the message says which.
            ValueError: it is another architecture, or one with parts this module hasn't.
        """
        settings = read_config(path)
        causal = settings.get("model_type") == MODEL_TYPES[True]
        check_architecture(settings, MODEL_TYPES[causal], path)
        model = cls(_config_from_hf(settings, causal, path))
        stem = "" if head else "model."
        weights = {_our_name(stem + n, causal): w for n, w in read_weights(path).items()}
        if not head:
            weights |= {n: w for n, w in model.state_dict().items() if n.startswith("head_")}
        weights.pop("decoder.weight", None)  # some files hold the shared matrix twice
        _join_attention(weights, model.config.n_layers)
        load_weights(model, weights, path)
        return model.eval()

    def save_pretrained(
        self,
        folder: str | os.PathLike[str],
        *,
        tokenizer: PreTrainedTokenizerBase | None = None,
        dtype: torch.dtype = torch.float32,
        head: bool = True,
    ) -> None:
        """Write config.json and model.safetensors, which transformers' Auto classes read.

        Args:
            folder: made if absent; files of an earlier call are replaced.
            tokenizer: saved beside the model, its special ids in config.json and, for a decoder,
                in generation_config.json, by which transformers' `generate` knows where to stop.
            dtype: of the stored weights; torch.float16 halves the file. Whoever loads them
                computes in fp32 all the same.
            head: False leaves out what scores the vocabulary. What is left is transformers'
                ModernBertModel or ModernBertDecoderModel, which gives the last layer's vectors.
        """
        folder, causal = Path(folder), self.config.causal
        folder.mkdir(parents=True, exist_ok=True)
        weights = {}
        for name, parameter in self.state_dict().items():
            if not head and name.startswith("head_"):
                continue
            tensor = parameter.detach().to("cpu", dtype)
            if causal and name.endswith("query_key_value.weight"):
                stem = _their_name(name, causal).removesuffix("Wqkv.weight")
                for part, matrix in zip("qkv", tensor.chunk(3), strict=True):
                    weights[f"{stem}{part}_proj.weight"] = matrix.contiguous()
            else:
                weights[_their_name(name, causal)] = tensor.contiguous()
        settings = _config_to_hf(self.config, tokenizer)
        if not head:
            weights = {name.removeprefix("model."): weight for name, weight in weights.items()}
            settings["architectures"] = [BASE_CLASSES[causal]]
        save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
        (folder / CONFIG).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        if tokenizer is not None:
            _without_state(tokenizer).save_pretrained(folder)
            if causal:
                names = ("pad_token_id", "bos_token_id", "eos_token_id")
                ids = {name: settings[name] for name in names}
                GenerationConfig(**ids).save_pretrained(folder)

    def _mask_and_positions(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None, past: int
    ) -> tuple[torch.Tensor | None, torch.Tensor]:
        n_new, n_all = input_ids.size(1), past + input_ids.size(1)
        if attention_mask is None or bool((attention_mask == 1).all()):
            return None, torch.arange(past, n_all, device=input_ids.device)
        mask = padding_mask(attention_mask)  # (B, 1, 1, S)
        if self.config.causal:
            mask = mask & causal_mask(n_new, n_all, device=input_ids.device)  # (B, 1, T, S)
        # Padding isn't counted, so that a padded sequence gets the positions it has alone.
        positions = attention_mask.long().cumsum(1)[:, None, past:].sub(1).clamp(min=0)
        return mask, positions


def _norm(config: ModernBertConfig) -> nn.LayerNorm:
    return nn.LayerNorm(config.d_model, eps=config.eps, bias=False)


def _their_name(name: str, causal: bool) -> str:
    for ours, theirs in WEIGHT_NAMES:
        if ours.startswith("."):
            name = name.replace(ours, theirs)
        elif name.startswith(ours):
            name = theirs + name.removeprefix(ours)
    return name.replace("head.", "lm_head.", 1) if causal and name.startswith("head.") else name


def _our_name(name: str, causal: bool) -> str:
    if causal and name.startswith("lm_head."):
        name = name.removeprefix("lm_")
    for ours, theirs in WEIGHT_NAMES:
        name = name.replace(theirs, ours) if ours.startswith(".") else name
        if not ours.startswith(".") and name.startswith(theirs):
            name = ours + name.removeprefix(theirs)
    return name


def _join_attention(weights: dict[str, torch.Tensor], n_layers: int) -> None:
    """A decoder's file has three matrices where an encoder's has one."""
    for i in range(n_layers):
        three = [f"blocks.{i}.attn.{part}_proj.weight" for part in "qkv"]
        if all(name in weights for name in three):
            joined = torch.cat([weights.pop(name) for name in three])  # (3 d, d)
            weights[f"blocks.{i}.attention.query_key_value.weight"] = joined


def _config_to_hf(
    config: ModernBertConfig, tokenizer: PreTrainedTokenizerBase | None
) -> dict[str, Any]:
    rope = {"rope_type": "default", "rope_theta": config.rope_base}
    # transformers 5.15 to 5.18 take no ModernBERT whose layers are all called global. So two in
    # three are called local, as published, with a window as wide as the longest sequence.
    kinds = [LOCAL if i % 3 else GLOBAL for i in range(config.n_layers)]
    return {
        "architectures": [CLASSES[config.causal]],
        "model_type": MODEL_TYPES[config.causal],
        **{theirs: getattr(config, ours) for theirs, ours in CONFIG_NAMES.items()},
        "mlp_dropout": config.dropout,
        "layer_types": kinds,
        "local_attention": 2 * config.max_positions,  # to both sides
        "rope_parameters": {GLOBAL: rope, LOCAL: rope},
        # Unless told, transformers takes ModernBERT's own ids, which a small vocabulary hasn't.
        **{f"{name}_token_id": _special_id(tokenizer, name) for name in SPECIAL_IDS},
        "tie_word_embeddings": True,
        "dtype": "float32",
    }


def _without_state(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """A copy that has forgotten how long its last call's texts were cut and padded."""
    tokenizer = copy.deepcopy(tokenizer)
    if tokenizer.is_fast:
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.backend_tokenizer.no_padding()
    return tokenizer


def _special_id(tokenizer: PreTrainedTokenizerBase | None, name: str) -> int:
    """The first of the special tokens meant by `name` that the tokenizer has, else 0."""
    ids = (getattr(tokenizer, f"{token}_token_id", None) for token in SPECIAL_IDS[name])
    return next((i for i in ids if i is not None), 0)


def _config_from_hf(
    settings: Mapping[str, Any], causal: bool, path: str | os.PathLike[str]
) -> ModernBertConfig:
    """Raises ValueError for something that `ModernBert` doesn't compute; the message names it."""
    found = {ours: settings[theirs] for theirs, ours in CONFIG_NAMES.items() if theirs in settings}
    ropes = settings.get("rope_parameters") or {}
    rope = ropes.get(GLOBAL) or {}
    kinds = set(settings.get("layer_types") or [GLOBAL, LOCAL])
    local = LOCAL in kinds
    window = settings.get("local_attention", 128) // 2  # neighbours on each side
    refused = {
        "layer_types": not kinds <= {GLOBAL, LOCAL},
        "local_attention": local and window < found.get("max_positions", 8192),
        "hidden_activation": settings.get("hidden_activation", "gelu") != "gelu",
        "classifier_activation": settings.get("classifier_activation", "gelu") != "gelu",
        "rope_parameters": rope.get("rope_type", "default") != "default"
        or (local and ropes.get(LOCAL) != rope),
        "decoder_bias": not settings.get("decoder_bias", True),
        "tie_word_embeddings": not settings.get("tie_word_embeddings", True),
        **{
            name: bool(settings.get(name))
            for name in ("attention_bias", "mlp_bias", "norm_bias", "classifier_bias")
        },
    }
    for name, wrong in refused.items():
        if wrong:
            raise ValueError(
                f"{path} has {name} = {settings.get(name)}, which this ModernBert doesn't compute: "
                "its layers attend globally, with plain rotary positions, gelu and no biases but "
                "the last. Load it with transformers' AutoModel."
            )
    return ModernBertConfig(**found, rope_base=rope.get("rope_theta", 160_000.0), causal=causal)
