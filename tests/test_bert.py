"""Our BERT computes what transformers' computes, from any checkpoint, and refuses what it can't."""

import json
from dataclasses import replace

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer, BertModel
from transformers import BertConfig as LibraryConfig

from helpers.data import assets, corpora
from helpers.models import bert
from helpers.models.bert import ACTIVATIONS, Bert, BertConfig

TINY = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 12,
    "initializer_range": 0.5,  # large weights: a mistake shows
}
OURS = BertConfig(40, 16, 2, 4, 24, 12)


def library_config(**changes):
    return LibraryConfig(**(TINY | changes))


def randomise(model, seed=0):
    """Random values for all parameters: new norms and biases would hide a mix-up."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model.eval()


def saved(folder, model_class=BertModel, seed=0, *, options=None, **changes):
    model = randomise(model_class(library_config(**changes), **(options or {})), seed)
    model.save_pretrained(folder)
    return model


def a_batch(seed=0, B=3, T=9, vocabulary=40, segments=2):
    """Ids, a mask with padding right, left and in the middle, and segments."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.ones(B, T, dtype=torch.int64)
    if B > 1:
        mask[0, T // 2 + 1 :] = 0
        mask[1, : T // 3] = 0
    return {
        "input_ids": torch.randint(1, vocabulary, (B, T), generator=generator),
        "attention_mask": mask,
        "token_type_ids": torch.randint(segments, (B, T), generator=generator),
    }


def assert_same(ours, theirs, real, tolerance=1e-9):
    """Both in float64, where another order of the same sums changes nothing that is compared."""
    for one, other in zip(ours.hidden_states, theirs.hidden_states, strict=True):
        torch.testing.assert_close(one[real], other[real], rtol=0, atol=tolerance)
    assert ours.last_hidden_state is ours.hidden_states[-1]
    if theirs.pooler_output is None:
        assert ours.pooler_output is None
    else:
        torch.testing.assert_close(ours.pooler_output, theirs.pooler_output, rtol=0, atol=tolerance)


def counterparts(ours, theirs):
    """Pairs of our modules and transformers', with the same parameters."""
    pairs = [
        (ours.embeddings.word, theirs.embeddings.word_embeddings),
        (ours.embeddings.position, theirs.embeddings.position_embeddings),
        (ours.embeddings.segment, theirs.embeddings.token_type_embeddings),
        (ours.embeddings.norm, theirs.embeddings.LayerNorm),
    ]
    for own, library in zip(ours.encoder.blocks, theirs.encoder.layer, strict=True):
        attention = library.attention
        pairs += [
            (own.attention.query, attention.self.query),
            (own.attention.key, attention.self.key),
            (own.attention.value, attention.self.value),
            (own.attention.output, attention.output.dense),
            (own.attention_residual.norm, attention.output.LayerNorm),
            (own.feed_forward.inner, library.intermediate.dense),
            (own.feed_forward.outer, library.output.dense),
            (own.feed_forward_residual.norm, library.output.LayerNorm),
        ]
    if ours.pooler is not None:
        pairs.append((ours.pooler, theirs.pooler.dense))
    return pairs


SHAPES = st.fixed_dictionaries(
    {
        "num_hidden_layers": st.integers(1, 3),
        "num_attention_heads": st.integers(1, 4),
        "intermediate_size": st.integers(1, 20),
        "type_vocab_size": st.integers(1, 3),
        "hidden_act": st.sampled_from(sorted(ACTIVATIONS)),
        "layer_norm_eps": st.sampled_from([1e-12, 1e-5, 0.1]),
    }
)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(shape=SHAPES, d_k=st.integers(2, 5), pooler=st.booleans(), seed=st.integers(0, 100))
def test_any_shape_equals_transformers_forward_and_gradients(
    tmp_path_factory, shape, d_k, pooler, seed
):
    # From two features on: a norm of one feature returns rounding, divided by √eps.
    folder = tmp_path_factory.mktemp("model")
    width = shape["num_attention_heads"] * d_k
    options = {"add_pooling_layer": pooler}
    theirs = saved(folder, seed=seed, options=options, hidden_size=width, **shape).double()
    ours = Bert.from_pretrained(folder).double()
    batch = a_batch(seed, segments=shape["type_vocab_size"])
    real = batch["attention_mask"].bool()
    a, b = ours(**batch), theirs(**batch, output_hidden_states=True)
    assert_same(a, b, real)

    generator = torch.Generator().manual_seed(seed)
    direction = torch.randn(b.last_hidden_state.shape, generator=generator).double()
    for output in (a, b):
        loss = (output.last_hidden_state * direction)[real].sum()
        (loss if not pooler else loss + output.pooler_output.sin().sum()).backward()
    for own, library in counterparts(ours, theirs):
        for one, other in zip(own.parameters(), library.parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(
    "name",
    [
        "BertForMaskedLM",
        "BertForPreTraining",
        "BertForNextSentencePrediction",
        "BertForSequenceClassification",
        "BertForTokenClassification",
        "BertForQuestionAnswering",
        "BertForMultipleChoice",
    ],
)
def test_a_checkpoint_with_a_head_gives_its_encoder(tmp_path, name):
    theirs = saved(tmp_path, getattr(transformers, name)).bert.double()
    ours = Bert.from_pretrained(tmp_path).double()
    assert (ours.pooler is None) == (theirs.pooler is None)
    batch = a_batch()
    assert_same(
        ours(**batch),
        theirs(**batch, output_hidden_states=True),
        batch["attention_mask"].bool(),
    )


def rewritten(folder, change):
    """Change the tensors of a saved checkpoint."""
    tensors = load_file(folder / "model.safetensors")
    tensors = {change(name): tensor.clone() for name, tensor in tensors.items()}
    save_file(tensors, folder / "model.safetensors")


def old_name(name):
    return "bert." + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
        "LayerNorm.bias", "LayerNorm.beta"
    )


def test_names_of_the_first_releases(tmp_path):
    theirs = saved(tmp_path)
    rewritten(tmp_path, old_name)
    tensors = load_file(tmp_path / "model.safetensors")
    assert "bert.embeddings.LayerNorm.gamma" in tensors  # the test tests something
    tensors["bert.embeddings.position_ids"] = torch.arange(12)[None]
    tensors["cls.predictions.bias"] = torch.zeros(40)
    save_file(tensors, tmp_path / "model.safetensors")
    batch = a_batch()
    assert_same(
        Bert.from_pretrained(tmp_path).double()(**batch),
        theirs.double()(**batch, output_hidden_states=True),
        batch["attention_mask"].bool(),
    )


def test_half_precision_and_shards(tmp_path):
    theirs = randomise(BertModel(library_config())).half()
    theirs.save_pretrained(tmp_path, max_shard_size="4KB")
    assert not (tmp_path / "model.safetensors").exists()
    ours = Bert.from_pretrained(tmp_path)
    assert not ours.training
    assert {p.dtype for p in ours.parameters()} == {torch.float32}
    batch = a_batch()
    theirs = theirs.double()
    assert_same(
        ours.double()(**batch),
        theirs(**batch, output_hidden_states=True),
        batch["attention_mask"].bool(),
    )


@pytest.fixture(scope="module")
def minilm():
    return Bert.from_pretrained(assets.path("minilm")).double()


@pytest.fixture(scope="module")
def news_batches():
    """Headlines beside beginnings of articles: much padding."""
    tokenizer = AutoTokenizer.from_pretrained(assets.path("minilm"))
    rows = corpora.bbc_news()["validation"].select(range(16))
    texts = [r["headline"] if i % 2 else r["body"] for i, r in enumerate(rows)]
    options = {"truncation": True, "max_length": 64, "padding": True, "return_tensors": "pt"}
    return [tokenizer(texts[i : i + 8], **options) for i in (0, 8)]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@torch.inference_mode()
def test_real_weights_on_real_padded_batches(minilm, news_batches, attention):
    theirs = AutoModel.from_pretrained(assets.path("minilm"), attn_implementation=attention)
    theirs = theirs.double().eval()
    for batch in news_batches:
        real = batch["attention_mask"].bool()
        assert 0.2 < (~real).float().mean() < 0.8
        assert_same(minilm(**batch), theirs(**batch, output_hidden_states=True), real)


def test_the_number_of_parameters(minilm):
    assert sum(p.numel() for p in minilm.parameters()) == 22_713_216
    c = minilm.config
    assert (c.d_model, c.n_layers, c.n_heads, c.d_ff, c.eps) == (384, 6, 12, 1536, 1e-12)


@torch.inference_mode()
def test_a_text_alone_and_in_its_batch(minilm, news_batches):
    batch = news_batches[0]
    real = batch["attention_mask"].bool()
    together = minilm(**batch)
    for i, keep in enumerate(real):
        alone = minilm(batch["input_ids"][i][keep][None])
        torch.testing.assert_close(
            together.last_hidden_state[i][keep], alone.last_hidden_state[0], rtol=0, atol=1e-9
        )
        torch.testing.assert_close(
            together.pooler_output[i], alone.pooler_output[0], rtol=0, atol=1e-9
        )


@pytest.fixture
def tiny():
    return randomise(Bert(OURS))


@torch.inference_mode()
def test_what_is_masked_changes_nothing(tiny):
    batch = a_batch()
    real = batch["attention_mask"].bool()
    other = batch | {
        "input_ids": torch.where(real, batch["input_ids"], 7),
        "token_type_ids": torch.where(real, batch["token_type_ids"], 1),
    }
    assert not torch.equal(other["input_ids"], batch["input_ids"])
    one, two = tiny(**batch).last_hidden_state, tiny(**other).last_hidden_state
    assert torch.equal(one[real], two[real])
    assert not torch.equal(one[~real], two[~real])


@torch.inference_mode()
def test_defaults_mean_no_padding_and_the_first_segment(tiny):
    ids = a_batch()["input_ids"]
    expected = tiny(ids, torch.ones_like(ids), torch.zeros_like(ids))
    assert torch.equal(tiny(ids).last_hidden_state, expected.last_hidden_state)
    for dtype in (torch.bool, torch.float32):  # masks as some tokenizers and users make them
        batch = a_batch()
        mask = batch["attention_mask"]
        assert torch.equal(tiny(ids, mask.to(dtype))[0], tiny(ids, mask)[0])
    assert torch.equal(tiny(ids.int())[0], tiny(ids)[0])


@torch.inference_mode()
def test_segments_and_positions_matter(tiny):
    ids = torch.tensor([[5, 6, 7]])
    base = tiny(ids).last_hidden_state
    assert (tiny(ids, None, torch.tensor([[0, 0, 1]]))[0] - base).abs().max() > 0.01
    assert (tiny(ids.flip(1))[0].flip(1) - base).abs().max() > 0.01
    tiny.embeddings.position.weight.zero_()  # without positions, order has no effect
    torch.testing.assert_close(tiny(ids.flip(1))[0].flip(1), tiny(ids)[0], rtol=0, atol=1e-5)


def test_all_positions_are_seen_at_once(tiny):
    # One layer: every output depends on every input.
    model = randomise(Bert(replace(OURS, n_layers=1)))
    x = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
    jacobian = torch.autograd.functional.jacobian(
        lambda x: model.encoder.blocks[0](x[None])[0], x
    )  # (5, 16, 5, 16)
    assert (jacobian.abs().amax(dim=(1, 3)) > 1e-6).all()


def test_dropout_only_in_training():
    model = Bert(OURS)
    assert model.training
    ids = a_batch()["input_ids"]
    torch.manual_seed(0)
    assert not torch.equal(model(ids)[0], model(ids)[0])
    assert torch.equal(model.eval()(ids)[0], model(ids)[0])
    dropped = Bert(replace(OURS, dropout=0.5))(ids.repeat(50, 1)).hidden_states[0]
    assert 0.47 < (dropped == 0).float().mean() < 0.53
    model = Bert(replace(OURS, dropout=0.0, attention_dropout=0.5))
    assert not torch.equal(model(ids)[0], model(ids)[0])  # only attention drops here
    model = Bert(replace(OURS, dropout=0.0, attention_dropout=0.0))
    assert torch.equal(model(ids)[0], model(ids)[0])


def test_a_new_model_is_initialised_as_the_original():
    torch.manual_seed(0)
    model = Bert(BertConfig(200, 64, 1, 2, 256, 20))
    again = torch.manual_seed(0) and Bert(BertConfig(200, 64, 1, 2, 256, 20))
    for (name, one), other in zip(model.named_parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
        if name.endswith("bias"):
            assert not one.any()
        elif "norm" in name:
            assert (one == 1).all()
        elif one.numel() > 4000:
            assert 0.018 < one.std() < 0.022


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"d_model": 0}, "d_model is 0"),
        ({"n_layers": 2.0}, r"n_layers is 2\.0"),
        ({"vocab_size": True}, "vocab_size is True"),
        ({"n_heads": 5}, "5 heads don't divide 768"),
        ({"dropout": 1.0}, r"dropout is 1\.0"),
        ({"attention_dropout": None}, "attention_dropout is None"),
        ({"eps": 0.0}, r"eps is 0\.0"),
        ({"eps": "1e-12"}, "eps is '1e-12'"),
        ({"activation": "swish"}, "activation is 'swish'.*gelu"),
    ],
)
def test_a_configuration_that_makes_no_sense(changes, why):
    with pytest.raises(ValueError, match=why):
        BertConfig(**changes)


