"""helpers.models.lora: equal to peft, to the frozen model at first, and to itself when merged.

What it saves is read by peft where the book's package isn't installed, and the other way round.
"""

import copy
import json
import math

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from helpers.data import assets
from helpers.models.classification import MeanPoolClassifier
from helpers.models.lora import (
    LoraLinear,
    add_lora,
    load_lora,
    lora_state,
    merge_lora,
    save_lora,
)
from tests import tiny
from tests.stranger import elsewhere

TARGETS = ("query", "value")
# peft 0.21 asks for a property by a name that transformers 5 has given up.
OLD_NAME = "ignore:`is_gradient_checkpointing`:FutureWarning"


def batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        "input_ids": torch.randint(tiny.VOCABULARY, (4, 9), generator=generator),
        "labels": torch.randint(3, (4,), generator=generator),
    }


def adapted(*, rank=3, alpha=8, dropout=0.0, **options):
    model = tiny.classifier(dropout=0.0)
    torch.manual_seed(1)
    add_lora(model, TARGETS, rank=rank, alpha=alpha, dropout=dropout, **options)
    return model


def moved(model, seed=2):
    """Give each update a value: at zero, much would be equal by chance."""
    torch.manual_seed(seed)
    for module in model.modules():
        if isinstance(module, LoraLinear):
            nn.init.normal_(module.b)
    return model


def peft_twin(ours, **options):
    """peft's model with the weights of ours."""
    config = peft.LoraConfig(
        r=3,
        lora_alpha=8,
        lora_dropout=0.0,
        target_modules=list(TARGETS),
        modules_to_save=["classifier"],
        **options,
    )
    theirs = peft.get_peft_model(tiny.classifier(dropout=0.0), config)
    layers = dict(theirs.named_modules())
    for name, module in ours.named_modules():
        if isinstance(module, LoraLinear):
            twin = layers[f"base_model.model.{name}"]
            twin.lora_A["default"].weight.data.copy_(module.a)
            twin.lora_B["default"].weight.data.copy_(module.b)
    return theirs


def test_at_first_nothing_changes():
    plain, model = tiny.classifier(dropout=0.0).eval(), adapted().eval()
    torch.testing.assert_close(model(**batch()).logits, plain(**batch()).logits, rtol=0, atol=1e-6)


@pytest.mark.filterwarnings(OLD_NAME)
def test_training_is_that_of_peft():
    ours = moved(adapted(train_also=["classifier"])).train()
    theirs = peft_twin(ours).train()
    optimizers = [
        torch.optim.AdamW([p for p in m.parameters() if p.requires_grad], lr=1e-2)
        for m in (ours, theirs)
    ]
    losses = []
    for step in range(5):
        for model, optimizer in zip((ours, theirs), optimizers, strict=True):
            loss = model(**batch(step)).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert losses[0::2] == pytest.approx(losses[1::2], abs=1e-5)
    assert abs(losses[0] - losses[-1]) > 1e-2  # something was learned
    gap = (ours.eval()(**batch()).logits - theirs.eval()(**batch()).logits).abs().max()
    assert gap < 1e-5
    trained = [sum(p.numel() for p in m.parameters() if p.requires_grad) for m in (ours, theirs)]
    assert trained[0] == trained[1]


def test_a_started_layer_has_the_spread_of_peft():
    torch.manual_seed(0)
    layer = LoraLinear(nn.Linear(64, 32), rank=8, alpha=16)
    bound = 1 / math.sqrt(64)
    assert layer.a.abs().max() <= bound
    assert layer.a.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)
    assert not layer.b.any()


def test_the_frozen_weights_stay_and_the_rest_learns():
    model = moved(adapted(train_also=["classifier"]))
    before = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    model(**batch()).loss.backward()
    optimizer.step()
    changed = {n for n, p in model.state_dict().items() if not torch.equal(p, before[n])}
    assert changed == set(lora_state(model))
    assert {n.rpartition(".")[2] for n in changed if "classifier" not in n} == {"a", "b"}
    assert any("classifier" in n for n in changed)


