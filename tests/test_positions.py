"""Positions: the formulas, what they promise about differences, and transformers' own code."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

from helpers.models.positions import apply_rotary, rotary_angles, sinusoidal_positions

EVEN = st.integers(1, 16).map(lambda half: 2 * half)
SEEDS = st.integers(0, 2**31)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def close(found, wanted, atol=1e-6):
    torch.testing.assert_close(found, wanted, rtol=0, atol=atol)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 40), d=EVEN, base=st.sampled_from([10.0, 100.0, 10_000.0]))
def test_sinusoidal_positions_follow_the_formula(n, d, base):
    found = sinusoidal_positions(n, d, base=base)
    assert found.shape == (n, d) and found.dtype == torch.float32
    for p in {0, n // 2, n - 1}:
        for i in range(d // 2):
            angle = p / base ** (2 * i / d)
            assert found[p, 2 * i].item() == pytest.approx(math.sin(angle), abs=2e-5)
            assert found[p, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=2e-5)


@settings(max_examples=20, deadline=None)
@given(d=EVEN, p=st.integers(0, 50), q=st.integers(0, 50), shift=st.integers(0, 50))
def test_sinusoidal_products_depend_on_the_difference_alone(d, p, q, shift):
    table = sinusoidal_positions(101, d).double()
    here, there = table[p] @ table[q], table[p + shift] @ table[q + shift]
    # An angle of up to 100 in float32 is off by up to 4e-6, in each of up to 16 pairs.
    assert abs(here - there) < 5e-4
    assert table[p].norm().item() == pytest.approx(math.sqrt(d / 2), abs=1e-5)


def test_sinusoidal_positions_do_not_depend_on_the_length():
    assert torch.equal(sinusoidal_positions(10, 8), sinusoidal_positions(100, 8)[:10])


@settings(max_examples=20, deadline=None)
@given(half=st.integers(1, 16), t=st.integers(1, 12), base=st.sampled_from([100.0, 1e4, 1e5]))
def test_rotary_equals_transformers(half, t, base):
    h, d_k = 2, 2 * half
    config = LlamaConfig(
        hidden_size=h * d_k,
        num_attention_heads=h,
        rope_parameters={"rope_type": "default", "rope_theta": base},
    )
    q, k = (normal(3, h, t, d_k, seed=s, dtype=torch.float32) for s in (1, 2))
    positions = torch.arange(t)[None]  # (1, T)
    cos, sin = LlamaRotaryEmbedding(config)(q, positions)
    expected = apply_rotary_pos_emb(q, k, cos, sin)
    ours = rotary_angles(torch.arange(t), d_k, base=base)
    # A cosine of the same angle may differ in its last bit: torch has several kernels for it.
    close(ours[0], cos[0])
    close(ours[1], sin[0])
    for found, wanted in zip(
        (apply_rotary(q, *ours), apply_rotary(k, *ours)), expected, strict=True
    ):
        close(found, wanted, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(half=st.integers(1, 16), seed=SEEDS, m=st.integers(0, 300), n=st.integers(0, 300))
def test_rotary_products_depend_on_the_difference_alone(half, seed, m, n):
    q, k = normal(2, 2 * half, seed=seed)

    def product(m, n):
        cos, sin = rotary_angles(torch.tensor([m, n]), 2 * half)
        turned = apply_rotary(torch.stack([q, k]), cos, sin)
        return turned[0] @ turned[1]

    assert abs(product(m, n) - product(m + 100, n + 100)) < 2e-3
    # float32 angles: cos² + sin² is 1 to 1e-7, times up to 16 products of two normal numbers.
    assert abs(product(m, m) - q @ k) < 1e-4


def test_rotary_product_changes_with_the_difference():
    q = k = torch.ones(1, 2)
    products = []
    for distance in (0, 1, 2):
        cos, sin = rotary_angles(torch.tensor([distance]), 2)
        products.append((apply_rotary(q, cos, sin) @ k.T).item())
    # One pair of features turns by one radian a position.
    assert products == pytest.approx([2 * math.cos(distance) for distance in (0, 1, 2)], abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(half=st.integers(1, 16), seed=SEEDS)
def test_rotary_keeps_lengths_and_position_zero(half, seed):
    x = normal(2, 3, 7, 2 * half, seed=seed, dtype=torch.float32)
    turned = apply_rotary(x, *rotary_angles(torch.arange(7), 2 * half))
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    assert torch.equal(turned[..., 0, :], x[..., 0, :])


def test_rotary_takes_a_position_for_each_token():
    x = normal(2, 3, 4, 6, dtype=torch.float32)  # (B, h, T, d_k)
    positions = torch.tensor([[0, 1, 2, 3], [5, 6, 7, 8]])
    together = apply_rotary(x, *rotary_angles(positions[:, None], 6))
    for row in range(2):
        alone = apply_rotary(x[row], *rotary_angles(positions[row], 6))
        close(together[row], alone)


def test_rotary_keeps_the_dtype():
    x = normal(1, 2, 3, 4, dtype=torch.bfloat16)
    assert apply_rotary(x, *rotary_angles(torch.arange(3), 4)).dtype == torch.bfloat16


def test_rotary_gradient():
    angles = [a.double() for a in rotary_angles(torch.arange(3), 4)]
    x = normal(2, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: apply_rotary(x, *angles), (x,))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sinusoidal_positions(4, 5), r"\b5 features.*even"),
        (lambda: sinusoidal_positions(4, 0), r"\b0 features.*even"),
        (lambda: sinusoidal_positions(0, 4), "n_positions is 0"),
        (lambda: sinusoidal_positions(4, 4, base=-1.0), "base is -1.0"),
        (lambda: rotary_angles(torch.arange(3), 7), r"\b7 features.*even"),
    ],
)
def test_bad_numbers_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    "positions",
    [
        torch.arange(1),  # one angle for five positions
        torch.arange(4),  # too few
        torch.arange(10).view(2, 5),  # (B, T) without the heads: B would be taken for h
        torch.arange(15).view(1, 3, 5),  # three sequences for two
        torch.arange(5).view(1, 1, 1, 5),  # too many dimensions
    ],
)
def test_rotary_refuses_angles_that_do_not_fit(positions):
    x = torch.zeros(2, 2, 5, 4)
    if positions.shape == (1, 3, 5):
        positions = positions.view(3, 1, 5)
    with pytest.raises(ValueError, match=r"cos.*x \(2, 2, 5, 4\)"):
        apply_rotary(x, *rotary_angles(positions, 4))


def test_rotary_refuses_angles_of_another_width():
    with pytest.raises(ValueError, match=r"cos \(5, 8\)"):
        apply_rotary(torch.zeros(5, 4), *rotary_angles(torch.arange(5), 8))
    cos, _ = rotary_angles(torch.arange(5), 4)
    with pytest.raises(ValueError, match="expected both"):
        apply_rotary(torch.zeros(5, 4), cos, cos[:1])
