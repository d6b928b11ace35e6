"""Batches drawn from several data sets, one data set at a time: the data of multi-task training."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from helpers.data.batching import group_by_length


def task_probabilities(sizes: Sequence[int], temperature: float) -> np.ndarray:
    """How often to draw from each data set: p_k = n_k^(1/τ) / Σ_j n_j^(1/τ), float64 (tasks,).

    τ = 1 draws in proportion to the sizes, τ = ∞ from all alike (Raffel et al., JMLR 2020,
    section 3.5.2).

    Args:
        sizes: examples in each data set, at least 1.
        temperature: τ, at least 1; `math.inf` is allowed.

    Raises:
        ValueError: a data set is empty, or the temperature is below 1.
    """
    if not len(sizes) or min(sizes) < 1:
        raise ValueError(f"The data sets have the sizes {list(sizes)}; expected 1 or more each.")
    if not temperature >= 1:
        raise ValueError(f"temperature is {temperature}; expected 1 (proportional) or more.")
    share = np.asarray(sizes, dtype=np.float64) ** (1.0 / temperature)
    return share / share.sum()


class MixedBatches:
    """A data set whose rows are whole batches, each of one task, in an order fixed by a seed.

    Give it to `train` with `batch_size=1`, `group_by_length=False` and its `collate` as
    `collate_fn`. Each task goes through its rows in passes, each in a random order, in batches of
    similar length; a pass leaves out what doesn't fill a batch, other rows each time.

    Attributes:
        tasks: int64 (steps,), the task of each batch.
        rows: int64 (steps, batch_size), the rows of its data set.
        lengths: int64 (steps,), pieces of the longest row of each batch.
    """

    def __init__(
        self,
        datasets: Sequence[Sequence[dict]],
        collates: Sequence[Callable[[list[dict]], dict[str, torch.Tensor]]],
        *,
        steps: int,
        batch_size: int,
        temperature: float = 1.0,
        seed: int = 0,
    ):
        """
        Args:
            datasets: the tasks' rows, each with `input_ids`, in the order of the tasks' numbers.
            collates: for each task, what makes a batch of its rows; a batch also has to tell the
                model which task it is of.
            steps: batches to draw.
            batch_size: rows in a batch.
            temperature: of `task_probabilities`.
            seed: of the order of tasks and rows.

        Raises:
            ValueError: not one collate for each data set, or a data set smaller than a batch.
        """
        sizes = [len(dataset) for dataset in datasets]
        if len(collates) != len(datasets) or min(sizes, default=0) < batch_size:
            raise ValueError(
                f"{len(collates)} collates and data sets of {sizes} rows; expected one collate for "
                f"each data set, and at least a batch of {batch_size} rows in it."
            )
        self.datasets, self.collates = datasets, collates
        generator = np.random.default_rng(seed)
        probabilities = task_probabilities(sizes, temperature)
        self.tasks = generator.choice(len(sizes), size=steps, p=probabilities)
        self.rows = np.zeros((steps, batch_size), dtype=np.int64)
        self.lengths = np.zeros(steps, dtype=np.int64)
        for task, dataset in enumerate(datasets):
            mine = np.flatnonzero(self.tasks == task)
            lengths = np.array([len(row["input_ids"]) for row in dataset], dtype=np.int64)
            self.rows[mine] = _batches(lengths, len(mine), batch_size, generator)
            self.lengths[mine] = lengths[self.rows[mine]].max(axis=1)

    def __len__(self) -> int:
        return len(self.tasks)

    def __getitem__(self, step: int) -> dict:
        """`task`, `examples` (rows of its data set), and all their `input_ids` in one list."""
        task = int(self.tasks[step])
        examples = [self.datasets[task][int(row)] for row in self.rows[step]]
        return {
            "task": task,
            "examples": examples,
            "input_ids": [piece for example in examples for piece in example["input_ids"]],
        }

    def collate(self, items: Sequence[dict]) -> dict[str, torch.Tensor]:
        """One item as a batch, made by its task's own collate function.

        Raises:
            ValueError: several items.
        """
        if len(items) != 1:
            raise ValueError(f"{len(items)} batches at once; expected one: set batch_size=1.")
        (item,) = items
        return self.collates[item["task"]](item["examples"])


def _batches(
    lengths: np.ndarray, n: int, batch_size: int, generator: np.random.Generator
) -> np.ndarray:
    """The first n batches of endless passes over the rows; int64 (n, batch_size)."""
    batches: list[np.ndarray] = []
    while len(batches) < n:
        order = generator.permutation(len(lengths))
        order = order[: len(order) // batch_size * batch_size]
        one_pass = group_by_length(order, lengths, batch_size)
        batches.extend(one_pass[i] for i in generator.permutation(len(one_pass)))
    return np.array(batches[:n], dtype=np.int64).reshape(n, batch_size)
