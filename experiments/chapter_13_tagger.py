"""The run of chapter 13's own tagger, without shapes, by the definitions of the chapter itself.

    python -m experiments.chapter_13_tagger

Trains on every fifth training document, one pass, and keeps what the tagger says:

    notebooks/results/13-tagger.npz     log-probabilities (words, 9) in half precision, of half of
                                        the validation documents, and of the sentences of eighteen
                                        of them, read one by one
    notebooks/results/13-tagger.json    the losses, the tags of the chapter's own texts, and the
                                        entities that transformers' pipeline finds with the folder

One core takes about three minutes.

The cells of the notebook that are tagged `definitions` are run here, so that the chapter and this
script can't drift apart.
"""

import contextlib
import json

import numpy as np

from tools.chapter_definitions import NOTEBOOKS, RESULTS, definitions

CHAPTER = NOTEBOOKS / "13-named-entity-recognition.ipynb"
FILE = RESULTS / "13-tagger.json"


def main() -> None:
    with contextlib.chdir(CHAPTER.parent):
        c = definitions(CHAPTER)
        model, history = c.fine_tune(c.train_windows)
        arrays = {name: c.word_scores(model, *pair) for name, pair in c.parts.items()}
        run = {
            "losses": [round(loss, 4) for loss in history.losses],
            "training_seconds": round(history.seconds),
            "tags": {name: c.tag_words(model, rows) for name, rows in c.texts.items()},
            "pipelines": c.hand_over(model, c.few),
        }
    halves = {name: np.concatenate(rows).astype(np.float16) for name, rows in arrays.items()}
    np.savez_compressed(FILE.with_suffix(".npz"), **halves)
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in run.items())
    FILE.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
    print(f"{len(history.losses)} updates, {run['training_seconds']} s of training")


if __name__ == "__main__":
    main()
