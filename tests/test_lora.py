"""helpers.models.lora: equal to peft, to the frozen model at first, and to itself when merged."""

import copy
import math

import peft
import pytest
import torch
from torch import nn

from helpers.models.lora import LoraLinear, add_lora, merge_lora
from tests import tiny

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
    assert changed == {n for n, p in model.named_parameters() if p.requires_grad}
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
