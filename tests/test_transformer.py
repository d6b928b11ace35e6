"""The blocks: equal to torch's layers, and with the properties that the masks promise."""

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from helpers.models.attention import MultiHeadAttention, causal_mask, padding_mask
from helpers.models.transformer import (
    Decoder,
    DecoderBlock,
    Encoder,
    EncoderBlock,
    EncoderDecoder,
    FeedForward,
    LayerNorm,
    layer_norm,
)

CONFIGS = st.fixed_dictionaries(
    {
        "n_layers": st.integers(1, 3),
        "n_heads": st.integers(1, 3),
        "d_k": st.integers(1, 5),
        "d_ff": st.integers(1, 9),
        "norm_first": st.booleans(),
        "seed": st.integers(0, 2**31),
    }
)
QUICK = settings(max_examples=12, deadline=None)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def randomise(module, seed):
    """Also the norms and the biases, which begin as ones and zeros: a swap would stay unseen."""
    generator = torch.Generator().manual_seed(seed)
    for weight in module.parameters():
        weight.data = torch.randn(weight.shape, generator=generator, dtype=weight.dtype) * 0.5
    return module


def copy_linear(ours, theirs):
    ours.load_state_dict(theirs.state_dict())


def copy_attention(ours: MultiHeadAttention, theirs: nn.MultiheadAttention):
    projections = (ours.query, ours.key, ours.value)
    weights, biases = theirs.in_proj_weight.chunk(3), theirs.in_proj_bias.chunk(3)
    for linear, weight, bias in zip(projections, weights, biases, strict=True):
        linear.load_state_dict({"weight": weight, "bias": bias})
    copy_linear(ours.output, theirs.out_proj)


def copy_block(ours, theirs):
    """From nn.TransformerEncoderLayer or nn.TransformerDecoderLayer."""
    copy_linear(ours.feed_forward.inner, theirs.linear1)
    copy_linear(ours.feed_forward.outer, theirs.linear2)
    if isinstance(ours, EncoderBlock):
        copy_attention(ours.attention, theirs.self_attn)
        residuals = (ours.attention_residual, ours.feed_forward_residual)
        norms = (theirs.norm1, theirs.norm2)
    else:
        copy_attention(ours.self_attention, theirs.self_attn)
        copy_attention(ours.cross_attention, theirs.multihead_attn)
        residuals = (
            ours.self_attention_residual,
            ours.cross_attention_residual,
            ours.feed_forward_residual,
        )
        norms = (theirs.norm1, theirs.norm2, theirs.norm3)
    for residual, norm in zip(residuals, norms, strict=True):
        copy_linear(residual.norm, norm)


def copy_stack(ours, theirs):
    for block, layer in zip(ours.blocks, theirs.layers, strict=True):
        copy_block(block, layer)
    if theirs.norm is not None:
        copy_linear(ours.norm, theirs.norm)


def torchs(config, kind, activation=F.gelu):
    """torch's encoder or decoder with random weights, in float64, and our twin of it."""
    d = config["n_heads"] * config["d_k"]
    layer = {"encoder": nn.TransformerEncoderLayer, "decoder": nn.TransformerDecoderLayer}[kind]
    stack = {"encoder": nn.TransformerEncoder, "decoder": nn.TransformerDecoder}[kind]
    more = {"enable_nested_tensor": False} if kind == "encoder" else {}
    theirs = stack(
        layer(
            d,
            config["n_heads"],
            config["d_ff"],
            dropout=0.0,
            activation=activation,
            batch_first=True,
            norm_first=config["norm_first"],
        ),
        config["n_layers"],
        norm=nn.LayerNorm(d) if config["norm_first"] else None,
        **more,
    ).double()
    ours = ours_like(config, kind, activation)
    copy_stack(ours, randomise(theirs, config["seed"]))
    return ours, theirs, d


def ours_like(config, kind, activation=F.gelu):
    d = config["n_heads"] * config["d_k"]
    stack = {"encoder": Encoder, "decoder": Decoder, "both": EncoderDecoder}[kind]
    return stack(
        config["n_layers"],
        d,
        config["n_heads"],
        config["d_ff"],
        norm_first=config["norm_first"],
        activation=activation,
    ).double()


