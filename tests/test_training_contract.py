"""One contract for models, data and losses: kept by wrapped models, refused when it is broken."""

import numpy as np
import peft
import pytest
import torch
import torch.nn.functional as F
from datasets import Dataset
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.modeling_outputs import CausalLMOutput, SequenceClassifierOutput

from helpers.models.modernbert import ModernBert, ModernBertConfig
from helpers.training.loop import TrainingConfig, evaluate, predict, train
from helpers.training.objective import count_labels, shifts_labels, unwrap
from tests.tiny import VOCABULARY, classification_data, classifier, collate, tagger, tagging_data


def config(**changes):
    defaults = {"steps": 1, "batch_size": 8, "precision": "fp32", "progress": False}
    return TrainingConfig(**(defaults | changes))


def first_loss(model, data, collate_fn=collate, **changes):
    hooks = {name: changes.pop(name) for name in ("loss_fn",) if name in changes}
    return train(model, data, config(**changes), collate_fn=collate_fn, **hooks).losses[0]


# What a model is, asked of the model inside.


def gpt2():
    torch.manual_seed(0)
    shape = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 32}
    off = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    return GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, **shape, **off))


def with_adapters(model):
    settings = peft.LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["c_attn"])
    return peft.get_peft_model(model, settings)


WRAPPERS = {
    "PEFT": with_adapters,
    "DataParallel": nn.DataParallel,
    "compiled PEFT": lambda model: torch.compile(with_adapters(model), backend="eager"),
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_a_wrapped_model_is_what_it_is_inside(wrap):
    model = wrap(gpt2())
    assert isinstance(unwrap(model), GPT2LMHeadModel)
    assert shifts_labels(model)
    rows = [{"input_ids": ids, "labels": ids} for ids in classification_data()["input_ids"]]
    batch = collate(rows[:4])
    assert count_labels(model, batch) == count_labels(gpt2(), batch)
    smooth = first_loss(wrap(gpt2()), rows, label_smoothing=0.1)
    assert smooth == pytest.approx(first_loss(gpt2(), rows, label_smoothing=0.1), abs=1e-5)
    assert smooth != pytest.approx(first_loss(gpt2(), rows), abs=1e-4)


def test_compiling_alone_hides_no_model():
    assert shifts_labels(torch.compile(gpt2(), backend="eager"))


# Logits and labels.


def encoder():
    torch.manual_seed(0)
    shape = {"d_model": 16, "n_layers": 1, "n_heads": 2, "d_ff": 16, "max_positions": 16}
    return ModernBert(ModernBertConfig(vocab_size=60, **shape))


def masked(labelled):
    def collate_masked(examples):
        ids = torch.stack([torch.tensor(e["input_ids"]) for e in examples])
        labels = ids.clone()
        labels[:, labelled:] = -100
        return {"input_ids": ids, "labels": labels}

    return collate_masked


BLOCKS = [{"input_ids": row} for row in np.random.default_rng(0).integers(5, 60, (6, 16)).tolist()]


@pytest.mark.parametrize("labelled", [1, 5])
def test_a_masked_model_predicts_every_piece(labelled):
    """With one mask in each of six rows, logits of the labelled pieces alone would be (6, V)."""
    model, collate_fn = encoder(), masked(labelled)
    found = predict(model, BLOCKS, collate_fn=collate_fn, batch_size=6)
    with torch.no_grad():
        logits = model.eval()(torch.tensor([row["input_ids"] for row in BLOCKS])).logits
    np.testing.assert_allclose(np.stack(found.logits), logits, atol=1e-5)
    assert (np.stack(found.labels) != -100).sum() == 6 * labelled
    metrics = evaluate(
        model,
        BLOCKS,
        collate_fn=collate_fn,
        compute_metrics=lambda p: {"pieces": len(np.concatenate(p.logits))},
    )
    assert metrics == {"loss": pytest.approx(found.loss), "pieces": 96}


def test_label_smoothing_of_a_masked_model():
    model, batch = encoder(), masked(5)(BLOCKS)
    with torch.no_grad():
        logits = model(batch["input_ids"]).logits[:, :5].flatten(0, 1)
    expected = F.cross_entropy(logits, batch["labels"][:, :5].flatten(), label_smoothing=0.1)
    found = first_loss(model, BLOCKS, masked(5), label_smoothing=0.1)
    assert found == pytest.approx(expected.item(), abs=1e-5)


class Wrong(nn.Module):
    """Breaks the contract in the way it is told."""

    def __init__(self, how):
        super().__init__()
        self.how, self.embedding = how, nn.Embedding(VOCABULARY, 3)

    def forward(self, input_ids, attention_mask, labels=None):
        z = self.embedding(input_ids)  # (B, T, 3)
        if self.how == "transposed":
            return SequenceClassifierOutput(z.sum(), z.transpose(1, 2))
        if self.how == "picked":
            return SequenceClassifierOutput(z.sum(), z[labels != -1])
        if self.how == "one loss a label":
            loss = F.cross_entropy(z.transpose(1, 2), labels, reduction="none")
            return SequenceClassifierOutput(loss, z)
        if self.how == "shifted":
            loss = F.cross_entropy(z[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
            return CausalLMOutput(loss, z)
        return SequenceClassifierOutput(z.sum(), None)


@pytest.mark.parametrize(
    ("how", "named"),
    [
        ("transposed", r"Wrong.*\(2, 3, 20\).*\(2, 20\)"),
        ("picked", r"Wrong.*\(40, 3\).*\(2, 20\)"),
        ("one loss a label", r"Wrong.*\(2, 20\).*scalar"),
        ("shifted", "Wrong.*shifts_labels = True"),
        ("none", "Wrong.*logits.*None"),
    ],
)
def test_a_model_that_breaks_the_contract_is_refused_before_an_update(how, named):
    model, rows = Wrong(how), list(tagging_data())
    before = model.embedding.weight.clone()
    with pytest.raises(ValueError, match=named):
        first_loss(model, rows, max_grad_norm=None)
    assert torch.equal(model.embedding.weight, before)


def test_a_model_of_ones_own_may_say_that_it_shifts():
    model = Wrong("shifted")
    model.shifts_labels = True
    assert first_loss(model, list(tagging_data()))


# Every row, before any work.


def spoiled(data, row, **changes):
    rows = list(data)
    rows[row] = rows[row] | changes
    return rows


@pytest.mark.parametrize("as_list", [True, False], ids=["list", "Dataset"])
@pytest.mark.parametrize(
    ("make", "change", "named"),
    [
        (classifier, {"input_ids": [1, VOCABULARY]}, r"Row 7.*50.*resize_token_embeddings"),
        (classifier, {"input_ids": [-1, 2]}, "Row 7.*-1"),
        (classifier, {"input_ids": [1, None]}, "Row 7.*None"),
        (classifier, {"input_ids": []}, "Row 7.*empty"),
        (classifier, {"input_ids": None}, "Row 7.*input_ids"),
        (classifier, {"labels": None}, "Row 7.*None"),
        (classifier, {"labels": 3}, "Row 7.*label 3.*num_labels"),
        (tagger, {"labels": [0]}, "Row 7.*labels"),
        (tagger, {"input_ids": [1, 2], "labels": [0, None]}, "Row 7.*None"),
        (tagger, {"input_ids": [1, 2], "labels": [0, -1]}, "Row 7.*label -1"),
        (classifier, {"attention_mask": [1] * 30}, "Row 7.*30 attention_mask"),
        (classifier, {"token_type_ids": [2] * 20, "input_ids": [1] * 20}, "Row 7.*token_type_ids"),
        (classifier, {"start_positions": 3, "end_positions": 40}, "Row 7.*3 to 40"),
    ],
)
def test_a_bad_row_is_found_before_the_first_update(make, change, named, as_list):
    data = tagging_data() if make is tagger else classification_data()
    rows = [
        row
        | {"attention_mask": [1] * len(row["input_ids"])}
        | {"token_type_ids": [0] * len(row["input_ids"])}
        | {"start_positions": 0, "end_positions": 0}
        for row in data
    ]
    if "input_ids" in change:
        n = len(change["input_ids"] or [])
        change = {"attention_mask": [1] * n, "token_type_ids": [0] * n} | change
    rows = spoiled(rows, 7, **change)
    done = []

    def counted(examples):
        done.append(examples)
        return collate([{k: e[k] for k in ("input_ids", "labels")} for e in examples])

    model = make()
    for call in (
        lambda data: train(model, data, config(), collate_fn=counted),
        lambda data: evaluate(model, data, collate_fn=counted),
    ):
        done.clear()
        with pytest.raises(ValueError, match=named):
            call(rows if as_list else Dataset.from_list(rows))
        assert len(done) <= 1, "one batch to try"


def test_rows_of_a_selection_are_named_as_they_stand_there():
    data = Dataset.from_list(spoiled(classification_data(), 7, input_ids=[99]))
    with pytest.raises(ValueError, match=r"Row 2\b.*99"):
        evaluate(classifier(), data.select([5, 6, 7]), collate_fn=collate)


@pytest.mark.parametrize(
    ("labels", "named"),
    [
        ([0.0, 1.0], r"\(2,\).*float32.*0\.0.*int64"),
        (["neg", "pos"], "Row 0.*'neg'.*class_encode_column"),
        ([False, True], "Row 0.*False"),
        ([0.0, float("nan")], "Row 1.*nan"),
        ([1, True], "Row 1.*True"),
        ([0, "pos"], "Row 1.*'pos'"),
    ],
)
def test_labels_of_another_type(labels, named):
    rows = [{"input_ids": [1, 2, 3], "labels": label} for label in labels * 4]
    with pytest.raises(ValueError, match=named):
        first_loss(classifier(num_labels=2), rows)


def test_a_column_that_no_collator_takes_is_named():
    rows = [row | {"text": "a film", "idx": 3} for row in classification_data()]

    def collate_all(examples):
        extra = {k: torch.tensor([e[k] for e in examples]) for k in ("text", "idx")}
        return collate(examples) | extra

    with pytest.raises(ValueError, match=r"\['text'\].*remove_columns"):
        first_loss(classifier(), rows, collate_all)
    rows = [{k: v for k, v in row.items() if k != "text"} for row in rows]
    with pytest.raises(ValueError, match=r"'idx'.*Wrong.*remove_columns"):
        first_loss(Wrong("shifted"), rows, lambda e: collate(e) | {"idx": torch.tensor([3])})


def test_an_id_that_the_collate_function_makes():
    def bad_padding(examples):
        batch = collate(examples)
        batch["input_ids"][batch["attention_mask"] == 0] = VOCABULARY  # a token that was added
        return batch

    for call in (first_loss, lambda *args: evaluate(*args[:2], collate_fn=args[2])):
        with pytest.raises(ValueError, match=r"50.*resize_token_embeddings"):
            call(classifier(), list(classification_data()), bad_padding)


# Losses of one's own.

WEIGHTS = torch.tensor([1.0, 5.0, 0.5])


def by_class(**options):
    return nn.CrossEntropyLoss(weight=WEIGHTS, reduction="none", **options)


@pytest.mark.parametrize(
    ("make", "data"), [(classifier, classification_data), (tagger, tagging_data)]
)
def test_class_weights(make, data):
    model, rows = make(dropout=0), list(data(16))
    batch = collate(rows)
    with torch.no_grad():
        logits = model(**batch).logits.flatten(0, -2)
    labels = batch["labels"].flatten()
    losses = F.cross_entropy(logits, labels, weight=WEIGHTS, reduction="none")
    expected = losses[labels != -100].mean().item()
    assert first_loss(model, rows, loss_fn=by_class(), batch_size=16) == pytest.approx(expected)
    parts = first_loss(
        make(dropout=0), rows, loss_fn=by_class(), batch_size=4, accumulation=4
    )  # exactly so, whatever the parts
    assert parts == pytest.approx(expected, abs=2e-6)
    model = make(dropout=0)
    for found in (
        evaluate(model, rows, collate_fn=collate, loss_fn=by_class(), batch_size=3)["loss"],
        predict(model, rows, collate_fn=collate, loss_fn=by_class(), batch_size=3).loss,
    ):
        assert found == pytest.approx(expected, abs=1e-5)


def test_a_loss_for_a_causal_model_is_shifted():
    rows = [{"input_ids": ids, "labels": ids} for ids in classification_data()["input_ids"]]
    plain = nn.CrossEntropyLoss(reduction="none")
    assert first_loss(gpt2(), rows, loss_fn=plain) == pytest.approx(first_loss(gpt2(), rows))


def test_a_loss_of_numbers():
    rows = [row | {"labels": row["labels"] / 2} for row in classification_data()]
    mean_square = nn.MSELoss(reduction="none")
    ours = first_loss(classifier(num_labels=1, dropout=0), rows, loss_fn=mean_square)
    assert ours == pytest.approx(first_loss(classifier(num_labels=1, dropout=0), rows))


def test_a_loss_that_is_a_mean_already_is_refused():
    with pytest.raises(ValueError, match='reduction="none"'):
        first_loss(classifier(), classification_data(), loss_fn=nn.CrossEntropyLoss())
    with pytest.raises(ValueError, match=r"label_smoothing.*loss_fn"):
        first_loss(classifier(), classification_data(), loss_fn=by_class(), label_smoothing=0.1)


# Hooks.


def test_after_update_may_change_the_weights():
    seen = []

    def halve(model, step):
        seen.append(step)
        with torch.no_grad():
            model.classifier.bias.fill_(step)

    model = classifier()
    train(model, classification_data(), config(steps=3), collate_fn=collate, after_update=halve)
    assert seen == [1, 2, 3]
    assert torch.equal(model.classifier.bias, torch.full((3,), 3.0))


def test_an_optimizer_with_rates_of_its_own():
    model = classifier(dropout=0)
    groups = [
        {"params": model.bert.parameters(), "lr": 0.0},
        {"params": model.classifier.parameters(), "lr": 0.5},
    ]
    before = {name: p.clone() for name, p in model.named_parameters()}
    history = train(
        model,
        classification_data(),
        config(steps=4, schedule="constant", warmup_ratio=0.5, max_grad_norm=None),
        collate_fn=collate,
        optimizer=torch.optim.SGD(groups[::-1]),
    )
    assert [record["lr"] for record in history.records] == [0.25, 0.5, 0.5, 0.5]
    for name, p in model.named_parameters():
        assert torch.equal(p, before[name]) == name.startswith("bert."), name


def test_an_optimizer_of_another_model_is_refused():
    optimizer = torch.optim.SGD(classifier().parameters(), lr=0.1)
    with pytest.raises(ValueError, match=r"0 of the .* BertForSequenceClassification"):
        train(
            classifier(), classification_data(), config(), collate_fn=collate, optimizer=optimizer
        )
