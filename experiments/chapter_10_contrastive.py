"""The training runs of chapter 10, with the definitions of the chapter itself.

    python -m experiments.chapter_10_contrastive encoders
    python -m experiments.chapter_10_contrastive rivals
    python -m experiments.chapter_10_contrastive sweep [number of runs]

`encoders` makes the chapter's two models, from headlines with their bodies and with dropout alone.
The first one is saved for sentence-transformers, in half precision, as
notebooks/checkpoints/bbc-headlines. Losses, what the validation articles say and the ranks of the
test articles are written to notebooks/results/10-encoders.json.

`rivals` writes the ranks of the test articles by the networks that the chapter compares with, the
masked language model, random weights and MiniLM, to notebooks/results/10-test-ranks.json, in half
a minute.

Each run of the sweep trains chapter 08's network on pairs of texts with InfoNCE and measures it on
the validation articles: five temperatures, dropout for pairs, random weights to start from, and
three times the updates, with two seeds each. Every run adds its row to
notebooks/results/10-contrastive.json, and one that stands there isn't repeated, so the script can
be stopped and started again. Rows of another checkpoint are dropped. A run takes about 50 seconds
on one core, a long one 150.

The cells of the notebook that are tagged `definitions` are run here, so that the chapter and this
script can't drift apart.
"""

import argparse
import contextlib
import hashlib
import json
import time
from pathlib import Path
from types import SimpleNamespace

from safetensors.torch import load_file, save_file

from tools.chapter_definitions import CHECKPOINTS, NOTEBOOKS, RESULTS, definitions

CHAPTER = NOTEBOOKS / "10-sentence-embeddings.ipynb"
FILE = RESULTS / "10-contrastive.json"
ENCODERS = RESULTS / "10-encoders.json"
TEST_RANKS = RESULTS / "10-test-ranks.json"
FOLDER = CHECKPOINTS / "bbc-headlines"
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


def rounded(measured: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in measured.items()}


def run(c: SimpleNamespace, settings: dict) -> dict[str, float]:
    """Train a model of the sweep; how its headlines find their bodies, and how its vectors lie."""
    model, history = c.contrastive(**settings)
    queries, keys = c.text_vectors(model, "validation")
    return rounded(
        c.measures(c.cosine_similarities(queries, keys))
        | {
            "alignment": c.alignment(queries, keys).item(),
            "uniformity": c.uniformity(keys).item(),
            "last loss": sum(history.losses[-10:]) / 10,
        }
    )


def halve(file: Path) -> None:
    """Store the weights in half precision; config.json has them computed with in fp32."""
    weights = {name: weight.half() for name, weight in load_file(file).items()}
    save_file(weights, file, metadata={"format": "pt"})
    file.chmod(0o644)


def encoders(c: SimpleNamespace) -> None:
    """The two models of the chapter."""
    results = {}
    for kind in (PAIRS, DROPOUT):
        model, history = c.contrastive(kind)
        if kind == PAIRS:
            model.save_pretrained(FOLDER, tokenizer=c.tokenizer, max_length=c.READ)
            halve(FOLDER / "model.safetensors")
            encoder = c.ModernBert.from_pretrained(FOLDER, head=False).to(c.device)
            model = c.PairEncoder(encoder).eval()
        row = c.record(model, history)
        row["losses"] = [round(loss, 4) for loss in row["losses"]]
        row["validation"] = rounded(row["validation"])
        results[kind] = row | {"minutes": round(history.seconds / 60, 1)}
        print(kind, results[kind]["validation"], flush=True)
    ENCODERS.write_text(json.dumps(results) + "\n", "utf-8")


def rivals(c: SimpleNamespace) -> None:
    """How the networks that weren't trained on our pairs rank the test articles."""
    lines = [f"{json.dumps(name)}: {found}" for name, found in c.rival_ranks().items()]
    TEST_RANKS.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


def sweep(c: SimpleNamespace, limit: int | None) -> None:
    """The runs of `RUNS` that are missing, at most `limit` of them."""
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("encoders", "rivals", "sweep"))
    parser.add_argument("limit", type=int, nargs="?", help="runs of the sweep; all by default")
    arguments = parser.parse_args()
    with contextlib.chdir(CHAPTER.parent):
        c = definitions(CHAPTER)
        if arguments.what == "encoders":
            encoders(c)
        elif arguments.what == "rivals":
            rivals(c)
        else:
            sweep(c, arguments.limit)


if __name__ == "__main__":
    main()
