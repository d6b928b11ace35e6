"""Chapter 04, fig-04-reversal and fig-04-two-places: 04-readers.json.

    python -m experiments.chapter_04_readers

Small models of one attention layer, ten seeds each: trained to reverse a sequence, with one head,
with four, and without positions; trained to find two places at once, with one, two and four heads;
and new read-outs behind the one head that was trained for two places. A row a model: its accuracy
on sequences that it hasn't seen. Two to three minutes on one core.
"""

import functools
from types import SimpleNamespace

from experiments.common import RESULTS, Experiment, Row, definitions

FILE = RESULTS / "04-readers.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="the same new random sequences at every step, for all models of a seed",
    searched="nothing: one learning rate for all; as many steps for all models of a task",
    selected="nothing",
    test="500 other sequences, for the finished models",
    seeds=tuple(range(10)),
)


def rounded(row: Row) -> Row:
    return {name: round(value, 4) for name, value in row.items()}


def parts(c: SimpleNamespace, seeds: list[int]) -> dict[str, tuple]:
    """For each part its plan, and what gives the rest of a row."""
    finder = functools.cache(c.finder)
    reversers = [{"model": name, "seed": seed} for seed in seeds for name in c.REVERSERS]
    finders = [{"heads": n_heads, "seed": seed} for seed in seeds for n_heads in (1, 2, 4)]
    read_outs = [{"read-out": name, "seed": seed} for seed in seeds for name in c.READ_OUTS]

    def read_out(**run: int | str) -> Row:
        model, seed = finder(1, run["seed"])[0], run["seed"]
        return c.new_read_out(model, hidden=c.READ_OUTS[run["read-out"]], seed=seed)

    return {
        "reverse": (reversers, lambda model, seed: c.reverser(model, seed)[1]),
        "two places": (finders, lambda heads, seed: finder(heads, seed)[1]),
        "read-outs": (read_outs, read_out),
    }


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    c = definitions("04")
    for part, (plan, rest) in parts(c, arguments.seeds).items():
        EXPERIMENT.fill(
            FILE, arguments, plan, lambda rest=rest, **run: rounded(rest(**run)), part=part
        )


if __name__ == "__main__":
    main()
