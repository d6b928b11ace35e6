"""Every row once, in an order that only the seed decides, shared evenly by the processes."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.training.batches import (
    Windows,
    plan_epoch,
    sequence_lengths,
    split_window,
)
from tests.tiny import classification_data, collate


@given(
    n=st.integers(1, 300),
    window=st.integers(1, 40),
    seed=st.integers(0, 5),
    epoch=st.integers(0, 3),
    group=st.booleans(),
)
def test_a_plan_holds_every_row_once_in_full_windows(n, window, seed, epoch, group):
    lengths = np.random.default_rng(n).integers(1, 100, n)
    plan = plan_epoch(lengths, window, seed=seed, epoch=epoch, group_by_length=group)
    assert sorted(np.concatenate(plan).tolist()) == list(range(n))
    sizes = sorted(len(rows) for rows in plan)
    assert sizes[1:] == [window] * (len(plan) - 1)
    assert 1 <= sizes[0] <= window
    again = plan_epoch(lengths, window, seed=seed, epoch=epoch, group_by_length=group)
    assert all(np.array_equal(a, b) for a, b in zip(plan, again, strict=True))


def test_seed_and_epoch_change_the_order():
    lengths = np.arange(1, 200)

    def first(seed, epoch):
        return plan_epoch(lengths, 8, seed=seed, epoch=epoch, group_by_length=True)[0].tolist()

    assert first(0, 0) != first(0, 1)
    assert first(0, 0) != first(1, 0)


def test_grouping_leaves_little_padding():
    lengths = np.random.default_rng(0).integers(5, 129, 4000)

    def padded_share(group):
        plan = plan_epoch(lengths, 16, seed=0, epoch=0, group_by_length=group)
        return 1 - lengths.sum() / sum(lengths[rows].max() * len(rows) for rows in plan)

    assert padded_share(False) > 0.4
    assert padded_share(True) < 0.03


@given(
    rows=st.integers(1, 100),
    batch_size=st.integers(1, 10),
    processes=st.integers(1, 5),
)
def test_a_window_is_shared_evenly(rows, batch_size, processes):
    if rows < processes:
        return
    window = np.arange(rows)
    parts = [split_window(window, batch_size, p, processes) for p in range(processes)]
    assert len({len(part) for part in parts}) == 1, "every process takes the same number of turns"
    everything = np.concatenate([batch for part in parts for batch in part])
    assert sorted(everything.tolist()) == list(range(rows))
    sizes = [len(batch) for part in parts for batch in part]
    assert min(sizes) >= 1
    assert max(sizes) - min(sizes) <= 1
    if rows % (batch_size * processes) == 0:
        assert set(sizes) == {batch_size}


def test_collate_randomness_depends_on_the_place_alone():
    def noisy(examples):
        return {"input_ids": torch.rand(len(examples))}

    data = classification_data(10)
    windows = Windows(data, [np.arange(4), np.arange(4, 8)], noisy, 2, seed=0, epoch=0)
    torch.manual_seed(1)
    first = windows[1]
    torch.manual_seed(2)
    before = torch.get_rng_state()
    again = windows[1]
    assert torch.equal(before, torch.get_rng_state()), "collating must leave the generator alone"
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a["input_ids"], b["input_ids"])
    assert not torch.equal(first[0]["input_ids"], first[1]["input_ids"])
    assert not torch.equal(first[0]["input_ids"], windows[0][0]["input_ids"])


def test_lengths_of_a_dataset_and_of_a_list_agree():
    data = classification_data(10)
    expected = [len(row) for row in data["input_ids"]]
    assert sequence_lengths(data).tolist() == expected
    assert sequence_lengths(list(data)).tolist() == expected
    shuffled = data.shuffle(seed=0)
    assert sequence_lengths(shuffled).tolist() == [len(row) for row in shuffled["input_ids"]]
    assert collate(list(data))["input_ids"].shape == (10, max(expected))


def test_bad_datasets_are_named():
    with pytest.raises(ValueError, match="empty"):
        sequence_lengths(classification_data(4).select([]))
    with pytest.raises(ValueError, match=r"'text'.*no 'input_ids'"):
        sequence_lengths([{"text": "a"}])
    with pytest.raises(TypeError, match=r"IterableDataset.*streaming=False"):
        sequence_lengths(classification_data(4).to_iterable_dataset())


def test_a_dataset_that_knows_its_lengths_is_not_read():
    class Known(list):
        lengths = (3, 5)

    lengths = sequence_lengths(Known([None, None]))
    assert lengths.tolist() == [3, 5]
    assert lengths.dtype == np.int64
