"""Chapter 12, "The real run": 12-trainer.json.

    python -m experiments.chapter_12_trainer

Trains with `Trainer` on the first 1,600 of the shuffled training sentences, one pass, and keeps the
margins of all validation and test sentences of the binary task, and of the sentences that the
chapter makes up to look at negation. A margin is the logit of positive minus that of negative, in
fp32. One core takes about two minutes.
"""

from types import SimpleNamespace

from experiments.common import RESULTS, Experiment, definitions, log

FILE = RESULTS / "12-trainer.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="1,600 training sentences of any length",
    searched="nothing",
    selected="nothing: the last weights are tested",
    test="margins of the finished model",
    seeds=(0,),
)
SENTENCES = 1600


def trained(c: SimpleNamespace) -> dict:
    trainer = c.real_trainer(c.shuffled.select(range(SENTENCES)))
    result = trainer.train()
    run = c.record(trainer)
    own = c.margins_of(trainer.model, c.sentences)
    run = {
        name: value.astype(float).round(3).tolist() if hasattr(value, "astype") else value
        for name, value in run.items()
    }
    run["training_seconds"] = round(result.metrics["train_runtime"])
    run["sentences of our own"] = {
        text: round(float(m), 3) for text, m in zip(c.sentences, own, strict=True)
    }
    log(f"{run['updates']} updates, {run['training_seconds']} s of training")
    return run


def main() -> None:
    EXPERIMENT.parser().parse_args()
    c = definitions("12")
    EXPERIMENT.make(FILE, lambda: trained(c))


if __name__ == "__main__":
    main()
