"""`train` against loops written out by hand, its settings one by one, and bad input."""

import dataclasses
import functools
import json
import math
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from datasets import Dataset, Features, List, Value, concatenate_datasets

from helpers.training import checkpoints, fingerprint
from helpers.training import precision as precision_module
from helpers.training import run as run_module
from helpers.training.batches import plan_epoch, sequence_lengths, take
from helpers.training.checkpoints import CheckpointError
from helpers.training.loop import NonFiniteLossError, TrainingConfig, evaluate, train
from helpers.training.objective import count_labels, mean_loss, smoothed
from helpers.training.optim import adamw, learning_rate_factor
from helpers.training.precision import resolve_precision
from tests.tiny import POSITIONS, classification_data, classifier, collate, tagger, tagging_data

CPU = torch.device("cpu")
# What another order of addition may change after a few updates in fp32: a loss by some units of
# its last digit; a weight by more, since AdamW divides a gradient by its own size and so makes
# steps out of rounding. One update moves a weight by 1e-2, the learning rate below.
LOSS_ROUNDING, WEIGHT_ROUNDING = 2e-6, 5e-5


def config(**changes) -> TrainingConfig:
    defaults = {"epochs": 2, "batch_size": 8, "precision": "fp32", "progress": False}
    if "steps" in changes:
        del defaults["epochs"]
    return TrainingConfig(**(defaults | {"learning_rate": 1e-2} | changes))


HOOKS = ("evaluate_fn", "loss_fn", "optimizer", "after_update")


def fit(model=None, data=None, **changes):
    model = model or classifier()
    data = data if data is not None else classification_data()
    hooks = {name: changes.pop(name) for name in HOOKS if name in changes}
    return model, train(model, data, config(**changes), collate_fn=collate, **hooks)


def dropping_more():
    """A model whose configuration doesn't say what was changed in it."""
    model = classifier()
    model.dropout.p = 0.3
    return model


def validation_loss(model):
    return evaluate(model, classification_data(20, seed=1), collate_fn=collate)


def by_hand(model, data, settings):
    """One process, no accumulation: the loop as a beginner would write it."""
    lengths, losses = sequence_lengths(data), []
    steps = settings.epochs * math.ceil(len(data) / settings.batch_size)
    optimizer = adamw(model, settings.learning_rate, settings.weight_decay)
    model.train()
    for epoch in range(settings.epochs):
        plan = plan_epoch(
            lengths, settings.batch_size, seed=settings.seed, epoch=epoch, group_by_length=True
        )
        for rows in plan:
            loss = model(**collate(take(data, rows))).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings.max_grad_norm)
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * learning_rate_factor(
                    len(losses), steps, settings.warmup_ratio, settings.schedule
                )
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
    return losses


@pytest.mark.parametrize(
    ("make", "data"), [(classifier, classification_data), (tagger, tagging_data)]
)
def test_equals_a_loop_by_hand(make, data):
    reference = make(dropout=0)
    expected = by_hand(reference, data(), config())
    model, history = fit(make(dropout=0), data())
    assert history.losses == pytest.approx(expected, abs=LOSS_ROUNDING)
    for ours, theirs in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=WEIGHT_ROUNDING)


@pytest.mark.parametrize(
    ("make", "data"), [(classifier, classification_data), (tagger, tagging_data)]
)
def test_accumulation_equals_one_large_batch(make, data):
    """Also for tags, where micro-batches hold different numbers of labels."""
    large, large_history = fit(make(dropout=0), data(), batch_size=16)
    small, small_history = fit(make(dropout=0), data(), batch_size=4, accumulation=4)
    assert small_history.losses == pytest.approx(large_history.losses, abs=LOSS_ROUNDING)
    for a, b in zip(large.parameters(), small.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=WEIGHT_ROUNDING)


def test_a_mean_of_batch_means_would_be_another_loss():
    """The test above can fail: the micro-batches' plain mean differs from the token mean."""
    model, data = tagger(dropout=0), tagging_data(8)
    parts = [collate(take(data, rows)) for rows in sequence_lengths(data).argsort().reshape(2, 4)]
    whole = collate(list(data))
    with torch.no_grad():
        losses = torch.stack([model(**part).loss for part in parts])
        counts = torch.tensor([count_labels(model, part) for part in parts])
        exact = model(**whole).loss
    assert (losses.mean() - exact).abs() > 50 * LOSS_ROUNDING
    torch.testing.assert_close((losses * counts).sum() / counts.sum(), exact)


