"""The tagger against transformers' and its definition; Viterbi against trying all sequences."""

import json
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.data.tagging import check_iob2, collate_windows, may_follow
from helpers.models.classification import MeanPoolClassifier
from helpers.models.tagging import ShapeTagger, ShapeTaggerConfig, constrained_viterbi
from helpers.training.loop import TrainingConfig, predict, train
from tests.tiny import bert_config, tagger, tagging_data

NAMES = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG"]
ALLOWED = may_follow(NAMES)


def shaped_data(n=24, n_shapes=4):
    """Tagging data in which the tag is the shape and says nothing about the piece."""
    generator = np.random.default_rng(0)
    rows = []
    for row in tagging_data(n):
        shapes = generator.integers(1, n_shapes, len(row["input_ids"])).tolist()
        rows.append(
            {
                "input_ids": row["input_ids"],
                "attention_mask": [1] * len(shapes),
                "shapes": shapes,
                "labels": [shape - 1 for shape in shapes],
            }
        )
    return rows


def shape_tagger(num_shapes=4, **options):
    settings = bert_config(**options).to_dict()
    settings.pop("model_type")
    return ShapeTagger(ShapeTaggerConfig(**settings, num_shapes=num_shapes))


def test_untrained_shapes_change_nothing_and_trained_ones_do():
    theirs = tagger(dropout=0.0).eval()
    ours = shape_tagger(dropout=0.0).eval()
    ours.load_state_dict(theirs.state_dict(), strict=False)
    batch = collate_windows(shaped_data(6))
    plain = {name: value for name, value in batch.items() if name != "shapes"}
    with torch.inference_mode():
        got, expected = ours(**batch), theirs(**plain)
        torch.testing.assert_close(got.logits, expected.logits, rtol=0, atol=1e-5)
        torch.testing.assert_close(got.loss, expected.loss)
        ours.shape_embeddings.weight[1, 3] = 50.0  # one of 16: a layer norm follows
        changed = (ours(**batch).logits - expected.logits).abs()  # (B, T, C)
    # A single logit may stay where it was; of a piece with that shape, not all three can.
    assert changed[batch["shapes"] == 1].amax(-1).min() > 1e-3


def test_the_loss_is_the_mean_over_labelled_pieces():
    torch.manual_seed(0)
    model = shape_tagger().eval()
    rows = [
        row | {"attention_mask": [1] * len(row["input_ids"]), "shapes": [1] * len(row["labels"])}
        for row in tagging_data(6)
    ]
    batch = collate_windows(rows)
    with torch.inference_mode():
        output = model(**batch)
    labelled = batch["labels"] != -100
    expected = F.cross_entropy(output.logits[labelled], batch["labels"][labelled])
    torch.testing.assert_close(output.loss, expected)


def test_it_learns_what_only_the_shapes_say():
    torch.manual_seed(0)
    model = shape_tagger(dropout=0.0)
    rows = shaped_data()
    config = TrainingConfig(epochs=15, batch_size=4, learning_rate=1e-2, progress=False)
    train(model, rows, config, collate_fn=collate_windows)
    found = predict(model, rows, collate_fn=collate_windows)
    right = [
        np.mean(logits.argmax(-1) == labels)
        for logits, labels in zip(found.logits, found.labels, strict=True)
    ]
    assert np.mean(right) > 0.95


def test_a_saved_tagger_comes_back_with_its_shapes(tmp_path):
    torch.manual_seed(0)
    model = shape_tagger()
    model.shape_embeddings.weight.data.normal_()
    model.save_pretrained(tmp_path)
    again, loading = ShapeTagger.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(loading.values()), loading
    assert again.config.num_shapes == 4
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_shapes_of_an_encoder_that_had_none_start_at_zero(tmp_path):
    tagger().bert.save_pretrained(tmp_path)
    model = ShapeTagger.from_pretrained(tmp_path, num_labels=9, num_shapes=4)
    assert model.classifier.out_features == 9
    assert torch.equal(model.shape_embeddings.weight, torch.zeros(4, 16))


def test_it_is_saved_under_a_type_of_its_own(tmp_path):
    shape_tagger().save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert settings["model_type"] == "shape-tagger-bert"
    with pytest.raises(ValueError, match=r"shape-tagger-bert'.*'bert'"):
        MeanPoolClassifier.from_pretrained(tmp_path)


def test_without_shapes_there_is_transformers_class(tmp_path):
    tagger().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"num_shapes is 0.*BertForTokenClassification"):
        ShapeTagger.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="num_shapes is 0"):
        ShapeTagger(bert_config())


def test_a_batch_without_shapes_is_refused():
    batch = collate_windows(shaped_data(2))
    del batch["shapes"]
    with pytest.raises(ValueError, match=r"num_shapes=4.*'shapes'.*encode_words"):
        shape_tagger()(**batch)


def brute_force(log_p, allowed):
    """The best score of all allowed sequences, each tried."""
    best = -np.inf
    for tags in product(range(log_p.shape[1]), repeat=len(log_p)):
        steps = zip([-1, *tags[:-1]], tags, strict=True)
        if all(allowed[before, tag] for before, tag in steps):
            best = max(best, sum(row[tag] for row, tag in zip(log_p, tags, strict=True)))
    return best


@settings(deadline=None, max_examples=60)
@given(words=st.integers(1, 4), seed=st.integers(0, 10**6))
def test_viterbi_finds_the_best_of_all_allowed_sequences(words, seed):
    log_p = np.random.default_rng(seed).normal(size=(words, len(NAMES))) * 3
    tags = constrained_viterbi(log_p, ALLOWED)
    check_iob2([[NAMES[tag] for tag in tags]])
    score = sum(row[tag] for row, tag in zip(log_p, tags, strict=True))
    assert score == pytest.approx(brute_force(log_p, ALLOWED), abs=1e-9)


@settings(deadline=None, max_examples=30)
@given(words=st.integers(1, 12), seed=st.integers(0, 10**6))
def test_without_constraints_it_is_the_best_tag_of_each_word(words, seed):
    log_p = np.random.default_rng(seed).normal(size=(words, 5))
    everything = np.ones((6, 5), dtype=bool)
    assert constrained_viterbi(log_p, everything) == log_p.argmax(-1).tolist()
    # A constant in each row, as between logits and log-probabilities, changes nothing.
    shifted = log_p - np.logaddexp.reduce(log_p, axis=-1, keepdims=True)
    assert constrained_viterbi(shifted, ALLOWED) == constrained_viterbi(log_p, ALLOWED)


@pytest.mark.parametrize(
    ("log_p", "allowed", "message"),
    [
        (np.zeros((0, 5)), ALLOWED, r"log_p.*\(0, 5\)"),
        (np.zeros(5), ALLOWED, r"log_p.*\(5,\)"),
        (np.zeros((3, 4)), ALLOWED, r"allowed.*\(6, 5\).*\(5, 4\)"),
        (np.full((2, 5), np.nan), ALLOWED, "nan"),
        (np.zeros((2, 5)), np.zeros((6, 5), dtype=bool), "tags.*allowed"),
    ],
)
def test_bad_scores_and_constraints_are_refused(log_p, allowed, message):
    with pytest.raises(ValueError, match=message):
        constrained_viterbi(log_p, allowed)
