"""The decoder against transformers' Llama, and what must hold for any causal model."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM
from transformers import LlamaConfig as LibraryConfig
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from helpers.data import assets, corpora
from helpers.models.attention import causal_mask, scaled_dot_product_attention
from helpers.models.cache import KeyValueCache
from helpers.models.llama import (
    GroupedQueryAttention,
    Llama,
    LlamaConfig,
    SwiGlu,
    rms_norm,
)
from helpers.models.positions import apply_rotary, rotary_angles

VOCABULARY = 40
CONFIG = LlamaConfig(
    vocab_size=VOCABULARY,
    d_model=24,
    n_layers=2,
    n_heads=6,
    n_kv_heads=2,
    d_ff=32,
    max_positions=32,
)
seeds = st.integers(0, 2**16)


def llama(*, heads=6, kv_heads=2, tied=True, seed=0, **options) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    config = LibraryConfig(
        vocab_size=VOCABULARY,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        intermediate_size=32,
        max_position_embeddings=32,
        tie_word_embeddings=tied,
        initializer_range=0.3,  # large: every part then matters to the logits
        **options,
    )
    model = LlamaForCausalLM(config).eval()
    for name, weight in model.named_parameters():
        if "norm" in name:
            torch.nn.init.uniform_(weight, 0.5, 1.5)
    return model


def random_llama(seed=0, config=CONFIG, spread=10.0) -> Llama:
    """A small model with weights large enough for its outputs to differ clearly, in float64."""
    torch.manual_seed(seed)
    model = Llama(config).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(spread)
    return model


def ids(*shape, seed=0):
    return torch.randint(VOCABULARY, shape, generator=torch.Generator().manual_seed(seed))


def close(got, expected, atol=1e-9):
    """In float64, where another order of the same sums changes nothing that is compared."""
    torch.testing.assert_close(got, expected, rtol=0, atol=atol)


def in_float64(theirs: LlamaForCausalLM) -> LlamaForCausalLM:
    """transformers' model in float64 throughout: its own norm would compute in float32."""
    for module in list(theirs.modules()):
        for name, child in module.named_children():
            if isinstance(child, LlamaRMSNorm):
                norm = torch.nn.RMSNorm(child.weight.shape, eps=child.variance_epsilon)
                norm.weight = child.weight
                setattr(module, name, norm)
    return theirs.double()


ANGLES = 1e-5  # rotary angles are float32 in both models, and a cosine may differ in its last bit


# Against transformers


@settings(max_examples=12, deadline=None)
@given(
    heads=st.sampled_from([(1, 1), (2, 1), (4, 4), (6, 1), (6, 2), (6, 3), (6, 6)]),
    tied=st.booleans(),
    base=st.sampled_from([100.0, 10_000.0, 100_000.0]),
    eps=st.sampled_from([1e-6, 1e-3]),
    seed=seeds,
)
def test_logits_and_gradients_equal_transformers(tmp_path_factory, heads, tied, base, eps, seed):
    theirs = llama(
        heads=heads[0],
        kv_heads=heads[1],
        tied=tied,
        seed=seed,
        rms_norm_eps=eps,
        rope_parameters={"rope_type": "default", "rope_theta": base},
    )
    folder = tmp_path_factory.mktemp("llama")
    theirs.save_pretrained(folder)
    ours, theirs = Llama.from_pretrained(folder).double(), in_float64(theirs)
    assert not ours.training
    tokens = ids(3, 9, seed=seed)
    close(ours(tokens), theirs(input_ids=tokens).logits, ANGLES)
    for model, logits in ((ours, ours(tokens)), (theirs, theirs(input_ids=tokens).logits)):
        F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()).backward()
        assert all(p.grad is not None for p in model.parameters())
    close(ours.embedding.weight.grad, theirs.model.embed_tokens.weight.grad, ANGLES)
    last, their_last = ours.blocks[-1], theirs.model.layers[-1]
    attention = their_last.self_attn
    theirs_joined = [p.weight.grad for p in (attention.q_proj, attention.k_proj, attention.v_proj)]
    close(last.attention.query_key_value.weight.grad, torch.cat(theirs_joined), ANGLES)
    close(last.feed_forward.gate.weight.grad, their_last.mlp.gate_proj.weight.grad, ANGLES)
    close(last.attention_norm.weight.grad, their_last.input_layernorm.weight.grad, ANGLES)


