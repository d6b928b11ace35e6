"""Chapter 11, "The real run", fig-11-history and fig-11-confusion: 11-fine-tuned.json.

    python -m experiments.chapter_11_fine_tuned

MiniLM is trained on all training articles once, the first 48 pieces of each, and then gives the
test articles their logits, from 128 pieces of each. The shorter run that the notebook makes live is
made too, for the notebook to compare with. About two minutes on one core.
"""

from types import SimpleNamespace

import numpy as np

from experiments.common import RESULTS, Experiment, definitions, log

FILE = RESULTS / "11-fine-tuned.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="48 pieces of an article in training, 128 in tests",
    searched="nothing here",
    selected="nothing: the last weights are tested",
    test="logits of the finished model",
    seeds=(0,),
)


def both_runs(c: SimpleNamespace) -> dict:
    articles = c.encoded["train"]
    _, live = c.fine_tune(articles.select(range(c.LIVE)))
    model, history = c.fine_tune(articles)
    logits = c.predict(model, c.encoded["test"], collate_fn=c.collate).logits
    log(*history.evaluations)
    return {
        f"{c.LIVE} articles": {
            "loss": round(float(np.mean(live.losses[-c.LAST :])), 4),
            "accuracy": live.evaluations[-1]["accuracy"],
        },
        "history": {
            "records": [
                {"step": step, "loss": round(loss, 4)}
                for step, loss in enumerate(history.losses, start=1)
            ],
            "evaluations": history.evaluations,
        },
        "test logits": logits.round(4).tolist(),
    }


def main() -> None:
    EXPERIMENT.parser().parse_args()
    c = definitions("11")
    EXPERIMENT.make(FILE, lambda: both_runs(c))


if __name__ == "__main__":
    main()
