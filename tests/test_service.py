"""The example service: what it answers, what it refuses and how, and what it logs."""

import json
import logging

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from examples.service.classifier import Classifier, InputError, Limits, ModelError
from tests import small_classifier

LIMITS = Limits(texts=3, characters=100, pieces=8)
SECRET = "The striker scored twice."


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_classifier.save(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture(scope="module")
def classifier(folder):
    return Classifier(folder, LIMITS)


@pytest.fixture(scope="module")
def client(classifier):
    pytest.importorskip("fastapi", reason="the service needs the extra serve")
    testclient = pytest.importorskip("fastapi.testclient", reason="the client needs httpx")
    from examples.service.app import create_app

    return testclient.TestClient(create_app(classifier))


def test_predictions_are_the_models(classifier, folder):
    texts = [SECRET, "Shares fell."]
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for text, found in zip(texts, classifier(texts), strict=True):
        with torch.inference_mode():  # alone, without the other text's padding
            expected = model(**tokenizer(text, return_tensors="pt")).logits.softmax(-1)[0]
        by_label = [found.probabilities[label] for label in classifier.labels]
        torch.testing.assert_close(torch.tensor(by_label), expected, rtol=0, atol=1e-5)
        assert found.label == classifier.labels[expected.argmax()]
        assert not found.truncated


@pytest.mark.parametrize(("words", "pieces", "truncated"), [(6, 8, False), (7, 8, True)])
def test_a_text_longer_than_the_limit_is_cut_and_said_to_be(classifier, words, pieces, truncated):
    [found] = classifier(["bank " * words])
    assert (found.pieces, found.truncated) == (pieces, truncated)


REFUSED = {
    "wrong_type": ["a text", 3, None, {"a": 1}, [3], ["a", None]],
    "no_texts": [[]],
    "too_many": [["a"] * 4],
    "too_long": [["a" * 101]],
    "empty": [[""], ["a", "  \n"], ["…!"], ["\u200b"]],
    "not_text": [["half of \ud83d"]],
}


@pytest.mark.parametrize(
    ("code", "texts"), [(code, texts) for code, cases in REFUSED.items() for texts in cases]
)
def test_what_is_refused_has_a_code(classifier, code, texts):
    with pytest.raises(InputError) as refused:
        classifier(texts)
    assert refused.value.code == code


def test_the_limits_themselves_are_allowed(classifier):
    assert len(classifier(["a" * 100] * 3)) == 3
    assert classifier(["9", "新闻"])  # digits, and letters of any script


def test_health_names_model_and_labels(client):
    answer = client.get("/health")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "model": "small", "labels": ["business", "sport"]}


def test_predictions_come_in_order(client, classifier):
    texts = ["shares fell", SECRET]
    found = client.post("/predict", json={"texts": texts}).json()
    assert found["model"] == "small"
    assert [row["label"] for row in found["predictions"]] == [p.label for p in classifier(texts)]
    assert sum(found["predictions"][0]["probabilities"].values()) == pytest.approx(1, abs=1e-5)


BODIES = {
    b'{"texts": ["caf\xe9"]}': (400, "not_utf8"),
    b'{"texts": [': (400, "not_json"),
    b"": (400, "not_json"),
    b"9" * 5000: (400, "not_json"),  # more digits than Python makes a number of
    '{"texts": ["a"]}'.encode("utf-16"): (400, "not_utf8"),
    b'{"texts": ["\\ud83d"]}': (422, "not_text"),
    b"[" * 100_000: (400, "not_json"),
    b'["a"]': (422, "wrong_type"),
    b'{"text": "a"}': (422, "wrong_type"),
    b'{"texts": "a"}': (422, "wrong_type"),
    b'{"texts": [" "]}': (422, "empty"),
    b'{"texts": ["' + b"a" * 200 + b'"]}': (422, "too_long"),
    b" " * (2**20 + 1): (413, "too_large"),
}


@pytest.mark.parametrize("body", BODIES, ids=[code for _, code in BODIES.values()])
def test_what_the_service_refuses(client, body):
    status, code = BODIES[body]
    answer = client.post("/predict", content=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.json()["error"]["message"]


def test_a_mark_at_the_start_and_a_new_line_at_the_end_do_no_harm(client):
    body = '\ufeff{"texts": ["shares fell"]}\r\n'.encode()
    assert client.post("/predict", content=body).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "no_such_address"),
        ("GET", "/predict?text=striker", 405, "wrong_method"),
        ("POST", "/health", 405, "wrong_method"),
    ],
)
def test_another_address_or_method_is_refused_in_the_same_form(client, method, path, status, code):
    answer = client.request(method, path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert "striker" not in answer.text


def test_a_failure_of_the_model_is_told_without_the_text(folder):
    testclient = pytest.importorskip("fastapi.testclient", reason="the client needs httpx")
    from examples.service.app import create_app

    broken = Classifier(folder, LIMITS)
    broken._model = lambda **_: 1 / 0
    client = testclient.TestClient(create_app(broken), raise_server_exceptions=False)
    answer = client.post("/predict", json={"texts": [SECRET]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "failed")
    assert "ZeroDivisionError" in answer.text and "striker" not in answer.text


def test_a_model_that_would_answer_nonsense_is_refused(folder, tmp_path):
    with pytest.raises(ModelError, match="can't be loaded"):
        Classifier(tmp_path / "none")
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for name in ("bare", "several"):
        tokenizer.save_pretrained(tmp_path / name)
    model.bert.save_pretrained(tmp_path / "bare")
    with pytest.raises(ModelError, match=r"classifier\.bias"):
        Classifier(tmp_path / "bare")
    model.config.problem_type = "multi_label_classification"
    model.save_pretrained(tmp_path / "several")
    with pytest.raises(ModelError, match="softmax"):
        Classifier(tmp_path / "several")


def test_a_model_that_reads_less_than_the_limit_sets_it(folder, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(folder, model_max_length=6)
    tokenizer.save_pretrained(tmp_path)
    AutoModelForSequenceClassification.from_pretrained(folder).save_pretrained(tmp_path)
    [found] = Classifier(tmp_path, LIMITS)(["bank " * 20])
    assert (found.pieces, found.truncated) == (6, True)


def test_the_log_has_counts_and_no_text(client, caplog):
    caplog.set_level(logging.INFO, logger="service")
    client.post("/predict", json={"texts": [SECRET, "shares fell " * 8]})
    client.post("/predict", json={"texts": [SECRET, 3]})
    lines = [
        json.loads(record.getMessage()) for record in caplog.records if record.name == "service"
    ]
    assert lines[0]["texts"] == 2 and lines[0]["truncated"] == 1
    assert len(lines[0]["confidence"]) == 2
    assert lines[1] == {"refused": "wrong_type", "status": 422}
    assert not any(word in json.dumps(lines).lower() for word in ("striker", "scored", "fell"))
