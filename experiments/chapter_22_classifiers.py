"""Chapter 22, fig-22-robust and what stands around it: 22-classifiers.json, minilm-sentiment.

    python -m experiments.chapter_22_classifiers

The chapter's recipe on 2,400 training sentences, as they are and with typos from codespell's list
in half of the words that have any, three seeds each. A row a run, with the margins for 400 test
sentences as they are and spoilt in several ways, for 400 sentences about products and 400 tweets,
and for 400 validation sentences. The matrices of the first run are kept.
"""

import time

import numpy as np
import torch

from experiments.adapters import keep
from experiments.common import CHECKPOINTS, RESULTS, Experiment, Row, definitions
from helpers.data import corpora
from helpers.data.typos import misspell, swap_letters
from helpers.hardware import has_native_bf16

FILE, KEPT = RESULTS / "22-classifiers.json", CHECKPOINTS / "minilm-sentiment"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE, KEPT),
    reads="the same 2,400 sentences for each seed, clean or with typos",
    searched="nothing: rate and LoRA of chapter 17, one pass",
    selected="nothing: all runs are shown",
    test="400 sentences for each condition, read once by each finished model",
    seeds=(0, 1, 2),
)
SENTENCES, ASKED, LEARNED_RATE = 2400, 400, 0.5


def spoilt(texts: list[str], how: str) -> list[str]:
    """The same typos in every run: the generator is seeded by the condition."""
    kind, _, rate = how.rpartition(" ")
    generator = np.random.default_rng(round(100 * float(rate)))
    change = misspell if kind == "listed" else swap_letters
    return [change(text, float(rate), generator) for text in texts]


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    c = definitions("22")
    train, test = c.reviews["train"], c.reviews["test"]["text"][:ASKED]
    conditions = {"validation": c.reviews["validation"]["text"][:ASKED], "clean": test}
    conditions |= {how: spoilt(test, how) for how in ("listed 0.3", "listed 1.0", "swapped 0.5")}
    for domain in ("products", "tweets"):
        conditions[domain] = corpora.rated_texts(domain)["text"][:ASKED]

    def run(learned: str, seed: int) -> Row:
        started = time.perf_counter()
        texts, labels = train["text"][:SENTENCES], train["label"][:SENTENCES]
        if learned == "with typos":
            generator = np.random.default_rng(1000 + seed)  # not the typos of the tests
            texts = [misspell(text, LEARNED_RATE, generator) for text in texts]
        model = c.with_lora(c.stock_classifier(seed), seed)
        bf16 = has_native_bf16(torch.device("cpu"))
        trainer = c.make_trainer(model, c.encode(texts, labels), seed, bf16=bf16)
        trainer.train()
        minutes = round((time.perf_counter() - started) / 60, 2)
        if learned == "clean" and seed == EXPERIMENT.seeds[0]:
            keep(model, KEPT, "sentence-transformers/all-MiniLM-L6-v2")
        model.eval()
        row = {"updates": trainer.state.global_step, "minutes": minutes, "bf16": bf16}
        for name, asked in conditions.items():
            row[name] = np.round(c.margins_of(model, asked), 3).tolist()
        return row

    plan = [
        {"learned": learned, "seed": seed}
        for seed in arguments.seeds
        for learned in ("clean", "with typos")
    ]
    EXPERIMENT.fill(FILE, arguments, plan, run)


if __name__ == "__main__":
    main()
