"""helpers.models.multitask and helpers.data.mixing: one encoder, several heads, mixed batches."""

import math
from collections import Counter
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from transformers import BertModel

from helpers.data.mixing import MixedBatches, task_probabilities
from helpers.models.multitask import MultiTaskModel, Task
from helpers.training.loop import TrainingConfig, predict, train
from tests import tiny

TASKS = {"topic": Task(classes=3, level="text"), "tags": Task(classes=4, level="piece")}
DATA = [list(tiny.classification_data()), list(tiny.tagging_data(24, seed=1))]


def model():
    torch.manual_seed(0)
    return MultiTaskModel(BertModel(tiny.bert_config(dropout=0.0), add_pooling_layer=False), TASKS)


def collate(examples, task):
    return {**tiny.collate(examples), "task": torch.full((len(examples),), task)}


COLLATES = [partial(collate, task=task) for task in (0, 1)]


def batch(task, n=4):
    return COLLATES[task](DATA[task][:n])


def mixed(steps=60, **options):
    return MixedBatches(DATA, COLLATES, steps=steps, batch_size=8, **options)


def test_each_task_has_logits_and_the_loss_of_its_own():
    net = model().eval()
    topic, tags = net(**batch(0)), net(**batch(1))
    assert topic.logits.shape == (4, 3)
    assert tags.logits.shape == (4, batch(1)["input_ids"].shape[1], 4)
    expected = F.cross_entropy(topic.logits, batch(0)["labels"])
    assert topic.loss.item() == pytest.approx(expected.item(), abs=1e-5)
    labels = batch(1)["labels"]
    kept = labels != -100
    assert 0 < kept.sum() < labels.numel()
    expected = F.cross_entropy(tags.logits[kept], labels[kept])
    assert tags.loss.item() == pytest.approx(expected.item(), abs=1e-5)


def test_one_pass_of_the_encoder_serves_all_heads():
    net, rows = model().eval(), batch(0)
    hidden = net.encode(rows["input_ids"], rows["attention_mask"])
    for number, name in enumerate(TASKS):
        task = torch.full((4,), number)
        alone = net(rows["input_ids"], rows["attention_mask"], task).logits
        both = net.score(name, hidden, rows["attention_mask"])
        torch.testing.assert_close(both, alone, rtol=0, atol=1e-5)


def test_padding_changes_nothing():
    net, rows = model().eval(), batch(0)
    longer = {name: F.pad(rows[name], (0, 5)) for name in ("input_ids", "attention_mask")}
    short, padded = net(**rows).logits, net(**longer, task=rows["task"]).logits
    torch.testing.assert_close(short, padded, rtol=0, atol=1e-5)


def test_a_task_moves_the_encoder_and_its_own_head():
    net = model()
    net(**batch(0)).loss.backward()
    moved = {name for name, p in net.named_parameters() if p.grad is not None and p.grad.any()}
    assert {"heads.topic.weight", "heads.topic.bias"} <= moved
    assert any(name.startswith("encoder.") for name in moved)
    assert not any(name.startswith("heads.tags") for name in moved)


def test_both_tasks_are_learned_together():
    data = mixed(steps=120)
    config = TrainingConfig(
        steps=120, batch_size=1, group_by_length=False, learning_rate=1e-2, progress=False
    )
    net = model()
    train(net, data, config, collate_fn=data.collate)
    for task, rows in enumerate(DATA):
        found = predict(net, rows, collate_fn=COLLATES[task])
        logits, labels = np.vstack(found.logits), np.hstack(found.labels)
        right = (logits.argmax(-1) == labels)[labels != -100].mean()
        assert right > 0.7, task  # guessing gives about a third


def test_a_batch_of_two_tasks_is_refused():
    rows = batch(0)
    rows["task"] = torch.tensor([0, 0, 1, 0])
    with pytest.raises(ValueError, match=r"\[0, 1\].*MixedBatches"):
        model()(**rows)