def test_a_micro_batch_without_labels_adds_nothing():
    """Its mean loss is 0/0; it must not poison the window."""
    rows = list(tagging_data(8))
    rows.sort(key=lambda row: len(row["input_ids"]), reverse=True)
    for i, row in enumerate(rows):  # the longer half, so that grouping puts them together
        row["labels"] = [-100 if i < 4 else piece % 3 for piece in row["input_ids"]]
    large, large_history = fit(tagger(dropout=0), Dataset.from_list(rows), batch_size=8)
    small, small_history = fit(
        tagger(dropout=0), Dataset.from_list(rows), batch_size=4, accumulation=2
    )
    assert small_history.losses == pytest.approx(large_history.losses, abs=LOSS_ROUNDING)
    for a, b in zip(large.parameters(), small.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=WEIGHT_ROUNDING)


def test_an_update_without_labels_is_an_error():
    rows = [row | {"labels": [-100] * len(row["labels"])} for row in tagging_data(8)]
    with pytest.raises(ValueError, match=r"Update 1\b.*label"):
        fit(tagger(), Dataset.from_list(rows))


def test_it_learns():
    _, history = fit(epochs=30)
    assert sum(history.losses[-5:]) / 5 < 0.1 * history.losses[0]


def test_same_seed_same_numbers_another_seed_others():
    model, history = fit()
    again, history_again = fit()
    _, other = fit(seed=1)
    assert history.losses == history_again.losses
    for a, b in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
    assert history.losses != other.losses


def test_workers_change_nothing():
    assert fit()[1].losses == fit(num_workers=2)[1].losses


def test_steps_instead_of_epochs():
    _, history = fit(steps=7)  # an epoch has 5 updates
    assert [record["step"] for record in history.records] == list(range(1, 8))
    assert history.records[-1]["epoch"] == pytest.approx(7 / 5)
    assert fit(steps=10, evaluate_fn=validation_loss)[1].losses == fit(epochs=2)[1].losses


def test_records_say_what_happened():
    data = classification_data()
    _, history = fit(data=data, epochs=1, max_grad_norm=None)
    assert sum(record["tokens"] for record in history.records) == sequence_lengths(data).sum()
    assert all(record["grad_norm"] > 0 for record in history.records)
    assert history.tokens_per_second > 0
    assert history.peak_memory > 50e6, "bytes of a process that has loaded torch"
    assert history.records[0]["lr"] == pytest.approx(1e-2)


