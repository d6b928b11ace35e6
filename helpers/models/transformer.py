"""The Transformer's blocks (Vaswani et al., NeurIPS 2017, section 3) and stacks of them.

Shapes: B sequences, T tokens, S tokens of the memory, d features, d_ff features inside the
feed-forward layer. Masks are boolean, True where a query may look, as in `attention`.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from helpers.models.attention import MultiHeadAttention, causal_mask

__all__ = [
    "Decoder",
    "DecoderBlock",
    "Encoder",
    "EncoderBlock",
    "EncoderDecoder",
    "FeedForward",
    "LayerNorm",
    "layer_norm",
]

# A map of token vectors (B, T, d) to token vectors: an activation, or a whole sublayer.
Map = Callable[[torch.Tensor], torch.Tensor]


def layer_norm(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float = 1e-5
) -> torch.Tensor:
    """Each token by its own mean and variance over features (Ba et al., arXiv:1607.06450, eq. 4).

    No other token, no other sequence and no running average has a part in it.

    Args:
        x: (..., d).
        weight: the scale of each feature, γ (d,).
        bias: the shift of each feature, β (d,).
        eps: added to the variance, so that a constant token isn't divided by zero.

    Returns:
        As `x`: before γ and β, each token has mean 0 and mean square just below 1.

    Raises:
        ValueError: the scale or the shift hasn't the width of a token.
    """
    expected = x.shape[-1:]
    if weight.shape != expected or bias.shape != expected:
        raise ValueError(
            f"weight {tuple(weight.shape)} and bias {tuple(bias.shape)} don't fit x "
            f"{tuple(x.shape)}; expected one number for each feature, {tuple(expected)}."
        )
    mean = x.mean(dim=-1, keepdim=True)  # (..., 1)
    variance = (x - mean).square().mean(dim=-1, keepdim=True)  # (..., 1), divided by d, not d - 1
    return (x - mean) / torch.sqrt(variance + eps) * weight + bias


class LayerNorm(nn.Module):
    """`layer_norm` with learned scale and shift, through torch's fused kernel."""

    def __init__(self, d_model: int, eps: float = 1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d_model))
        self.bias = nn.Parameter(torch.zeros(d_model))
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., d) -> (..., d)."""
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


class FeedForward(nn.Module):
    """activation(x W_1 + b_1) W_2 + b_2, for each token by itself (section 3.3, equation 2)."""

    def __init__(self, d_model: int, d_ff: int, activation: Map = F.gelu):
        super().__init__()
        if d_ff < 1:
            raise ValueError(f"d_ff is {d_ff}; expected at least 1, often 4 * d_model.")
        self.inner = nn.Linear(d_model, d_ff)
        self.outer = nn.Linear(d_ff, d_model)
        self.activation = activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., d) -> (..., d)."""
        return self.outer(self.activation(self.inner(x)))


class _Residual(nn.Module):
    """What stands around each sublayer: norm(x + f(x)), or with `norm_first` x + f(norm(x)).

    The first is the original (post-norm), the second pre-norm (Xiong et al., ICML 2020).
    """

    def __init__(self, d_model: int, *, dropout: float, norm_first: bool, eps: float):
        super().__init__()
        self.norm = LayerNorm(d_model, eps)
        self.dropout = nn.Dropout(dropout)
        self.norm_first = norm_first

    def forward(self, x: torch.Tensor, sublayer: Map) -> torch.Tensor:
        if self.norm_first:
            return x + self.dropout(sublayer(self.norm(x)))
        return self.norm(x + self.dropout(sublayer(x)))


class EncoderBlock(nn.Module):
    """Self-attention, then a feed-forward layer, each with its residual path and its norm."""

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        d_ff: int,
        *,
        dropout: float = 0.0,
        norm_first: bool = False,
        activation: Map = F.gelu,
        eps: float = 1e-5,
    ):
        """
        Args:
            d_model: features of a token.
            n_heads: attention heads; must divide `d_model`.
            d_ff: features inside the feed-forward layer.
            dropout: share dropped in training, of the attention weights and of what each sublayer
                adds to the residual path.
            norm_first: whether to normalise a sublayer's input (pre-norm) or the sum (post-norm).
            activation: the feed-forward layer's non-linearity.
            eps: of the norms.
        """
        super().__init__()
        around = {"dropout": dropout, "norm_first": norm_first, "eps": eps}
        self.attention = MultiHeadAttention(d_model, n_heads, dropout=dropout)
        self.attention_residual = _Residual(d_model, **around)
        self.feed_forward = FeedForward(d_model, d_ff, activation)
        self.feed_forward_residual = _Residual(d_model, **around)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """(B, T, d) -> (B, T, d); `mask` as for `MultiHeadAttention`."""
        x = self.attention_residual(x, lambda x: self.attention(x, mask=mask))
        return self.feed_forward_residual(x, self.feed_forward)


