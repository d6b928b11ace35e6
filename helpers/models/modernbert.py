"""ModernBERT (Warner et al., arXiv:2412.13663): BERT's encoder with what was learned since.

Against `bert`: norms before the sublayers, rotary positions, a gated feed-forward layer, no
biases. With `causal=True` the same network is a decoder, transformers' "modernbert-decoder"; such
pairs were trained by Weller et al. (Ettin, arXiv:2507.11412).

Shapes: B sequences, T new tokens, S tokens so far with the new ones, d features, h heads of width
d_k = d / h, V entries of the vocabulary.
"""

import copy
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import save_file
from torch import nn
from transformers import (
    MODEL_MAPPING,
    GenerationConfig,
    PretrainedConfig,
    PreTrainedTokenizerBase,
)

from helpers.hardware import IGNORED, labelled
from helpers.models._checkpoint import (
    filled,
    join_attention,
    read_config,
    read_weights,
    refuse_unless,
    renamed,
    split_attention,
)
from helpers.models._checks import CheckedConfig
from helpers.models.cache import KeyValueCache, LayerCache
from helpers.models.llama import GroupedQueryAttention, RotaryModel

__all__ = ["LanguageModelOutput", "ModernBert", "ModernBertBlock", "ModernBertConfig"]

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
# transformers' configurations and classes, by `causal`.
CONFIGS = {False: transformers.ModernBertConfig, True: transformers.ModernBertDecoderConfig}
CLASSES = {
    False: transformers.ModernBertForMaskedLM,
    True: transformers.ModernBertDecoderForCausalLM,
}

# Special tokens in config.json, each with the tokenizer's that serve: text made of WordPieces
# begins and ends with [CLS] and [SEP], as in ModernBERT's own config.json.
SPECIAL_IDS = {
    "pad": ("pad",),
    "bos": ("bos", "cls"),
    "eos": ("eos", "sep"),
    "cls": ("cls", "bos"),
    "sep": ("sep", "eos"),
}

# Parts of a weight's name, Hugging Face's and ours.
WEIGHT_NAMES = (
    ("model.embeddings.tok_embeddings.", "embedding."),
    ("model.embeddings.norm.", "embedding_norm."),
    ("model.layers.", "blocks."),
    (".attn_norm.", ".attention_norm."),
    (".attn.Wqkv.", ".attention.query_key_value."),
    (".attn.Wo.", ".attention.output."),
    (".attn.", ".attention."),  # a decoder's q_proj, k_proj and v_proj
    (".mlp_norm.", ".feed_forward_norm."),
    (".mlp.Wi.", ".feed_forward.inner."),
    (".mlp.Wo.", ".feed_forward.outer."),
    ("model.final_norm.", "norm."),
    ("lm_head.dense.", "head_dense."),
    ("lm_head.norm.", "head_norm."),
    ("decoder.bias", "head_bias"),
)


@dataclass(frozen=True)
class ModernBertConfig(CheckedConfig):
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
        self.attention = GroupedQueryAttention(
            d, config.n_heads, config.n_heads, causal=config.causal
        )
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


