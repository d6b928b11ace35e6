"""The metrics against values worked out by hand, with the Hub's interface, and no network."""

import math
import socket

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from helpers.training import metrics

TRUE = [0, 1, 1, 2, 2, 2]
GUESS = [0, 1, 0, 2, 2, 1]


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("a metric asked for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_accuracy():
    metric = metrics.load("accuracy")
    assert metric.compute(predictions=GUESS, references=TRUE) == {"accuracy": 4 / 6}
    metric.add_batch(predictions=[1], references=[1])
    metric.add(prediction=0, reference=1)
    assert metric.compute() == {"accuracy": 0.5}


@pytest.mark.parametrize(
    ("name", "per_class"),
    [
        ("precision", [1 / 2, 1 / 2, 1]),
        ("recall", [1, 1 / 2, 2 / 3]),
        ("f1", [2 / 3, 1 / 2, 4 / 5]),
    ],
)
def test_class_metrics_by_hand(name, per_class):
    metric = metrics.load(name)
    by_class = metric.compute(predictions=GUESS, references=TRUE, average=None)[name]
    assert by_class == pytest.approx(per_class)
    macro = metric.compute(predictions=GUESS, references=TRUE, average="macro")[name]
    assert isinstance(macro, float)
    assert macro == pytest.approx(sum(per_class) / 3)
    binary = metric.compute(predictions=[1, 1, 0, 0], references=[1, 0, 1, 0])[name]
    assert binary == pytest.approx(0.5)


def test_matthews_correlation():
    metric = metrics.load("matthews_correlation")
    tp, tn, fp, fn = 3, 2, 1, 2
    predictions = [1] * (tp + fp) + [0] * (tn + fn)
    references = [1] * tp + [0] * fp + [0] * tn + [1] * fn
    expected = (tp * tn - fp * fn) / math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    result = metric.compute(predictions=predictions, references=references)
    assert result == {"matthews_correlation": pytest.approx(expected)}


def test_seqeval_counts_entities():
    references = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "B-PER"]]
    predictions = [["B-PER", "O", "O", "B-LOC"], ["O", "B-PER"]]
    result = metrics.load("seqeval").compute(predictions=predictions, references=references)
    # One PER is cut short, so it is wrong; the other PER and the LOC are right.
    assert result["PER"] == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "number": 2}
    assert result["LOC"] == {"precision": 1, "recall": 1, "f1": 1, "number": 1}
    assert result["overall_f1"] == pytest.approx(2 / 3)
    assert result["overall_accuracy"] == pytest.approx(5 / 6)


def test_seqeval_strict_refuses_an_entity_that_starts_inside():
    tags = {"references": [["B-PER", "O"]], "predictions": [["I-PER", "O"]]}
    metric = metrics.load("seqeval")
    assert metric.compute(**tags)["overall_f1"] == 1
    strict = metric.compute(**tags, mode="strict", scheme="IOB2", zero_division=0)
    assert strict["overall_f1"] == 0


@pytest.fixture(scope="module")
def language_model(tmp_path_factory):
    """A tiny random GPT-2 with a vocabulary of whole words."""
    folder = str(tmp_path_factory.mktemp("gpt2"))
    words = {word: i for i, word in enumerate(["<s>", "<unk>", "a", "b", "c", "d"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", unk_token="<unk>")
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=6, n_embd=8, n_layer=1, n_head=2, initializer_range=1.0)
    model = GPT2LMHeadModel(config).eval()
    model.save_pretrained(folder)
    return folder, model


@pytest.mark.parametrize("add_start_token", [True, False])
def test_perplexity_by_the_chain_rule(language_model, add_start_token):
    folder, model = language_model
    texts = {"a b c d": [2, 3, 4, 5], "d d": [5, 5]}
    result = metrics.load("perplexity").compute(
        predictions=list(texts), model_id=folder, add_start_token=add_start_token
    )
    for text, perplexity in zip(texts.values(), result["perplexities"], strict=True):
        ids = ([0] if add_start_token else []) + text
        nll = []
        for t in range(1, len(ids)):  # one token after the other, without padding
            with torch.inference_mode():
                logits = model(torch.tensor([ids[:t]])).logits[0, -1]
            nll.append(-logits.log_softmax(-1)[ids[t]].item())
        assert perplexity == pytest.approx(math.exp(sum(nll) / len(nll)), rel=1e-4)
    assert result["mean_perplexity"] == pytest.approx(sum(result["perplexities"]) / 2)


def test_perplexity_of_a_text_without_a_prediction(language_model):
    with pytest.raises(ValueError, match=r"Text 1 \('b'\) is too short"):
        metrics.load("perplexity").compute(
            predictions=["a b", "b"], model_id=language_model[0], add_start_token=False
        )


def test_a_metric_that_does_not_exist():
    with pytest.raises(ValueError, match=r"no metric 'acuracy'\. Did you mean 'accuracy'\?.*'f1'"):
        metrics.load("acuracy")