def test_an_old_config_and_a_file_with_the_shared_matrix_twice(tmp_path):
    theirs = llama(rope_parameters={"rope_type": "default", "rope_theta": 500.0})
    theirs.save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    config = json.loads(file.read_text())
    del config["rope_parameters"]
    file.write_text(json.dumps(config | {"rope_theta": 500.0, "rope_scaling": None}))
    from safetensors.torch import load_file, save_file

    weights = load_file(tmp_path / "model.safetensors")
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
    weights["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(2)
    save_file(weights, tmp_path / "model.safetensors")
    ours, theirs = Llama.from_pretrained(tmp_path).double(), in_float64(theirs)
    assert ours.config.rope_base == 500.0
    close(ours(ids(2, 7)), theirs(input_ids=ids(2, 7)).logits, ANGLES)


def test_parameters_are_as_many_as_transformers_counts():
    for tied in (True, False):
        ours = Llama(replace(CONFIG, tie_embeddings=tied))
        assert sum(p.numel() for p in ours.parameters()) == llama(tied=tied).num_parameters()


LLAMA_3 = {
    "rope_type": "llama3",
    "rope_theta": 1e4,
    "factor": 2.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"attention_bias": True}, "attention_bias"),
        ({"mlp_bias": True}, "mlp_bias"),
        ({"hidden_act": "gelu"}, "hidden_act = gelu"),
        ({"head_dim": 8}, "head_dim = 8"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "linear"),
        ({"rope_parameters": LLAMA_3}, "llama3"),
        ({"quantization_config": {"quant_method": "gptq"}}, "gptq"),
        ({"model_type": "mistral"}, "'mistral'.*'llama'"),
        ({"model_type": "bert", "architectures": ["BertModel"]}, "BertModel"),
        ({"num_key_value_heads": 4}, r"\b6 query heads.*\b4\b"),
        ({"intermediate_size": 48}, r"\(24, 32\).*\(24, 48\)"),
    ],
)
def test_other_checkpoints_are_refused_by_name(tmp_path, change, named):
    llama().save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ValueError, match=named):
        Llama.from_pretrained(tmp_path)


# The parts


@settings(max_examples=20, deadline=None)
@given(shape=st.sampled_from([(6,), (2, 6), (2, 3, 6)]), seed=seeds)
def test_rms_norm_is_the_fused_one_and_leaves_a_root_mean_square_of_one(shape, seed):
    generator = torch.Generator().manual_seed(seed)
    x = 5 * torch.randn(shape, generator=generator, dtype=torch.float64)
    module = torch.nn.RMSNorm(6, eps=1e-5).double()
    close(rms_norm(x, module.weight), module(x))
    close(module(x).square().mean(-1).sqrt(), torch.ones(shape[:-1]).double(), atol=1e-3)
    close(module(1000 * x), module(x), atol=1e-3)  # a token's length doesn't matter
    theirs = LlamaRMSNorm(6, eps=module.eps)  # computes in float32: values of up to √6
    close(module(x), theirs(x), atol=1e-5)


def test_rms_norms_gradient_and_its_zero_token():
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(rms_norm, (x, weight))
    close(rms_norm(torch.zeros(2, 4), torch.ones(4)), torch.zeros(2, 4))


def test_swiglu_is_its_formula():
    torch.manual_seed(0)
    module = SwiGlu(4, 6).double()
    x = torch.randn(2, 3, 4, dtype=torch.float64)
    gate = x @ module.gate.weight.T
    by_hand = (gate * torch.sigmoid(gate) * (x @ module.up.weight.T)) @ module.down.weight.T
    close(module(x), by_hand)


