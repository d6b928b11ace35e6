"""Chapter 15, fig-15-strengths and the networks of "Warm-up and decay": 15-networks.json.

    python -m experiments.chapter_15_networks

Small networks, with every remedy at every strength, and the schedules. With the vectors that
experiments/chapter_15_embeddings.py has stored: 20 runs with a remedy, then 8 with a schedule and
the decay whose mean validation loss was the lowest, of ten networks each. About a minute on one
core.
"""

from types import SimpleNamespace
from typing import Any

import numpy as np

from experiments.common import RESULTS, Experiment, definitions

FILE = RESULTS / "15-networks.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="the same vectors of the same sentences for all, drawn anew for each network",
    searched="four strengths of each remedy; the schedules have one decay",
    selected="the mean validation loss of ten networks",
    test="loss and accuracy of each network after the last update",
    seeds=tuple(range(10)),
)


def rounded(row: dict[str, Any]) -> dict[str, Any]:
    """Numbers that JSON can hold, scores to five places."""
    return {
        name: np.round(np.float64(value), 5).tolist()
        if isinstance(value, np.ndarray | float)
        else value
        for name, value in row.items()
    }


def runs(c: SimpleNamespace) -> dict[str, list[dict]]:
    remedies = c.all_remedies()
    decays = [row for row in remedies if row["remedy"] == "decay"]
    best = min(decays, key=lambda row: row["loss"].mean())["strength"]
    schedules = c.all_schedules(c.Remedy(decay=best))
    parts = {"remedies": remedies, "schedules": schedules}
    return {part: [rounded(row) for row in rows] for part, rows in parts.items()}


def main() -> None:
    EXPERIMENT.parser().parse_args()
    c = definitions("15")
    EXPERIMENT.make(FILE, lambda: runs(c))


if __name__ == "__main__":
    main()
