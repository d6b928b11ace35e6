"""Chapter 13, "The whole training set", the linear model: 13-linear.json.

    python -m experiments.chapter_13_linear

The network's counterpart, with as much care: features of words and their neighbours, all training
documents, and a search of its own, scored on half of the validation documents with free and with
constrained decoding: five weights of the penalty, with 5 and with 10 passes. The best of the ten
then tags the validation and the test set once.

    rates     a row a run of the search
    chosen    the best one's scores, and its tags of all test sentences, a digit a word

One core takes about seven minutes.
"""

from types import SimpleNamespace
from typing import Any

from experiments.common import RESULTS, Experiment, definitions, read
from helpers.data.tagging import may_follow
from helpers.models.tagging import constrained_viterbi

FILE = RESULTS / "13-linear.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="all training sentences, each word with two neighbours on either side",
    searched="five weights of the penalty, each with 5 and with 10 passes",
    selected="half of the validation documents, those of the network's search",
    test="tagged once by the chosen model",
    seeds=(0,),
)
ALPHAS, PASSES = (3e-7, 1e-6, 3e-6, 1e-5, 3e-5), (5, 10)
SHARE = 2  # of the validation documents, every second


def fit(c: SimpleNamespace, alpha: float, passes: int, seed: int):
    rows = c.conll["train"]
    return c.fit_linear(rows["tokens"], rows["ner_tags"], alpha=alpha, passes=passes, seed=seed)


def tags(c: SimpleNamespace, model, rows) -> dict[str, list[list[int]]]:
    """The tags of each sentence, decoded freely and under IOB2's constraints."""
    scores, allowed = c.linear_scores(model, rows["tokens"]), may_follow(c.names)
    return {
        "free": [row.argmax(-1).tolist() for row in scores],
        "constrained": [constrained_viterbi(row, allowed) for row in scores],
    }


def f1(c: SimpleNamespace, found, rows) -> float:
    named = [[[c.names[t] for t in row] for row in side] for side in (found, rows["ner_tags"])]
    return round(float(c.f1_of(c.count(*named))), 4)


def searched(c: SimpleNamespace, alpha: float, passes: int, seed: int) -> dict[str, float]:
    rows = c.part("validation", SHARE)
    found = tags(c, fit(c, alpha, passes, seed), rows)
    return {way: f1(c, row, rows) for way, row in found.items()}


def chosen(c: SimpleNamespace, tried: list[dict[str, Any]]) -> dict[str, Any]:
    best = max(tried, key=lambda row: row["constrained"])
    settings = {name: best[name] for name in ("alpha", "passes", "seed")}
    result, model = dict(settings), fit(c, **settings)
    for split in ("validation", "test"):
        for way, rows in tags(c, model, c.conll[split]).items():
            result[f"{split}_f1_{way}"] = f1(c, rows, c.conll[split])
            if split == "test":
                result[f"tags_{way}"] = ["".join(map(str, sentence)) for sentence in rows]
    return result


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    c = definitions("13")
    [seed] = EXPERIMENT.seeds
    plan = [
        {"alpha": alpha, "passes": passes, "seed": seed} for alpha in ALPHAS for passes in PASSES
    ]
    EXPERIMENT.fill(FILE, arguments, plan, lambda **run: searched(c, **run), part="rates")
    tried = read(FILE, {}).get("rates", [])
    if len(tried) == len(plan):
        EXPERIMENT.make(FILE, lambda: chosen(c, tried), part="chosen")


if __name__ == "__main__":
    main()
