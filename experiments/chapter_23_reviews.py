"""Chapter 23, "The real run", fig-23-transfer: 23-reviews.json, 23-transfer.json, e5-reviews.

    python -m experiments.chapter_23_reviews

Vectors of multilingual-e5 for 800 Chinese and 800 English reviews, and linear classifiers on
them: within each language, from one to the other, and with a few labels of the other. Then the
recipe, LoRA on the same 800 Chinese reviews, with three seeds. Kept is for each test review
whether it was classified rightly.
"""

import time
from types import SimpleNamespace

import numpy as np
import torch
from transformers import DataCollatorWithPadding, PrinterCallback

from experiments.adapters import keep
from experiments.common import CHECKPOINTS, RESULTS, Experiment, Row, definitions

FILE, TRANSFER = RESULTS / "23-reviews.json", RESULTS / "23-transfer.json"
ADAPTER = CHECKPOINTS / "e5-reviews"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE, TRANSFER, ADAPTER),
    reads="the first 64 characters of each Chinese review, the first 192 of each English one, on "
    "all sides; 800 reviews to learn from",
    searched="four strengths of the penalty for each linear classifier; for LoRA two rates, "
    "with one pass and batches of 8",
    selected="200 validation reviews of the language that the labels are in",
    test="600 reviews of each language, classified once by each finished classifier",
    seeds=(0, 1, 2),
)
SIZES = {"train": 800, "validation": 200, "test": 600}
RATES = (3e-4, 1e-3)
FEW, DRAWS = (20, 100, 500), range(5)


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    c = definitions("23")
    data = {language: c.cut(language, SIZES) for language in ("zh", "en")}
    if not TRANSFER.exists():
        EXPERIMENT.make(TRANSFER, lambda: transfer(c, data))
    rows = {split: c.as_dataset(part) for split, part in data["zh"].items()}

    def run(rate: float, seed: int) -> Row:
        started = time.perf_counter()
        model = c.with_lora(c.classifier(seed), ["pooler", "classifier"], seed)
        collator = DataCollatorWithPadding(c.tokenizer)
        trainer = c.make_trainer(model, rows["train"], collator, rate=rate, seed=seed, bf16=True)
        trainer.add_callback(PrinterCallback())
        trainer.train()
        minutes = round((time.perf_counter() - started) / 60, 1)
        losses = [round(at["loss"], 3) for at in trainer.state.log_history if "loss" in at]
        found = {"minutes": minutes, "losses": losses}
        for split in ("validation", "test"):
            guesses = trainer.predict(rows[split]).predictions.argmax(-1)
            found[split] = right(guesses, data["zh"][split]["label"])
        if seed == EXPERIMENT.seeds[1]:  # with the better rate alone
            keep(model, ADAPTER, "intfloat/multilingual-e5-small")
        return found

    def plan(done: list[Row]) -> list[Row]:
        first = [{"rate": rate, "seed": EXPERIMENT.seeds[0]} for rate in RATES]
        if len(done) < len(first):
            return first
        best = max(done[: len(first)], key=lambda row: row["validation"].count("1"))["rate"]
        return first + [{"rate": best, "seed": seed} for seed in arguments.seeds[1:]]

    EXPERIMENT.fill(FILE, arguments, plan, run)


def right(guesses: np.ndarray, labels: np.ndarray) -> str:
    """A row of 1 and 0: which were classified rightly."""
    return "".join("01"[int(guess == label)] for guess, label in zip(guesses, labels, strict=True))


Parts = dict[str, dict]  # language -> what there is of it


def transfer(c: SimpleNamespace, data: Parts) -> Row:
    """Linear classifiers on vectors and on TF-IDF of characters, from each language to both."""
    started = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16):
        vectors = {
            language: {split: c.embed(part["text"]) for split, part in parts.items()}
            for language, parts in data.items()
        }
    minutes = round((time.perf_counter() - started) / 60, 1)
    labels = {
        la: {split: part["label"] for split, part in parts.items()} for la, parts in data.items()
    }
    centred = {la: {s: x - v["train"].mean(0) for s, x in v.items()} for la, v in vectors.items()}
    found = {
        "minutes": minutes,
        "labels": {la: "".join(map(str, y["test"])) for la, y in labels.items()},
    }
    scores = {}
    for source, other in (("zh", "en"), ("en", "zh")):
        for name, v in (("e5", vectors), ("e5, centred", centred)):
            model = c.linear(
                *(part[source][s] for s in ("train", "validation") for part in (v, labels))
            )
            for target in (source, other):
                scores[f"{name}: {source} to {target}"] = right(
                    model.predict(v[target]["test"]), labels[target]["test"]
                )
    for language, parts in data.items():
        vectoriser = c.tfidf().fit(parts["train"]["text"])
        x = {split: vectoriser.transform(part["text"]) for split, part in parts.items()}
        y = labels[language]
        model = c.linear(x["train"], y["train"], x["validation"], y["validation"])
        scores[f"tfidf: {language} to {language}"] = right(model.predict(x["test"]), y["test"])
    return found | {"right": scores, "few": few(c, data, vectors, labels)}


def few(c: SimpleNamespace, data: Parts, vectors: Parts, labels: Parts) -> list[Row]:
    """Chinese labels beside 800 English ones or alone; C as without them, chosen on English."""
    rows = []
    english, y = vectors["en"], labels["en"]
    strength = c.linear(english["train"], y["train"], english["validation"], y["validation"]).C
    for size in FEW:
        for draw in DRAWS:
            chosen = np.random.default_rng(draw).permutation(SIZES["train"])[:size]
            x, target = vectors["zh"]["train"][chosen], labels["zh"]["train"][chosen]
            texts = [data["zh"]["train"]["text"][i] for i in chosen]
            both = np.concatenate([english["train"], x]), np.concatenate([y["train"], target])
            weights = np.concatenate(
                [np.ones(len(y["train"])), np.full(size, len(y["train"]) / size)]
            )
            vectoriser = c.tfidf().fit(texts)
            models = {
                "Chinese alone": (
                    c.LogisticRegression(C=strength, max_iter=2000).fit(x, target),
                    vectors["zh"]["test"],
                ),
                "English and Chinese": (
                    c.LogisticRegression(C=strength, max_iter=2000).fit(
                        *both, sample_weight=weights
                    ),
                    vectors["zh"]["test"],
                ),
                "Chinese alone, TF-IDF": (
                    c.LogisticRegression(C=10, max_iter=2000).fit(
                        vectoriser.transform(texts), target
                    ),
                    vectoriser.transform(data["zh"]["test"]["text"]),
                ),
            }
            for name, (model, x_test) in models.items():
                accuracy = model.score(x_test, labels["zh"]["test"])
                rows.append(
                    {"labels": size, "draw": draw, "from": name, "accuracy": round(accuracy, 4)}
                )
    return rows


if __name__ == "__main__":
    main()
