"""Chapter 09, fig-09-training and fig-09-context: 09-short-run.json and 09-test-articles.json.

    python -m experiments.chapter_09_network training
    python -m experiments.chapter_09_network test

`training` makes fifty updates of a causal network and writes its losses. `test` reads the 401 test
articles with the checkpoint of the long run and with three n-grams, in fp32, and writes what each
article costs each model, in nats, and the weight of the mixture. Half a minute and a minute and a
half on one core.
"""

from types import SimpleNamespace

from experiments.common import CHECKPOINTS, RESULTS, Experiment, definitions, log

SHORT_RUN, TEST_ARTICLES = RESULTS / "09-short-run.json", RESULTS / "09-test-articles.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(SHORT_RUN, TEST_ARTICLES),
    reads="the same pieces for the network and the n-grams",
    searched="the weight of the mixture of both",
    selected="the validation articles",
    test="what each article costs each finished model",
    seeds=(0,),
)


def losses(rows: list[dict]) -> list[dict]:
    return [{"step": row["step"], "loss": round(row["loss"], 4)} for row in rows]


def training(c: SimpleNamespace) -> dict:
    """The fifty updates."""
    history = c.short_training(c.decoder, c.UPDATES)
    result = {"minutes": round(history.seconds / 60, 1)}
    result |= {"training": losses(history.records), "validation": losses(history.evaluations)}
    log(*result["validation"])
    return result


def test(c: SimpleNamespace) -> dict:
    """The predictions of the test articles."""
    model = c.ModernBert.from_pretrained(CHECKPOINTS / "bbc-clm").to(c.device)
    weight = float(c.best_weight(model))
    nats = c.article_nats(model, c.pieces["test"], weight)
    for name, values in nats.items():
        log(f"{name}: {values.sum():,.0f} nats")
    return {
        "weight": weight,
        "nats": {name: values.round(3).tolist() for name, values in nats.items()},
    }


def main() -> None:
    parser = EXPERIMENT.parser()
    parser.add_argument("what", choices=("training", "test"))
    what = parser.parse_args().what
    c = definitions("09")
    if what == "training":
        EXPERIMENT.make(SHORT_RUN, lambda: training(c))
    else:
        EXPERIMENT.make(TEST_ARTICLES, lambda: test(c))


if __name__ == "__main__":
    main()