def test_clipping_bounds_the_update():
    """SGD would show it directly; AdamW hides the scale, so look at the gradient itself."""
    model = classifier()
    seen = []
    step = torch.optim.AdamW.step

    def spy(self, *args, **kwargs):
        norms = [p.grad.norm() for p in model.parameters() if p.grad is not None]
        seen.append(torch.stack(norms).norm().item())
        return step(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", spy)
        _, history = fit(model, epochs=1, max_grad_norm=0.1)
    assert max(seen) <= 0.1 + 1e-5
    assert min(record["grad_norm"] for record in history.records) > 0.1


def test_best_weights_are_reloaded_and_patience_stops():
    accuracies = iter([0.5, 0.9, 0.8, 0.7, 0.95])
    weights = []

    def scripted(model):
        weights.append({k: v.clone() for k, v in model.state_dict().items()})
        return {"accuracy": next(accuracies)}

    model, history = fit(epochs=5, evaluate_fn=scripted, best_metric="accuracy", patience=2)
    assert history.stopped_early
    assert [e["accuracy"] for e in history.evaluations] == [0.5, 0.9, 0.8, 0.7]
    assert history.best == {"step": 10, "accuracy": 0.9}
    for name, value in model.state_dict().items():
        assert torch.equal(value, weights[1][name])
        assert name.endswith("position_ids") or not torch.equal(value, weights[3][name])


def test_a_metric_that_is_not_a_number_is_never_the_best():
    for first, second, best in [(math.nan, 0.5, 0.5), (0.5, math.nan, 0.5)]:
        values = iter([first, second])
        scripted = lambda _, values=values: {"f1": next(values)}  # noqa: E731
        assert fit(evaluate_fn=scripted, best_metric="f1")[1].best["f1"] == best


def test_of_equal_metrics_the_first_is_the_best():
    assert fit(evaluate_fn=lambda _: {"f1": 0.5}, best_metric="f1")[1].best["step"] == 5


def test_a_metric_where_lower_is_better():
    values = iter([0.5, 0.9])
    _, history = fit(
        evaluate_fn=lambda _: {"loss": next(values)}, best_metric="loss", higher_is_better=False
    )
    assert history.best["loss"] == 0.5


def test_evaluation_leaves_the_run_as_it_was():
    expected = fit()[1].losses
    assert fit(evaluate_fn=validation_loss, evaluate_every=2)[1].losses == expected
    careless = lambda model: validation_loss(model.eval())  # noqa: E731
    assert fit(evaluate_fn=careless, evaluate_every=2)[1].losses == expected


def test_each_micro_batch_draws_its_own_dropout():
    model, drawn = classifier(), []
    model.register_forward_hook(lambda *_: drawn.append(torch.rand(1).item()))
    train(model, classification_data(), config(batch_size=4, accumulation=2), collate_fn=collate)
    assert len(drawn) >= 20
    assert len(set(drawn)) == len(drawn)


def test_gradients_left_behind_are_dropped():
    model = classifier()
    model(**collate(list(classification_data(4)))).loss.backward()
    assert fit(model)[1].losses == fit()[1].losses


@pytest.fixture
def no_accelerator():
    """As in a new process: what another test's `Trainer` left would refuse another precision."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def test_trains_after_another_loop_in_bf16(no_accelerator):
    expected = fit()[1].losses
    Accelerator(mixed_precision="bf16", cpu=True)  # as transformers' Trainer does
    assert fit()[1].losses == expected


def test_what_a_model_computes_once_can_be_used_for_training():
    class Scaled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.scale = classifier(), None

        def forward(self, **batch):
            if self.scale is None:
                self.scale = torch.ones((), device=batch["input_ids"].device)
            output = self.inner(**batch)
            output.loss = output.loss * self.scale
            return output

    assert fit(Scaled())[1].losses == fit()[1].losses


def test_frozen_parameters_stay():
    model = classifier()
    model.bert.requires_grad_(False)
    before = {name: p.clone() for name, p in model.named_parameters()}
    fit(model)
    for name, p in model.named_parameters():
        assert torch.equal(p, before[name]) == name.startswith("bert.")


def test_label_smoothing_equals_torch():
    model, batch = classifier(dropout=0), collate(list(classification_data(8)))
    ours = mean_loss(model(**batch), batch["labels"], shifted=False, loss_fn=smoothed(0.1))
    # By hand: 1 − ε of the loss on the label, ε of the mean loss over all classes.
    log_p = F.log_softmax(model(**batch).logits, dim=-1)
    nll = -log_p.gather(1, batch["labels"][:, None]).mean()
    torch.testing.assert_close(ours, 0.9 * nll + 0.1 * -log_p.mean())
    assert fit(label_smoothing=0.1)[1].losses != fit()[1].losses


def test_label_smoothing_refuses_regression():
    data = classification_data(8)
    floats = Dataset.from_dict({"input_ids": data["input_ids"][:], "labels": [0.5] * 8})
    with pytest.raises(ValueError, match=r"label_smoothing=0\.1.*float32"):
        fit(classifier(num_labels=1), floats, label_smoothing=0.1)
    _, history = fit(classifier(num_labels=1), floats)
    assert history.losses[-1] < history.losses[0]


def test_a_causal_model_counts_its_shifted_labels():
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=16, n_layer=1, n_head=2))
    labels = torch.tensor([[5, 6, -100], [7, 8, 9]])
    assert count_labels(model, {"labels": labels}) == 3
    subclass = type("MyModel", (GPT2LMHeadModel,), {})(model.config)
    assert count_labels(subclass, {"labels": labels}) == 3
    assert count_labels(tagger(), {"labels": labels}) == 5
    batch = {"input_ids": labels.clamp(0), "labels": labels}
    output = model.eval()(**batch)
    shifted = mean_loss(output, labels, shifted=True, loss_fn=smoothed(0.0))
    torch.testing.assert_close(shifted, output.loss)


def test_a_nan_stops_the_run_and_names_its_batch(tmp_path):
    data = classification_data()
    model = classifier(dropout=0)
    bad_step = 14
    updates = []

    def poison(examples):
        batch = collate(examples)
        updates.append([example["input_ids"] for example in examples])
        if len(updates) == bad_step + 1:  # one batch is collated to check the dataset
            batch["inputs_embeds"] = torch.full((*batch.pop("input_ids").shape, 16), math.nan)
        return batch

    with pytest.raises(NonFiniteLossError) as caught:
        train(model, data, config(epochs=4, checkpoint_dir=tmp_path), collate_fn=poison)
    message = str(caught.value)
    assert f"Update {bad_step} " in message
    assert "step-00000010" in message, "the checkpoint of the second epoch is the last good one"
    rows = message.split("rows [")[1].split("]", maxsplit=1)[0]
    named = [data[int(row)]["input_ids"] for row in rows.split(",")]
    assert named == updates[bad_step]
    assert not (tmp_path / "step-00000015").exists()


# Precision.


@pytest.mark.native_precision
def test_auto_precision_asks_the_hardware(monkeypatch):
    monkeypatch.setattr(precision_module, "has_native_bf16", lambda _: True)
    assert resolve_precision("auto", CPU) == "bf16"
    monkeypatch.setattr(precision_module, "has_native_bf16", lambda _: False)
    assert resolve_precision("auto", CPU) == "fp32"
    assert resolve_precision("auto", torch.device("cuda")) == "fp16"
    assert resolve_precision("fp32", CPU) == "fp32"


def test_a_precision_the_device_cannot_do(monkeypatch):
    monkeypatch.setattr(precision_module, "has_native_bf16", lambda _: False)
    with pytest.raises(ValueError, match=r"bf16.*emulate"):
        fit(precision="bf16")
    with pytest.raises(ValueError, match=r"fp16.*GPU"):
        fit(precision="fp16")


def test_bf16_trains_near_fp32_with_weights_in_fp32(monkeypatch):
    """Also where bfloat16 is emulated: slow, and the same arithmetic."""
    monkeypatch.setattr(precision_module, "has_native_bf16", lambda _: True)
    model, history = fit(classifier(dropout=0), precision="bf16")
    _, full = fit(classifier(dropout=0))
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert history.losses != full.losses
    assert history.losses == pytest.approx(full.losses, abs=0.05)


# Bad input, before any work is lost.


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": None}, "exactly one"),
        ({"epochs": 1, "steps": 1}, "exactly one"),
        ({"patience": 2}, "patience=2.*best_metric"),
        ({"resume": True}, "checkpoint_dir"),
        ({"checkpoint_every": 5}, "checkpoint_dir"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"learning_rate": -1.0}, "learning_rate=-1.0"),
        ({"warmup_ratio": 500}, "warmup_ratio=500.*share"),
        ({"epochs": 0.5}, r"epochs=0\.5.*whole number"),
        ({"seed": -1}, "seed=-1.*0 or more"),
        ({"best_metric": "loss"}, "higher_is_better=False"),
        ({"label_smoothing": 1.0}, r"label_smoothing=1\.0"),
        ({"weight_decay": math.nan}, "weight_decay=nan"),
        ({"precision": "int8"}, "'int8'.*one of"),
        ({"schedule": "step"}, "'step'.*one of"),
    ],
)
def test_a_config_that_contradicts_itself(changes, message):
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**({"epochs": 1} | changes))


def test_a_dataset_without_labels():
    data = classification_data().remove_columns("labels")
    with pytest.raises(ValueError, match=r"\['attention_mask', 'input_ids'\] but no 'labels'"):
        fit(data=data)
    with pytest.raises(ValueError, match="no 'labels'"):
        evaluate(classifier(), data, collate_fn=collate)


@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize(
    ("make", "data"), [(classifier, classification_data), (tagger, tagging_data)]
)
def test_labels_outside_the_classes(make, data, as_list):
    rows = list(data())
    rows[7]["labels"] = [1, 9] if make is tagger else 9
    bad = rows if as_list else Dataset.from_list(rows)
    with pytest.raises(ValueError, match=r"Row 7\b.*label 9\b.*\b3 classes.*num_labels"):
        fit(make(), bad)


def test_labels_of_a_fixed_length():
    three = List(Value("int64"), length=3)
    rows = {"input_ids": [[1, 2, 3]] * 9, "labels": [[0, 1, 2]] * 8 + [[0, 9, 2]]}
    data = Dataset.from_dict(rows, features=Features(input_ids=three, labels=three))
    assert len(fit(tagger(), data.select(range(8)))[1].losses) == 2
    with pytest.raises(ValueError, match=r"Row 8\b.*label 9\b"):
        fit(tagger(), data)


def test_a_column_of_names_beside_labels_from_collate_fn():
    data = classification_data().rename_column("labels", "number")
    data = data.add_column("label", ["a name"] * len(data))

    def from_numbers(examples):
        return collate(examples) | {"labels": torch.tensor([e["number"] for e in examples])}

    def collate_ids(examples):
        return from_numbers([{k: e[k] for k in ("input_ids", "number")} for e in examples])

    model = classifier()
    history = train(model, data, config(), collate_fn=collate_ids)
    assert history.losses == fit()[1].losses


def test_an_encoder_decoder_makes_its_inputs_from_the_labels():
    from transformers import T5Config, T5ForConditionalGeneration

    shape = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    torch.manual_seed(0)
    model = T5ForConditionalGeneration(
        T5Config(vocab_size=50, decoder_start_token_id=0, pad_token_id=0, **shape)
    )
    _, history = fit(model, tagging_data(), epochs=4)
    assert history.losses[-1] < history.losses[0]
    rows = list(tagging_data())
    rows[7]["labels"] = [50]
    with pytest.raises(ValueError, match=r"Row 7\b.*label 50\b.*\b50 classes"):
        fit(model, rows)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda batch: batch | {"token_type_ids": None}, "NoneType as 'token_type_ids'"),
        (lambda batch: batch | {"text": ["a"]}, "list as 'text'.*remove_columns"),
        (lambda batch: tuple(batch.values()), "dict of tensors.*tuple"),
    ],
)
def test_a_batch_that_is_no_dict_of_tensors(change, message):
    def bad(examples):
        return change(collate(examples))

    for call in (
        lambda: train(classifier(), classification_data(), config(), collate_fn=bad),
        lambda: evaluate(classifier(), classification_data(), collate_fn=bad),
    ):
        with pytest.raises(TypeError, match=message):
            call()


def test_weights_in_half_precision():
    with pytest.raises(ValueError, match=r"torch\.bfloat16.*dtype=torch\.float32"):
        fit(classifier().bfloat16())


def test_an_empty_split():
    empty = classification_data().select([])
    with pytest.raises(ValueError, match="empty"):
        fit(data=empty)
    with pytest.raises(ValueError, match="empty"):
        evaluate(classifier(), empty, collate_fn=collate)


def test_a_sequence_longer_than_the_positions():
    rows = list(classification_data())
    rows[3]["input_ids"] = [1] * (POSITIONS + 1)
    data = Dataset.from_list(rows)
    for call in (lambda: fit(data=data), lambda: evaluate(classifier(), data, collate_fn=collate)):
        with pytest.raises(ValueError, match=r"Row 3\b.*\b33 pieces.*\b32 positions.*truncation"):
            call()


@pytest.mark.parametrize(("padding", "positions"), [(1, POSITIONS), (0, POSITIONS + 1)])
def test_roberta_has_fewer_positions_than_its_table(padding, positions):
    from transformers import RobertaConfig, RobertaForSequenceClassification

    model = RobertaForSequenceClassification(
        RobertaConfig(
            vocab_size=50,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=POSITIONS + 2,
            pad_token_id=padding,
            num_labels=3,
        )
    )
    rows = list(classification_data())
    rows[3]["input_ids"] = [2] * positions
    assert fit(model, rows)[1].losses, "as many as there are is not too many"
    rows[3]["input_ids"] = [2] * (positions + 1)
    with pytest.raises(ValueError, match=f"{positions} positions"):
        fit(model, rows)


def test_a_model_without_a_limit():
    from transformers import XLNetConfig, XLNetForSequenceClassification

    shape = {"d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 16}
    model = XLNetForSequenceClassification(XLNetConfig(vocab_size=50, num_labels=3, **shape))
    assert len(fit(model, epochs=1)[1].losses) == 5


def test_a_best_metric_that_is_not_there():
    with pytest.raises(ValueError, match=r"best_metric='f1'.*\['loss'\]"):
        fit(evaluate_fn=validation_loss, best_metric="f1")
    with pytest.raises(ValueError, match="needs an `evaluate_fn`"):
        fit(best_metric="f1")
    with pytest.raises(ValueError, match="evaluate_every=5 needs an `evaluate_fn`"):
        fit(evaluate_every=5)
    with pytest.raises(TypeError, match=r"evaluate_fn.*None.*dict"):
        fit(evaluate_fn=lambda _: None)


# Checkpoints within one process; test_training_resume.py kills real ones.


def resumable(folder, **changes):
    return fit(checkpoint_dir=folder, checkpoint_every=3, resume=True, **changes)


def test_a_used_folder_is_not_overwritten(tmp_path):
    fit(checkpoint_dir=tmp_path)
    with pytest.raises(CheckpointError, match="resume=True"):
        fit(checkpoint_dir=tmp_path)


def test_a_finished_run_comes_back_as_it_was(tmp_path):
    settings = {"best_metric": "loss", "higher_is_better": False}
    model, history = resumable(tmp_path, evaluate_fn=validation_loss, **settings)
    again, history_again = resumable(tmp_path, evaluate_fn=validation_loss, **settings)
    assert history.losses == history_again.losses
    assert history.best == history_again.best
    for a, b in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def test_only_the_newest_checkpoints_stay_and_whatever_is_not_the_runs_own(tmp_path):
    for left in ("step-00000099.partial", "step-00000001.replaced"):  # by a killed run
        (tmp_path / left).mkdir()
    own = {"step-00000002-keep", "step-00000004.bak", "step-best", "step-123", "step-000000010"}
    for name in own:
        (tmp_path / name).mkdir()
    for name in ("step-notes.txt", "step-00000077", "notes.partial"):
        (tmp_path / name).touch()
    expected = own | {"step-notes.txt", "step-00000077", "notes.partial", ".lock"}
    _, history = resumable(tmp_path)
    written = {"step-00000009", "step-00000010"}
    assert {p.name for p in tmp_path.iterdir()} == expected | written
    assert resumable(tmp_path)[1].losses == history.losses


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    calls = []
    with pytest.raises(FileExistsError):
        fit(checkpoint_dir=tmp_path / "file", evaluate_fn=calls.append)
    assert not calls, "before any work"


def test_numbers_of_numpy_go_into_a_checkpoint(tmp_path):
    numbers = {"a": np.float32(0.5), "b": np.int64(3), "c": np.ones(2), "d": torch.tensor(2)}
    fit(checkpoint_dir=tmp_path, evaluate_fn=lambda _: numbers, steps=np.int64(5))
    _, history = resumable(tmp_path, evaluate_fn=lambda _: {}, steps=5)
    assert history.evaluations == [{"step": 5, "a": 0.5, "b": 3, "c": [1, 1], "d": 2}]


def test_weights_that_lie_transposed_in_memory(tmp_path):
    """As after loading weights of another framework; AdamW's averages must lie like them."""

    def transposed():
        model = classifier()
        linear = model.bert.pooler.dense
        linear.weight = torch.nn.Parameter(linear.weight.detach().T.contiguous().T)
        assert not linear.weight.is_contiguous()
        return model

    settings = {"evaluate_fn": lambda _: {"f1": 1.0}, "best_metric": "f1", "evaluate_every": 10}
    model, history = resumable(tmp_path, model=transposed(), **settings)
    checkpoints = sorted(tmp_path.glob("step-*"))
    shutil.rmtree(checkpoints[1])  # so the last update is done again
    again, history_again = resumable(tmp_path, model=transposed(), **settings)
    assert history.losses == history_again.losses
    for a, b in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def one_row_changed(column):
    data = list(classification_data())
    row = 17  # of 40; neither at an end nor in the middle
    changed = {"input_ids": data[row]["input_ids"][::-1], "labels": (data[row]["labels"] + 1) % 3}
    data[row] = data[row] | {column: changed[column]}
    return data


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"learning_rate": 2e-2}, r"learning_rate: 0\.01 .*0\.02"),
        ({"model": classifier(num_labels=4)}, "model: "),
        ({"model": classifier(num_attention_heads=4)}, "num_attention_heads: 2 .*4"),
        ({"model": classifier(dropout=0.2)}, r"hidden_dropout_prob: 0\.1 .*0\.2"),
        ({"model": classifier(hidden_act="relu")}, "hidden_act: 'gelu' .*'relu'"),
        ({"model": dropping_more()}, "model: "),
        ({"data": classification_data(seed=3)}, "dataset: '40 rows"),
        ({"data": one_row_changed("input_ids")}, "dataset: '40 rows"),
        ({"data": one_row_changed("labels")}, "dataset: '40 rows"),
        ({"data": Dataset.from_list(one_row_changed("labels"))}, "dataset: '40 rows"),
        ({"batch_size": 4}, "batch_size: 8 .*4"),
        ({"steps": 4}, "updates: 10 .*4"),
    ],
)
def test_a_checkpoint_of_another_run(tmp_path, changes, name):
    resumable(tmp_path)
    with pytest.raises(CheckpointError, match=name):
        resumable(tmp_path, **changes)


