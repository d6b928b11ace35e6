"""Predictions in the dataset's order, means over labels, and the model left as it was."""

import numpy as np
import pytest
import torch

from helpers.training.evaluation import evaluate, predict
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
