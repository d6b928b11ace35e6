"""BERT (Devlin et al., NAACL 2019): a Transformer's encoder, with published weights.

Shapes: B sequences, T tokens, d features, L layers, V entries of the vocabulary.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import nn

from helpers.models._checkpoint import (
    check_architecture,
    load_weights,
    read_config,
    read_weights,
)
from helpers.models.attention import padding_mask
from helpers.models.transformer import Encoder, LayerNorm

__all__ = ["Bert", "BertConfig", "BertEmbeddings", "BertOutput"]

# The non-linearities that published BERTs use, by their names in config.json.
ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "gelu": F.gelu,
    "gelu_new": partial(F.gelu, approximate="tanh"),
    "gelu_pytorch_tanh": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
}

# Hugging Face's names in config.json, and ours.
CONFIG_NAMES = {
    "vocab_size": "vocab_size",
    "hidden_size": "d_model",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "intermediate_size": "d_ff",
    "max_position_embeddings": "max_positions",
    "type_vocab_size": "n_segments",
    "hidden_act": "activation",
    "hidden_dropout_prob": "dropout",
    "attention_probs_dropout_prob": "attention_dropout",
    "layer_norm_eps": "eps",
}

# Parts of a weight's name, Hugging Face's and ours; the longer one of two that fit comes first.
WEIGHT_NAMES = (
    ("embeddings.word_embeddings.", "embeddings.word."),
    ("embeddings.position_embeddings.", "embeddings.position."),
    ("embeddings.token_type_embeddings.", "embeddings.segment."),
    ("embeddings.LayerNorm.", "embeddings.norm."),
    ("encoder.layer.", "encoder.blocks."),
    (".attention.self.", ".attention."),  # query, key and value
    (".attention.output.dense.", ".attention.output."),
    (".attention.output.LayerNorm.", ".attention_residual.norm."),
    (".intermediate.dense.", ".feed_forward.inner."),
    (".output.dense.", ".feed_forward.outer."),
    (".output.LayerNorm.", ".feed_forward_residual.norm."),
    ("pooler.dense.", "pooler."),
)

# What a checkpoint may hold besides: heads for pretraining and for tasks, a stored counter.
NOT_BERT = re.compile(r"(cls|classifier|qa_outputs)\..*|embeddings\.position_ids")


@dataclass(frozen=True)
class BertConfig:
    """The sizes of a BERT; the defaults are those of BERT-base, uncased.

    Raises:
        ValueError: a size isn't a positive whole number, the heads don't divide the width, a
            share is out of range, or the activation has no name known here.
    """

    vocab_size: int = 30_522  # V, pieces in the vocabulary
    d_model: int = 768  # d, features of a token
    n_layers: int = 12  # L, encoder blocks
    n_heads: int = 12  # h, attention heads in a block
    d_ff: int = 3072  # features inside the feed-forward layer
    max_positions: int = 512  # the longest sequence there are position vectors for
    n_segments: int = 2  # segment vectors: for sentence A and for sentence B
    activation: str = "gelu"  # of the feed-forward layer, a key of ACTIVATIONS
    dropout: float = 0.1  # share dropped in training after embeddings and sublayers
    attention_dropout: float = 0.1  # share of the attention weights dropped in training
    eps: float = 1e-12  # of the layer norms
    has_pooler: bool = True  # whether a dense layer with tanh reads the vector at [CLS]

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is int and not (type(value) is int and value > 0):
                raise ValueError(f"{field.name} is {value!r}; expected a positive whole number.")
        if self.d_model % self.n_heads:
            raise ValueError(
                f"n_heads = {self.n_heads} doesn't divide d_model = {self.d_model}; choose a "
                "width that is a multiple of the number of heads."
            )
        for name in ("dropout", "attention_dropout"):
            if not _is_number(share := getattr(self, name)) or not 0.0 <= share < 1.0:
                raise ValueError(f"{name} is {share!r}; expected a share from 0 to below 1.")
        if not _is_number(self.eps) or not self.eps > 0.0:
            raise ValueError(f"eps is {self.eps!r}; expected a positive number such as 1e-12.")
        if self.activation not in ACTIVATIONS:
            raise ValueError(
                f"activation is {self.activation!r}; expected one of {', '.join(ACTIVATIONS)}."
            )

    @classmethod
    def from_hf(cls, values: Mapping[str, Any]) -> Self:
        """From what a config.json of Hugging Face holds.

        Args:
            values: a name that is absent has BERT-base's value, as in transformers.

        Raises:
            ValueError: positions of another kind than BERT's, a causal mask or cross-attention;
                or a value that the class refuses.
        """
        for name, expected in (
            ("position_embedding_type", "absolute"),
            ("is_decoder", False),
            ("add_cross_attention", False),
        ):
            found = values.get(name, expected)
            if found != expected:
                raise ValueError(
                    f"The configuration has {name} = {found!r}; expected {expected!r}: this class "
                    "is the encoder of Devlin et al. (2019). Load it with transformers' AutoModel."
                )
        return cls(**{ours: values[hf] for hf, ours in CONFIG_NAMES.items() if hf in values})


class BertOutput(NamedTuple):
    """What `Bert` gives for B sequences of T tokens."""

    last_hidden_state: torch.Tensor  # (B, T, d)
    pooler_output: torch.Tensor | None  # (B, d); None if the model has no pooler
    hidden_states: tuple[torch.Tensor, ...]  # L + 1 of (B, T, d): the embeddings, then each block


class BertEmbeddings(nn.Module):
    """Word, position and segment vectors, added, normalised and dropped out (figure 2)."""

    def __init__(self, config: BertConfig):
        super().__init__()
        self.word = nn.Embedding(config.vocab_size, config.d_model)
        self.position = nn.Embedding(config.max_positions, config.d_model)
        self.segment = nn.Embedding(config.n_segments, config.d_model)
        self.norm = LayerNorm(config.d_model, config.eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, input_ids: torch.Tensor, token_type_ids: torch.Tensor) -> torch.Tensor:
        """Ids (B, T) and segments (B, T), both int64 -> (B, T, d)."""
        positions = torch.arange(input_ids.size(1), device=input_ids.device)  # (T,)
        x = self.word(input_ids) + self.segment(token_type_ids)  # (B, T, d)
        return self.dropout(self.norm(x + self.position(positions)))  # (B, T, d)


class Bert(nn.Module):
    """Embeddings, a post-norm encoder, and a pooler on the first vector (section 3).

    A new one has the weights of the original's initialisation: normal with a standard deviation
    of 0.02, and biases of zero.
    """

    def __init__(self, config: BertConfig):
        super().__init__()
        self.config = config
        self.embeddings = BertEmbeddings(config)
        self.encoder = Encoder(
            config.n_layers,
            config.d_model,
            config.n_heads,
            config.d_ff,
            dropout=config.dropout,
            activation=ACTIVATIONS[config.activation],
            eps=config.eps,
        )
        for block in self.encoder.blocks:
            block.attention.dropout = config.attention_dropout
        self.pooler = nn.Linear(config.d_model, config.d_model) if config.has_pooler else None
        self.apply(_initialise)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
    ) -> BertOutput:
        """Encode a batch.

        Args:
            input_ids: pieces, int64 or int32 (B, T), T up to `max_positions`.
            attention_mask: 1 at real pieces and 0 at padding, (B, T); all real by default. What
                stands at padding can't change the vectors of real pieces.
            token_type_ids: 0 in sentence A, 1 in sentence B, integers (B, T); all 0 by default.

        Raises:
            TypeError: ids that aren't integers.
            ValueError: shapes that don't fit, too long a sequence, an id without a vector, or a
                mask with other numbers than 0 and 1.
        """
        segments = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        _check_inputs(input_ids, attention_mask, segments, self.config)
        # Without padding no mask is needed, and attention is faster without one.
        padded = attention_mask is not None and not bool((attention_mask == 1).all())
        mask = padding_mask(attention_mask) if padded else None  # (B, 1, 1, T)
        x = self.embeddings(input_ids, segments)  # (B, T, d)
        hidden_states = [x]
        for block in self.encoder.blocks:
            x = block(x, mask)  # (B, T, d)
            hidden_states.append(x)
        pooled = None if self.pooler is None else torch.tanh(self.pooler(x[:, 0]))  # (B, d)
        return BertOutput(x, pooled, tuple(hidden_states))

    @classmethod
    def from_pretrained(cls, path: str | os.PathLike[str]) -> Self:
        """Load a published BERT into these modules: in fp32, on the CPU, in evaluation mode.

        Heads for pretraining or for a task are left out. A checkpoint without a pooler gives a
        model without one.

        Args:
            path: a folder with config.json and model.safetensors, such as
                assets.path("minilm"), or a Hugging Face Hub id.

        Raises:
            FileNotFoundError: there is no such checkpoint, or none in safetensors.
            ValueError: it is of another architecture or damaged, or its weights don't fit its
                configuration; the message has both names or shapes.
        """
        values = read_config(path)
        check_architecture(values, "bert", path)
        config = BertConfig.from_hf(values)
        weights = _renamed(read_weights(path))
        model = cls(replace(config, has_pooler="pooler.weight" in weights))
        load_weights(model, weights, path)
        return model.eval()


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)


def _renamed(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights of the encoder under our names, those of heads left out."""
    renamed = {}
    for name, tensor in weights.items():
        # The first releases, converted from TensorFlow, call a norm's scale and shift so.
        ours = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", name.removeprefix("bert."))
        ours = re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", ours)
        if NOT_BERT.fullmatch(ours):
            continue
        for hf, own in WEIGHT_NAMES:
            ours = ours.replace(hf, own)
        renamed[ours] = tensor
    return renamed