def test_an_empty_configuration_is_bert_base_as_in_transformers():
    assert bert._config_from(LibraryConfig(), "nowhere") == BertConfig()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"model_type": "roberta"}, "type 'roberta'.*expected 'bert'"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type = relative_key"),
        ({"is_decoder": True}, "is_decoder = True"),
        ({"add_cross_attention": True}, "add_cross_attention = True"),
        ({"hidden_act": "silu"}, "'silu'; expected one of gelu"),
        ({"intermediate_size": 20}, r"has shape \(24,\), expected \(20,\)"),
        ({"num_hidden_layers": 3}, r"missing encoder\.layer\.2"),
        ({"num_hidden_layers": 1}, r"unexpected encoder\.layer\.1"),
    ],
)
def test_a_checkpoint_that_does_not_fit(tmp_path, changes, why):
    saved(tmp_path)
    values = json.loads((tmp_path / "config.json").read_text()) | changes
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(ValueError, match=why):
        Bert.from_pretrained(tmp_path)


def test_another_architecture_without_a_model_type(tmp_path):
    saved(tmp_path)
    rewritten(tmp_path, lambda name: name.replace("encoder.layer.", "transformer.h."))
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    with pytest.raises(ValueError, match=r"missing encoder\.layer.*and \d+ more"):
        Bert.from_pretrained(tmp_path)


