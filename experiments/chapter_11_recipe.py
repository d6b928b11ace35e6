"""Chapter 11, "The recipe beside the loop": 11-recipe.json.

    python -m experiments.chapter_11_recipe

The chapter's recipe with `Trainer`, and this book's `train` with the same settings: both fine-tune
the stock classifier on the first 256 training articles, 48 pieces of each, two passes at most, are
watched on the same 64 validation articles, keep the weights with the lowest loss there, and are
tested on all test articles, 48 pieces of each. Three seeds each; no setting was tuned. A row a run,
in about four minutes on one core.

The cells of the notebook that are tagged `definitions` are run here, so that the chapter and this
script can't drift apart.
"""

import json
import time
from types import SimpleNamespace

import torch

from tools.chapter_definitions import NOTEBOOKS, RESULTS, definitions

CHAPTER = NOTEBOOKS / "11-text-classification.ipynb"
FILE = RESULTS / "11-recipe.json"
ARTICLES, EVERY, PATIENCE = 256, 16, 2
SEEDS = 3


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


def main() -> None:
    c = definitions(CHAPTER)
    rows = []
    for seed in range(SEEDS):
        for method, run in (("Trainer", by_trainer), ("train", by_train)):
            started = time.perf_counter()
            model, step = run(c, seed)
            row = {"method": method, "seed": seed, "best update": step}
            row |= {split: accuracy(c, model, split) for split in ("validation", "test")}
            rows.append(row)
            print(row, f"{time.perf_counter() - started:.0f} s", flush=True)
    lines = ",\n".join(map(json.dumps, rows))
    FILE.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
