"""Chapter 11, "Going deeper: the recipe beside the loop", fig-11-beside: 11-recipe.json.

    python -m experiments.chapter_11_recipe

The chapter's recipe with `Trainer`, and this book's `train` with the same settings: both fine-tune
the stock classifier on the same articles, once, keep the weights with the lowest loss on the
watched articles, and are tested. Three learning rates are tried with seed 0, for each of the two;
the one with the lowest loss on all validation articles is taken on to more seeds and to the test
articles. A row a run, in about four minutes on one core.
"""

from functools import partial
from types import SimpleNamespace

import numpy as np
import torch

from experiments.common import RESULTS, Experiment, Row, definitions

FILE = RESULTS / "11-recipe.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="the first 48 pieces of the first 256 training articles, and of the articles it is "
    "tested on",
    searched="three learning rates for `Trainer` and three for `train`; for word counts, in the "
    "chapter, three values of `C`",
    selected="validation articles: a run's weights by the lowest loss on 64 of them, its learning "
    "rate, with seed 0, by the lowest loss on all 202; for word counts the highest accuracy on all",
    test="read once by each run with the learning rate that was chosen, and by the word counts",
    seeds=(0, 1, 2),
)
ARTICLES, EVERY, PATIENCE = 256, 8, 2
LEARNING_RATES = (1e-4, 2e-4, 4e-4)


def by_trainer(c: SimpleNamespace, rate: float, seed: int) -> tuple[torch.nn.Module, int]:
    """The model, and the update after which its weights were the best."""
    articles = c.tokenized["train"].select(range(ARTICLES))
    trainer = c.make_trainer(articles, c.watched, "recipe", every=EVERY, rate=rate, seed=seed)
    trainer.train()
    return trainer.model, trainer.state.best_global_step


def by_train(c: SimpleNamespace, rate: float, seed: int) -> tuple[torch.nn.Module, int]:
    model = c.stock_classifier(seed)
    config = c.TrainingConfig(
        epochs=1,
        batch_size=8,
        learning_rate=rate,
        evaluate_every=EVERY,
        best_metric="loss",
        higher_is_better=False,
        patience=PATIENCE,
        precision="fp32",  # as Trainer computes
        seed=seed,
    )
    history = c.train(
        model,
        c.tokenized["train"].select(range(ARTICLES)),
        config,
        collate_fn=c.collate,
        evaluate_fn=lambda model: c.evaluate(model, c.watched, collate_fn=c.collate),
    )
    return model, history.best["step"]


METHODS = {"Trainer": by_trainer, "train": by_train}


def scores(c: SimpleNamespace, model: torch.nn.Module, split: str) -> Row:
    found = c.predict(model, c.tokenized[split], collate_fn=c.collate, precision="fp32")
    log_p = torch.tensor(found.logits).log_softmax(-1).numpy()  # (n, 5)
    loss = -log_p[np.arange(len(log_p)), found.labels].mean()
    right = (found.logits.argmax(-1) == found.labels).mean()
    return {f"{split} loss": round(float(loss), 4), split: round(float(right), 4)}


def plan(seeds: list[int], rows: list[Row]) -> list[Row]:
    """The search; for each method whose search stands, its runs with what was found."""
    runs = [
        {"method": method, "use": "search", "rate": rate, "seed": 0}
        for method in METHODS
        for rate in LEARNING_RATES
    ]
    for method in METHODS:
        tried = [row for row in rows if row["method"] == method and row["use"] == "search"]
        if len(tried) == len(LEARNING_RATES):
            best = min(tried, key=lambda row: row["validation loss"])["rate"]
            runs += [{"method": method, "use": "test", "rate": best, "seed": s} for s in seeds]
    return runs


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    c = definitions("11")

    def run(method: str, use: str, rate: float, seed: int) -> Row:
        model, step = METHODS[method](c, rate, seed)
        row = {"best update": step} | scores(c, model, "validation")
        return row | (scores(c, model, "test") if use == "test" else {})

    EXPERIMENT.fill(FILE, arguments, partial(plan, arguments.seeds), run)


if __name__ == "__main__":
    main()
