"""Chapter 19, "The recipe", "The real run", fig-19-curve: 19-translator.json, interface-translator.

    python -m experiments.chapter_19_translator

Trains the chapter's encoder-decoder on its English-Chinese messages. A row a run: how loss,
accuracy and BLEU of validation messages went, and its translations of the test messages, greedy
and with a beam of four. The first run also translates validation messages with other beams, and
its network is kept.
"""

import time

import numpy as np
import torch
from torch import nn
from transformers import DataCollatorForSeq2Seq

from experiments.common import CHECKPOINTS, RESULTS, Experiment, Row, definitions, log
from helpers.models.translation import IGNORED, Translator
from helpers.training.loop import Predictions, TrainingConfig, evaluate, train

FILE, FOLDER = RESULTS / "19-translator.json", CHECKPOINTS / "interface-translator"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE, FOLDER),
    reads="the English message with numbered placeholders, on all sides; the network and the "
    "memory learn from the same training messages, the network without the longest 1 %",
    searched="for the network two learning rates, 0.0015 and 0.0006, with 6,000 pieces, given up "
    "after 1,500 updates at most; then 0.001 with 4,000 pieces, batches of 64, dropout 0.1 and "
    "8,000 updates; for the memory words or characters",
    selected="all this on validation messages; the last weights of the run, and a beam of four "
    "with length penalty 1, were set beforehand",
    test="2,316 messages of 82 components, translated once by each finished network",
    seeds=(0, 1),
)
EVALUATIONS = 8  # in a run
WATCHED, SEARCHED = 300, 400  # validation messages looked at then, and with each beam at the end
BEAMS = [(1, 1.0)] + [(beams, alpha) for beams in (2, 4, 8, 16) for alpha in (0.0, 1.0)]


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    c = definitions("19")
    updates, tokenizer = c.UPDATES, c.learn_pieces(c.both_sides(c.data["train"]))
    rows = c.for_training(c.data["train"], tokenizer)
    collator = DataCollatorForSeq2Seq(tokenizer)
    order = np.random.default_rng(0).permutation(len(c.data["validation"]))
    watched = c.data["validation"].select(order[:WATCHED])
    watched_pieces = c.for_training(watched, tokenizer)
    searched = c.data["validation"].select(order[:SEARCHED])

    def collate(examples: list[dict]) -> dict[str, torch.Tensor]:
        return dict(collator(examples))

    def score(texts: list[str], references: list[str]) -> Row:
        counts = c.count_all(texts, references)
        found = {name: c.SCORES[name](value.sum(0)) for name, value in counts.items()}
        return {name: round(float(value), 2) for name, value in found.items()}

    def run(smoothing: float, seed: int) -> Row:
        started = time.perf_counter()
        model = Translator.from_marian(c.small_marian(tokenizer, seed)).to(c.device)
        curve: list[Row] = []

        def watch(model: nn.Module) -> dict[str, float]:
            found = evaluate(model, watched_pieces, collate_fn=collate, compute_metrics=accuracy)
            marian = model.to_marian().eval()
            texts = c.translate(marian, tokenizer, watched["source"])
            point = {"loss": round(found["loss"], 4), "accuracy": round(found["accuracy"], 4)}
            point |= score(texts, watched["target"])
            point["whole"] = sum(map(str.__eq__, texts, watched["target"]))
            curve.append({"updates": updates * (len(curve) + 1) // EVALUATIONS, **point})
            log(curve[-1])
            return {"loss": found["loss"]}

        config = TrainingConfig(
            steps=updates,
            batch_size=64,
            learning_rate=1e-3,
            warmup_ratio=0.1,
            beta2=0.98,
            label_smoothing=smoothing,
            seed=seed,
            evaluate_every=updates // EVALUATIONS,
            progress=False,
        )
        train(model, rows, config, collate_fn=collate, evaluate_fn=watch)
        minutes = round((time.perf_counter() - started) / 60, 1)
        marian = model.to_marian().eval()
        row = {"minutes": minutes, "rows": len(rows), "curve": curve}
        if seed == EXPERIMENT.seeds[0]:
            keep(marian, tokenizer)
        test = c.data["test"]["source"]
        row["greedy"] = c.translate(marian, tokenizer, test)
        row["beam"] = c.translate(marian, tokenizer, test, beams=4)
        log("translated")
        if seed == EXPERIMENT.seeds[0]:
            row["searched"] = [int(i) for i in order[:SEARCHED]]
            row["beams"] = []
            for beams, alpha in BEAMS:
                since = time.perf_counter()
                texts = c.translate(
                    marian, tokenizer, searched["source"], beams=beams, length_penalty=alpha
                )
                seconds = round(time.perf_counter() - since, 1)
                row["beams"].append(
                    {"beams": beams, "alpha": alpha, "seconds": seconds, "texts": texts}
                )
                log(beams, alpha, score(texts, searched["target"]), seconds)
        return row

    plan = [{"smoothing": 0.1, "seed": seed} for seed in arguments.seeds]
    EXPERIMENT.fill(FILE, arguments, plan, run)


def accuracy(predictions: Predictions) -> dict[str, float]:
    """The share of right pieces, each after the right beginning."""
    pairs = zip(predictions.logits, predictions.labels, strict=True)
    right = np.concatenate([(o.argmax(-1) == y)[y != IGNORED] for o, y in pairs])
    return {"accuracy": float(right.mean())}


def keep(marian: nn.Module, tokenizer) -> None:
    """Save a network in half precision, with its pieces, as stock code reads them."""
    marian.half().save_pretrained(FOLDER)
    tokenizer.save_pretrained(FOLDER)
    marian.float()


if __name__ == "__main__":
    main()