def test_a_task_that_does_not_exist_is_refused():
    rows = {**batch(0), "task": torch.full((4,), 2)}
    with pytest.raises(ValueError, match=r"task 2\b.*\{0: 'topic', 1: 'tags'\}"):
        model()(**rows)


@pytest.mark.parametrize(("classes", "level"), [(1, "text"), (3, "word")])
def test_an_impossible_task_is_refused(classes, level):
    with pytest.raises(ValueError, match=f"{classes}.*{level}.*'text'.*'piece'"):
        Task(classes=classes, level=level)


def test_a_model_without_tasks_is_refused():
    with pytest.raises(ValueError, match="tasks is empty"):
        MultiTaskModel(BertModel(tiny.bert_config()), {})


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=6), st.floats(1, 50))
def test_temperature_lies_between_proportional_and_even(sizes, temperature):
    p = task_probabilities(sizes, temperature)
    assert p.sum() == pytest.approx(1)
    assert np.all(np.diff(p[np.argsort(sizes)]) >= -1e-12)  # a larger task isn't drawn less
    ends = task_probabilities(sizes, 1), task_probabilities(sizes, math.inf)
    assert ends[0] == pytest.approx(np.array(sizes) / sum(sizes))
    assert ends[1] == pytest.approx(np.full(len(sizes), 1 / len(sizes)))
    # The rarest task's share grows with the temperature, the most frequent one's falls.
    assert ends[0].min() - 1e-12 <= p.min() <= ends[1].min() + 1e-12
    assert ends[1].max() - 1e-12 <= p.max() <= ends[0].max() + 1e-12


@pytest.mark.parametrize(
    ("sizes", "temperature", "message"),
    [
        ([], 1, r"sizes \[\]"),
        ([3, 0], 1, r"sizes \[3, 0\]"),
        ([3], 0.5, "temperature is 0.5"),
        ([3], math.nan, "temperature is nan"),
    ],
)
def test_bad_sizes_and_temperatures_are_refused(sizes, temperature, message):
    with pytest.raises(ValueError, match=message):
        task_probabilities(sizes, temperature)


def test_batches_are_of_one_task_and_in_proportion():
    data = mixed(steps=2000, temperature=2)
    p = task_probabilities([40, 24], 2)
    assert np.mean(data.tasks == 0) == pytest.approx(p[0], abs=0.04)
    for step in (0, 7, 1999):
        item = data[step]
        assert item["examples"] == [DATA[item["task"]][i] for i in data.rows[step]]
        made = data.collate([item])
        assert made["task"].tolist() == [item["task"]] * 8
        assert made["input_ids"].shape == (8, data.lengths[step])


def test_every_row_has_its_turn():
    data = mixed(steps=300)
    for task, size in ((0, 40), (1, 24)):
        seen = Counter(data.rows[data.tasks == task].flatten().tolist())
        assert sorted(seen) == list(range(size))
        assert max(seen.values()) - min(seen.values()) <= 1  # batches of 8 divide both sizes


def test_the_same_seed_gives_the_same_batches():
    one, same, other = mixed(seed=1), mixed(seed=1), mixed(seed=2)
    assert np.array_equal(one.rows, same.rows) and np.array_equal(one.tasks, same.tasks)
    assert not np.array_equal(one.rows, other.rows)


def test_similar_lengths_share_a_batch():
    data = mixed(steps=400)
    padded = sum(8 * length for length in data.lengths)
    real = sum(len(data[step]["input_ids"]) for step in range(len(data)))
    assert 1 - real / padded < 0.2  # batches of random rows: above 0.35


@pytest.mark.parametrize(("collates", "batch_size"), [(1, 8), (2, 25)])
def test_data_that_cannot_fill_a_batch_is_refused(collates, batch_size):
    with pytest.raises(ValueError, match=rf"{collates} .*\[40, 24\].*\b{batch_size}\b"):
        MixedBatches(DATA, COLLATES[:collates], steps=1, batch_size=batch_size)


def test_two_batches_at_once_are_refused():
    data = mixed(steps=2)
    with pytest.raises(ValueError, match=r"2 batches.*batch_size=1"):
        data.collate([data[0], data[1]])