def outputs_and_gradients(model, inputs, *args, **options):
    inputs = [x.clone().requires_grad_() for x in inputs]
    output = model(*inputs, *args, **options)
    # A weight for each output: the plain sum of normalised tokens has no gradient.
    (output * normal(*output.shape, seed=9)).sum().backward()
    return output, [x.grad for x in inputs]


def same(found, expected):
    torch.testing.assert_close(found[0], expected[0], rtol=0, atol=1e-9)
    for one, other in zip(found[1], expected[1], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-9)


LENGTHS = torch.tensor([5, 3])
MASK = (torch.arange(5) < LENGTHS[:, None]).long()  # (2, 5)


@QUICK
@given(CONFIGS, st.sampled_from([F.gelu, F.relu]), st.booleans())
def test_encoder_equals_torchs(config, activation, padded):
    ours, theirs, d = torchs(config, "encoder", activation)
    x = normal(2, 5, d, seed=1)
    mask = MASK if padded else torch.ones_like(MASK)
    expected = outputs_and_gradients(theirs, [x], src_key_padding_mask=mask == 0)
    same(outputs_and_gradients(ours, [x], padding_mask(mask)), expected)


@QUICK
@given(CONFIGS, st.booleans())
def test_decoder_equals_torchs(config, padded):
    ours, theirs, d = torchs(config, "decoder")
    x, memory = normal(2, 4, d, seed=1), normal(2, 5, d, seed=2)
    mask = MASK if padded else torch.ones_like(MASK)
    expected = outputs_and_gradients(
        theirs, [x, memory], tgt_mask=~causal_mask(4), memory_key_padding_mask=mask == 0
    )
    same(outputs_and_gradients(ours, [x, memory], padding_mask(mask)), expected)


@QUICK
@given(CONFIGS)
def test_encoder_decoder_equals_torchs(config):
    encoder, their_encoder, d = torchs(config, "encoder")
    decoder, their_decoder, _ = torchs(config | {"seed": config["seed"] + 1}, "decoder")
    theirs = nn.Transformer(
        d,
        config["n_heads"],
        custom_encoder=their_encoder,
        custom_decoder=their_decoder,
        batch_first=True,
    )
    ours = ours_like(config, "both")
    ours.encoder, ours.decoder = encoder, decoder
    source, target = normal(2, 5, d, seed=1), normal(2, 4, d, seed=2)
    # nn.Transformer draws new weights for custom stacks too.
    copy_stack(ours.encoder, theirs.encoder)
    copy_stack(ours.decoder, theirs.decoder)
    hidden = MASK == 0
    expected = outputs_and_gradients(
        theirs,
        [source, target],
        tgt_mask=~causal_mask(4),
        src_key_padding_mask=hidden,
        memory_key_padding_mask=hidden,
    )
    same(outputs_and_gradients(ours, [source, target], padding_mask(MASK)), expected)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 9), st.integers(0, 2**31), st.sampled_from([1e-12, 1e-5, 0.1]))
def test_layer_norm_equals_torchs(d, seed, eps):
    x, weight, bias = normal(3, 4, d, seed=seed), normal(d, seed=1), normal(d, seed=2)
    expected = F.layer_norm(x, (d,), weight, bias, eps)
    # Where all features are alike, as with d = 1, what is left of rounding is divided by √eps.
    rounding = {"rtol": 1e-9, "atol": 1e-14 / eps**0.5}
    torch.testing.assert_close(layer_norm(x, weight, bias, eps), expected, **rounding)
    module = LayerNorm(d, eps).double()
    module.load_state_dict({"weight": weight, "bias": bias})
    assert torch.equal(module(x), expected)


