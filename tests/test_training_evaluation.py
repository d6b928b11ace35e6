"""Predictions in the dataset's order, means over labels, and the model left as it was."""

import numpy as np
import pytest
import torch

from helpers.training import precision
from helpers.training.evaluation import evaluate, predict
from helpers.training.loop import TrainingConfig, train
from tests.tiny import classification_data, classifier, collate, tagger, tagging_data


@pytest.mark.parametrize(
    ("make", "data"), [(classifier, classification_data), (tagger, tagging_data)]
)
def test_predictions_equal_one_row_at_a_time(make, data):
    model, rows = make(), data(23)
    result = predict(model, rows, collate_fn=collate, batch_size=4)
    model.eval()
    for i, row in enumerate(rows):
        with torch.inference_mode():
            logits = model(**collate([row])).logits[0].numpy()
        np.testing.assert_allclose(result.logits[i], logits, rtol=0, atol=1e-5)
        assert np.array_equal(result.labels[i], row["labels"])


@pytest.mark.parametrize(
    ("make", "data"), [(classifier, classification_data), (tagger, tagging_data)]
)
def test_the_loss_does_not_depend_on_the_batches(make, data):
    model, rows = make(), data(23)
    with torch.inference_mode():
        whole = model.eval()(**collate(list(rows))).loss.item()
    for batch_size in (1, 4, 64):
        loss = evaluate(model, rows, collate_fn=collate, batch_size=batch_size)["loss"]
        assert loss == pytest.approx(whole, abs=1e-5)


def test_a_batch_without_labels_adds_nothing():
    rows = list(tagging_data(8))
    expected = evaluate(tagger(), rows[1:], collate_fn=collate)["loss"]
    rows[0] = rows[0] | {"labels": [-100] * len(rows[0]["labels"])}
    for call in (evaluate, lambda *args, **kwargs: vars(predict(*args, **kwargs))):
        loss = call(tagger(), rows, collate_fn=collate, batch_size=1)["loss"]
        assert loss == pytest.approx(expected, abs=1e-5)
    with pytest.raises(ValueError, match="no label"):
        evaluate(tagger(), rows[:1], collate_fn=collate)


def test_blocks_of_one_length_need_no_mask():
    rows = [{"input_ids": [1, 2, 3], "labels": [1, 2, 0]}] * 3

    def without_mask(examples):
        batch = collate(examples)
        del batch["attention_mask"]
        return batch

    masked = predict(tagger(), rows, collate_fn=collate)
    bare = predict(tagger(), rows, collate_fn=without_mask)
    assert bare.loss == pytest.approx(masked.loss, abs=1e-5)
    for a, b in zip(bare.logits, masked.logits, strict=True):  # attention by another kernel
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


def test_a_sequence_of_several_classes():
    model = classifier()
    model.config.problem_type = "multi_label_classification"
    truth = np.eye(3, dtype=np.float32)[[0, 2, 1, 0, 2]]
    data = classification_data(5).remove_columns("labels").add_column("row", list(range(5)))

    def collate_several(examples):
        labels = torch.tensor(truth[[example["row"] for example in examples]])
        return collate(examples) | {"labels": labels}

    result = predict(model, data, collate_fn=collate_several, batch_size=2)
    assert np.array_equal(result.labels, truth)
    p = 1 / (1 + np.exp(-result.logits))
    expected = -(truth * np.log(p) + (1 - truth) * np.log(1 - p)).mean()
    assert result.loss == pytest.approx(expected, abs=1e-5)


def test_metrics_see_the_predictions():
    def accuracy(predictions):
        return {"accuracy": float((predictions.logits.argmax(-1) == predictions.labels).mean())}

    model, rows = classifier(), classification_data()
    result = evaluate(model, rows, collate_fn=collate, compute_metrics=accuracy)
    assert set(result) == {"loss", "accuracy"}
    assert result["loss"] == pytest.approx(evaluate(model, rows, collate_fn=collate)["loss"])
    predictions = predict(model, rows, collate_fn=collate)
    assert result["accuracy"] == np.mean(predictions.logits.argmax(-1) == rows["labels"][:])


def test_each_module_gets_its_mode_back():
    model = classifier()
    model.train()
    model.bert.embeddings.eval()
    evaluate(model, classification_data(4), collate_fn=collate)
    assert model.training
    assert model.bert.encoder.training
    assert not model.bert.embeddings.training


def test_rows_without_labels_are_predicted():
    for make, data in ((classifier, classification_data), (tagger, tagging_data)):
        model, rows = make(), data(9)
        with_labels = predict(model, rows, collate_fn=collate)
        found = predict(model, rows.remove_columns("labels"), collate_fn=collate)
        assert found.labels is None
        assert found.loss is None
        for ours, theirs in zip(found.logits, with_labels.logits, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-5)
        with pytest.raises(ValueError, match="no 'labels'"):
            evaluate(model, rows.remove_columns("labels"), collate_fn=collate)


class Remembers(torch.nn.Module):
    """Keeps a tensor of its first pass, as models keep masks and positions."""

    def __init__(self):
        super().__init__()
        self.inner, self.kept = classifier(dropout=0), None

    def forward(self, input_ids, attention_mask, labels):
        if self.kept is None:
            self.kept = torch.ones(3) * 2
        output = self.inner(input_ids, attention_mask, labels=labels)
        output.loss = output.loss * (output.logits * self.kept).square().mean()
        return output


def test_a_model_that_was_evaluated_can_be_trained():
    model, rows = Remembers(), classification_data(8)
    evaluate(model, rows, collate_fn=collate)
    config = TrainingConfig(steps=1, progress=False)
    assert len(train(model, rows, config, collate_fn=collate).losses) == 1


@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float16])
def test_metrics_are_computed_in_fp32_whatever_the_weights(stored):
    model, rows = classifier().to(stored), classification_data(8)
    whole = classifier().to(stored).float()
    found = predict(model, rows, collate_fn=collate)
    expected = predict(whole, rows, collate_fn=collate)
    assert found.precision == "fp32"
    assert np.array_equal(found.logits, expected.logits)
    assert found.loss == evaluate(model, rows, collate_fn=collate)["loss"] == expected.loss
    assert {p.dtype for p in model.parameters()} == {stored}


@pytest.mark.native_precision
def test_another_precision_is_named(monkeypatch):
    monkeypatch.setattr(precision, "has_native_bf16", lambda _: True)
    rows = classification_data(8)
    for asked, used in (("auto", "bf16"), ("fp32", "fp32")):
        assert predict(classifier(), rows, collate_fn=collate, precision=asked).precision == used
    assert predict(classifier(), rows, collate_fn=collate).precision == "fp32"
