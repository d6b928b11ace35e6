"""The pretraining recipe of chapter 08 against the plain one, at an equal number of minutes.

    python -m benchmarks.pretraining [--minutes 10]

*plain* is `BertForMaskedLM` with `Trainer` on padded lines, all settings the defaults; both have
the same articles and nearly as many parameters. First the speed of both, in alternating rounds;
then each is trained for as many updates as fit into the minutes at its median speed, and measured
on held-out articles with the same 15 % of the pieces masked. `experiments/chapter_08_recipe.py` has
the definitions, and sweeps the plain one's learning rate. Run it on a machine that does nothing
else; it takes a little over twice the minutes.
"""

import argparse
import statistics

from experiments.chapter_08_recipe import measure_speed, run
from experiments.common import definitions

NAMES = ("plain", "recipe")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    minutes = parser.parse_args().minutes
    c = definitions("08")
    speed = measure_speed(c, NAMES)
    for name in NAMES:
        rates = [row["tokens_per_second"] for row in speed[name]]
        print(
            f"{name:7} {statistics.median(rates):,.0f} pieces/s ({min(rates):,} to {max(rates):,})"
        )
    ratios = [
        ours["tokens_per_second"] / theirs["tokens_per_second"]
        for ours, theirs in zip(speed["recipe"], speed["plain"], strict=True)
    ]
    print(f"speed   {statistics.median(ratios):.2f} × ({min(ratios):.2f} to {max(ratios):.2f})")
    losses = {}
    for name in NAMES:
        losses[name] = run(c, name, speed[name], minutes=minutes)
        print(losses[name], flush=True)
    for kind in ("blocks", "lines"):
        gain = losses["plain"][kind] - losses["recipe"][kind]
        print(f"held out, {kind}: the recipe is {gain:.2f} nats under the plain one")


if __name__ == "__main__":
    main()
