"""The metrics against values worked out by hand, with the Hub's interface, and no network."""

import copy
import math
import socket

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import classification_report, f1_score
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

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


@pytest.mark.parametrize("name", ["accuracy", "f1", "matthews_correlation"])
@pytest.mark.parametrize("values", [[0.2, 0.9], [[0, 1], [1, 0]], ["a", "b"], [0, None]])
def test_what_is_no_class_is_refused(name, values):
    for pair in ((values, [0, 1]), ([0, 1], values)):
        with pytest.raises(ValueError, match="argmax"):
            metrics.load(name).compute(predictions=pair[0], references=pair[1])


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


def test_seqeval_of_other_schemes():
    bilou = [["B-PER", "L-PER", "U-LOC"]]
    metric = metrics.load("seqeval")
    result = metric.compute(predictions=bilou, references=bilou, mode="strict", scheme="BILOU")
    assert result["PER"]["number"] == result["LOC"]["number"] == 1
    iobes = [["B-PER", "E-PER", "S-LOC"]]
    assert metric.compute(predictions=iobes, references=iobes)["LOC"]["number"] == 1
    for tags in (bilou, [["o", "B-PER", "I-PER"]]):
        with pytest.raises(ValueError, match=f"Sentence 0.*{tags[0][-2]}|Sentence 0.*'o'"):
            metric.compute(predictions=tags, references=tags)


def some_answers(n=300, classes=3, seed=0):
    generator = np.random.default_rng(seed)
    true = generator.integers(classes, size=n)
    return true, np.where(generator.random(n) < 0.7, true, generator.integers(classes, size=n))


def test_a_report_has_scikit_learns_values():
    true, guess = some_answers()
    report = metrics.class_report(true, guess, np.random.default_rng(0), names=["a", "b", "c"])
    theirs = classification_report(true, guess, target_names=["a", "b", "c"], output_dict=True)
    for ours, name in (*zip("abc", "abc", strict=True), ("macro", "macro avg")):
        for score, key in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
            assert report[ours][score].mean == pytest.approx(theirs[name][key])
        assert report[ours]["support"] == theirs[name]["support"]
    for score in ("precision", "recall", "f1"):
        assert report["micro"][score].mean == pytest.approx(theirs["accuracy"])


def test_a_report_of_a_class_that_never_comes():
    report = metrics.class_report([0, 0], [0, 1], np.random.default_rng(0), names=["a", "b", "c"])
    assert report["c"]["f1"] == (0, 0, 0)
    assert report["macro"]["recall"].mean == pytest.approx(0.5 / 3)


def test_the_intervals_of_a_report_are_the_bootstraps():
    true, guess = some_answers()
    report = metrics.class_report(true, guess, np.random.default_rng(1), resamples=4000)
    found = stats.bootstrap(
        (true, guess),
        lambda t, g: f1_score(t, g, average="macro"),
        paired=True,
        vectorized=False,
        n_resamples=400,
        method="percentile",
        rng=np.random.default_rng(2),
    ).confidence_interval
    assert report["macro"]["f1"][1:] == pytest.approx(tuple(found), abs=0.012)
    assert report["macro"]["f1"].low < report["macro"]["f1"].mean < report["macro"]["f1"].high


def test_whole_groups_are_drawn():
    """Ten copies of each row are no new rows: the interval is that of the thirty."""
    true, guess = some_answers(30)
    many = np.repeat(true, 10), np.repeat(guess, 10)
    alone = metrics.class_report(true, guess, np.random.default_rng(0))["micro"]["f1"]
    grouped = metrics.class_report(
        *many, np.random.default_rng(0), groups=np.repeat(np.arange(30), 10)
    )["micro"]["f1"]
    apart = metrics.class_report(*many, np.random.default_rng(0))["micro"]["f1"]
    assert grouped == pytest.approx(alone)
    assert apart.high - apart.low < 0.5 * (grouped.high - grouped.low)


@pytest.mark.parametrize(
    ("true", "guess", "named"),
    [([0, 1], [0], "2 references.* 1 pred"), ([0, -100], [0, 1], "-100"), ([], [], "0 ref")],
)
def test_a_report_of_what_does_not_fit(true, guess, named):
    values = (np.array(values, dtype=int) for values in (true, guess))
    with pytest.raises(ValueError, match=named):
        metrics.class_report(*values, np.random.default_rng(0))


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


def test_perplexity_of_a_checkpoint_in_bf16_is_that_of_its_values(language_model, tmp_path):
    folder, model = language_model
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path)
    values = []
    for dtype in (torch.bfloat16, torch.float32):  # the same values in both
        copy.deepcopy(model).to(torch.bfloat16).to(dtype).save_pretrained(tmp_path)
        result = metrics.load("perplexity").compute(predictions=["a b c d"], model_id=str(tmp_path))
        assert result["precision"] == "fp32"
        values += result["perplexities"]
    assert values[0] == values[1]


def test_perplexity_of_a_text_without_a_prediction(language_model):
    with pytest.raises(ValueError, match=r"Text 1 \('b'\)"):
        metrics.load("perplexity").compute(
            predictions=["a b", "b"], model_id=language_model[0], add_start_token=False
        )


def test_a_metric_that_does_not_exist():
    with pytest.raises(ValueError, match=r"'acuracy'.*'accuracy'\?.*'f1'"):
        metrics.load("acuracy")