def test_a_weight_of_an_unknown_head_is_not_passed_over(tmp_path):
    saved(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors") | {"adapter.weight": torch.ones(1)}
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"unexpected adapter\.weight"):
        Bert.from_pretrained(tmp_path)


IDS = torch.tensor([[1, 2, 3]])


@pytest.mark.parametrize(
    ("inputs", "error", "why"),
    [
        ((torch.tensor([1, 2]),), ValueError, r"input_ids has shape \(2,\); expected \(B, T\)"),
        ((torch.zeros(1, 0, dtype=torch.int64),), ValueError, r"shape \(1, 0\)"),
        ((IDS.float(),), TypeError, r"input_ids has dtype torch\.float32; expected torch\.int64"),
        ((IDS.bool(),), TypeError, r"dtype torch\.bool"),
        ((torch.tensor([[1, 40]]),), ValueError, "input_ids holds 40; expected 0 to 39"),
        ((torch.tensor([[1, -1]]),), ValueError, "input_ids holds -1; expected 0 to 39"),
        ((torch.ones(1, 13, dtype=torch.int64),), ValueError, "13 tokens.*12 positions"),
        ((IDS, torch.ones(1, 2)), ValueError, r"attention_mask has shape \(1, 2\).*\(1, 3\)"),
        ((IDS, torch.ones(3)), ValueError, r"attention_mask has shape \(3,\)"),
        ((IDS, torch.tensor([[1.0, 1.0, -1e9]])), ValueError, "values other than 0 and 1"),
        ((IDS, None, torch.zeros(1, 2, dtype=torch.int64)), ValueError, "token_type_ids has shape"),
        ((IDS, None, torch.full((1, 3), 2)), ValueError, "token_type_ids holds 2; expected 0 to 1"),
        ((IDS, None, torch.zeros(1, 3)), TypeError, "token_type_ids has dtype"),
    ],
)
def test_bad_input(tiny, inputs, error, why):
    with pytest.raises(error, match=why):
        tiny(*inputs)
