"""ModernBert: equal to transformers' encoder and decoder, and with the properties masks promise.

All in double precision, so that the bounds leave room for nothing but what stays in single
precision on both sides: the rotary positions, and our loss. They hold on any processor.
"""

import json

import pytest
import torch
import torch.nn.functional as F
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import Version
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    GenerationConfig,
    ModernBertDecoderForCausalLM,
    ModernBertForMaskedLM,
)
from transformers import ModernBertConfig as TheirConfig
from transformers import ModernBertDecoderConfig as TheirDecoderConfig

from helpers.models.generation import beam_search, greedy
from helpers.models.modernbert import IGNORED, ModernBert, ModernBertConfig

V, T = 29, 9
BEFORE_5_19 = Version(transformers.__version__) < Version("5.19")
QUICK = settings(max_examples=6, deadline=None, derandomize=True)
SIZES = st.fixed_dictionaries(
    {
        "n_heads": st.integers(1, 3),
        "half": st.integers(1, 3),  # of d_k, which is even
        "n_layers": st.integers(2 if BEFORE_5_19 else 1, 3),
        "d_ff": st.integers(1, 9),
        "rope_base": st.sampled_from([100.0, 160_000.0]),
        "seed": st.integers(0, 2**31),
    }
)
BOTH = pytest.mark.parametrize("causal", [False, True])
SINGLE = {"rtol": 1e-5, "atol": 1e-5}  # where single precision enters: about a hundred roundings
DOUBLE = {"rtol": 1e-9, "atol": 1e-9}


def random_model(causal, *, seed=0, d_model=12, n_layers=2, n_heads=3, d_ff=8, **options):
    """In double precision, with numbers that single precision stores as they are.

    Also norms and biases are random: left at ones and zeros, a swap would stay unseen.
    """
    config = ModernBertConfig(
        vocab_size=V,
        d_model=d_model,
        n_layers=n_layers,
        n_heads=n_heads,
        d_ff=d_ff,
        max_positions=32,
        causal=causal,
        **options,
    )
    model = ModernBert(config)
    generator = torch.Generator().manual_seed(seed)
    for weight in model.parameters():
        weight.data = torch.randn(weight.shape, generator=generator) * 0.5
    return model.double().eval()


# Two ways to say that all layers see everything; transformers before 5.19 takes only the first.
ROPE = {"rope_type": "default", "rope_theta": 10_000.0}
WIDE = {
    "layer_types": ["full_attention", "sliding_attention"],
    "local_attention": 64,
    "rope_parameters": {"full_attention": ROPE, "sliding_attention": ROPE},
}
ALL_GLOBAL = WIDE | {"layer_types": ["full_attention"] * 2}


def theirs_with(causal, *, layers=WIDE, d_model=12, n_layers=2, **options):
    kind, make = (
        (TheirDecoderConfig, ModernBertDecoderForCausalLM)
        if causal
        else (TheirConfig, ModernBertForMaskedLM)
    )
    config = kind(
        vocab_size=V,
        hidden_size=d_model,
        num_hidden_layers=n_layers,
        num_attention_heads=3,
        intermediate_size=8,
        max_position_embeddings=32,
        **layers,
        **dict.fromkeys(("pad_token_id", "bos_token_id", "cls_token_id"), 0),
        **dict.fromkeys(("eos_token_id", "sep_token_id"), 1),
        **options,
    )
    torch.manual_seed(1)
    model = make(config)
    for weight in model.parameters():
        weight.data = torch.randn(weight.shape) * 0.5
    return model.eval()


