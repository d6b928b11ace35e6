"""Chapter 04, fig-04-knockout and fig-04-pruning: 04-without-heads.json.

    python -m experiments.chapter_04_without_heads

Each of MiniLM's 72 heads is removed in turn, and the change of 32 sentences' vectors measured. Then
heads are removed 12 by 12, in the order of that change, in the opposite order and in ten random
ones, and a linear classifier that was trained on the intact model sorts the test headlines. Takes
under three minutes on one CPU core.
"""

from types import SimpleNamespace

import numpy as np

from experiments.common import RESULTS, Experiment, definitions, log

FILE = RESULTS / "04-without-heads.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="the same headlines for every order of removal",
    searched="nothing",
    selected="nothing: the order comes from the change of 32 sentences' vectors, without labels",
    test="the headlines that are misjudged without some heads",
    seeds=(0,),
)
STEP, RANDOM_ORDERS = 12, 10


def turns(c: SimpleNamespace) -> np.ndarray:
    """1 − cosine similarity of the sentences' vectors with and without each head, (L, h)."""
    whole = c.embed(c.sentences[: c.TURNED])
    return np.array(
        [[c.turn([(layer, head)], whole) for head in range(c.HEADS)] for layer in range(c.LAYERS)]
    )


def orders(changes: np.ndarray) -> dict[str, list[tuple[int, int]]]:
    """In which order heads are removed: pairs (layer, head), counted from 0."""
    least_first = [divmod(int(i), changes.shape[1]) for i in changes.flatten().argsort()]
    found = {"least change first": least_first, "most change first": least_first[::-1]}
    rng = np.random.default_rng(0)
    for seed in range(RANDOM_ORDERS):
        found[f"random {seed}"] = [least_first[i] for i in rng.permutation(len(least_first))]
    return found


def wrong(c: SimpleNamespace, probe, heads: list[tuple[int, int]]) -> list[int]:
    """The test headlines that go to the wrong desk without these heads."""
    with c.without(heads):
        predicted = probe.predict(c.embed(c.headlines["test"]))
    return np.flatnonzero(predicted != c.labels["test"]).tolist()


def everything(c: SimpleNamespace) -> dict:
    changes = turns(c)
    log("each head removed")
    probe = c.linear_probe()
    in_order, mistakes = orders(changes), {}
    none, every = (wrong(c, probe, heads) for heads in ([], in_order["least change first"]))
    for name, heads in in_order.items():
        mistakes[name] = {0: none, len(heads): every}  # nothing or everything: any order
        for n in range(STEP, len(heads), STEP):
            mistakes[name][n] = wrong(c, probe, heads[:n])
        log(name)
    return {
        "1 - cosine": changes.round(6).tolist(),
        "orders": in_order,
        "wrong test headlines": mistakes,
    }


def main() -> None:
    EXPERIMENT.parser().parse_args()
    c = definitions("04")
    EXPERIMENT.make(FILE, lambda: everything(c))


if __name__ == "__main__":
    main()
