"""Chapter 05, "Going deeper: what each part is worth": 05-parts.json.

    python -m experiments.chapter_05_parts

A block of each kind of position, and blocks with a part taken out, learn to tell the first 12
pieces of a BBC News sentence from the same pieces shuffled: eight variants. A row a run, which
takes about three seconds on one core.
"""

from experiments.common import RESULTS, Experiment, definitions

FILE = RESULTS / "05-parts.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="the same sentences and shuffles for all variants, with the same seed",
    searched="nothing: one learning rate for all variants",
    selected="nothing",
    test="accuracy on 1,000 sentences and their shuffled copies after the last update",
    seeds=(0, 1, 2),
)


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    c = definitions("05")
    plan = [{"variant": name, "seed": seed} for name in c.variants for seed in arguments.seeds]
    EXPERIMENT.fill(
        FILE, arguments, plan, lambda **run: {"accuracy": round(c.accuracy_of(**run), 4)}
    )


if __name__ == "__main__":
    main()