def rows_of_all_kinds(data):
    """Rows with texts, gaps and nested lists beside their ids, as they come from a file."""
    rows = [
        row | {"text": f"é{i}", "score": None if i % 3 else i / 7} for i, row in enumerate(data)
    ]
    return [row | {"spans": [[i, 2], []] if i % 2 else []} for i, row in enumerate(rows)]


@pytest.mark.parametrize("name", ["text", "score", "spans", "labels", "input_ids"])
@pytest.mark.parametrize("make", [list, Dataset.from_list])
def test_rows_are_the_same_however_they_lie_in_memory_and_others_in_any_value(make, name):
    rows = rows_of_all_kinds(classification_data(2500))
    digest = fingerprint._rows_digest(make(rows))
    assert fingerprint._rows_digest(make(json.loads(json.dumps(rows)))) == digest
    if make is Dataset.from_list:
        parts = [Dataset.from_list(part) for part in (rows[:700], rows[700:701], rows[701:])]
        joined = concatenate_datasets(parts)
        assert fingerprint._rows_digest(joined) == digest
        assert fingerprint._rows_digest(joined.select(range(2500))) == digest
        assert fingerprint._rows_digest(joined.with_format("torch")) == digest
    rows[1701] = rows[1701] | {name: rows[1702][name]}
    if name == "labels":
        rows[1701][name] = (rows[1701][name] + 1) % 3
    assert fingerprint._rows_digest(make(rows)) != digest


