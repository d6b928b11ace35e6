"""Chapter 11, "The recipe beside the loop": 11-recipe.json.

    python -m experiments.chapter_11_recipe

The chapter's recipe with `Trainer`, and this book's `train` with the same settings: both fine-tune
the stock classifier for two passes at most, keep the weights with the lowest loss on the watched
articles, and are tested. A row a run, in about four minutes on one core.
"""

from types import SimpleNamespace

import torch

from experiments.common import RESULTS, Experiment, Row, definitions

FILE = RESULTS / "11-recipe.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="the first 256 training articles, 48 pieces of each, on both sides",
    searched="nothing: both have the same settings",
    selected="the loss on 64 validation articles, every 16 updates",
    test="all test articles, 48 pieces of each, once for each run",
    seeds=(0, 1, 2),
)
ARTICLES, EVERY, PATIENCE = 256, 16, 2


def by_trainer(c: SimpleNamespace, seed: int) -> tuple[torch.nn.Module, int]:
    """The model, and the update after which its weights were the best."""
    articles = c.tokenized["train"].select(range(ARTICLES))
    trainer = c.make_trainer(articles, c.watched, f"recipe-{seed}", every=EVERY, seed=seed)
    trainer.train()
    return trainer.model, trainer.state.best_global_step


def by_train(c: SimpleNamespace, seed: int) -> tuple[torch.nn.Module, int]:
    model = c.stock_classifier(seed)
    config = c.TrainingConfig(
        epochs=2,
        batch_size=8,
        learning_rate=1e-4,
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
