"""The short training run of chapter 09, and its predictions of all test articles.

    python -m experiments.chapter_09_network training
    python -m experiments.chapter_09_network test

`training` makes fifty updates of a causal network, seed 0, and writes its losses to
notebooks/results/09-short-run.json. `test` reads the 401 test articles with the checkpoint of the
long run and with three n-grams, in fp32, and writes what each article costs each model, in nats,
and the weight of the mixture to notebooks/results/09-test-articles.json. Half a minute and a
minute and a half on one core.

The cells of the notebook that are tagged `definitions` are run here, so that the chapter and this
script can't drift apart.
"""

import argparse
import contextlib
import json
from types import SimpleNamespace

from tools.chapter_definitions import CHECKPOINTS, NOTEBOOKS, RESULTS, definitions

CHAPTER = NOTEBOOKS / "09-causal-language-modelling.ipynb"


def losses(rows: list[dict]) -> list[dict]:
    return [{"step": row["step"], "loss": round(row["loss"], 4)} for row in rows]


def training(c: SimpleNamespace) -> None:
    """The fifty updates."""
    history = c.short_training(c.decoder, c.UPDATES)
    result = {"minutes": round(history.seconds / 60, 1)}
    result |= {"training": losses(history.records), "validation": losses(history.evaluations)}
    print(*result["validation"], sep="\n")
    (RESULTS / "09-short-run.json").write_text(json.dumps(result) + "\n", "utf-8")


def test(c: SimpleNamespace) -> None:
    """The predictions of the test articles."""
    model = c.ModernBert.from_pretrained(CHECKPOINTS / "bbc-clm").to(c.device)
    weight = float(c.best_weight(model))
    nats = c.article_nats(model, c.pieces["test"], weight)
    for name, values in nats.items():
        print(f"{name}: {values.sum():,.0f} nats")
    rows = [f"{json.dumps(name)}: {values.round(3).tolist()}" for name, values in nats.items()]
    text = f'{{"weight": {weight}, "nats": {{\n' + ",\n".join(rows) + "\n}}\n"
    (RESULTS / "09-test-articles.json").write_text(text, "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("training", "test"))
    what = parser.parse_args().what
    with contextlib.chdir(CHAPTER.parent):
        c = definitions(CHAPTER)
        if what == "training":
            training(c)
        else:
            test(c)


if __name__ == "__main__":
    main()
