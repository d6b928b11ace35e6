"""Chapter 18, "The longer run": 18-headlines.json.

    python -m experiments.chapter_18_headlines

Trains the chapter's small encoder-decoder on all training headlines with its own
`headline_trainer`, from random weights. A row a seed with the headlines that the model writes for
the test articles, and the mean scores of the validation articles.
"""

import numpy as np

from experiments.common import RESULTS, Experiment, Row, definitions

FILE = RESULTS / "18-headlines.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="the first sentences of an article, 60 words at most, on all sides",
    searched="nothing: one learning rate and six passes",
    selected="nothing: the last weights are kept",
    test="200 articles, for which each finished model writes a headline once",
    seeds=(1, 2),
)
PASSES, RATE = 6, 1e-3
N_TEST = 200


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    c = definitions("18")
    parts = {name: c.features_of(c.news[name]) for name in ("train", "validation", "test")}

    def run(seed: int, passes: int) -> Row:
        trainer = c.headline_trainer(
            c.new_model(seed), parts["train"], epochs=passes, rate=RATE, seed=seed
        )
        trainer.train()
        losses = [at["loss"] for at in trainer.state.log_history if "loss" in at]
        validated = trainer.evaluate(parts["validation"])
        written = trainer.predict(parts["test"].select(range(N_TEST)))
        return {
            "updates": trainer.state.global_step,
            "loss": round(float(np.mean(losses[-10:])), 3),
            "validation": {
                name.removeprefix("eval_"): round(value, 4)
                for name, value in validated.items()
                if name.startswith("eval_rouge") or name == "eval_loss"
            },
            "test": c.texts_of(written.predictions),
        }

    plan = [{"seed": s, "passes": PASSES} for s in arguments.seeds]
    EXPERIMENT.fill(FILE, arguments, plan, run)


if __name__ == "__main__":
    main()