@pytest.mark.parametrize("kv_heads", [1, 2, 3, 6])
def test_grouped_attention_is_attention_with_repeated_heads(kv_heads):
    torch.manual_seed(0)
    module = GroupedQueryAttention(24, 6, kv_heads).double()
    x = torch.randn(2, 5, 24, dtype=torch.float64)
    cos, sin = rotary_angles(torch.arange(5), 4)
    q, k, v = module.queries_keys_values(x, cos, sin)
    assert (q.shape, k.shape, v.shape) == ((2, 6, 5, 4), (2, kv_heads, 5, 4), (2, kv_heads, 5, 4))
    k, v = (t.repeat_interleave(6 // kv_heads, dim=1) for t in (k, v))
    heads = scaled_dot_product_attention(q, k, v, causal_mask(5))
    expected = module.output(heads.transpose(1, 2).flatten(2))
    close(module(x, cos, sin), expected)
    close(module(x, cos, sin, causal_mask(5)), expected)


def test_attention_depends_on_distances_alone():
    torch.manual_seed(0)
    module = GroupedQueryAttention(24, 6, 2).double()
    x = torch.randn(1, 5, 24, dtype=torch.float64)
    near, far = (module(x, *rotary_angles(torch.arange(5) + start, 4)) for start in (0, 20))
    close(near, far, atol=1e-4)  # angles of up to 25 radians, in float32
    turned = apply_rotary(torch.ones(1, 1, 5, 4), *rotary_angles(torch.arange(5), 4))
    assert not torch.allclose(turned[..., 0, :], turned[..., 1, :])


# The model


@settings(max_examples=15, deadline=None)
@given(changed=st.integers(0, 7), seed=seeds)
def test_a_later_token_changes_no_earlier_output(changed, seed):
    model, tokens = random_llama(seed), ids(2, 8, seed=seed)
    other = tokens.clone()
    other[:, changed] = (other[:, changed] + 1) % VOCABULARY
    before, after = model(tokens), model(other)
    assert torch.equal(before[:, :changed], after[:, :changed])
    assert not torch.allclose(before[:, changed:], after[:, changed:], atol=1e-3)


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(1, 11), max_size=5, unique=True), seed=seeds)
def test_with_a_cache_any_chunks_give_the_same_logits(cuts, seed):
    model, tokens = random_llama(seed), ids(2, 12, seed=seed)
    bounds = [0, *sorted(cuts), 12]
    cache = model.new_cache(2, 12)
    with torch.no_grad():
        parts = [model(tokens[:, a:b], cache=cache) for a, b in pairwise(bounds)]
    assert cache.length == 12
    close(torch.cat(parts, dim=1), model(tokens))


@settings(max_examples=15, deadline=None)
@given(lengths=st.lists(st.integers(1, 8), min_size=1, max_size=4), seed=seeds, left=st.booleans())
def test_padding_on_either_side_changes_nothing(lengths, seed, left):
    model, width = random_llama(seed), max(lengths)
    rows = [ids(n, seed=seed + n) for n in lengths]
    tokens = torch.full((len(rows), width), 7)
    mask = torch.zeros(len(rows), width, dtype=torch.int64)
    for i, row in enumerate(rows):
        place = slice(width - len(row), width) if left else slice(0, len(row))
        tokens[i, place], mask[i, place] = row, 1
    logits = model(tokens, mask)
    assert logits.isfinite().all()
    for i, row in enumerate(rows):
        close(logits[i, mask[i] == 1], model(row[None])[0])


def test_padding_and_a_cache_together():
    model, rows = random_llama(), (ids(3, seed=1), ids(6, seed=2))
    tokens = torch.stack([torch.cat([torch.zeros(3, dtype=torch.int64), rows[0]]), rows[1]])
    mask = torch.tensor([[0, 0, 0, 1, 1, 1], [1] * 6])
    cache = model.new_cache(2, 6)
    with torch.no_grad():
        for t in range(6):
            last = model(tokens[:, t : t + 1], mask[:, : t + 1], cache)[:, -1]
    for i, row in enumerate(rows):
        close(last[i], model(row[None])[0, -1])


def test_a_sequence_gives_the_same_in_any_batch():
    model, tokens = random_llama(), ids(4, 6)
    together = model(tokens)
    for i in range(4):
        close(together[i : i + 1], model(tokens[i : i + 1]))
    close(together.flip(0), model(tokens.flip(0)))


def test_logits_of_chosen_positions():
    model, tokens = random_llama(), ids(2, 6)
    hidden = model.hidden(tokens)
    assert hidden.shape == (2, 6, 24)
    close(model.logits(hidden[:, -1]), model(tokens)[:, -1])


