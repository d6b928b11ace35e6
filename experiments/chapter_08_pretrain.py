"""Chapters 08 and 09, fig-08-history and fig-09-training: 08-long-run.json, bbc-mlm, bbc-clm.

    python -m experiments.chapter_08_pretrain mlm
    python -m experiments.chapter_08_pretrain clm

One network and one corpus, masked or causal, by the recipe of chapter 08. A run that was stopped
goes on when it is started again. Writes the weights in half precision and the tokenizer to the
checkpoint, and the course of the loss to the file. About 15 minutes each on two idle CPU cores.
"""

import statistics
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import torch

from experiments.common import CHECKPOINTS, RESULTS, Experiment, definitions
from helpers.data.batching import collate_causal
from helpers.data.vocabulary import leave_prompts_open
from helpers.models.modernbert import ModernBert
from helpers.training.loop import TrainingConfig, evaluate, train

FILE = RESULTS / "08-long-run.json"
FOLDERS = {"mlm": CHECKPOINTS / "bbc-mlm", "clm": CHECKPOINTS / "bbc-clm"}
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE, *FOLDERS.values()),
    reads="the same blocks of the training articles; the masks are drawn anew in each pass",
    searched="nothing here: chapter 08's recipe for both",
    selected="nothing: the last weights are kept, not the best",
    test="not used; the loss is of the validation articles",
    seeds=(0,),
)
UPDATES, EVALUATIONS, AVERAGED = 6000, 12, 50


def train_and_save(c: SimpleNamespace, objective: str, runs: Path) -> dict:
    """The course of the loss; the weights go to their folder."""
    [seed] = EXPERIMENT.seeds
    causal = objective == "clm"
    collate = collate_causal if causal else c.collator
    held_out = c.datasets["validation"] if causal else c.held_out
    measure = collate_causal if causal else c.held_out.collate
    torch.manual_seed(seed)
    model = ModernBert(replace(c.CONFIG, causal=causal))
    config = TrainingConfig(
        **c.RECIPE,
        steps=UPDATES,
        seed=seed,
        evaluate_every=UPDATES // EVALUATIONS,
        checkpoint_dir=runs / f"bbc-{objective}",
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
    tokenizer = leave_prompts_open(c.tokenizer, c.CLS, c.SEP) if causal else c.tokenizer
    model.save_pretrained(FOLDERS[objective], tokenizer=tokenizer, dtype=torch.float16)
    losses = history.losses
    return {
        "updates": UPDATES,
        "seed": seed,
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


def main() -> None:
    parser = EXPERIMENT.parser()
    parser.add_argument("objective", choices=tuple(FOLDERS))
    parser.add_argument("--checkpoints", type=Path, default="runs", help="a folder, for resuming")
    arguments = parser.parse_args()
    folder = arguments.checkpoints.resolve()  # before the chapter's folder is entered
    c = definitions("08")
    objective = arguments.objective
    EXPERIMENT.make(FILE, lambda: train_and_save(c, objective, folder), part=objective)


if __name__ == "__main__":
    main()
