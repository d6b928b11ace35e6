"""The mean-pooling classifier against its definition, and through a save and a load."""

import json
import logging

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForSequenceClassification
from transformers.utils import logging as transformers_logging

from helpers.models.classification import MeanPoolClassifier, MeanPoolConfig
from helpers.models.modernbert import ModernBert, ModernBertConfig
from tests.tiny import bert_config, classification_data, classifier, collate


def model():
    torch.manual_seed(0)
    return MeanPoolClassifier(bert_config()).eval()


def test_logits_and_loss_by_hand():
    classifier, rows = model(), list(classification_data(6))
    batch = collate(rows)
    with torch.inference_mode():
        output = classifier(**batch)
        means = []
        for row in rows:  # one at a time, so without padding
            ids = torch.tensor([row["input_ids"]])
            means.append(classifier.bert(input_ids=ids).last_hidden_state[0].mean(0))
        logits = classifier.classifier(torch.stack(means))
    torch.testing.assert_close(output.logits, logits, rtol=0, atol=1e-5)
    torch.testing.assert_close(output.loss, F.cross_entropy(logits, batch["labels"]))
    assert classifier(batch["input_ids"], batch["attention_mask"]).loss is None


def test_padding_changes_nothing():
    classifier, batch = model(), collate(list(classification_data(6)))
    longer = {key: F.pad(batch[key], (0, 5), value=0) for key in ("input_ids", "attention_mask")}
    longer["input_ids"][:, -5:] = 7  # whatever stands there
    with torch.inference_mode():
        torch.testing.assert_close(
            classifier.embed(**longer),
            classifier.embed(batch["input_ids"], batch["attention_mask"]),
            rtol=0,
            atol=1e-5,
        )


@pytest.fixture
def warnings_of_transformers():
    """Messages of transformers' loggers at warning level and above, whoever filters stderr."""
    messages = []

    class Collector(logging.Handler):
        def emit(self, record):
            messages.append(record.getMessage())

    handler = Collector(level=logging.WARNING)
    logger = transformers_logging.get_logger("transformers")
    logger.addHandler(handler)
    yield messages
    logger.removeHandler(handler)


def test_a_saved_model_comes_back(tmp_path, warnings_of_transformers):
    classifier = model()
    classifier.save_pretrained(tmp_path)
    again, loading = MeanPoolClassifier.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(loading.values()), loading
    assert isinstance(again.config, MeanPoolConfig)
    assert again.config.num_labels == 3
    for (name, a), b in zip(
        classifier.state_dict().items(), again.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name
    assert not warnings_of_transformers


def test_it_is_saved_under_a_type_of_its_own(tmp_path):
    model().save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert settings["model_type"] == "mean-pool-bert"
    assert settings["architectures"] == ["MeanPoolClassifier"]


@pytest.mark.parametrize("part", ["body", "classifier"])
def test_it_starts_from_any_bert(tmp_path, warnings_of_transformers, part):
    theirs = classifier()
    (theirs.bert if part == "body" else theirs).save_pretrained(tmp_path)
    ours, loading = MeanPoolClassifier.from_pretrained(
        tmp_path,
        num_labels=5,
        id2label=dict(enumerate("abcde")),
        hidden_dropout_prob=0.25,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )
    new = {"classifier.weight", "classifier.bias"}
    mismatched = {name for name, *_ in loading["mismatched_keys"]}
    assert set(loading["missing_keys"]) | mismatched == new
    for name, value in ours.bert.state_dict().items():
        assert torch.equal(value, theirs.bert.state_dict()[name]), name
    assert ours.config.id2label == dict(enumerate("abcde"))
    assert ours.config.hidden_dropout_prob == ours.bert.embeddings.dropout.p == 0.25
    assert not any("model of type" in message for message in warnings_of_transformers)


@pytest.mark.parametrize(
    ("dtype", "expected"), [("auto", torch.bfloat16), (torch.float32, torch.float32)]
)
def test_the_precision_is_that_which_is_asked_for(tmp_path, dtype, expected):
    classifier().to(torch.bfloat16).save_pretrained(tmp_path)
    assert MeanPoolClassifier.from_pretrained(tmp_path, dtype=dtype).dtype == expected


def test_the_attention_that_a_configuration_asks_for_is_kept():
    config = bert_config()
    config._attn_implementation = "eager"
    assert MeanPoolClassifier(config).config._attn_implementation == "eager"


def test_a_configuration_that_is_given_is_taken(tmp_path):
    classifier().bert.save_pretrained(tmp_path)
    config = BertConfig.from_pretrained(tmp_path, num_labels=4)
    ours = MeanPoolClassifier.from_pretrained(tmp_path, config=config)
    assert isinstance(ours.config, MeanPoolConfig)
    assert ours.classifier.out_features == 4


def test_a_model_of_another_kind_is_refused(tmp_path):
    ModernBert(
        ModernBertConfig(
            vocab_size=50, d_model=16, n_layers=2, n_heads=2, d_ff=32, max_positions=32
        )
    ).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"modernbert'.*'bert'"):
        MeanPoolClassifier.from_pretrained(tmp_path)


def test_weights_of_another_kind_are_refused(tmp_path):
    """Under BERT's configuration, as an old or a converted file may lie there."""
    classifier().save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    save_file({f"other.{name}": w for name, w in weights.items()}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"weights.*random"):
        MeanPoolClassifier.from_pretrained(tmp_path)


def test_its_folder_is_no_plain_bert_without_a_warning(tmp_path, warnings_of_transformers):
    model().save_pretrained(tmp_path)
    BertForSequenceClassification.from_pretrained(tmp_path)  # a class that asks no Auto class
    assert any("`mean-pool-bert` to instantiate" in m for m in warnings_of_transformers)
