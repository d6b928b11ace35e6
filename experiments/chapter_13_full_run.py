"""The full run of chapter 13: CoNLL-2003 with a small BERT on two cores, and its test tags.

    python -m experiments.chapter_13_full_run --seed 0
    python -m experiments.chapter_13_full_run --seed 0 --checkpoints FOLDER   # can be interrupted

Trains on all training documents with the settings that the ablation chose on validation
documents (SETTINGS), then tags the validation and the test set once. By the speed of 1,300
pieces a second in training and 4,500 in prediction, a run takes 7 to 8 minutes on two cores
without bfloat16; a third pass wouldn't fit into ten. With `--checkpoints` a stopped run goes on
where it was.

notebooks/results/13-full-run.json gets a row a seed; seed 0's row holds the tags of all test
sentences too, a digit a word, for the chapter's analysis of errors.
"""

import argparse
import json
import time
from pathlib import Path

from transformers import AutoTokenizer

from experiments.chapter_13_ablation import (
    OVERLAP,
    Settings,
    entity_f1,
    fine_tune,
    tag_sentences,
    windows_of,
)
from helpers.data import assets, corpora

RESULTS = Path(__file__).parents[1] / "notebooks" / "results" / "13-full-run.json"
SETTINGS = Settings(documents=True, shapes="input", learning_rate=2e-4, epochs=2)


def run(seed: int, checkpoints: Path | None) -> dict:
    started = time.perf_counter()
    conll = corpora.conll2003()
    tokenizer = AutoTokenizer.from_pretrained(assets.path("minilm"))
    config = {}
    if checkpoints is not None:
        config = {"checkpoint_dir": checkpoints, "checkpoint_every": 200, "resume": True}
    windows = windows_of(tokenizer, conll["train"], SETTINGS, 0)
    model, history = fine_tune(windows, SETTINGS, seed, **config)
    row = {
        "seed": seed,
        "epochs": SETTINGS.epochs,
        "training_seconds": round(history.seconds),
        "pieces_per_second": round(history.tokens_per_second),
        "peak_gigabytes": round(history.peak_memory / 1e9, 2),
    }
    for split in ("validation", "test"):
        windows = windows_of(tokenizer, conll[split], SETTINGS, OVERLAP)
        tags = tag_sentences(model, windows, conll[split], SETTINGS)
        for way, rows in tags.items():
            row[f"{split}_f1_{way}"] = entity_f1(rows, conll[split])
            if split == "test" and seed == 0:
                row[f"tags_{way}"] = ["".join(map(str, sentence)) for sentence in rows]
    # Of this process; a run that was interrupted has trained longer than this.
    row["seconds_in_all"] = round(time.perf_counter() - started)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoints", type=Path, default=None, help="a folder, for resuming")
    arguments = parser.parse_args()
    rows = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    if any(row["seed"] == arguments.seed for row in rows):
        print(f"Seed {arguments.seed} stands in {RESULTS.name} already: nothing to do.")
        return
    rows.append(run(arguments.seed, arguments.checkpoints))
    rows.sort(key=lambda row: row["seed"])
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print({name: value for name, value in rows[-1].items() if not name.startswith("tags_")})


if __name__ == "__main__":
    main()