CUT = 6


def cutting(examples):
    return collate([{**e, "input_ids": e["input_ids"][:CUT]} for e in examples])


def cutting_to(length):
    return lambda examples: collate([{**e, "input_ids": e["input_ids"][:length]} for e in examples])


@dataclasses.dataclass
class Cutting:
    length: int

    def __call__(self, examples):
        return cutting_to(self.length)(examples)


class Cutter:
    def __init__(self, length):
        self.length = length

    def cut(self, examples):
        return cutting_to(self.length)(examples)


@pytest.mark.parametrize(
    "make",
    [
        cutting_to,
        Cutting,
        lambda length: Cutter(length).cut,
        lambda length: functools.partial(lambda n, examples: cutting_to(n)(examples), length),
    ],
)
def test_a_function_is_part_of_what_a_run_is(tmp_path, monkeypatch, make):
    def go(function):
        settings = config(checkpoint_dir=tmp_path, resume=True)
        return train(classifier(), classification_data(), settings, collate_fn=function)

    assert go(make(5)).losses == go(make(5)).losses
    with pytest.raises(CheckpointError, match="collate_fn: "):
        go(make(6))
    with pytest.raises(CheckpointError, match="collate_fn: "):
        go(collate)
    shutil.rmtree(tmp_path)
    go(cutting)
    monkeypatch.setattr(sys.modules[__name__], "CUT", 5)
    with pytest.raises(CheckpointError, match="collate_fn: "):
        go(cutting)