def test_layer_norm_gives_each_token_mean_zero_and_variance_one():
    x = 100 + 7 * normal(2, 3, 16)
    normed = layer_norm(x, torch.ones(16), torch.zeros(16))
    torch.testing.assert_close(normed.mean(-1), torch.zeros(2, 3).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(
        normed.var(-1, correction=0), torch.ones(2, 3).double(), rtol=0, atol=1e-5
    )


def test_layer_norm_survives_a_constant_token():
    assert torch.equal(
        layer_norm(torch.full((2, 4), 3.0), torch.ones(4), torch.zeros(4)), torch.zeros(2, 4)
    )


def test_feed_forward_treats_each_token_alike():
    torch.manual_seed(0)
    layer, x = FeedForward(6, 8).double(), normal(2, 5, 6)
    one_by_one = torch.stack([layer(x[:, t]) for t in range(5)], dim=1)
    torch.testing.assert_close(layer(x), one_by_one, rtol=0, atol=1e-12)


@QUICK
@given(CONFIGS, st.permutations(range(6)))
def test_encoder_without_positions_is_equivariant(config, order):
    model = randomise(ours_like(config, "encoder"), config["seed"])
    x = normal(2, 6, config["n_heads"] * config["d_k"], seed=3)
    torch.testing.assert_close(model(x[:, order]), model(x)[:, order], rtol=0, atol=1e-9)


@QUICK
@given(CONFIGS, st.integers(0, 5))
def test_a_later_token_cannot_change_an_earlier_output(config, t):
    model = randomise(ours_like(config, "both"), config["seed"])
    d = config["n_heads"] * config["d_k"]
    source, target = normal(2, 4, d, seed=1), normal(2, 6, d, seed=2)
    changed = target.clone()
    changed[:, t:] = normal(2, 6 - t, d, seed=3)
    before, after = model(source, target), model(source, changed)
    torch.testing.assert_close(before[:, :t], after[:, :t], rtol=0, atol=1e-12)


def test_every_source_token_reaches_every_target_position():
    torch.manual_seed(0)
    model = EncoderDecoder(1, 8, 2, 16).double()
    source, target = normal(1, 4, 8, seed=1).requires_grad_(), normal(1, 3, 8, seed=2)
    for t in range(3):
        (gradient,) = torch.autograd.grad(
            (model(source, target)[0, t] * normal(8, seed=4)).sum(), source
        )
        assert (gradient.abs().sum(-1) > 1e-9).all()


@QUICK
@given(CONFIGS)
def test_what_stands_in_the_padding_does_not_matter(config):
    model = randomise(ours_like(config, "both"), config["seed"])
    d = config["n_heads"] * config["d_k"]
    source, target = normal(2, 5, d, seed=1), normal(2, 4, d, seed=2)
    other = torch.where(MASK[..., None].bool(), source, 1e3)
    mask = padding_mask(MASK)
    torch.testing.assert_close(
        model(source, target, mask), model(other, target, mask), rtol=0, atol=1e-12
    )
    real = MASK.bool()
    torch.testing.assert_close(
        model.encoder(source, mask)[real], model.encoder(other, mask)[real], rtol=0, atol=1e-12
    )


@QUICK
@given(CONFIGS)
def test_a_sequence_does_not_depend_on_its_batch(config):
    model = randomise(ours_like(config, "both"), config["seed"])
    d = config["n_heads"] * config["d_k"]
    source, target = normal(2, 5, d, seed=1), normal(2, 4, d, seed=2)
    together = model(source, target, padding_mask(MASK))
    for row, length in enumerate(LENGTHS.tolist()):
        alone = model(source[row : row + 1, :length], target[row : row + 1])
        torch.testing.assert_close(together[row : row + 1], alone, rtol=0, atol=1e-9)


@pytest.mark.parametrize("norm_first", [False, True])
def test_gradients(norm_first):
    torch.manual_seed(0)
    model = EncoderDecoder(1, 4, 2, 6, norm_first=norm_first).double()
    source, target = normal(1, 3, 4, seed=1), normal(1, 2, 4, seed=2)
    inputs = (source.requires_grad_(), target.requires_grad_())
    assert torch.autograd.gradcheck(model, inputs)
    x, weight, bias = normal(2, 5).requires_grad_(), *normal(2, 5, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(layer_norm, (x, weight, bias))


def test_pre_norm_starts_as_the_identity_when_the_last_layers_are_zero():
    torch.manual_seed(0)
    block = EncoderBlock(6, 2, 8, norm_first=True).double()
    for linear in (block.attention.output, block.feed_forward.outer):
        nn.init.zeros_(linear.weight)
        nn.init.zeros_(linear.bias)
    x = normal(2, 3, 6)
    assert torch.equal(block(x), x)


def test_dropout_acts_in_training_alone():
    torch.manual_seed(0)
    model = EncoderDecoder(1, 8, 2, 16, dropout=0.5)
    source, target = torch.randn(1, 4, 8), torch.randn(1, 3, 8)
    assert not torch.equal(model(source, target), model(source, target))
    model.eval()
    assert torch.equal(model(source, target), model(source, target))


@pytest.mark.parametrize("kind", [Encoder, Decoder])
def test_blocks_have_weights_of_their_own(kind):
    torch.manual_seed(0)
    first, second = kind(2, 4, 2, 8).blocks
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert one is not other
    assert not torch.equal(first.feed_forward.inner.weight, second.feed_forward.inner.weight)


def test_the_last_norm_belongs_to_pre_norm_alone():
    pre, post = Encoder(1, 4, 2, 8, norm_first=True), Encoder(1, 4, 2, 8)
    assert isinstance(pre.norm, LayerNorm) and isinstance(post.norm, nn.Identity)
    count = {name: sum(p.numel() for p in m.parameters()) for name, m in [("a", pre), ("b", post)]}
    assert count["a"] - count["b"] == 2 * 4


def test_a_copy_is_independent():
    model = Encoder(1, 4, 2, 8)
    twin = copy.deepcopy(model)
    nn.init.zeros_(twin.blocks[0].feed_forward.inner.weight)
    assert model.blocks[0].feed_forward.inner.weight.abs().sum() > 0


BLOCK = DecoderBlock(8, 2, 16)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Encoder(0, 8, 2, 16), ValueError, "n_layers is 0"),
        (lambda: Decoder(-1, 8, 2, 16), ValueError, "n_layers is -1"),
        (lambda: Encoder(1, 8, 3, 16), ValueError, r"\b3 heads.*\b8\b"),
        (lambda: Encoder(1, 8, 2, 0), ValueError, "d_ff is 0"),
        (lambda: Encoder(1, 8, 2, 16, dropout=1.5), ValueError, "dropout is 1.5"),
        (lambda: Encoder(1, 8, 2, 16, pre_norm=True), TypeError, "pre_norm"),
        (lambda: Encoder(1, 8, 2, 16)(torch.zeros(2, 3, 6)), ValueError, r"\(2, 3, 6\).*\(B, T, 8"),
        (lambda: Encoder(1, 8, 2, 16)(torch.zeros(3, 8)), ValueError, r"\(3, 8\)"),
        (
            lambda: Encoder(1, 8, 2, 16)(torch.zeros(2, 3, 8), torch.ones(3, 3)),
            TypeError,
            r"float32.*torch\.bool",
        ),
        (
            lambda: Encoder(1, 8, 2, 16)(torch.zeros(2, 3, 8), torch.ones(2, 3).bool()),
            ValueError,
            r"mask.*\(2, 3\)",
        ),
        (
            lambda: BLOCK(torch.zeros(2, 3, 8), torch.zeros(1, 4, 8)),
            ValueError,
            r"query \(2, .* and key \(1, ",
        ),
        (
            lambda: BLOCK(torch.zeros(2, 3, 8), torch.zeros(2, 4, 6)),
            ValueError,
            r"memory.*\(2, 4, 6\)",
        ),
        (
            lambda: layer_norm(torch.zeros(2, 4), torch.ones(1), torch.zeros(4)),
            ValueError,
            r"weight \(1,\).*bias \(4,\).*x \(2, 4\)",
        ),
        (
            lambda: layer_norm(torch.zeros(2, 1), torch.ones(4), torch.zeros(4)),
            ValueError,
            r"weight \(4,\).*x \(2, 1\).*\(1,\)",
        ),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
