"""The layer of several heads: against torch's, by its properties, and on bad input."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from helpers.models.attention import (
    MultiHeadAttention,
    causal_mask,
    padding_mask,
    scaled_dot_product_attention,
)

EXACT = {"rtol": 0, "atol": 1e-12}  # float64: rounding alone
GRADIENTS = {"rtol": 0, "atol": 1e-10}  # the same, of sums with terms of some hundreds


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def random_mask(*shape, seed=0, share=0.6):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < share


def layer(d_model=12, n_heads=3, *, seed=0, **options):
    torch.manual_seed(seed)
    made = MultiHeadAttention(d_model, n_heads, **options).double()
    with torch.no_grad():
        for parameter in made.parameters():  # biases too: zeros would hide a forgotten one
            parameter.normal_(std=0.5)
    return made.eval()


def torchs(ours):
    d = ours.query.in_features
    bias = ours.query.bias is not None
    theirs = nn.MultiheadAttention(d, ours.n_heads, bias=bias, batch_first=True).double().eval()
    parts = (ours.query, ours.key, ours.value)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        if bias:
            theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
    theirs.out_proj.load_state_dict(ours.output.state_dict())
    return theirs


def explained(ours, x, memory=None, mask=None):
    """The same layer from its formulas, head by head and as a sum over heads."""
    memory = x if memory is None else memory
    d_k = ours.query.in_features // ours.n_heads
    total = 0 if ours.output.bias is None else ours.output.bias
    for i in range(ours.n_heads):
        block = slice(i * d_k, (i + 1) * d_k)
        q, k, v = (
            part(z)[..., block]
            for part, z in ((ours.query, x), (ours.key, memory), (ours.value, memory))
        )  # (B, T or S, d_k)
        here = mask
        if mask is not None and mask.ndim == 4:
            here = mask[:, i if mask.size(1) > 1 else 0]  # (B or 1, T or 1, S)
        head = scaled_dot_product_attention(q, k, v, here)  # (B, T, d_k)
        total = total + head @ ours.output.weight.T[block]  # (B, T, d)
    return total


# --- against torch ------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    widths=st.tuples(st.integers(1, 4), st.integers(1, 5)),
    sizes=st.tuples(*[st.integers(1, 5)] * 3),
    crossed=st.booleans(),
    bias=st.booleans(),
    masked=st.sampled_from(["no", "shared", "padding", "both"]),
    seed=st.integers(0, 10_000),
)
def test_outputs_weights_and_gradients_equal_torchs(widths, sizes, crossed, bias, masked, seed):
    n_heads, d_k = widths
    batch, n_queries, n_keys = sizes
    ours = layer(n_heads * d_k, n_heads, bias=bias, seed=seed)
    theirs = torchs(ours)
    x = draw(batch, n_queries, n_heads * d_k, seed=seed).requires_grad_()
    memory = draw(batch, n_keys, n_heads * d_k, seed=seed + 1).requires_grad_() if crossed else x
    n_keys = memory.size(1)

    shared = random_mask(n_queries, n_keys, seed=seed)
    real = random_mask(batch, n_keys, seed=seed + 1)
    shared[:, 0], real[:, 0] = True, True  # torch's layer gives nan where a query sees nothing
    mask, their_masks = {
        "no": (None, {}),
        "shared": (shared, {"attn_mask": ~shared}),
        "padding": (padding_mask(real), {"key_padding_mask": ~real}),
        "both": (padding_mask(real) & shared, {"attn_mask": ~shared, "key_padding_mask": ~real}),
    }[masked]

    our_output = ours(x, memory if crossed else None, mask)
    their_output, their_weights = theirs(
        x, memory, memory, average_attn_weights=False, **their_masks
    )
    torch.testing.assert_close(our_output, their_output, **EXACT)
    torch.testing.assert_close(
        ours.weights(x, memory if crossed else None, mask), their_weights, **EXACT
    )

    aim = draw(*our_output.shape, seed=seed + 2)
    inputs = [x, memory] if crossed else [x]
    parts = [getattr(ours, name).weight for name in ("query", "key", "value", "output")]
    our_grads = torch.autograd.grad((our_output * aim).sum(), [*inputs, *parts])
    their_grads = torch.autograd.grad(
        (their_output * aim).sum(), [*inputs, theirs.in_proj_weight, theirs.out_proj.weight]
    )
    flat = [*their_grads[: len(inputs)], *their_grads[-2].chunk(3), their_grads[-1]]
    for a, b in zip(our_grads, flat, strict=True):
        torch.testing.assert_close(a, b, **GRADIENTS)


@settings(max_examples=30, deadline=None)
@given(
    n_heads=st.integers(1, 4),
    crossed=st.booleans(),
    shape=st.sampled_from(["shared", "keys", "each", "heads"]),
    share=st.sampled_from([0.0, 0.4, 1.0]),
    seed=st.integers(0, 10_000),
)
def test_the_fused_path_equals_the_formulas(n_heads, crossed, shape, share, seed):
    ours = layer(3 * n_heads, n_heads, seed=seed)
    x = draw(2, 4, 3 * n_heads, seed=seed)
    memory = draw(2, 5, 3 * n_heads, seed=seed + 1) if crossed else None
    n_keys = 5 if crossed else 4
    sizes = {
        "shared": (4, n_keys),
        "keys": (2, 1, 1, n_keys),
        "each": (2, 1, 4, n_keys),
        "heads": (1, n_heads, 4, n_keys),
    }[shape]
    mask = random_mask(*sizes, seed=seed, share=share)  # at 0.0 all queries look nowhere
    output = ours(x, memory, mask)
    torch.testing.assert_close(output, explained(ours, x, memory, mask), **EXACT)
    if share == 0.0:
        torch.testing.assert_close(output, ours.output.bias.expand_as(output), **EXACT)


def test_weights_are_what_forward_weighs_with():
    ours = layer()
    x, memory = draw(2, 4, 12), draw(2, 6, 12, seed=1)
    mask = random_mask(2, 3, 4, 6)
    weights = ours.weights(x, memory, mask)
    assert weights.shape == (2, 3, 4, 6)
    by_hand = ours.output(ours.join(weights @ ours.split(ours.value(memory))))
    torch.testing.assert_close(ours(x, memory, mask), by_hand, **EXACT)


# --- split and join -----------------------------------------------------------------------------


def test_split_keeps_tokens_and_gives_each_head_its_block_of_features():
    ours = layer(4, 2)
    numbered = torch.tensor([[[11, 12, 13, 14], [21, 22, 23, 24], [31, 32, 33, 34]]])
    assert ours.split(numbered).tolist() == [
        [[[11, 12], [21, 22], [31, 32]], [[13, 14], [23, 24], [33, 34]]]
    ]
    assert torch.equal(ours.join(ours.split(numbered)), numbered)


def test_one_head_is_plain_attention_and_more_heads_are_not():
    one, three = layer(12, 1), layer(12, 3)
    three.load_state_dict(one.state_dict())
    x = draw(1, 5, 12)
    plain = scaled_dot_product_attention(one.query(x), one.key(x), one.value(x))
    torch.testing.assert_close(one(x), one.output(plain), **EXACT)
    assert (three(x) - one(x)).abs().max() > 0.1


def test_every_number_of_heads_has_the_same_parameters():
    sizes = {sum(p.numel() for p in layer(12, h).parameters()) for h in (1, 2, 3, 4, 6, 12)}
    assert sizes == {4 * 12**2 + 4 * 12}


def test_names_in_the_state_dict():
    names = [
        f"{part}.{kind}"
        for part in ("query", "key", "value", "output")
        for kind in ("weight", "bias")
    ]
    assert list(layer().state_dict()) == names
    assert list(layer(bias=False).state_dict()) == names[::2]


# --- properties ---------------------------------------------------------------------------------


def test_reordered_tokens_give_reordered_outputs():
    ours, x = layer(), draw(2, 6, 12)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    torch.testing.assert_close(ours(x[:, order]), ours(x)[:, order], **EXACT)


def test_the_order_of_the_memory_does_not_matter():
    ours, x, memory = layer(), draw(2, 3, 12), draw(2, 6, 12, seed=1)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    torch.testing.assert_close(ours(x, memory[:, order]), ours(x, memory), **EXACT)


def test_what_is_masked_cannot_change_the_output():
    ours, x, memory = layer(), draw(2, 3, 12), draw(2, 6, 12, seed=1)
    real = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0]])
    before = ours(x, memory, padding_mask(real))
    other = torch.where(real[..., None].bool(), memory, 1e3)
    torch.testing.assert_close(ours(x, other, padding_mask(real)), before, **EXACT)
    torch.testing.assert_close(before[1:], ours(x[1:], memory[1:, :2]), **EXACT)
    assert (ours(x, other) - ours(x, memory)).abs().max() > 0.1  # without the mask it does


def test_a_later_token_cannot_change_an_earlier_output():
    ours, x = layer(), draw(1, 6, 12)
    before = ours(x, mask=causal_mask(6))
    for t in range(6):
        other = x.clone()
        other[:, t] += 1.0
        moved = (ours(other, mask=causal_mask(6)) - before).abs().amax(-1)[0]  # (T,)
        assert (moved[:t] == 0).all()
        assert (moved[t:] > 1e-6).all()


def test_a_sequence_does_not_depend_on_the_others_in_its_batch():
    ours, x, memory = layer(), draw(4, 3, 12), draw(4, 5, 12, seed=1)
    mask = random_mask(4, 1, 3, 5)
    together = ours(x, memory, mask)
    for i in range(4):
        one = slice(i, i + 1)
        torch.testing.assert_close(ours(x[one], memory[one], mask[one]), together[one], **EXACT)


def test_a_mask_for_one_head_leaves_the_others_alone():
    ours, x = layer(), draw(1, 4, 12)
    mask = torch.ones(1, 3, 4, 4, dtype=torch.bool)
    mask[:, 1, :, 2] = False
    weights, free = ours.weights(x, mask=mask), ours.weights(x)
    assert (weights[:, 1, :, 2] == 0).all()
    assert torch.equal(weights[:, [0, 2]], free[:, [0, 2]])


def test_gradcheck():
    ours = layer(4, 2)
    x, memory = draw(1, 2, 4).requires_grad_(), draw(1, 3, 4, seed=1).requires_grad_()
    mask = torch.tensor([[True, False, True], [False, False, False]])  # one query looks nowhere
    assert torch.autograd.gradcheck(lambda a, b: ours(a, b, mask), (x, memory))


def test_dropout_is_for_training_only():
    ours, x = layer(dropout=0.5), draw(2, 5, 12)
    whole = ours(x)
    assert torch.equal(ours(x), whole)
    ours.train()
    torch.manual_seed(1)
    first = ours(x)
    torch.manual_seed(1)
    assert torch.equal(ours(x), first)
    assert (first - whole).abs().max() > 1e-3
    torch.testing.assert_close(ours.weights(x), ours.eval().weights(x), **EXACT)


def test_dropout_keeps_the_mean():
    ours, x = layer(4, 2, dropout=0.3), draw(1, 3, 4)
    whole = ours(x)
    ours.train()
    torch.manual_seed(0)
    with torch.inference_mode():
        many = ours(x.expand(20_000, -1, -1))  # (B, T, d)
    error = many.std(0) / len(many) ** 0.5
    assert ((many.mean(0) - whole[0]).abs() < 5 * error).all()


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("d_model", "n_heads"), [(10, 3), (10, 0), (0, 1), (4, 8), (4, -2)])
def test_heads_that_do_not_divide_the_features(d_model, n_heads):
    with pytest.raises(ValueError, match=rf"{n_heads} heads.*\b{d_model}\b"):
        MultiHeadAttention(d_model, n_heads)


@pytest.mark.parametrize("dropout", [-0.1, 1.0, 10])
def test_dropout_out_of_range(dropout):
    with pytest.raises(ValueError, match=f"dropout is {dropout}"):
        MultiHeadAttention(8, 2, dropout=dropout)


@pytest.mark.parametrize("call", ["forward", "weights"])
def test_bad_shapes_are_named(call):
    run = getattr(layer(), call)
    with pytest.raises(ValueError, match=r"x .*\(2, 4, 8\).*\(B, T, 12\)"):
        run(draw(2, 4, 8))
    with pytest.raises(ValueError, match=r"x .*\(4, 12\).*\(B, T, 12\)"):
        run(draw(4, 12))
    with pytest.raises(ValueError, match=r"memory.*\(2, 5, 6\).*\(B, S, 12\)"):
        run(draw(2, 4, 12), draw(2, 5, 6))
    # One memory for two sequences would be broadcast in silence.
    with pytest.raises(ValueError, match=r"query \(2, 3, 4, 4\) and key \(1, 3, 5, 4\)"):
        run(draw(2, 4, 12), draw(1, 5, 12))


@pytest.mark.parametrize("call", ["forward", "weights"])
def test_bad_masks_are_named(call):
    run, x = getattr(layer(), call), draw(2, 4, 12)
    with pytest.raises(TypeError, match=r"torch\.float64.*torch\.bool"):
        run(x, mask=torch.zeros(4, 4, dtype=torch.float64))  # a mask to add to the scores
    with pytest.raises(TypeError, match="padding_mask"):
        run(x, mask=torch.ones(2, 4, dtype=torch.long))  # a tokenizer's mask
    for shape in [(2, 4), (2, 4, 4), (4, 1), (2, 2, 4, 4), (2, 1, 4, 5)]:
        with pytest.raises(ValueError, match=r"mask.*scores.*\(2, 3, 4, 4\)"):
            run(x, mask=torch.ones(shape, dtype=torch.bool))
