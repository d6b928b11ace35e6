"""The run of chapter 12 with `Trainer`, by the definitions of the chapter itself.

    python -m experiments.chapter_12_trainer

Trains on the first 1,600 of the shuffled training sentences, one pass, and writes to
notebooks/results/12-trainer.json the margins of all validation and test sentences of the binary
task, and of the sentences that the chapter makes up to look at negation. A margin is the logit of
positive minus that of negative, in fp32. One core takes about two minutes.

The cells of the notebook that are tagged `definitions` are run here, so that the chapter and this
script can't drift apart.
"""

import contextlib
import json

from tools.chapter_definitions import NOTEBOOKS, RESULTS, definitions

CHAPTER = NOTEBOOKS / "12-sentiment.ipynb"
FILE = RESULTS / "12-trainer.json"
SENTENCES = 1600


def main() -> None:
    with contextlib.chdir(CHAPTER.parent):
        c = definitions(CHAPTER)
        trainer = c.real_trainer(c.shuffled.select(range(SENTENCES)))
        result = trainer.train()
        run = c.record(trainer)
        own = c.margins_of(trainer.model, c.sentences)
    run = {
        name: value.astype(float).round(3).tolist() if hasattr(value, "astype") else value
        for name, value in run.items()
    }
    run["training_seconds"] = round(result.metrics["train_runtime"])
    run["sentences of our own"] = {
        text: round(float(m), 3) for text, m in zip(c.sentences, own, strict=True)
    }
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in run.items())
    FILE.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
    print(f"{run['updates']} updates, {run['training_seconds']} s of training")


if __name__ == "__main__":
    main()
