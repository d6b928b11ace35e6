"""The long runs of chapters 08 and 09: one network and one corpus, masked or causal.

    python -m experiments.chapter_08_pretrain mlm
    python -m experiments.chapter_08_pretrain clm

Trains by the recipe of chapter 08, whose notebook's cells tagged `definitions` are run here. A run
that was stopped goes on when it is started again. Writes the weights in half precision and the
tokenizer to notebooks/checkpoints/bbc-mlm or bbc-clm, and the course of the loss to
notebooks/results/08-long-run.json. About 15 minutes each on two idle CPU cores.
"""

import argparse
import json
import statistics
from dataclasses import replace
from pathlib import Path

import torch

from helpers.data.batching import collate_causal
from helpers.data.vocabulary import leave_prompts_open
from helpers.models.modernbert import ModernBert
from helpers.training.loop import TrainingConfig, evaluate, train
from tools.chapter_definitions import CHECKPOINTS, NOTEBOOKS, RESULTS, definitions

CHAPTER = NOTEBOOKS / "08-masked-language-modelling.ipynb"
FILE = RESULTS / "08-long-run.json"
UPDATES, EVALUATIONS, AVERAGED = 6000, 12, 50
SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("objective", choices=("mlm", "clm"))
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="for going on after a stop")
    arguments = parser.parse_args()
    c = definitions(CHAPTER)
    causal = arguments.objective == "clm"
    collate = collate_causal if causal else c.collator
    held_out = c.datasets["validation"] if causal else c.held_out
    measure = collate_causal if causal else c.held_out.collate
    torch.manual_seed(SEED)
    model = ModernBert(replace(c.CONFIG, causal=causal))
    config = TrainingConfig(
        **c.RECIPE,
        steps=UPDATES,
        seed=SEED,
        evaluate_every=UPDATES // EVALUATIONS,
        checkpoint_dir=arguments.runs / f"bbc-{arguments.objective}",
        checkpoint_every=UPDATES // EVALUATIONS,
        resume=True,
    )
    history = train(
        model,
        c.datasets["train"],
        config,
        collate_fn=collate,
        evaluate_fn=lambda model: evaluate(model, held_out, collate_fn=measure),
    )
    folder = CHECKPOINTS / f"bbc-{arguments.objective}"
    tokenizer = leave_prompts_open(c.tokenizer, c.CLS, c.SEP) if causal else c.tokenizer
    model.save_pretrained(folder, tokenizer=tokenizer, dtype=torch.float16)
    losses = history.losses
    row = {
        "updates": UPDATES,
        "seed": SEED,
        "tokens": sum(record["tokens"] for record in history.records),
        "minutes": round(history.seconds / 60, 1),
        "training": [
            {"step": i + AVERAGED, "loss": round(statistics.fmean(losses[i : i + AVERAGED]), 4)}
            for i in range(0, len(losses) - AVERAGED + 1, AVERAGED)
        ],
        "validation": [
            {"step": e["step"], "loss": round(e["loss"], 4)} for e in history.evaluations
        ],
    }
    results = json.loads(FILE.read_text("utf-8")) if FILE.exists() else {}
    results[arguments.objective] = row
    FILE.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(row["validation"][-1], f"{row['minutes']} minutes")


if __name__ == "__main__":
    main()