def test_merged_it_computes_the_same_with_the_layers_it_had():
    model = moved(adapted()).eval()
    expected = model(**batch()).logits
    merge_lora(model)
    assert (model(**batch()).logits - expected).abs().max() < 1e-5
    assert model.state_dict().keys() == tiny.classifier().state_dict().keys()
    assert not any(isinstance(module, LoraLinear) for module in model.modules())
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("seed", range(5))
def test_the_update_has_the_rank_and_the_scale(seed):
    """In float64, where rounding is far below the tolerance whatever the draw.

    A sum of n products errs by at most n · 2⁻⁵³ · Σ|products|: here n is 12 + 2 and the sum, of
    numbers drawn from normal and narrower distributions, below 500, so 8e-13 at the very most.
    """
    torch.manual_seed(seed)
    layer = LoraLinear(nn.Linear(12, 10).double(), rank=2, alpha=6)
    nn.init.normal_(layer.b)
    assert torch.linalg.matrix_rank(layer.update()) == 2
    torch.testing.assert_close(layer.update(), 3.0 * layer.b @ layer.a, rtol=0, atol=1e-12)
    x = torch.randn(5, 12, dtype=torch.float64)
    expected = x @ (layer.linear.weight + layer.update()).T + layer.linear.bias
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-12)


def test_dropout_acts_on_the_update_in_training_only():
    model = moved(adapted(dropout=0.5))
    model.eval()
    assert torch.equal(model(**batch()).logits, model(**batch()).logits)
    model.train()
    assert not torch.equal(model(**batch()).logits, model(**batch()).logits)


# What is saved, in other hands.

STRANGER = """
import warnings
import peft, torch, transformers

warnings.filterwarnings("error", message=".*adapter keys")  # peft's "missing" and "unexpected"
result = []
for folder, base, kind, ids in asked:
    model = getattr(transformers, "Auto" + kind).from_pretrained(base, num_labels=3)
    ways = peft.PeftModel.from_pretrained(model, folder), getattr(
        peft, "AutoPeft" + kind).from_pretrained(folder, num_labels=3)
    with torch.no_grad():
        result.append([m.eval()(torch.tensor(ids)).logits.tolist() for m in ways])
"""
KINDS = {
    "ModelForSequenceClassification": AutoModelForSequenceClassification,
    "ModelForTokenClassification": AutoModelForTokenClassification,
}


@pytest.fixture(scope="module")
def in_other_hands(tmp_path_factory):
    """Adapters of two kinds of model, our logits, and those of a process without this package.

    The bases are a tiny checkpoint and the one that chapter 14 adapts; the head is trained along.
    """
    folder = tmp_path_factory.mktemp("adapters")
    tiny.classifier().save_pretrained(folder / "base")
    asked, ours = [], []
    for base in (str(folder / "base"), str(assets.path("minilm"))):
        for kind, auto in KINDS.items():
            model = auto.from_pretrained(base, num_labels=3)
            add_lora(model, TARGETS, rank=3, alpha=8, dropout=0.1, train_also=["classifier"])
            moved(model).eval()
            save_lora(model, folder / str(len(asked)))
            with torch.no_grad():
                ours.append(model(batch()["input_ids"]).logits)
            asked.append([str(folder / str(len(asked))), base, kind, batch()["input_ids"].tolist()])
    return ours, elsewhere([(folder, STRANGER)], asked=asked)[0]


def test_peft_gives_our_logits_without_this_package(in_other_hands):
    for ours, ways in zip(*in_other_hands, strict=True):
        for theirs in ways:
            torch.testing.assert_close(torch.tensor(theirs), ours, rtol=1e-4, atol=2e-5)


def test_the_adapter_decides_what_they_are(in_other_hands):
    """The test above can fail: without its adapter, a base answers otherwise."""
    ours, _ = in_other_hands
    for (kind, auto), expected in zip(KINDS.items(), ours[2:], strict=True):
        plain = auto.from_pretrained(assets.path("minilm"), num_labels=3).eval()
        with torch.no_grad():
            assert (plain(batch()["input_ids"]).logits - expected).abs().max() > 0.01, kind


@pytest.mark.filterwarnings(OLD_NAME)
@pytest.mark.parametrize("options", [{}, {"task_type": "SEQ_CLS"}])
def test_what_peft_saved_is_read(tmp_path, options):
    ours = moved(adapted(train_also=["classifier"])).eval()
    theirs = peft_twin(ours, **options)
    theirs.save_pretrained(tmp_path, save_embedding_layers=False)
    fresh = tiny.classifier(dropout=0.0)
    load_lora(fresh, tmp_path)
    with torch.no_grad():
        expected, found = theirs.eval()(**batch()).logits, fresh.eval()(**batch()).logits
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert lora_state(fresh).keys() == lora_state(ours).keys()