def test_it_trains():
    torch.manual_seed(0)
    model, tokens = Llama(CONFIG), ids(4, 16)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        logits = model(tokens[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    # A fresh model is nearly uniform over the vocabulary; it then learns four rows by heart.
    assert abs(losses[0] - torch.tensor(VOCABULARY).log().item()) < 0.1
    assert losses[-1] < 0.1


def test_initial_weights_are_small_and_come_from_the_seed():
    config = replace(CONFIG, d_model=96, d_ff=384, n_layers=8)
    models = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        models.append(Llama(config))
    assert torch.equal(models[0].embedding.weight, models[1].embedding.weight)
    assert not torch.equal(models[0].embedding.weight, models[2].embedding.weight)
    block = models[0].blocks[3]
    assert block.feed_forward.up.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert block.feed_forward.down.weight.std().item() == pytest.approx(0.005, rel=0.05)
    assert block.attention.output.weight.std().item() == pytest.approx(0.005, rel=0.05)


def test_a_caches_memory_is_what_the_formula_says():
    cache = random_llama().float().new_cache(3, 10)
    held = sum(t.numel() * t.element_size() for c in cache.layers for t in (c.keys, c.values))
    # K and V, layers, heads, features, bytes; sequences, tokens.
    assert held == (2 * 2 * 2 * 4 * 4) * 3 * 10
    assert cache.layers[0].keys.untyped_storage().nbytes() == held


def test_selected_rows_go_on_from_what_they_have_read():
    model, tokens = random_llama(), ids(2, 5)
    cache = model.new_cache(2, 6)
    with torch.no_grad():
        model(tokens, cache=cache)
        cache.select(torch.tensor([1, 1]))
        logits = model(tokens[:, :1], cache=cache)[:, -1]
    whole = torch.cat([tokens[[1, 1]], tokens[:, :1]], dim=1)
    close(logits, model(whole)[:, -1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"d_model": 21}, r"\b6 heads.*\b21\b"),
        ({"d_model": 18}, "multiple of 12"),
        ({"n_kv_heads": 4}, r"\b6 query heads.*\b4\b"),
        ({"n_layers": 0}, "n_layers is 0"),
        ({"max_positions": 0}, "max_positions is 0"),
        ({"rope_base": 0.0}, "rope_base is 0"),
    ],
)
def test_a_contradictory_config_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(CONFIG, **change)


def test_bad_inputs_are_refused():
    model = random_llama()
    for tokens, message in (
        (torch.tensor([[3, VOCABULARY]]), "holds 40.*0 to 39"),
        (torch.tensor([[-1, 3]]), "holds -1"),
        (torch.zeros(2, 0, dtype=torch.int64), r"shape \(2, 0\)"),
        (torch.zeros(5, dtype=torch.int64), r"shape \(5,\)"),
        (torch.zeros(1, 5), "float32"),
        (torch.zeros(1, 33, dtype=torch.int64), "33 tokens.*32 positions"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            model(tokens)
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(2, 4\)"):
        model(ids(2, 4), torch.ones(2, 3, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"attention_mask.*0 and 1"):
        model(ids(1, 2), torch.tensor([[0.0, -1e9]]))


@torch.no_grad()
def test_a_cache_that_doesnt_fit_is_refused():
    model = random_llama()
    with pytest.raises(ValueError, match="room for 4 tokens and holds 0; 5 more"):
        model(ids(1, 5), cache=model.new_cache(1, 4))
    with pytest.raises(ValueError, match=r"batch of 3\b.*input_ids.* 1\b"):
        model(ids(1, 2), cache=model.new_cache(3, 4))
    with pytest.raises(ValueError, match=r"\b33 tokens.*\b32\b"):
        model.new_cache(1, 33)
    other = KeyValueCache(*torch.empty(2, 2, 1, 3, 8, 4))
    with pytest.raises(RuntimeError, match=r"\(3\) must match .*\(2\)"):
        model(ids(1, 2), cache=other)
    cache = model.new_cache(1, 8)
    model(ids(1, 3), cache=cache)
    with pytest.raises(ValueError, match=r"\(1, 2\).*\(1, 5\).*3 tokens in the cache and 2 new"):
        model(ids(1, 2), torch.ones(1, 2, dtype=torch.int64), cache)


# The real weights


def test_smollm2s_logits_equal_transformers():
    path = assets.path("smollm2")
    tokenizer = AutoTokenizer.from_pretrained(path, padding_side="left")
    articles = [article["body"] for article in corpora.bbc_news()["test"].select(range(3))]
    batch = tokenizer(articles, truncation=True, max_length=64, padding=True, return_tensors="pt")
    prompts = ["The capital of France is", "def add(a, b):", "Once upon a time"]
    ours = Llama.from_pretrained(path)
    assert sum(p.numel() for p in ours.parameters()) == 134_515_008
    short = tokenizer(prompts, padding=True, return_tensors="pt")
    with torch.no_grad():
        got = ours(**batch), ours(**short)
        del ours
        theirs = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
        for mine, given in zip(got, (batch, short), strict=True):
            # transformers counts positions from the mask only if they are given.
            positions = (given.attention_mask.cumsum(1) - 1).clamp(min=0)
            expected = theirs(**given, position_ids=positions).logits
            real = given.attention_mask.bool()
            close(mine[real], expected[real], atol=1e-3)  # float32: 30 layers, logits of up to 30
