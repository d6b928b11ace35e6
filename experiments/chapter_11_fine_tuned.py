"""Chapter 11, "The real run", fig-11-history and fig-11-confusion: 11-fine-tuned.json.

    python -m experiments.chapter_11_fine_tuned

MiniLM is trained on all training articles once, the first 48 pieces of each, and then gives the
test articles their logits, from 128 pieces of each. About two minutes on one core.
"""

from types import SimpleNamespace

from experiments.common import RESULTS, Experiment, definitions, log

FILE = RESULTS / "11-fine-tuned.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="MiniLM: 48 pieces of an article in training, 128 in the test; word counts, in the "
    "chapter: 128 pieces in both, and whole articles",
    searched="nothing for MiniLM: batches of 8 and a learning rate of 0.0001; three values of `C` "
    "for word counts",
    selected="nothing for MiniLM, whose last weights are tested; `C` by the accuracy on all "
    "validation articles",
    test="read once by the finished models",
    seeds=(0,),
)


def fine_tuned(c: SimpleNamespace) -> dict:
    model, history = c.fine_tune(c.tokenized["train"])
    logits = c.predict(model, c.read_further("test"), collate_fn=c.collate).logits
    log(*history.evaluations)
    return {
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
    EXPERIMENT.make(FILE, lambda: fine_tuned(c))


if __name__ == "__main__":
    main()