def a_batch(seed=0, lengths=(T, 5, 7)):
    """Ids, a mask with padding on the right, and labels, some of them IGNORED."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(V, (len(lengths), T), generator=generator)
    mask = (torch.arange(T) < torch.tensor(lengths)[:, None]).long()
    chosen = (torch.rand(ids.shape, generator=generator) < 0.4) & (mask == 1)
    chosen[0, 1] = True
    return ids, mask, ids.masked_fill(~chosen, IGNORED)


def change_config(folder, model, changes):
    model.save_pretrained(folder)
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def load_theirs(causal, folder):
    auto = AutoModelForCausalLM if causal else AutoModelForMaskedLM
    return auto.from_pretrained(folder, dtype=torch.float64).eval()


@BOTH
@QUICK
@given(sizes=SIZES)
def test_transformers_reads_ours_and_computes_the_same(tmp_path_factory, causal, sizes):
    half, n_heads = sizes.pop("half"), sizes["n_heads"]
    ours = random_model(causal, d_model=2 * half * n_heads, **sizes)
    folder = tmp_path_factory.mktemp("model")
    ours.save_pretrained(folder)
    theirs = load_theirs(causal, folder)
    assert type(theirs).__name__ == (
        "ModernBertDecoderForCausalLM" if causal else "ModernBertForMaskedLM"
    )
    ids, mask, labels = a_batch(sizes["seed"])
    expected = theirs(input_ids=ids, attention_mask=mask, labels=labels)
    logits = ours(ids, mask).logits
    torch.testing.assert_close(logits[mask == 1], expected.logits[mask == 1], **SINGLE)
    loss = ours(ids, mask, labels).loss
    torch.testing.assert_close(loss.double(), expected.loss.double(), **SINGLE)
    loss.backward()
    expected.loss.backward()
    # Row 0 is padding to transformers, which doesn't train it as an input.
    gradient = theirs.get_input_embeddings().weight.grad
    torch.testing.assert_close(ours.embedding.weight.grad[1:], gradient[1:], **SINGLE)
    # The first layer's gradient has passed through all others.
    torch.testing.assert_close(
        ours.blocks[0].feed_forward.inner.weight.grad,
        theirs.model.layers[0].mlp.Wi.weight.grad,
        **SINGLE,
    )


@BOTH
@pytest.mark.parametrize("layers", [WIDE] if BEFORE_5_19 else [WIDE, ALL_GLOBAL])
def test_a_checkpoint_of_transformers_loads(tmp_path, causal, layers):
    theirs = theirs_with(causal, layers=layers)
    theirs.save_pretrained(tmp_path)
    ours = ModernBert.from_pretrained(tmp_path)
    assert (ours.config.causal, ours.config.rope_base) == (causal, 10_000)
    assert not ours.training
    theirs, ours = theirs.double(), ours.double()
    ids, mask, labels = a_batch()
    with torch.no_grad():
        expected = theirs(input_ids=ids, attention_mask=mask, labels=labels)
        got, loss = ours(ids, mask).logits, ours(ids, mask, labels).loss
    torch.testing.assert_close(got[mask == 1], expected.logits[mask == 1], **SINGLE)
    torch.testing.assert_close(loss.double(), expected.loss.double(), **SINGLE)


@BOTH
def test_what_transformers_saves_again_is_the_same_network(tmp_path, causal):
    ours = random_model(causal)
    ours.save_pretrained(tmp_path / "ours")
    load_theirs(causal, tmp_path / "ours").save_pretrained(tmp_path / "theirs")
    again = ModernBert.from_pretrained(tmp_path / "theirs")
    assert again.config == ours.config
    for name, weight in ours.state_dict().items():
        assert torch.equal(again.state_dict()[name], weight), name


@pytest.mark.skipif(BEFORE_5_19, reason="transformers before 5.19 refuses such a configuration")
def test_a_folder_whose_layers_are_all_called_global_loads(tmp_path):
    """As this package wrote them first, and transformers' users do."""
    ours = random_model(False)
    change_config(tmp_path, ours, ALL_GLOBAL | {"local_attention": 2})
    assert ModernBert.from_pretrained(tmp_path).config.n_layers == 2


def test_the_longest_sequence_fits_the_window(tmp_path):
    ours = random_model(False)
    ours.save_pretrained(tmp_path)
    ids = torch.randint(V, (1, ours.config.max_positions))
    logits = load_theirs(False, tmp_path)(ids).logits
    torch.testing.assert_close(ours(ids).logits, logits, rtol=1e-4, atol=1e-4)