@pytest.mark.filterwarnings(OLD_NAME)
def test_both_write_the_same_file(tmp_path):
    ours = moved(adapted(train_also=["classifier"]))
    save_lora(ours, tmp_path / "ours")
    peft_twin(ours).save_pretrained(tmp_path / "theirs", save_embedding_layers=False)
    ours, theirs = (
        load_file(tmp_path / name / "adapter_model.safetensors") for name in ("ours", "theirs")
    )
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_saved_and_loaded_it_is_the_same(tmp_path):
    model = moved(adapted(train_also=["classifier"], dropout=0.2)).eval()
    save_lora(model, tmp_path, base="somebody/bert")
    fresh = tiny.classifier(dropout=0.0)
    load_lora(fresh, tmp_path)
    found, expected = fresh.eval()(**batch()).logits, model(**batch()).logits
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert all(
        p.requires_grad == q.requires_grad
        for p, q in zip(fresh.parameters(), model.parameters(), strict=True)
    )
    settings = json.loads((tmp_path / "adapter_config.json").read_text("utf-8"))
    settings["target_modules"].sort()  # peft keeps them as a set
    expected = {
        "peft_type": "LORA",
        "task_type": "SEQ_CLS",
        "base_model_name_or_path": "somebody/bert",
        "r": 3,
        "lora_alpha": 8,
        "lora_dropout": 0.2,
        "target_modules": ["query", "value"],
        "modules_to_save": ["classifier"],
    }
    assert {name: settings[name] for name in expected} == expected
    assert (tmp_path / "adapter_model.safetensors").stat().st_size < 10_000  # of 26 kB


def roberta():
    """Its head is a module of two linear layers, one of them called as others in the body."""
    torch.manual_seed(0)
    settings = tiny.bert_config(dropout=0.0).to_dict() | {"max_position_embeddings": 40}
    settings.pop("model_type")
    return RobertaForSequenceClassification(RobertaConfig(**settings))


def distilbert():
    """The name of one module of its head is the end of the other's."""
    torch.manual_seed(0)
    sizes = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32, "num_labels": 3}
    return DistilBertForSequenceClassification(DistilBertConfig(vocab_size=50, **sizes))


@pytest.mark.filterwarnings("error:.*adapter keys", OLD_NAME)  # peft's "missing", "unexpected"
@pytest.mark.parametrize(
    ("base", "targets", "also"),
    [
        (tiny.classifier, ["value"], []),  # the head is the base's
        (tiny.classifier, ["value"], ["classifier", "pooler"]),
        (tiny.classifier, ["attention.output.dense"], ["classifier"]),  # not every "dense"
        (tiny.classifier, ["layer.0.attention.self.value"], ["classifier"]),
        (roberta, ["query", "value"], ["classifier"]),
        (roberta, ["value", "dense"], ["classifier"]),
        (roberta, ["value"], ["classifier.out_proj"]),  # half of a head
        (distilbert, ["v_lin"], ["classifier"]),
        (distilbert, ["v_lin"], ["pre_classifier"]),
    ],
)
def test_peft_and_we_read_what_is_adapted_and_no_more(tmp_path, base, targets, also):
    model = base()
    add_lora(model, targets, rank=2, alpha=4, train_also=also)
    moved(model).eval()
    for parameter in lora_state(model).values():
        nn.init.normal_(parameter)
    save_lora(model, tmp_path)
    theirs, ours = peft.PeftModel.from_pretrained(base(), tmp_path), base()
    load_lora(ours, tmp_path)
    with torch.no_grad():
        expected = model(batch()["input_ids"]).logits
        plain = base().eval()(batch()["input_ids"]).logits
        for found in (theirs, ours):
            logits = found.eval()(batch()["input_ids"]).logits
            torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
    assert (plain - expected).abs().max() > 1e-3


@pytest.mark.filterwarnings(OLD_NAME)
def test_what_peft_saved_of_a_head_of_two_modules_is_read(tmp_path):
    config = peft.LoraConfig(r=2, target_modules=["v_lin"], task_type="SEQ_CLS")
    theirs = peft.get_peft_model(distilbert(), config).eval()
    for parameter in theirs.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter)
    theirs.save_pretrained(tmp_path, save_embedding_layers=False)
    ours = distilbert()
    load_lora(ours, tmp_path)
    with torch.no_grad():
        expected, found = (m.eval()(batch()["input_ids"]).logits for m in (theirs, ours))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_a_module_that_is_trained_in_part_is_not_saved(tmp_path):
    model = adapted()
    model.classifier.bias.requires_grad_(True)
    with pytest.raises(ValueError, match=r"'classifier\.bias'.*train_also"):
        save_lora(model, tmp_path)


