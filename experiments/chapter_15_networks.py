"""Chapter 15's small networks: every remedy at every strength, and the schedules.

    python -m experiments.chapter_15_networks

With the definitions of the chapter itself and the vectors that experiments/chapter_15_embeddings.py
has stored: 20 runs with a remedy, then 8 with a schedule and the decay whose mean validation loss
was the lowest, of ten networks each. About a minute on one core. Writes
notebooks/results/15-networks.json.
"""

import json
from typing import Any

import numpy as np

from tools.chapter_definitions import NOTEBOOKS, RESULTS, definitions

CHAPTER = NOTEBOOKS / "15-generalisation.ipynb"
FILE = RESULTS / "15-networks.json"


def rounded(row: dict[str, Any]) -> dict[str, Any]:
    """Numbers that JSON can hold, scores to five places."""
    return {
        name: np.round(np.float64(value), 5).tolist()
        if isinstance(value, np.ndarray | float)
        else value
        for name, value in row.items()
    }


def main() -> None:
    c = definitions(CHAPTER)
    remedies = c.all_remedies()
    decays = [row for row in remedies if row["remedy"] == "decay"]
    best = min(decays, key=lambda row: row["loss"].mean())["strength"]
    schedules = c.all_schedules(c.Remedy(decay=best))
    lines = {
        part: ",\n".join(json.dumps(rounded(row)) for row in rows)
        for part, rows in (("remedies", remedies), ("schedules", schedules))
    }
    parts = (f'"{part}": [\n{text}\n]' for part, text in lines.items())
    FILE.write_text("{" + ",\n".join(parts) + "}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