class DecoderBlock(nn.Module):
    """Causal self-attention, cross-attention to the encoder's output, a feed-forward layer."""

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        d_ff: int,
        *,
        dropout: float = 0.0,
        norm_first: bool = False,
        activation: Map = F.gelu,
        eps: float = 1e-5,
    ):
        """As for `EncoderBlock`."""
        super().__init__()
        around = {"dropout": dropout, "norm_first": norm_first, "eps": eps}
        self.self_attention = MultiHeadAttention(d_model, n_heads, dropout=dropout)
        self.self_attention_residual = _Residual(d_model, **around)
        self.cross_attention = MultiHeadAttention(d_model, n_heads, dropout=dropout)
        self.cross_attention_residual = _Residual(d_model, **around)
        self.feed_forward = FeedForward(d_model, d_ff, activation)
        self.feed_forward_residual = _Residual(d_model, **around)

    def forward(
        self,
        x: torch.Tensor,
        memory: torch.Tensor,
        memory_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """One block of the decoder.

        Padding at the end of `x` needs no mask: the causal one hides it from all real tokens.

        Args:
            x: the target so far, (B, T, d).
            memory: the encoder's output, (B, S, d).
            memory_mask: what of the memory may be looked at, bool (B, 1, 1, S) or (T, S).

        Returns:
            (B, T, d).
        """
        seen = causal_mask(x.size(1), device=x.device)  # (T, T)
        x = self.self_attention_residual(x, lambda x: self.self_attention(x, mask=seen))
        x = self.cross_attention_residual(x, lambda x: self.cross_attention(x, memory, memory_mask))
        return self.feed_forward_residual(x, self.feed_forward)


class Encoder(nn.Module):
    """A stack of `EncoderBlock`s; pre-norm blocks get one more norm at the end.

    After post-norm blocks the output is normalised already.
    """

    def __init__(self, n_layers: int, d_model: int, n_heads: int, d_ff: int, **options):
        """`options` as for `EncoderBlock`, the same in each."""
        super().__init__()
        _check_layers(n_layers)
        self.blocks = nn.ModuleList(
            EncoderBlock(d_model, n_heads, d_ff, **options) for _ in range(n_layers)
        )
        self.norm = _last_norm(d_model, **options)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """(B, T, d) -> (B, T, d); `mask` as for `MultiHeadAttention`."""
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x)


class Decoder(nn.Module):
    """A stack of `DecoderBlock`s; pre-norm blocks get one more norm at the end."""

    def __init__(self, n_layers: int, d_model: int, n_heads: int, d_ff: int, **options):
        """`options` as for `DecoderBlock`, the same in each."""
        super().__init__()
        _check_layers(n_layers)
        self.blocks = nn.ModuleList(
            DecoderBlock(d_model, n_heads, d_ff, **options) for _ in range(n_layers)
        )
        self.norm = _last_norm(d_model, **options)

    def forward(
        self, x: torch.Tensor, memory: torch.Tensor, memory_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(B, T, d) and (B, S, d) -> (B, T, d); as for `DecoderBlock`."""
        for block in self.blocks:
            x = block(x, memory, memory_mask)
        return self.norm(x)


class EncoderDecoder(nn.Module):
    """The original Transformer (figure 1 of the paper) between its embeddings and its softmax."""

    def __init__(self, n_layers: int, d_model: int, n_heads: int, d_ff: int, **options):
        """`n_layers` blocks in each of the two stacks; `options` as for `EncoderBlock`."""
        super().__init__()
        self.encoder = Encoder(n_layers, d_model, n_heads, d_ff, **options)
        self.decoder = Decoder(n_layers, d_model, n_heads, d_ff, **options)

    def forward(
        self, source: torch.Tensor, target: torch.Tensor, source_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The source is read in both directions, the target from left to right.

        Args:
            source: embedded, (B, S, d).
            target: embedded, (B, T, d).
            source_mask: bool (B, 1, 1, S), from `padding_mask`.

        Returns:
            One vector for each target position, (B, T, d).
        """
        return self.decoder(target, self.encoder(source, source_mask), source_mask)


def _check_layers(n_layers: int) -> None:
    if n_layers < 1:
        raise ValueError(f"n_layers is {n_layers}; expected at least one block.")


def _last_norm(
    d_model: int, *, norm_first: bool = False, eps: float = 1e-5, **_: object
) -> nn.Module:
    return LayerNorm(d_model, eps) if norm_first else nn.Identity()
