"""BERT (Devlin et al., NAACL 2019): a Transformer's encoder, with published weights.

Shapes: B sequences, T tokens, d features, L layers, V entries of the vocabulary.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, NamedTuple, Self

import torch
import torch.nn.functional as F
import transformers
from torch import nn

from helpers.models._checkpoint import (
    filled,
    read_config,
    read_weights,
    refuse_unless,
    renamed,
)
from helpers.models._checks import CheckedConfig, check_ids, check_inputs
from helpers.models.attention import is_padded, padding_mask
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

# What a checkpoint may lack, and hold besides: heads for pretraining and for tasks.
OPTIONAL = r"pooler\.|cls\.|classifier\.|qa_outputs\."


@dataclass(frozen=True)
class BertConfig(CheckedConfig):
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

    rotary: ClassVar[bool] = False

    def __post_init__(self):
        super().__post_init__()
        if self.activation not in ACTIVATIONS:
            raise ValueError(
                f"activation is {self.activation!r}; expected one of {', '.join(ACTIVATIONS)}."
            )


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
        check_inputs(input_ids, attention_mask, self.config)
        if segments.shape != input_ids.shape:
            raise ValueError(
                f"token_type_ids has shape {tuple(segments.shape)}, input_ids "
                f"{tuple(input_ids.shape)}; expected the same, (B, T)."
            )
        check_ids("token_type_ids", segments, self.config.n_segments, "0 is sentence A, 1 is B.")
        # Without padding no mask is needed, and attention is faster without one.
        mask = padding_mask(attention_mask) if is_padded(attention_mask) else None  # (B, 1, 1, T)
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
            OSError: there is no such checkpoint, or none in safetensors.
            ValueError: it is of another architecture or damaged, or its weights don't fit its
                configuration; the message has both names or shapes.
        """
        theirs = read_config(path, transformers.BertConfig)
        config = _config_from(theirs, path)
        weights, random = read_weights(path, transformers.BertModel, theirs, optional=OPTIONAL)
        weights = {name: weight for name, weight in weights.items() if name not in random}
        config = replace(config, has_pooler="pooler.dense.weight" in weights)
        return filled(cls, config, renamed(weights, WEIGHT_NAMES))


def _config_from(theirs: transformers.BertConfig, path: str | os.PathLike[str]) -> BertConfig:
    """Raises ValueError for something that `Bert` doesn't compute; the message names it."""
    expected = {
        "position_embedding_type": "absolute",
        "is_decoder": False,
        "add_cross_attention": False,
    }
    fits = {name: getattr(theirs, name, value) == value for name, value in expected.items()}
    refuse_unless(fits, theirs, path, "this is the encoder of Devlin et al. (2019)")
    return BertConfig(**{ours: getattr(theirs, name) for name, ours in CONFIG_NAMES.items()})


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