@BOTH
def test_saved_without_its_head_it_is_the_base_model(tmp_path, causal):
    ours = random_model(causal).float()
    ours.save_pretrained(tmp_path, head=False)
    theirs = AutoModel.from_pretrained(tmp_path)
    assert type(theirs).__name__ == ("ModernBertDecoderModel" if causal else "ModernBertModel")
    ids, mask, _ = a_batch()
    hidden = theirs(input_ids=ids, attention_mask=mask).last_hidden_state
    again = ModernBert.from_pretrained(tmp_path, head=False)
    assert torch.equal(again.hidden(ids, mask), ours.hidden(ids, mask))
    torch.testing.assert_close(
        hidden[mask == 1], ours.hidden(ids, mask)[mask == 1], rtol=1e-4, atol=1e-4
    )


@BOTH
def test_round_trip_in_half_precision(tmp_path, causal):
    model = random_model(causal)
    model.save_pretrained(tmp_path, dtype=torch.float16)
    again = ModernBert.from_pretrained(tmp_path)
    assert again.config == model.config
    for name, weight in model.state_dict().items():
        loaded = again.state_dict()[name]
        assert loaded.dtype == torch.float32
        assert torch.equal(loaded, weight.half().float()), name
    whole = tmp_path / "whole"
    model.save_pretrained(whole)
    size = {f: (f / "model.safetensors").stat().st_size for f in (tmp_path, whole)}
    assert size[tmp_path] < 0.75 * size[whole]  # small tensors, so the header weighs


@BOTH
@pytest.mark.parametrize("side", ["right", "left"])
def test_padding_changes_nothing(causal, side):
    model = random_model(causal)
    ids, _, _ = a_batch()
    alone = model(ids[:1, :5]).logits[0]
    filler = torch.randint(V, (1, 4), generator=torch.Generator().manual_seed(3))
    parts = [ids[:1, :5], filler] if side == "right" else [filler, ids[:1, :5]]
    ones, zeros = torch.ones(1, 5), torch.zeros(1, 4)
    mask = torch.cat([ones, zeros] if side == "right" else [zeros, ones], dim=1).long()
    padded = model(torch.cat(parts, dim=1), mask).logits[mask == 1]
    torch.testing.assert_close(padded, alone, **DOUBLE)


def test_only_a_decoder_is_blind_to_what_comes_later():
    ids, _, _ = a_batch()
    changed = ids.clone()
    changed[:, 5:] = (changed[:, 5:] + 1) % V
    for causal in (True, False):
        model = random_model(causal)
        same = torch.isclose(model(ids).logits[:, :5], model(changed).logits[:, :5], **DOUBLE)
        assert bool(same.all()) == causal


@pytest.mark.parametrize("padded", [False, True])
def test_a_cache_changes_nothing(padded):
    model = random_model(True)
    ids, _, _ = a_batch()
    mask = torch.ones_like(ids)
    if padded:
        mask[1, :4] = 0  # on the left, as for generation
    with torch.no_grad():
        whole = model(ids, mask).logits
        cache = model.new_cache(len(ids), T)
        steps = [model(ids[:, :4], mask[:, :4], cache=cache).logits]
        steps += [
            model(ids[:, t : t + 1], mask[:, : t + 1], cache=cache).logits for t in range(4, T)
        ]
    real = mask == 1
    torch.testing.assert_close(torch.cat(steps, 1)[real], whole[real], **DOUBLE)


def test_an_encoders_logits_are_those_of_all_tokens_and_its_loss_costs_the_labelled_ones():
    model, scored = random_model(False), []
    model.head_dense.register_forward_hook(lambda _, inputs, __: scored.append(inputs[0].shape))
    ids, mask, labels = a_batch()
    output = model(ids, mask, labels)
    n = int((labels != IGNORED).sum())
    assert scored == [(n, 12)]
    torch.testing.assert_close(output.logits, model(ids, mask).logits, **DOUBLE)
    expected = F.cross_entropy(output.logits[labels != IGNORED], labels[labels != IGNORED])
    torch.testing.assert_close(output.loss.double(), expected, **SINGLE)


def test_dropout_acts_in_training_only():
    model = random_model(False, dropout=0.5)
    ids, _, _ = a_batch()
    assert torch.equal(model(ids).logits, model(ids).logits)
    model.train()
    assert not torch.equal(model(ids).logits, model(ids).logits)


