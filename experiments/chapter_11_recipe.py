"""Chapter 11, "Going deeper: the recipe beside the loop", fig-11-beside: 11-recipe.json.

    python -m experiments.chapter_11_recipe

The chapter's recipe with `Trainer`, and this book's `train` with the same settings: both fine-tune
the stock classifier for two passes at most, where the chapter makes one, keep the weights with the
lowest loss on the watched articles, and are tested. A row a run, in about four minutes on one core.
"""

from types import SimpleNamespace

import torch

from experiments.common import RESULTS, Experiment, Row, definitions

FILE = RESULTS / "11-recipe.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="48 pieces of the first 256 training articles, and of the articles that are tested, on "
    "all sides",
    searched="nothing for `Trainer` and `train`: two passes, batches of 8 and a learning rate of "
    "0.0001; three values of `C` for word counts, in the chapter",
    selected="validation articles: a run's weights by the lowest loss on 64 of them, every 16 "
    "updates; `C` by the highest accuracy on all 202",
    test="read once by each run, and by the word counts",
    seeds=(0, 1, 2),
)
ARTICLES, EVERY, PATIENCE = 256, 16, 2
EPOCHS, RATE = 2, 1e-4


def by_trainer(c: SimpleNamespace, seed: int) -> tuple[torch.nn.Module, int]:
    """The model, and the update after which its weights were the best."""
    articles = c.tokenized["train"].select(range(ARTICLES))
    trainer = c.make_trainer(
        articles, c.watched, f"recipe-{seed}", every=EVERY, epochs=EPOCHS, rate=RATE, seed=seed
    )
    trainer.train()
    return trainer.model, trainer.state.best_global_step


def by_train(c: SimpleNamespace, seed: int) -> tuple[torch.nn.Module, int]:
    model = c.stock_classifier(seed)
    config = c.TrainingConfig(
        epochs=EPOCHS,
        batch_size=8,
        learning_rate=RATE,
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


def accuracy(c: SimpleNamespace, model: torch.nn.Module, split: str) -> float:
    found = c.predict(model, c.tokenized[split], collate_fn=c.collate, precision="fp32")
    return round(float((found.logits.argmax(-1) == found.labels).mean()), 4)


METHODS = {"Trainer": by_trainer, "train": by_train}


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    c = definitions("11")

    def run(method: str, seed: int) -> Row:
        model, step = METHODS[method](c, seed)
        scores = {split: accuracy(c, model, split) for split in ("validation", "test")}
        return {"best update": step} | scores

    plan = [{"method": method, "seed": seed} for seed in arguments.seeds for method in METHODS]
    EXPERIMENT.fill(FILE, arguments, plan, run)


if __name__ == "__main__":
    main()