def test_a_run_goes_on_to_more_epochs_when_it_is_told(tmp_path):
    constant = {"schedule": "constant", "warmup_ratio": 0.0}
    whole, expected = fit(epochs=4, **constant)
    resumable(tmp_path, **constant)
    with pytest.raises(CheckpointError, match=r"epochs: 2 .*4[\s\S]*extend=True"):
        resumable(tmp_path, epochs=4, **constant)
    model, history = resumable(tmp_path, epochs=4, extend=True, **constant)
    assert history.losses == expected.losses
    for a, b in zip(model.parameters(), whole.parameters(), strict=True):
        assert torch.equal(a, b)
    # Now it is that run; only a longer one is an extension.
    assert resumable(tmp_path, epochs=4, **constant)[1].losses == expected.losses
    with pytest.raises(CheckpointError, match=r"updates: 20 .*10"):
        resumable(tmp_path, extend=True, **constant)


def test_a_new_run_starts_from_a_checkpoints_weights(tmp_path):
    trained, _ = fit(checkpoint_dir=tmp_path)
    model = classifier(seed=5)
    checkpoints.load_weights(tmp_path / "step-00000010", model)
    for a, b in zip(model.parameters(), trained.parameters(), strict=True):
        assert torch.equal(a, b)


def cut(file):
    file.write_bytes(file.read_bytes()[:100])


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)


