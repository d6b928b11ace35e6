"""Chapter 17, "The real run", fig-17-threshold and what follows: 17-reader.json, minilm-reader.

    python -m experiments.chapter_17_reader

The chapter's recipe on all windows of its 594 training questions, with LoRA, for one pass and for
four. A row a run, with what the reader answers to validation and test questions, and by how much
it prefers that to no answer; the chapter chooses the threshold and scores. The matrices of four
passes with the first seed are kept.
"""

import time

from transformers import PrinterCallback

from experiments.adapters import keep
from experiments.common import CHECKPOINTS, RESULTS, Experiment, Row, definitions

FILE, READER = RESULTS / "17-reader.json", CHECKPOINTS / "minilm-reader"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE, READER),
    reads="question and passage on all sides: the reader in windows of 128 pieces that share 40, "
    "the best-sentence baselines sentence by sentence",
    searched="for the reader one pass and four, with batches of 8, LoRA of rank 16 on all linear "
    "layers inside and a learning rate of 0.001; nothing for the baselines; a threshold for each",
    selected="passes and thresholds by the mean F1 of 85 validation questions",
    test="170 questions, answered once by each finished reader",
    seeds=(0, 1),
)
PASSES = (1, 4)


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    c = definitions("17")
    windows = c.for_training(c.learned)

    def run(passes: int, seed: int) -> Row:
        started = time.perf_counter()
        trainer = c.make_trainer(
            c.with_lora(c.stock_reader(seed), seed), windows, epochs=passes, rate=1e-3, seed=seed
        )
        trainer.add_callback(PrinterCallback())
        trainer.train()
        minutes = round((time.perf_counter() - started) / 60, 1)
        losses = [round(at["loss"], 3) for at in trainer.state.log_history if "loss" in at]
        if passes == max(PASSES) and seed == EXPERIMENT.seeds[0]:
            keep(trainer.model, READER, "sentence-transformers/all-MiniLM-L6-v2")
        answers = {}
        for split, rows in c.asked.items():
            answers[split] = [[text, round(margin, 3)] for text, margin in c.read(trainer, rows)]
        settings = {"windows": len(windows), "minutes": minutes, "losses": losses}
        return settings | answers

    plan = [{"passes": passes, "seed": seed} for seed in arguments.seeds for passes in PASSES]
    EXPERIMENT.fill(FILE, arguments, plan, run)


if __name__ == "__main__":
    main()
