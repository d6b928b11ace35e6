"""Which sequences stand together in a batch, in which order, on which process.

The plan of an epoch is a pure function of the lengths, the seed and the epoch. So a run
that resumes in mid-epoch rebuilds the plan and starts at the right place, and a run on two
processes sees the same windows as a run on one.

A *window* is the set of sequences behind one update of the weights. It is cut into
micro-batches, one forward pass each.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
import torch
from datasets import Dataset

from helpers.data import batching
from helpers.training.columns import read_columns, take


def sequence_lengths(dataset: Sequence) -> np.ndarray:
    """Pieces per sequence, int64 of shape (n,), from the column `input_ids`.

    A dataset that knows them says so in an attribute `lengths`; then no sequence is read.

    Raises:
        TypeError: if the dataset has no length or no row numbers, as an `IterableDataset`.
        ValueError: if the dataset is empty or has no `input_ids`.
    """
    if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
        raise TypeError(
            f"The dataset, of type {type(dataset).__name__}, has no length or no row numbers. "
            "Give a map-style dataset or a list: load it with streaming=False."
        )
    if len(dataset) == 0:
        raise ValueError("The dataset is empty: there is nothing to train or evaluate on.")
    known = getattr(dataset, "lengths", None)
    if known is not None:
        return np.asarray(known, dtype=np.int64)
    column = read_columns(dataset, ("input_ids",)).get("input_ids")
    if column is None:
        columns = dataset.column_names if isinstance(dataset, Dataset) else list(dataset[0])
        raise ValueError(
            f"The dataset has the columns {columns} but no 'input_ids': "
            "map a tokenizer over it first."
        )
    if column.null_count:
        row = int(np.flatnonzero(column.is_null())[0])
        raise ValueError(f"Row {row} has no 'input_ids': leave it out, or tokenize it.")
    # Arrow knows the lengths; reading a million sequences into Python would take minutes.
    return pc.list_value_length(column).to_numpy().astype(np.int64)


def plan_epoch(
    lengths: np.ndarray, window: int, *, seed: int, epoch: int, group_by_length: bool
) -> list[np.ndarray]:
    """Row numbers of an epoch, cut into windows of `window` rows; each row comes once.

    With `group_by_length`, the shuffled rows are sorted by length within chunks of windows
    (`batching.group_by_length`) and the windows are shuffled again: sequences of similar length
    meet, so little padding is left, and the order of updates stays random. The last window may be
    smaller.
    """
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(len(lengths))
    if not group_by_length:
        return [order[i : i + window] for i in range(0, len(order), window)]
    windows = batching.group_by_length(order, lengths, window)
    return [windows[i] for i in generator.permutation(len(windows))]


def split_window(
    window: np.ndarray, batch_size: int, process: int, processes: int
) -> list[np.ndarray]:
    """The micro-batches of one window that `process` works on.

    Every process gets the same number of micro-batches, of nearly the same size: they must
    meet to average their gradients. `window` needs at least `processes` rows.
    """
    turns = math.ceil(len(window) / (batch_size * processes))
    turns = min(turns, len(window) // processes)  # no process may be left without rows
    return np.array_split(window, turns * processes)[process::processes]


@dataclass(frozen=True)
class Windows(torch.utils.data.Dataset):
    """The collated micro-batches of one epoch on one process; item k belongs to window k.

    All randomness of `collate_fn` (masking, augmentation) comes from torch's generator,
    seeded here by (seed, epoch, window, micro-batch, process). So it does not matter which
    worker collates a batch, nor whether the run has been interrupted before it.
    """

    dataset: Sequence
    plan: list[np.ndarray]
    collate_fn: Callable[[list[dict]], dict[str, torch.Tensor]]
    batch_size: int
    seed: int
    epoch: int
    process: int = 0
    processes: int = 1

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, k: int) -> list[dict[str, torch.Tensor]]:
        parts = split_window(self.plan[k], self.batch_size, self.process, self.processes)
        batches = []
        with torch.random.fork_rng(devices=[]):
            for micro, rows in enumerate(parts):
                seed = derive_seed(self.seed, self.epoch, k, micro, self.process)
                torch.default_generator.manual_seed(seed)
                batches.append(self.collate_fn(take(self.dataset, rows)))
        return batches


def derive_seed(*parts: int) -> int:
    """One 63-bit seed out of several numbers; neighbouring parts give unrelated seeds."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)