def test_residual_writers_start_smaller():
    torch.manual_seed(0)
    model = ModernBert(ModernBertConfig(vocab_size=50, d_model=64, n_layers=8, n_heads=2, d_ff=96))
    block = model.blocks[3]
    assert block.attention.query_key_value.weight.std().item() == pytest.approx(0.02, rel=0.05)
    for writer in (block.attention.output, block.feed_forward.outer):
        assert writer.weight.std().item() == pytest.approx(0.02 / 4, rel=0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"dropout": -0.1}, "dropout is -0.1"),
        ({"n_layers": 0}, "n_layers is 0"),
        ({"d_ff": 2.5}, "d_ff is 2.5"),
        ({"n_heads": 5}, r"\b5 heads.*\b12\b"),
        ({"rope_base": 0.0}, "rope_base is 0.0"),
        ({"eps": 0.0}, "eps is 0.0"),
    ],
)
def test_a_config_that_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        random_model(False, **options)


IDS = torch.zeros(2, 4, dtype=torch.long)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((IDS + V,), f"holds {V}; expected 0 to {V - 1}"),
        ((IDS - 1,), "holds -1"),
        ((IDS.float(),), "dtype torch.float32"),
        ((IDS[0],), r"shape \(4,\)"),
        ((IDS[:, :0],), r"shape \(2, 0\)"),
        ((IDS.repeat(1, 9),), r"\b36 tokens.*\b32\b"),
        ((IDS, torch.ones(2, 5)), r"attention_mask.*\(2, 5\).*\(2, 4\)"),
        ((IDS, None, IDS[:, :3]), r"labels.*\(2, 3\)"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        random_model(False)(*arguments)


def test_caches_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"encoder.*causal=True"):
        random_model(False).new_cache(1, 4)
    decoder = random_model(True)
    with pytest.raises(ValueError, match=r"cache of 33\b.*\b32\b"):
        decoder.new_cache(1, 33)
    with pytest.raises(ValueError, match=r"batch of 3\b.*input_ids.* 2\b"):
        decoder(IDS, cache=decoder.new_cache(3, 8))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"local_attention": 62}, "local_attention = 62"),
        ({"local_attention": 62, "layer_types": None}, "local_attention = 62"),  # mostly local
        ({"rope_parameters": {"full_attention": ROPE | {"rope_theta": 5.0}}}, "rope_parameters = "),
        pytest.param(
            {"layer_types": ["full_attention", "chunked_attention"]},
            "layer_types = ",
            marks=pytest.mark.skipif(BEFORE_5_19, reason="transformers itself refuses it there"),
        ),
        ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, "type 'bert'"),
        ({"norm_bias": True}, "norm_bias = True"),
        ({"hidden_activation": "relu"}, "hidden_activation = relu"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings = False"),
        ({"num_hidden_layers": 3, "layer_types": None}, "missing"),
        ({"hidden_size": 24}, "expected"),
    ],
)
def test_other_models_are_refused(tmp_path, changes, message):
    change_config(tmp_path, random_model(False), changes)
    with pytest.raises(ValueError, match=message):
        ModernBert.from_pretrained(tmp_path)


@pytest.mark.parametrize("n_beams", [1, 3])
def test_the_decoder_writes_what_transformers_writes(tmp_path, n_beams):
    random_model(True, seed=4).save_pretrained(tmp_path)
    ours = ModernBert.from_pretrained(tmp_path).double()
    theirs = load_theirs(True, tmp_path)
    prompts = torch.tensor([[3, 1, 4, 1, 5]])
    if n_beams == 1:
        new = greedy(ours, prompts, 12)
    else:
        new, _ = beam_search(ours, prompts, 12, n_beams=n_beams)
    config = GenerationConfig(
        max_new_tokens=12, num_beams=n_beams, early_stopping="never" if n_beams > 1 else False
    )
    theirs.generation_config = config
    mask = torch.ones_like(prompts)
    expected = theirs.generate(prompts, attention_mask=mask, generation_config=config)
    assert torch.equal(new, expected[:, 5:])
