"""The training runs of chapter 10, with the definitions of the chapter itself.

    python -m scripts.chapter_10_contrastive [number of runs]

Each run trains chapter 08's network on pairs of texts with InfoNCE and measures it on the
validation articles: five temperatures, dropout for pairs, random weights to start from, and
three times the updates, with two seeds each. Every run adds its row to
notebooks/results/10-contrastive.json, and one that stands there isn't repeated, so the script can
be stopped and started again. Rows of another checkpoint are dropped. A run takes about 50 seconds
on one core, a long one 150.

The cells of the notebook that are tagged `definitions` are run here, so that the chapter and this
script can't drift apart.
"""

import contextlib
import hashlib
import json
import sys
import time
from types import SimpleNamespace

from scripts.chapter_definitions import NOTEBOOKS, RESULTS, definitions

CHAPTER = NOTEBOOKS / "10-sentence-embeddings.ipynb"
FILE = RESULTS / "10-contrastive.json"
PAIRS, DROPOUT = "headline and body", "dropout"
RUNS = [
    {
        "kind": kind,
        "pretrained": pretrained,
        "temperature": temperature,
        "steps": steps,
        "seed": seed,
    }
    for seed in (0, 1)
    for kind, pretrained, temperature, steps in (
        *((PAIRS, True, temperature, 60) for temperature in (0.05, 0.01, 0.5, 0.02, 0.2)),
        (DROPOUT, True, 0.05, 60),
        (PAIRS, False, 0.05, 60),
        (PAIRS, True, 0.05, 180),
    )
]


def run(c: SimpleNamespace, settings: dict) -> dict[str, float]:
    """Train one model; how its headlines find their bodies, and how the vectors lie."""
    model, history = c.contrastive(**settings)
    queries, keys = c.text_vectors(model, "validation")
    measured = c.measures(c.cosine_similarities(queries, keys)) | {
        "alignment": c.alignment(queries, keys).item(),
        "uniformity": c.uniformity(keys).item(),
        "last loss": sum(history.losses[-10:]) / 10,
    }
    return {name: round(value, 4) for name, value in measured.items()}


def main(limit: int | None) -> None:
    with contextlib.chdir(CHAPTER.parent):
        c = definitions(CHAPTER)
        weights = (c.CHECKPOINT / "model.safetensors").read_bytes()
        digest = hashlib.sha256(weights).hexdigest()[:12]
        rows = json.loads(FILE.read_text("utf-8")) if FILE.exists() else []
        rows = [row for row in rows if row["checkpoint"] == digest]
        done = [{name: row[name] for name in RUNS[0]} for row in rows]
        for settings in [settings for settings in RUNS if settings not in done][:limit]:
            started = time.perf_counter()
            new = settings | {"checkpoint": digest} | run(c, settings)
            rows.append(new)
            rows.sort(key=lambda row: RUNS.index({name: row[name] for name in RUNS[0]}))
            FILE.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
            print(new["MRR"], settings, f"{time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else None)
