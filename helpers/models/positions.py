"""Where a token stands: sinusoidal and rotary positions. Learned ones are an `nn.Embedding`."""

import torch

__all__ = ["apply_rotary", "rotary_angles", "sinusoidal_positions"]


def _frequencies(d: int, base: float, device: torch.device | None = None) -> torch.Tensor:
    """base^(-2i / d) for i = 0 … d/2 - 1, radians per position: (d/2,) float32."""
    if d < 2 or d % 2:
        raise ValueError(f"{d} features can't be put into pairs; expected an even number.")
    if base <= 0:
        raise ValueError(f"base is {base}; expected a positive number, such as 10000.")
    # As transformers computes it, to the last bit: rotary models depend on it.
    return 1.0 / base ** (torch.arange(0, d, 2, device=device, dtype=torch.float32) / d)


def sinusoidal_positions(
    n_positions: int,
    d_model: int,
    *,
    base: float = 10_000.0,
) -> torch.Tensor:
    """Fixed position vectors of sines and cosines (Vaswani et al., 2017, section 3.5).

    PE[p, 2i] = sin(p / base^(2i/d)) and PE[p, 2i+1] = cos(p / base^(2i/d)): p counts positions, i
    pairs of features, d is the model's width. The length of the sequence appears nowhere.

    Returns:
        (n_positions, d_model) float32.

    Raises:
        ValueError: d_model is odd, base isn't positive, or n_positions isn't.
    """
    if n_positions < 1:
        raise ValueError(f"n_positions is {n_positions}; expected at least one position.")
    positions = torch.arange(n_positions, dtype=torch.float32)
    angles = torch.outer(positions, _frequencies(d_model, base))  # (T, d/2)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)  # (T, d)


def rotary_angles(
    positions: torch.Tensor, d_k: int, *, base: float = 10_000.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines for `apply_rotary` (Su et al., RoFormer, 2021, equation 34).

    Args:
        positions: int64, of any shape (...).
        d_k: features of one head, an even number.
        base: what sets the frequencies.

    Returns:
        Two float32 tensors (..., d_k); feature j and feature j + d_k/2 share an angle.

    Raises:
        ValueError: d_k is odd, or base isn't positive.
    """
    angles = positions[..., None].float() * _frequencies(d_k, base, positions.device)
    angles = torch.cat([angles, angles], dim=-1)  # (..., d_k)
    return angles.cos(), angles.sin()


def apply_rotary(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Turn each pair of features of `x` by its position's angle.

    Features j and j + d_k/2 are a pair, as in Llama's weights in transformers' format; the paper
    pairs neighbours. One is a permutation of the other; a model is trained with either, not both.

    Args:
        x: queries or keys, (..., T, d_k).
        cos: from `rotary_angles`: (T, d_k), the same for all, or with the number of dimensions of
            `x`, each leading one equal or 1, as (B, 1, T, d_k) for heads (B, h, T, d_k).
        sin: as `cos`.

    Returns:
        As `x`, also its dtype. Lengths are kept, and a product of a turned query with a turned key
        depends on the two positions' difference alone.

    Raises:
        ValueError: shapes that don't fit; the message has them.
    """
    _check_rotary(tuple(x.shape), tuple(cos.shape), tuple(sin.shape))
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    first, second = x.chunk(2, dim=-1)  # (..., T, d_k/2) each
    return x * cos + torch.cat([-second, first], dim=-1) * sin


def _check_rotary(x: tuple[int, ...], cos: tuple[int, ...], sin: tuple[int, ...]) -> None:
    """Refuse what torch would broadcast in silence: one angle for all positions, B for heads."""
    leading = cos[:-2]
    alike = len(cos) == len(x) and all(c in (1, n) for c, n in zip(leading, x[:-2], strict=True))
    fits = cos == sin and len(cos) >= 2 and cos[-2:] == x[-2:] and (not leading or alike)
    if not fits:
        raise ValueError(
            f"cos {cos} and sin {sin} don't fit x {x}; expected both (T, d_k) = {x[-2:]}, or as "
            "many dimensions as x, each leading one equal or 1. For heads (B, h, T, d_k) with a "
            "position for each token, give rotary_angles positions of shape (B, 1, T)."
        )