@pytest.mark.parametrize("damage", [cut, flip, Path.unlink])
@pytest.mark.parametrize("name", ["model", "optimizer", "best", "state", "manifest"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_is_gone_on_from(
    tmp_path, damage, name
):
    options = {"evaluate_fn": validation_loss, "best_metric": "loss", "higher_is_better": False}
    _, history = resumable(tmp_path, **options)
    (file,) = (tmp_path / "step-00000010").glob(f"{name}.*")
    damage(file)
    with pytest.raises(CheckpointError, match="step-00000009") as caught:
        resumable(tmp_path, **options)
    assert file.name in str(caught.value)
    shutil.rmtree(file.parent)
    assert resumable(tmp_path, **options)[1].losses == history.losses


def test_a_full_disk_leaves_the_checkpoint_before_it(tmp_path):
    """A limit on a file's size stands in for the disk's end: the system refuses to write on."""
    resource = pytest.importorskip("resource")
    fit(checkpoint_dir=tmp_path, epochs=1)
    before = {p.name: p.read_bytes() for p in (tmp_path / "step-00000005").iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(CheckpointError, match=r"step-00000005.*resume=True") as caught:
            resumable(tmp_path, epochs=2, extend=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert "step-00000006" in str(caught.value)
    assert [p.name for p in tmp_path.glob("step*")] == ["step-00000005"]
    assert {p.name: p.read_bytes() for p in (tmp_path / "step-00000005").iterdir()} == before


def test_a_run_that_was_interrupted_before_its_first_checkpoint_says_so(tmp_path):
    model, seen = classifier(), []

    def interrupted(examples):
        seen.append(examples)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return collate(examples)

    settings = config(checkpoint_dir=tmp_path, resume=True)
    with pytest.raises(KeyboardInterrupt):
        train(model, classification_data(), settings, collate_fn=interrupted)
    with pytest.warns(UserWarning, match="Load the model again"):
        fit(model, checkpoint_dir=tmp_path, resume=True)
    with warnings.catch_warnings(action="error"):
        fit(model)
        fit(classifier(), checkpoint_dir=tmp_path, resume=True)


def test_flushing_seldom_loses_no_record(monkeypatch):
    expected = fit()[1].losses
    monkeypatch.setattr(run_module, "FLUSH_EVERY", 3)
    assert fit()[1].losses == expected


def test_only_the_newest_checkpoints_stay(tmp_path):
    (tmp_path / "step-00000099.partial").mkdir()  # as a killed run leaves it
    (tmp_path / "notes.partial").touch()  # the user's own
    resumable(tmp_path)
    names = [".lock", "notes.partial", "step-00000009", "step-00000010"]
    assert sorted(p.name for p in tmp_path.iterdir()) == names
