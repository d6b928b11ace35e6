"""The functions of scaled dot-product attention: against torch, by their properties, on bad input.

The layer of several heads has tests of its own.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.models.attention import (
    attention_weights,
    causal_mask,
    padding_mask,
    scaled_dot_product_attention,
)

EXACT = {"rtol": 0, "atol": 1e-12}  # float64: rounding alone


def draw(*shape, seed=0, dtype=torch.float64, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(*shape, generator=generator, dtype=torch.float64) * scale).to(dtype)


def qkv(leading=(2, 3), n_queries=5, n_keys=7, d_k=4, d_v=6, seed=0, **kwargs):
    shapes = ((n_queries, d_k), (n_keys, d_k), (n_keys, d_v))
    return [draw(*leading, *shape, seed=seed + i, **kwargs) for i, shape in enumerate(shapes)]


def random_mask(*shape, seed=0, share=0.6):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < share


# --- against torch ------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.tuples(*[st.integers(1, 6)] * 4),
    leading=st.lists(st.integers(1, 3), max_size=2).map(tuple),
    masked=st.sampled_from(["no", "shared", "each", "broadcast"]),
    share=st.sampled_from([0.0, 0.3, 0.8]),
    seed=st.integers(0, 10_000),
)
def test_forward_and_gradients_equal_torchs(sizes, leading, masked, share, seed):
    n_queries, n_keys, _, d_v = sizes
    shape = {
        "no": None,
        "shared": (n_queries, n_keys),
        "each": (*leading, n_queries, n_keys),
        "broadcast": (*(1 for _ in leading), 1, n_keys),
    }[masked]
    # A share of 0.0 masks everything: rows that may look nowhere are among the cases.
    mask = None if shape is None else random_mask(*shape, seed=seed, share=share)
    upstream = draw(*leading, n_queries, d_v, seed=seed + 9)
    results = []
    for function in (scaled_dot_product_attention, F.scaled_dot_product_attention):
        inputs = [tensor.requires_grad_() for tensor in qkv(leading, *sizes, seed=seed)]
        output = function(*inputs, mask)
        output.backward(upstream)
        results.append([output.detach(), *(tensor.grad for tensor in inputs)])
    for ours, theirs in zip(*results, strict=True):
        assert ours.isfinite().all()
        torch.testing.assert_close(ours, theirs, **EXACT)


def test_hand_computed_example():
    # Scores (1, 0) with √d_k = 1: the weights are e/(e + 1) and 1/(e + 1).
    query, key = torch.tensor([[1.0]]), torch.tensor([[1.0], [0.0]])
    value = torch.tensor([[10.0, 0.0], [0.0, 20.0]])
    high = math.e / (math.e + 1)
    expected = torch.tensor([[10 * high, 20 * (1 - high)]])
    torch.testing.assert_close(scaled_dot_product_attention(query, key, value), expected)


def test_the_divisor_is_the_root_of_the_keys_width():
    query, key = torch.ones(1, 16), torch.stack([torch.ones(16), torch.zeros(16)])
    weights = attention_weights(query, key)  # scores 16 / √16 = 4 and 0
    torch.testing.assert_close(weights[0], torch.tensor([4.0, 0.0]).softmax(0))


@pytest.mark.parametrize("masked", [False, True])
def test_gradcheck(masked):
    inputs = [tensor.requires_grad_() for tensor in qkv((2,), 4, 5, 3, 2)]
    mask = None
    if masked:
        mask = random_mask(2, 4, 5, seed=1)
        mask[0, 2] = False  # this query may look nowhere
    assert torch.autograd.gradcheck(
        lambda q, k, v: scaled_dot_product_attention(q, k, v, mask), inputs
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    q, k, v = qkv((2,), 5, 7, 8, 6, dtype=dtype)
    mask = random_mask(5, 7)
    mask[3] = False
    ours = scaled_dot_product_attention(q, k, v, mask)
    assert ours.dtype == dtype
    exact = scaled_dot_product_attention(q.double(), k.double(), v.double(), mask)
    # Scores of up to 3, weights, products and the output are rounded, each by up to eps / 2 of
    # its size, and a sum may round on the way or not.
    torch.testing.assert_close(ours.double(), exact, rtol=0, atol=8 * torch.finfo(dtype).eps)
    assert (ours[:, 3] == 0).all()


def test_scores_that_overflow_float16_unless_divided_first():
    q = torch.full((2, 64), 40.0, dtype=torch.float16)
    assert (q @ q.mT).isinf().all()  # 64 · 40² is more than 65,504
    assert attention_weights(q, q).tolist() == [[0.5, 0.5], [0.5, 0.5]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_masked_weights_are_exactly_zero_beside_huge_scores(dtype):
    q = torch.tensor([[100.0]], dtype=dtype)
    k = torch.tensor([[100.0], [-100.0], [-100.0]], dtype=dtype)
    weights = attention_weights(q, k, torch.tensor([[False, True, True]]))
    assert weights.tolist() == [[0.0, 0.5, 0.5]]


# --- weights and masks --------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    n_queries=st.integers(1, 8),
    n_keys=st.integers(1, 8),
    scale=st.sampled_from([0.1, 1.0, 30.0]),
    share=st.sampled_from([0.0, 0.4, 1.0]),
    seed=st.integers(0, 10_000),
)
def test_rows_of_weights_sum_to_one_or_zero(n_queries, n_keys, scale, share, seed):
    q, k, _ = qkv((2,), n_queries, n_keys, seed=seed, scale=scale)
    mask = random_mask(2, n_queries, n_keys, seed=seed, share=share)
    weights = attention_weights(q, k, mask)
    assert weights.shape == (2, n_queries, n_keys)
    assert (weights >= 0).all()
    assert (weights[~mask] == 0).all()
    torch.testing.assert_close(weights.sum(-1), mask.any(-1).double(), **EXACT)


def test_what_is_masked_cannot_change_the_output():
    q, k, v = qkv()
    mask = random_mask(2, 3, 5, 7)
    mask[..., 4] = False  # key 4 is hidden from all queries
    before = scaled_dot_product_attention(q, k, v, mask)
    k[..., 4, :], v[..., 4, :] = 1e6, -1e6
    assert torch.equal(scaled_dot_product_attention(q, k, v, mask), before)


def test_a_masked_key_of_nan_is_harmless_but_a_masked_value_is_not():
    q, k, v = qkv((), 2, 3)
    mask = torch.tensor([True, True, False]).expand(2, 3)
    k[2] = torch.nan
    assert attention_weights(q, k, mask).isfinite().all()
    assert scaled_dot_product_attention(q, k, v, mask).isfinite().all()
    v[2] = torch.nan  # documented: 0 × nan is nan, in torch too
    assert scaled_dot_product_attention(q, k, v, mask).isnan().all()
    assert F.scaled_dot_product_attention(q, k, v, mask).isnan().all()


def test_a_query_that_may_look_nowhere():
    q, k, v = (tensor.requires_grad_() for tensor in qkv((), 3, 4))
    mask = torch.tensor([[True] * 4, [False] * 4, [True, False, False, False]])
    with torch.autograd.set_detect_anomaly(True):  # no nan on the way either
        output = scaled_dot_product_attention(q, k, v, mask)
        output.sum().backward()
    assert (output[1] == 0).all()
    assert (q.grad[1] == 0).all()
    torch.testing.assert_close(output[2], v[0], **EXACT)
    for tensor in (q, k, v):
        assert tensor.grad.isfinite().all()


def test_no_keys_give_zeros():
    output = scaled_dot_product_attention(torch.ones(2, 3), torch.ones(0, 3), torch.ones(0, 5))
    assert output.tolist() == [[0.0] * 5] * 2


def test_a_later_token_cannot_change_an_earlier_output():
    q, k, v = qkv(n_queries=6, n_keys=6)
    mask = causal_mask(6)
    before = scaled_dot_product_attention(q, k, v, mask)
    for tensor in (q, k, v):
        tensor[..., 4:, :] += 10.0
    after = scaled_dot_product_attention(q, k, v, mask)
    assert torch.equal(after[..., :4, :], before[..., :4, :])
    assert not torch.allclose(after[..., 4:, :], before[..., 4:, :])


def test_causal_mask_is_torchs_is_causal():
    q, k, v = qkv(n_queries=6, n_keys=6)
    theirs = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    torch.testing.assert_close(
        scaled_dot_product_attention(q, k, v, causal_mask(6)), theirs, **EXACT
    )


@settings(max_examples=30, deadline=None)
@given(n_keys=st.integers(1, 9), data=st.data())
def test_causal_mask_for_the_last_queries_is_the_end_of_the_whole(n_keys, data):
    n_queries = data.draw(st.integers(0, n_keys))
    mask = causal_mask(n_queries, n_keys)
    assert mask.dtype == torch.bool
    assert torch.equal(mask, causal_mask(n_keys)[n_keys - n_queries :])
    assert mask.sum(1).tolist() == list(range(n_keys - n_queries + 1, n_keys + 1))


def test_padding_mask():
    mask = padding_mask(torch.tensor([[1, 1, 0], [1, 0, 0]]))
    assert mask.shape == (2, 1, 1, 3)
    assert mask.dtype == torch.bool
    assert mask[:, 0, 0].tolist() == [[True, True, False], [True, False, False]]


def test_batch_composition_does_not_matter():
    """A sequence alone gives what it gives in a batch with longer ones, padded with anything."""
    lengths, width = [3, 5, 1], 4
    sequences = [draw(n, width, seed=n) for n in lengths]
    padded = torch.full((3, 1, max(lengths), width), 99.0, dtype=torch.float64)
    for row, sequence in zip(padded, sequences, strict=True):
        row[0, : len(sequence)] = sequence
    real = padding_mask((torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long())
    together = scaled_dot_product_attention(padded, padded, padded, real)  # (3, 1, 5, 4)
    for output, x in zip(together, sequences, strict=True):
        alone = scaled_dot_product_attention(x, x, x)
        torch.testing.assert_close(output[0, : len(x)], alone, **EXACT)


# --- permutations -------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 8), seed=st.integers(0, 10_000))
def test_permuted_keys_change_nothing_and_permuted_queries_permute(n, seed):
    q, k, v = qkv((2,), n, n, seed=seed)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    output = scaled_dot_product_attention(q, k, v)
    same = scaled_dot_product_attention(q, k[:, order], v[:, order])
    torch.testing.assert_close(same, output, **EXACT)
    permuted = scaled_dot_product_attention(q[:, order], k, v)
    torch.testing.assert_close(permuted, output[:, order], **EXACT)


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "key", "value", "words"),
    [
        ((2, 5, 4), (2, 7, 3), (2, 7, 4), r"query \(2, 5, 4\).*key \(2, 7, 3\)"),
        ((2, 5, 4), (1, 7, 4), (1, 7, 4), r"\(2, 5, 4\).*key \(1, 7, 4\)"),  # no broadcast
        ((5, 4), (2, 7, 4), (2, 7, 4), r"\(5, 4\).*key \(2, 7, 4\)"),
        ((4,), (4,), (4,), r"query \(4,\)"),
        ((5, 0), (7, 0), (7, 4), "at least 1"),
        ((2, 5, 4), (2, 7, 4), (2, 5, 4), r"key \(2, 7, 4\).*value \(2, 5, 4\)"),
        ((2, 5, 4), (2, 7, 4), (1, 7, 4), r"key \(2, 7, 4\).*value \(1, 7, 4\)"),
    ],
)
def test_shapes_that_do_not_fit(query, key, value, words):
    with pytest.raises(ValueError, match=words):
        scaled_dot_product_attention(torch.ones(query), torch.ones(key), torch.ones(value))


@pytest.mark.parametrize("dtype", [torch.int64, torch.float32, torch.uint8])
def test_a_mask_of_numbers_is_refused(dtype):
    q, k, v = qkv()
    with pytest.raises(TypeError, match=f"{dtype}.*padding_mask"):
        scaled_dot_product_attention(q, k, v, torch.ones(5, 7, dtype=dtype))


@pytest.mark.parametrize(
    "shape", [(7, 5), (7,), (5, 1), (1, 1), (2, 7), (2, 5, 7), (2, 3, 5, 1), (2, 2, 5, 7)]
)
def test_a_mask_that_does_not_fit_is_not_broadcast(shape):
    q, k, v = qkv()
    with pytest.raises(ValueError, match=r"mask.*\(2, 3, 5, 7\).*\(5, 7\)"):
        scaled_dot_product_attention(q, k, v, torch.ones(shape, dtype=torch.bool))


@pytest.mark.parametrize("position", [0, 1, 2])
def test_token_ids_are_refused(position):
    inputs = qkv()
    inputs[position] = inputs[position].long()
    name = ("query", "key", "value")[position]
    with pytest.raises(TypeError, match=f"{name}.*torch.int64.*floating point"):
        scaled_dot_product_attention(*inputs)


def test_causal_mask_needs_as_many_keys_as_queries():
    with pytest.raises(ValueError, match=r"\b3 queries.*\b2\b"):
        causal_mask(3, 2)


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (torch.ones(3), r"\(3,\).*\(B, S\)"),
        (torch.tensor([[0.0, -torch.inf]]), "attention_mask.*0 and 1"),
        (torch.tensor([[2, 1]]), "attention_mask.*0 and 1"),
    ],
)
def test_padding_mask_refuses_other_masks(mask, words):
    with pytest.raises(ValueError, match=words):
        padding_mask(mask)
