"""Scaled dot-product attention, and several heads of it (Vaswani et al., NeurIPS 2017, 3.2).

Shapes: B sequences, T queries, S keys (S = T in self-attention), h heads of width d_k, model
width d = h d_k. A mask is boolean and True where a query may look, as in torch's function
`scaled_dot_product_attention`; in `torch.nn.MultiheadAttention` True means the opposite.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

__all__ = [
    "MultiHeadAttention",
    "attention_weights",
    "causal_mask",
    "is_padded",
    "padding_mask",
    "scaled_dot_product_attention",
]


def causal_mask(
    n_queries: int, n_keys: int | None = None, *, device: torch.device | str | None = None
) -> torch.Tensor:
    """Which keys a query may see when it must not see the future: bool (T, S).

    The queries are the last T of the S positions, so that a decoder that has cached S - T earlier
    keys asks for a mask of its new rows alone. S is T by default.

    Raises:
        ValueError: there are fewer keys than queries.
    """
    n_keys = n_queries if n_keys is None else n_keys
    if n_keys < n_queries:
        raise ValueError(
            f"{n_queries} queries need at least as many keys, got {n_keys}: each position sees "
            "itself."
        )
    seen = torch.ones(n_queries, n_keys, dtype=torch.bool, device=device)
    return seen.tril(diagonal=n_keys - n_queries)


def padding_mask(attention_mask: torch.Tensor) -> torch.Tensor:
    """A tokenizer's mask (B, S), 1 at real tokens and 0 at padding, as bool (B, 1, 1, S).

    Raises:
        ValueError: it isn't two-dimensional, or holds anything but zeros and ones. On a GPU its
            numbers aren't looked at: the CPU would wait for them.
    """
    if attention_mask.ndim != 2:
        raise ValueError(
            f"attention_mask has shape {tuple(attention_mask.shape)}; expected (B, S), one row "
            "for each sequence of the batch."
        )
    real = attention_mask.bool()
    if real.device.type == "cpu" and not torch.equal(real.to(attention_mask.dtype), attention_mask):
        raise ValueError(
            "attention_mask holds values other than 0 and 1; expected 1 at real tokens and 0 at "
            "padding, as tokenizers give it, and not a mask of numbers to add to the scores."
        )
    return real[:, None, None, :]


def is_padded(attention_mask: torch.Tensor | None) -> bool:
    """Whether a tokenizer's mask (B, S) hides anything: without one, attention is faster.

    On a GPU a mask that is there is used, whatever is in it: the CPU would wait to look.
    """
    if attention_mask is None:
        return False
    return attention_mask.device.type != "cpu" or not bool((attention_mask == 1).all())


def attention_weights(
    query: torch.Tensor, key: torch.Tensor, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """softmax(QKᵀ / √d_k): how much each query takes from each key (equation 1 of the paper).

    Args:
        query: (..., T, d_k), floating point.
        key: (..., S, d_k), of the query's leading shape.
        mask: bool, True where a query may look: (T, S) for all alike, or with the query's number
            of dimensions, each leading one equal or 1.

    Returns:
        (..., T, S). A row sums to one, or to zero if its query may look nowhere. A masked weight
        is exactly zero, whatever its key holds.

    Raises:
        TypeError: query or key isn't floating point, or the mask isn't boolean.
        ValueError: shapes that don't fit; the message has them.
    """
    _check_shapes(query, key, None, mask)
    # Divided before the product: in float16, the undivided sum of a head of 64 can overflow.
    scores = (query / math.sqrt(query.size(-1))) @ key.mT  # (..., T, S)
    if mask is None:
        return scores.softmax(dim=-1)
    # The lowest finite number and not -inf, which makes a row of nothing but -inf nan. Such a row
    # becomes uniform, and the second masking turns it into zeros.
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return scores.softmax(dim=-1).masked_fill(~mask, 0.0)


def scaled_dot_product_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """softmax(QKᵀ / √d_k) V, step by step (equation 1 of the paper).

    The same as `torch.nn.functional.scaled_dot_product_attention`, which is faster, and which
    `MultiHeadAttention` uses.

    Args:
        query: (..., T, d_k).
        key: (..., S, d_k).
        value: (..., S, d_v).
        mask: as for `attention_weights`.

    Returns:
        (..., T, d_v); zeros where a query may look nowhere. Masked values must be finite, as in
        torch: they are multiplied by zero, and 0 × nan is nan.

    Raises:
        TypeError: an input isn't floating point, or the mask isn't boolean.
        ValueError: shapes that don't fit.
    """
    _check_shapes(query, key, value, mask)
    return attention_weights(query, key, mask) @ value  # (..., T, d_v)


class MultiHeadAttention(nn.Module):
    """h attentions side by side, each on its own d_k = d / h features (section 3.2.2).

    head_i = softmax(Q_i K_iᵀ / √d_k) V_i, and the output is [head_1; …; head_h] W_O. One matrix
    product makes the queries of all heads, since the h matrices of the paper are the column
    blocks of one.
    """

    def __init__(self, d_model: int, n_heads: int, *, dropout: float = 0.0, bias: bool = True):
        """
        Args:
            d_model: features of a token, d.
            n_heads: heads, h; must divide d.
            dropout: share of the attention weights set to zero in training.
            bias: whether the four projections have one.

        Raises:
            ValueError: h doesn't divide d, or a number is out of range.
        """
        super().__init__()
        if n_heads < 1 or d_model < 1 or d_model % n_heads:
            raise ValueError(
                f"{n_heads} heads don't divide {d_model} features into equal parts; choose a "
                "d_model that is a multiple of n_heads."
            )
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"dropout is {dropout}; expected a share from 0 to below 1.")
        self.n_heads = n_heads
        self.dropout = dropout
        self.query = nn.Linear(d_model, d_model, bias=bias)
        self.key = nn.Linear(d_model, d_model, bias=bias)
        self.value = nn.Linear(d_model, d_model, bias=bias)
        self.output = nn.Linear(d_model, d_model, bias=bias)

    def forward(
        self,
        x: torch.Tensor,
        memory: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Self-attention of `x`, or cross-attention from `x` to `memory`.

        Args:
            x: what asks, (B, T, d).
            memory: what is looked at, (B, S, d); `x` itself by default.
            mask: bool, True where a query may look: (T, S), or (B or 1, h or 1, T or 1, S).

        Returns:
            (B, T, d).

        Raises:
            TypeError: the mask isn't boolean.
            ValueError: shapes that don't fit.
        """
        memory = self._checked(x, memory)
        q, k, v = (
            self.split(self.query(x)),
            self.split(self.key(memory)),
            self.split(self.value(memory)),
        )  # (B, h, T or S, d_k)
        _check_shapes(q, k, v, mask)
        # The fused kernel: the same numbers, without the (T, S) weights in memory.
        dropout = self.dropout if self.training else 0.0
        heads = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        return self.output(self.join(heads))  # (B, T, d)

    def weights(
        self,
        x: torch.Tensor,
        memory: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """What `forward` weighs the values with, without dropout: (B, h, T, S), to look at."""
        memory = self._checked(x, memory)
        return attention_weights(self.split(self.query(x)), self.split(self.key(memory)), mask)

    def split(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, d) -> (B, h, T, d_k): features i d_k to (i + 1) d_k belong to head i."""
        return x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)

    def join(self, heads: torch.Tensor) -> torch.Tensor:
        """(B, h, T, d_k) -> (B, T, d): the concatenation of the heads."""
        return heads.transpose(1, 2).flatten(2)

    def _checked(self, x: torch.Tensor, memory: torch.Tensor | None) -> torch.Tensor:
        memory = x if memory is None else memory
        d = self.query.in_features
        for name, given, tokens in (("x", x, "T"), ("memory", memory, "S")):
            if given.ndim != 3 or given.size(-1) != d:
                raise ValueError(
                    f"{name} has shape {tuple(given.shape)}; expected (B, {tokens}, {d}), the "
                    "d_model of this layer last."
                )
        return memory


def _check_shapes(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor | None,
    mask: torch.Tensor | None,
) -> None:
    """Refuse what torch would broadcast in silence or report from deep inside."""
    for name, given in (("query", query), ("key", key), ("value", value)):
        if given is not None and not given.is_floating_point():
            raise TypeError(
                f"{name} has dtype {given.dtype}; expected floating point, vectors and not the "
                "ids of tokens."
            )
    q, k = tuple(query.shape), tuple(key.shape)
    if len(q) < 2 or len(q) != len(k) or q[:-2] != k[:-2] or q[-1] != k[-1] or q[-1] < 1:
        raise ValueError(
            f"query {q} and key {k} don't fit: expected (..., T, d_k) and (..., S, d_k) with the "
            "same leading dimensions and the same d_k of at least 1."
        )
    if value is not None and tuple(value.shape[:-1]) != k[:-1]:
        raise ValueError(
            f"key {k} and value {tuple(value.shape)} don't fit: expected one value for each key, "
            "(..., S, d_k) and (..., S, d_v)."
        )
    if mask is not None:
        _check_mask(mask, (*q[:-1], k[-2]))


def _check_mask(mask: torch.Tensor, scores: tuple[int, ...]) -> None:
    if mask.dtype != torch.bool:
        raise TypeError(
            f"mask has dtype {mask.dtype}; expected torch.bool, True where a query may look. For "
            "a tokenizer's mask of ones and zeros use padding_mask(attention_mask); for a mask of "
            "0 and -inf that is added to scores, mask == 0."
        )
    m = tuple(mask.shape)
    # The keys are never broadcast: a mask of one column would hide all keys or none.
    fits = m == scores[-2:] or (
        len(m) == len(scores)
        and m[-1] == scores[-1]
        and all(given in (1, wanted) for given, wanted in zip(m[:-1], scores[:-1], strict=True))
    )
    if not fits:
        raise ValueError(
            f"mask has shape {m}, the scores (..., T, S) have {scores}; expected {scores[-2:]}, "
            "or as many dimensions as the scores, each equal or 1, the last one equal. "
            "padding_mask makes (B, 1, 1, S) of (B, S)."
        )
