"""Chapter 19, "The recipe", "The real run", fig-19-curve: 19-*.json, interface-translator.

    python -m experiments.chapter_19_translator
    python -m experiments.chapter_19_translator --language fr --seeds 0

Trains the chapter's encoder-decoder on its English-Chinese messages (19-translator.json), or with
the same settings on the English-French ones (19-translator-fr.json). A row a run: how loss,
accuracy and BLEU of validation messages went, and its translations of the test messages, greedy
and with a beam of four. The first Chinese run also translates validation messages with other
beams, and its network is kept (interface-translator).
"""

import time

import numpy as np
import sacrebleu
import torch
from torch import nn
from transformers import DataCollatorForSeq2Seq

from experiments.common import CHECKPOINTS, RESULTS, Experiment, Row, definitions, log
from helpers.data import parallel
from helpers.models.translation import IGNORED, Translator
from helpers.training.loop import Predictions, TrainingConfig, evaluate, train

FILES = {"zh-Hans": RESULTS / "19-translator.json", "fr": RESULTS / "19-translator-fr.json"}
FOLDER = CHECKPOINTS / "interface-translator"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(*FILES.values(), FOLDER),
    reads="the English message with numbered placeholders, on all sides; the network and the "
    "memory learn from the same training messages, the network without the longest 1 to 2 %",
    searched="for the network two learning rates, 0.0015 and 0.0006, with 6,000 pieces, given up "
    "after 1,500 updates at most; then 0.001 with 4,000 pieces, batches of 64, dropout 0.1 and "
    "8,000 updates, all this for Chinese, and for French nothing; for the memory words or "
    "characters, for each language",
    selected="all this on validation messages; the last weights of the run, and a beam of four "
    "with length penalty 1, were set beforehand",
    test="Chinese: 2,316 messages of 82 components, translated once by each finished network, and "
    "the scores are means of both seeds; French: 2,815 messages of 72 components, translated once "
    "by the network of seed 0, beside the Chinese one of seed 0; curve, beams and all that looks "
    "into a network: Chinese, seed 0",
    seeds=(0, 1),
)
EVALUATIONS = 8  # in a run
WATCHED, SEARCHED = 300, 400  # validation messages looked at then, and with each beam at the end
BEAMS = [(1, 1.0)] + [(beams, alpha) for beams in (2, 4, 8, 16) for alpha in (0.0, 1.0)]


def main() -> None:
    parser = EXPERIMENT.parser(rows=True)
    parser.add_argument("--language", choices=FILES, default="zh-Hans", help="of the translations")
    arguments = parser.parse_args()
    c = definitions("19")
    data = parallel.interface_pairs(arguments.language)
    # Each language's units, as SacreBLEU has them: "zh" for Chinese, "13a" for French.
    metrics = {
        "BLEU": sacrebleu.BLEU(trg_lang=arguments.language[:2]),
        "chrF": sacrebleu.CHRF(),
    }
    updates, tokenizer = c.UPDATES, c.learn_pieces(c.both_sides(data["train"]))
    rows = c.for_training(data["train"], tokenizer)
    collator = DataCollatorForSeq2Seq(tokenizer)
    order = np.random.default_rng(0).permutation(len(data["validation"]))
    watched = data["validation"].select(order[:WATCHED])
    watched_pieces = c.for_training(watched, tokenizer)
    searched = data["validation"].select(order[:SEARCHED])

    def collate(examples: list[dict]) -> dict[str, torch.Tensor]:
        return dict(collator(examples))

    def score(texts: list[str], references: list[str]) -> Row:
        return {
            name: round(metric.corpus_score(texts, [references]).score, 2)
            for name, metric in metrics.items()
        }

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
        kept = arguments.language == "zh-Hans" and seed == EXPERIMENT.seeds[0]
        if kept:
            keep(marian, tokenizer)
        test = data["test"]["source"]
        row["greedy"] = c.translate(marian, tokenizer, test)
        row["beam"] = c.translate(marian, tokenizer, test, beams=4)
        log("translated")
        if kept:
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
    EXPERIMENT.fill(FILES[arguments.language], arguments, plan, run)


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
