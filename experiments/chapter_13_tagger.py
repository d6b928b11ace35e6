"""Chapter 13, "Texts as they stand" and its deeper sections: 13-tagger.json, 13-tagger.npz.

    python -m experiments.chapter_13_tagger

Trains the chapter's own tagger, without shapes, on every fifth training document, one pass, and
keeps what it says:

    13-tagger.npz     log-probabilities (words, 9) in half precision, of half of the validation
                      documents, and of the sentences of eighteen of them, read one by one
    13-tagger.json    the losses, the entities of the chapter's own texts, and those that
                      transformers' pipeline finds with the folder

One core takes about three minutes.
"""

import tempfile
from types import SimpleNamespace

import numpy as np
from transformers import PreTrainedModel

from experiments.common import RESULTS, Experiment, definitions

FILE, ARRAYS = RESULTS / "13-tagger.json", RESULTS / "13-tagger.npz"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE, ARRAYS),
    reads="windows of every fifth training document",
    searched="nothing",
    selected="nothing: the last weights are kept",
    test="not used",
    seeds=(0,),
)


def tagged(c: SimpleNamespace) -> dict:
    """The small part; the arrays go to their file."""
    model, history = c.fine_tune(c.train_windows)
    arrays = {name: c.word_scores(model, *pair) for name, pair in c.parts.items()}
    halves = {name: np.concatenate(rows).astype(np.float16) for name, rows in arrays.items()}
    np.savez_compressed(ARRAYS, **halves)
    return {
        "losses": [round(loss, 4) for loss in history.losses],
        "training_seconds": round(history.seconds),
        "entities": c.tagged(model),
        "pipelines": handed_over(c, model),
    }


def handed_over(c: SimpleNamespace, model: PreTrainedModel) -> dict:
    """What another process finds with the folder of the model."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        c.save_tokenizer(folder)
        return c.hand_over(folder, c.few)


def main() -> None:
    EXPERIMENT.parser().parse_args()
    c = definitions("13")
    EXPERIMENT.make(FILE, lambda: tagged(c))


if __name__ == "__main__":
    main()