def _check_inputs(
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor | None,
    token_type_ids: torch.Tensor,
    config: BertConfig,
) -> None:
    """Refuse what would fail deep inside, on a GPU without a message, or not at all."""
    if input_ids.ndim != 2 or not input_ids.numel():
        raise ValueError(
            f"input_ids has shape {tuple(input_ids.shape)}; expected (B, T), a batch of at least "
            "one sequence of at least one piece."
        )
    for name, given in (("token_type_ids", token_type_ids), ("attention_mask", attention_mask)):
        if given is not None and given.shape != input_ids.shape:
            raise ValueError(
                f"{name} has shape {tuple(given.shape)}, input_ids {tuple(input_ids.shape)}; "
                "expected the same, (B, T)."
            )
    if input_ids.size(1) > config.max_positions:
        raise ValueError(
            f"The sequences have {input_ids.size(1)} pieces, the model has positions for "
            f"{config.max_positions}; truncate them, or split them into parts."
        )
    _check_ids("input_ids", input_ids, config.vocab_size, "does the tokenizer fit the model?")
    _check_ids("token_type_ids", token_type_ids, config.n_segments, "0 is sentence A, 1 is B.")


def _check_ids(name: str, ids: torch.Tensor, n: int, hint: str) -> None:
    if ids.dtype not in (torch.int64, torch.int32):
        raise TypeError(f"{name} has dtype {ids.dtype}; expected torch.int64, as tokenizers give.")
    low, high = (int(end) for end in ids.aminmax())
    if low < 0 or high >= n:
        raise ValueError(f"{name} holds {low if low < 0 else high}; expected 0 to {n - 1}: {hint}")
