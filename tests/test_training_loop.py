"""`train` against loops written out by hand, its settings one by one, and bad input."""

import math

import pytest
import torch
import torch.nn.functional as F
from datasets import Dataset

from helpers.training import precision as precision_module
from helpers.training import run as run_module
from helpers.training.batches import plan_epoch, sequence_lengths, take
from helpers.training.checkpoints import CheckpointError
from helpers.training.loop import NonFiniteLossError, TrainingConfig, evaluate, train
from helpers.training.objective import compute_loss, count_labels
from helpers.training.optim import adamw, learning_rate_factor
from helpers.training.precision import resolve_precision
from tests.tiny import POSITIONS, classification_data, classifier, collate, tagger, tagging_data

CPU = torch.device("cpu")


def config(**changes) -> TrainingConfig:
    defaults = {"epochs": 2, "batch_size": 8, "precision": "fp32", "progress": False}
    if "steps" in changes:
        del defaults["epochs"]
    return TrainingConfig(**(defaults | {"learning_rate": 1e-2} | changes))


def fit(model=None, data=None, evaluate=None, **changes):
    model = model or classifier()
    data = data if data is not None else classification_data()
    return model, train(model, data, config(**changes), collate_fn=collate, evaluate=evaluate)


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
    assert history.losses == pytest.approx(expected, abs=1e-6)
    for ours, theirs in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "data"), [(classifier, classification_data), (tagger, tagging_data)]
)
def test_accumulation_equals_one_large_batch(make, data):
    """Also for tags, where micro-batches hold different numbers of labels."""
    large, large_history = fit(make(dropout=0), data(), batch_size=16)
    small, small_history = fit(make(dropout=0), data(), batch_size=4, accumulation=4)
    assert small_history.losses == pytest.approx(large_history.losses, abs=1e-6)
    for a, b in zip(large.parameters(), small.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=2e-6)


def test_a_mean_of_batch_means_would_be_another_loss():
    """The test above can fail: the micro-batches' plain mean differs from the token mean."""
    model, data = tagger(dropout=0), tagging_data(8)
    parts = [collate(take(data, rows)) for rows in sequence_lengths(data).argsort().reshape(2, 4)]
    whole = collate(list(data))
    with torch.no_grad():
        losses = torch.stack([model(**part).loss for part in parts])
        counts = torch.tensor([count_labels(model, part) for part in parts])
        exact = model(**whole).loss
    assert (losses.mean() - exact).abs() > 1e-4, "a hundred times the tolerance above"
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
    assert small_history.losses == pytest.approx(large_history.losses, abs=1e-6)
    for a, b in zip(large.parameters(), small.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=2e-6)


def test_an_update_without_labels_is_an_error():
    rows = [row | {"labels": [-100] * len(row["labels"])} for row in tagging_data(8)]
    with pytest.raises(ValueError, match="Update 1 has no label"):
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
    assert fit(steps=10, evaluate=validation_loss)[1].losses == fit(epochs=2)[1].losses


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
    assert max(seen) <= 0.1 + 1e-6
    assert min(record["grad_norm"] for record in history.records) > 0.1


def test_best_weights_are_reloaded_and_patience_stops():
    accuracies = iter([0.5, 0.9, 0.8, 0.7, 0.95])
    weights = []

    def scripted(model):
        weights.append({k: v.clone() for k, v in model.state_dict().items()})
        return {"accuracy": next(accuracies)}

    model, history = fit(epochs=5, evaluate=scripted, best_metric="accuracy", patience=2)
    assert history.stopped_early
    assert [e["accuracy"] for e in history.evaluations] == [0.5, 0.9, 0.8, 0.7]
    assert history.best == {"step": 10, "accuracy": 0.9}
    for name, value in model.state_dict().items():
        assert torch.equal(value, weights[1][name])
        assert name.endswith("position_ids") or not torch.equal(value, weights[3][name])


def test_a_metric_where_lower_is_better():
    values = iter([0.5, 0.9])
    _, history = fit(
        evaluate=lambda _: {"loss": next(values)}, best_metric="loss", higher_is_better=False
    )
    assert history.best["loss"] == 0.5


def test_evaluation_leaves_the_run_as_it_was():
    assert fit()[1].losses == fit(evaluate=validation_loss, evaluate_every=2)[1].losses


def test_frozen_parameters_stay():
    model = classifier()
    model.bert.requires_grad_(False)
    before = {name: p.clone() for name, p in model.named_parameters()}
    fit(model)
    for name, p in model.named_parameters():
        assert torch.equal(p, before[name]) == name.startswith("bert.")