def test_what_has_lora_gets_no_second_one(tmp_path):
    """As when a reader runs a cell twice."""
    save_lora(adapted(), tmp_path)
    fresh = tiny.classifier()
    load_lora(fresh, tmp_path)
    with pytest.raises(ValueError, match="merge_lora"):
        load_lora(fresh, tmp_path)


def test_a_model_that_others_do_not_have_is_not_saved_as_theirs(tmp_path):
    model = MeanPoolClassifier(tiny.bert_config())
    add_lora(model, TARGETS, rank=2, alpha=4, train_also=["classifier"])
    with pytest.raises(ValueError, match=r"MeanPoolClassifier.*merge_lora"):
        save_lora(model, tmp_path / "adapter")
    assert not (tmp_path / "adapter").exists()


def test_layers_of_several_ranks_are_not_saved_as_one(tmp_path):
    model = adapted()
    model.classifier = LoraLinear(model.classifier, rank=1, alpha=8)
    with pytest.raises(ValueError, match=r"\[\(1, 8, 0\.0\), \(3, 8, 0\.0\)\]"):
        save_lora(model, tmp_path)
    with pytest.raises(ValueError, match=r"\[\].*add_lora"):
        save_lora(tiny.classifier(), tmp_path)


def test_an_adapter_of_another_model_is_refused(tmp_path):
    save_lora(adapted(train_also=["classifier"]), tmp_path)
    other = tiny.classifier(num_labels=4)
    before = copy.deepcopy(other.state_dict())
    with pytest.raises(ValueError, match=r"classifier.*\(3,.*\(4,"):
        load_lora(other, tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    tensors = load_file(file)
    del tensors["base_model.model.classifier.bias"]
    save_file(tensors, file)
    with pytest.raises(ValueError, match=r"classifier\.bias"):
        load_lora(other, tmp_path)
    assert other.state_dict().keys() == before.keys()
    assert all(torch.equal(p, before[n]) for n, p in other.state_dict().items())
    assert all(p.requires_grad for p in other.parameters())


@pytest.mark.filterwarnings(OLD_NAME)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"use_rslora": True}, "'use_rslora': True"),
        ({"use_dora": True}, "'use_dora': True"),
        ({"init_lora_weights": "pissa"}, "'init_lora_weights': 'pissa'"),  # changes frozen weights
        ({"rank_pattern": {"query": 2}}, "'rank_pattern'"),
        ({"target_modules": ".*query"}, "collections of names"),
    ],
)
def test_a_lora_that_computes_something_else_is_refused(tmp_path, options, message):
    config = peft.LoraConfig(**{"r": 3, "target_modules": ["query"], **options})
    model = peft.get_peft_model(tiny.classifier(), config)
    model.save_pretrained(tmp_path, save_embedding_layers=False)
    with pytest.raises(ValueError, match=message):
        load_lora(tiny.classifier(), tmp_path)


def test_a_module_that_is_trained_in_full_gets_no_lora_inside():
    """As in peft, whose file has no other tensors for it."""
    model = tiny.classifier()
    names = add_lora(model, ["query", "dense"], rank=2, alpha=4, train_also=["pooler"])
    assert not any("pooler" in name for name in names)
    assert any(name.endswith("output.dense") for name in names)
    assert isinstance(model.bert.pooler.dense, nn.Linear)


@pytest.mark.parametrize(
    ("targets", "options", "message"),
    [
        (["query", "q_proj"], {}, r"\['q_proj'\].*'query'"),
        (["attention"], {}, r"\['attention'\].*'query'"),
        (["query"], {"train_also": ["head"]}, r"\['head'\].*'classifier'"),
        ("query", {}, "collections of names"),
        (["query"], {"rank": 0}, "rank is 0.* 1 to 16"),
        (["query"], {"rank": 17}, "rank is 17.* 1 to 16"),
        (["query"], {"alpha": 0}, "alpha is 0"),
        (["query"], {"dropout": 1.0}, "dropout 1.0"),
    ],
)
def test_bad_input_is_refused(targets, options, message):
    with pytest.raises(ValueError, match=message):
        add_lora(tiny.classifier(), targets, **{"rank": 2, "alpha": 4, **options})


def test_lora_on_lora_is_refused():
    with pytest.raises(ValueError, match="merge_lora"):
        add_lora(adapted(), TARGETS, rank=2, alpha=4)
