"""Chapter 13, "The whole training set", fig-13-errors: 13-full-run.json.

    python -m experiments.chapter_13_full_run
    python -m experiments.chapter_13_full_run --checkpoints FOLDER   # goes on in mid-run

CoNLL-2003 with a small BERT on two cores. Trains on all training documents with the settings that
the ablation chose on validation documents (SETTINGS), then tags the validation and the test set
once. By the speed of 1,300 pieces a second in training and 4,500 in prediction, a run takes 7 to 8
minutes on two cores without bfloat16; a third pass wouldn't fit into ten. A row a seed; seed 0's
holds the tags of all test sentences too, a digit a word, for the chapter's analysis of errors.
"""

import time
from functools import partial
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
from experiments.common import RESULTS, Experiment
from helpers.data import assets, corpora
from helpers.teaching import environment

FILE = RESULTS / "13-full-run.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="windows of whole training documents, with shapes",
    searched="the variants and learning rates of chapter_13_ablation.py",
    selected="half of the validation documents",
    test="tagged once by the finished model of each seed",
    seeds=(0,),
)
SETTINGS = Settings(documents=True, shapes="input", learning_rate=2e-4, epochs=2)


def run(checkpoints: Path | None, seed: int) -> dict:
    started = time.perf_counter()
    conll = corpora.conll2003()
    tokenizer = AutoTokenizer.from_pretrained(assets.path("minilm"))
    config = {}
    if checkpoints is not None:
        folder = checkpoints / f"seed-{seed}"
        config = {"checkpoint_dir": folder, "checkpoint_every": 200, "resume": True}
    windows = windows_of(tokenizer, conll["train"], SETTINGS, 0)
    model, history = fine_tune(windows, SETTINGS, seed, **config)
    row = {
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
    parser = EXPERIMENT.parser(rows=True)
    parser.add_argument("--checkpoints", type=Path, default=None, help="a folder, for resuming")
    arguments = parser.parse_args()
    environment.set_up()
    plan = [{"seed": seed} for seed in arguments.seeds]
    EXPERIMENT.fill(FILE, arguments, plan, partial(run, arguments.checkpoints))


if __name__ == "__main__":
    main()