def test_label_smoothing_equals_torch():
    model, batch = classifier(dropout=0), collate(list(classification_data(8)))
    ours = compute_loss(model, batch, shifted=False, label_smoothing=0.1)
    # By hand: 1 − ε of the loss on the label, ε of the mean loss over all classes.
    log_p = F.log_softmax(model(**batch).logits, dim=-1)
    nll = -log_p.gather(1, batch["labels"][:, None]).mean()
    torch.testing.assert_close(ours, 0.9 * nll + 0.1 * -log_p.mean())
    assert fit(label_smoothing=0.1)[1].losses != fit()[1].losses


def test_label_smoothing_refuses_regression():
    data = classification_data(8)
    floats = Dataset.from_dict({"input_ids": data["input_ids"][:], "labels": [0.5] * 8})
    with pytest.raises(ValueError, match=r"label_smoothing=0\.1 needs class labels"):
        fit(classifier(num_labels=1), floats, label_smoothing=0.1)
    _, history = fit(classifier(num_labels=1), floats)
    assert history.losses[-1] < history.losses[0]


def test_a_causal_model_counts_its_shifted_labels():
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=16, n_layer=1, n_head=2))
    labels = torch.tensor([[5, 6, -100], [7, 8, 9]])
    assert count_labels(model, {"labels": labels}) == 3
    assert count_labels(tagger(), {"labels": labels}) == 5
    batch = {"input_ids": labels.clamp(0), "labels": labels}
    shifted = compute_loss(model.eval(), batch, shifted=True, label_smoothing=1e-12)
    torch.testing.assert_close(shifted, model(**batch).loss)


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
        ({"patience": 2}, "patience=2 needs a metric"),
        ({"resume": True}, "checkpoint_dir"),
        ({"checkpoint_every": 5}, "checkpoint_dir"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"learning_rate": -1.0}, "learning_rate=-1.0"),
        ({"warmup_ratio": 500}, "share of the run"),
        ({"label_smoothing": 1.0}, r"label_smoothing=1\.0"),
        ({"weight_decay": math.nan}, "weight_decay=nan"),
        ({"precision": "int8"}, "'int8'.*choose one of"),
        ({"schedule": "step"}, "'step'.*choose one of"),
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
    with pytest.raises(ValueError, match="Row 7 has the label 9, but the model tells 3 classes"):
        fit(make(), bad)


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
        with pytest.raises(ValueError, match=r"Row 3 has 33 pieces.*32 positions"):
            call()


def test_roberta_has_fewer_positions_than_its_table():
    from transformers import RobertaConfig, RobertaForSequenceClassification

    model = RobertaForSequenceClassification(
        RobertaConfig(
            vocab_size=50,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=POSITIONS + 2,
        )
    )
    rows = list(classification_data())
    rows[3]["input_ids"] = [2] * (POSITIONS + 1)
    with pytest.raises(ValueError, match="32 positions"):
        fit(model, Dataset.from_list(rows))


def test_a_best_metric_that_is_not_there():
    with pytest.raises(ValueError, match=r"best_metric='f1'.*\['loss'\]"):
        fit(evaluate=validation_loss, best_metric="f1")
    with pytest.raises(ValueError, match="needs an `evaluate` function"):
        fit(best_metric="f1")


# Checkpoints within one process; test_training_resume.py kills real ones.


def resumable(folder, **changes):
    return fit(checkpoint_dir=folder, checkpoint_every=3, resume=True, **changes)


def test_a_used_folder_is_not_overwritten(tmp_path):
    fit(checkpoint_dir=tmp_path)
    with pytest.raises(CheckpointError, match="resume=True"):
        fit(checkpoint_dir=tmp_path)


def test_a_finished_run_comes_back_as_it_was(tmp_path):
    model, history = resumable(tmp_path, evaluate=validation_loss, best_metric="loss")
    again, history_again = resumable(tmp_path, evaluate=validation_loss, best_metric="loss")
    assert history.losses == history_again.losses
    assert history.best == history_again.best
    for a, b in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def test_only_the_newest_checkpoints_stay(tmp_path):
    (tmp_path / "step-00000099.partial").mkdir()  # as a killed run leaves it
    resumable(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000009", "step-00000010"]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"learning_rate": 2e-2}, "learning_rate: 0.01 there, 0.02 now"),
        ({"model": classifier(num_labels=4)}, "model: "),
        ({"data": classification_data(seed=3)}, "dataset: '40 rows"),
        ({"batch_size": 4}, "batch_size: 8 there, 4 now"),
    ],
)
def test_a_checkpoint_of_another_run(tmp_path, changes, name):
    resumable(tmp_path)
    with pytest.raises(CheckpointError, match=name):
        resumable(tmp_path, **changes)


def test_a_damaged_checkpoint(tmp_path):
    resumable(tmp_path)
    weights = tmp_path / "step-00000010" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="Delete this folder to go on from the one before"):
        resumable(tmp_path)


def test_flushing_seldom_loses_no_record(monkeypatch):
    expected = fit()[1].losses
    monkeypatch.setattr(run_module, "FLUSH_EVERY", 3)
    assert fit()[1].losses == expected