class ModernBert(RotaryModel):
    """Embeddings, blocks, a last norm, and a head that scores the vocabulary at a token.

    An encoder's logits at a token say which piece stands there (masked language modelling); a
    decoder's, which piece comes next. All layers attend globally; the published base and large
    models limit two in three to 128 neighbours, with a rotary base of their own, which is not
    computed here.
    """

    def __init__(self, config: ModernBertConfig):
        """Random weights, as `initialise` draws them."""
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.embedding_norm = _norm(config)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            ModernBertBlock(config, first=i == 0) for i in range(config.n_layers)
        )
        self.norm = _norm(config)
        self.head_dense = nn.Linear(config.d_model, config.d_model, bias=False)
        self.head_norm = _norm(config)
        self.head_bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.initialise()

    @property
    def shifts_labels(self) -> bool:
        """Whether the label of token t is compared with the logits at t - 1."""
        return self.config.causal

    @property
    def read_on_cpu(self) -> tuple[str, ...]:
        """What of a batch the loop leaves on the CPU: an encoder counts its labels there."""
        return () if self.config.causal else ("labels",)

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
        places, targets = labelled(labels, IGNORED, hidden.device)  # (n,), (n,)
        logits = self.logits(hidden.flatten(0, 1)[places])  # (n, V)
        loss = F.cross_entropy(logits.float(), targets)
        return LanguageModelOutput(loss, partial(self.logits, hidden))

    def embed(self, input_ids: torch.Tensor) -> torch.Tensor:
        """What the first block reads: ids (B, T) -> (B, T, d)."""
        return self.dropout(self.embedding_norm(self.embedding(input_ids)))

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """(..., d) -> (..., V); the matrix is the embeddings', tied."""
        x = self.head_norm(F.gelu(self.head_dense(hidden)))
        return F.linear(x, self.embedding.weight, self.head_bias)

    @classmethod
    def from_pretrained(cls, path: str | os.PathLike[str], *, head: bool = True) -> Self:
        """Load a checkpoint of transformers' or of `save_pretrained`: fp32, CPU, evaluation mode.

        Args:
            path: a folder with config.json and safetensors, or a Hugging Face Hub id. Its model
                is ModernBertForMaskedLM, or ModernBertDecoderForCausalLM.
            head: False for a folder that `save_pretrained` wrote with head=False; what scores the
                vocabulary is random then, and `hidden` is all that is of use.

        Raises:
            OSError: a file is absent; the message says which.
            ValueError: it is another architecture, or one with parts this module hasn't.
        """
        theirs = read_config(path, *CONFIGS.values())
        causal = isinstance(theirs, CONFIGS[True])
        config = _config_from(theirs, causal, path)
        optional = "" if head else r"(lm_)?head\.|decoder\."
        weights, _ = read_weights(path, CLASSES[causal], theirs, optional=optional)
        del weights["decoder.weight"]  # the embedding's matrix once more
        weights = renamed(weights, _names(causal))
        join_attention(weights)
        return filled(cls, config, weights)

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
        causal = self.config.causal
        weights = self.state_dict()
        if causal:
            split_attention(weights)
        weights = renamed(weights, _names(causal), back=True)
        if not head:
            kept = [name for name in weights if name.startswith("model.")]
            weights = {name.removeprefix("model."): weights[name] for name in kept}
        kind = CLASSES[causal] if head else MODEL_MAPPING[CONFIGS[causal]]
        config = CONFIGS[causal](architectures=[kind.__name__], **self._settings(tokenizer))
        config.save_pretrained(folder)
        tensors = {name: weight.to("cpu", dtype).contiguous() for name, weight in weights.items()}
        save_file(tensors, Path(folder) / "model.safetensors", metadata={"format": "pt"})
        if tokenizer is not None:
            _without_state(tokenizer).save_pretrained(folder)
            if causal:
                GenerationConfig.from_model_config(config).save_pretrained(folder)

    def _settings(self, tokenizer: PreTrainedTokenizerBase | None) -> dict[str, Any]:
        """The configuration, as transformers' classes take it."""
        rope = {"rope_type": "default", "rope_theta": self.config.rope_base}
        # transformers 5.15 to 5.18 take no ModernBERT whose layers are all called global. So two
        # in three are called local, as published, with a window as wide as the longest sequence.
        kinds = [LOCAL if i % 3 else GLOBAL for i in range(self.config.n_layers)]
        return {
            **{theirs: getattr(self.config, ours) for theirs, ours in CONFIG_NAMES.items()},
            "mlp_dropout": self.config.dropout,
            "layer_types": kinds,
            "local_attention": 2 * self.config.max_positions,  # to both sides
            "rope_parameters": {GLOBAL: rope, LOCAL: rope},
            # Unless told, transformers takes ModernBERT's own ids, which a small vocabulary hasn't.
            **{f"{name}_token_id": _special_id(tokenizer, name) for name in SPECIAL_IDS},
            "dtype": "float32",
        }


def _norm(config: ModernBertConfig) -> nn.LayerNorm:
    return nn.LayerNorm(config.d_model, eps=config.eps, bias=False)


def _names(causal: bool) -> list[tuple[str, str]]:
    head = "lm_head." if causal else "head."
    return [(theirs.replace("lm_head.", head), ours) for theirs, ours in WEIGHT_NAMES]


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


def _config_from(
    theirs: PretrainedConfig, causal: bool, path: str | os.PathLike[str]
) -> ModernBertConfig:
    """Raises ValueError for something that `ModernBert` doesn't compute; the message names it."""
    rope, local = theirs.rope_parameters.get(GLOBAL), theirs.rope_parameters.get(LOCAL)
    kinds = set(theirs.layer_types)
    window = theirs.local_attention // 2  # neighbours on each side
    fits = {
        "layer_types": kinds <= {GLOBAL, LOCAL},
        "local_attention": LOCAL not in kinds or window >= theirs.max_position_embeddings,
        "rope_parameters": rope["rope_type"] == "default" and (LOCAL not in kinds or local == rope),
        **{
            name: getattr(theirs, name, "gelu") == "gelu"
            for name in ("hidden_activation", "classifier_activation")
        },
        **{name: getattr(theirs, name, True) for name in ("decoder_bias", "tie_word_embeddings")},
        **{
            name: not getattr(theirs, name, False)
            for name in ("attention_bias", "mlp_bias", "norm_bias", "classifier_bias")
        },
    }
    computed = "all layers attend globally, with plain rotary positions, gelu and no biases but one"
    refuse_unless(fits, theirs, path, computed)
    found = {ours: getattr(theirs, name) for name, ours in CONFIG_NAMES.items()}
    return ModernBertConfig(**found, rope_base=rope["rope_theta"], causal=causal)
