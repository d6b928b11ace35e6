"""Chapter 24, "Going deeper: does it pay to go on pretraining?": 24-adaptation.json.

    python -m experiments.chapter_24_adaptation

The book's own encoder, `bbc-mlm` of chapter 08, knows BBC News and no film review. Before it is
fine-tuned on labelled review sentences, it goes on pretraining, as a masked language model, on
the texts of all training sentences, without their labels; or it doesn't. Then a
`ModernBertForSequenceClassification` starts from it. The learning rate is chosen for each side,
with seed 0. A row a fine-tuned model; `masked loss` is the pretraining's on validation sentences.
About ten minutes on one core.
"""

from functools import cache

import numpy as np
import torch
from datasets import Dataset
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorForLanguageModeling,
    DataCollatorWithPadding,
    PreTrainedModel,
)

from experiments.common import CHECKPOINTS, RESULTS, Experiment, Row
from helpers.data import corpora
from helpers.teaching import environment
from helpers.training.loop import TrainingConfig, evaluate, predict, train

FILE = RESULTS / "24-adaptation.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="the same labelled sentences of a seed, all of their pieces",
    searched="two learning rates of fine-tuning, on both sides; none of the pretraining",
    selected="validation accuracy with 200 labels and seed 0",
    test="accuracy on 1,000 test sentences of every model",
    seeds=(0, 1, 2),
)
START = CHECKPOINTS / "bbc-mlm"
PASSES, MASKED, PRETRAINING_RATE = 1, 0.15, 5e-4
LABELS = {200: 5, 800: 3}  # labelled sentences -> passes over them
LEARNING_RATES = (3e-4, 1e-3)
VALIDATION, TEST = 300, 1000  # sentences


@cache
def tokenizer():
    return AutoTokenizer.from_pretrained(START)


@cache
def sentences(split: str) -> Dataset:
    """The pieces and the label of each sentence, negative or positive."""
    rows = corpora.movie_reviews(binary=True)[split]
    columns = tokenizer()(rows["text"][:], truncation=True, max_length=128)
    return Dataset.from_dict({"input_ids": columns["input_ids"], "label": rows["label"][:]})


def masked(split: str) -> Dataset:
    """The sentences without their labels, which pretraining must not see."""
    return sentences(split).remove_columns("label")


@cache
def encoder(adapted: bool, seed: int) -> tuple[PreTrainedModel, float]:
    """A masked language model, and its mean loss in nats on the first validation sentences."""
    collate = DataCollatorForLanguageModeling(tokenizer(), mlm_probability=MASKED)
    model = AutoModelForMaskedLM.from_pretrained(START)
    if adapted:
        config = TrainingConfig(
            epochs=PASSES, batch_size=32, learning_rate=PRETRAINING_RATE, seed=seed, progress=False
        )
        train(model, masked("train"), config, collate_fn=collate)
    torch.manual_seed(0)  # the same masks for both
    held_out = masked("validation").select(range(VALIDATION))
    return model, evaluate(model, held_out, collate_fn=collate)["loss"]


def classifier(base: PreTrainedModel, seed: int) -> PreTrainedModel:
    """A classifier with this model's encoder, and a head that `seed` draws."""
    torch.manual_seed(seed)
    model = AutoModelForSequenceClassification.from_pretrained(
        START, num_labels=2, classifier_pooling="mean"
    )
    model.model.load_state_dict(base.model.state_dict())
    model.head.load_state_dict(base.head.state_dict())  # the layer before the last
    return model


def fine_tuned(adapted: bool, labels: int, learning_rate: float, seed: int) -> Row:
    base, loss = encoder(adapted, seed if adapted else 0)
    model = classifier(base, seed)
    rows = np.random.default_rng(seed).permutation(len(sentences("train")))[:labels]
    config = TrainingConfig(
        epochs=LABELS[labels],
        batch_size=16,
        learning_rate=learning_rate,
        seed=seed,
        progress=False,
    )
    collate = DataCollatorWithPadding(tokenizer())
    train(model, sentences("train").select(rows), config, collate_fn=collate)
    scores = {"masked loss": round(loss, 4)}
    for split, size in (("validation", VALIDATION), ("test", TEST)):
        found = predict(model, sentences(split).select(range(size)), collate_fn=collate)
        scores[split] = round(float(np.mean(found.logits.argmax(-1) == found.labels)), 4)
    return scores


def best(rows: list[Row], adapted: bool) -> float:
    """The learning rate with the best validation accuracy; of equal ones the smaller."""
    of_side = [r for r in rows if r["adapted"] == adapted and r["labels"] == min(LABELS)]
    return max((r for r in of_side if r["seed"] == 0), key=lambda row: row["validation"])[
        "learning_rate"
    ]


def plan(rows: list[Row]) -> list[Row]:
    """First the search, with seed 0; once its rows are there, the other runs."""
    search = [
        {"adapted": adapted, "labels": min(LABELS), "learning_rate": rate, "seed": 0}
        for adapted in (False, True)
        for rate in LEARNING_RATES
    ]
    if any(all(row | run != row for row in rows) for run in search):
        return search
    return search + [
        {"adapted": adapted, "labels": labels, "learning_rate": best(rows, adapted), "seed": seed}
        for seed in EXPERIMENT.seeds
        for adapted in (False, True)
        for labels in LABELS
    ]


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    environment.set_up()
    EXPERIMENT.fill(FILE, arguments, plan, fine_tuned)


if __name__ == "__main__":
    main()
