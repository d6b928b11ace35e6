"""Chapter 01, fig-01-copy: 01-copy.json.

    python -m experiments.chapter_01_copy

The chapter's two small networks on the copy task, trained at random distances or at the longest
one alone, and tested at every distance. A row a network. About a minute on two cores.
"""

from types import SimpleNamespace

import numpy as np
import torch

from experiments.common import RESULTS, Experiment, Row, definitions

FILE = RESULTS / "01-copy.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="the same rows in the same order for both networks",
    searched="nothing here; each learning rate worked in a first trial at random distances",
    selected="nothing",
    test="500 new rows at each distance, for the finished networks",
    seeds=(0,),  # `--seeds 0 1 2` adds two
)


def copied(c: SimpleNamespace, model: str, distances: str, seed: int) -> Row:
    """The loss at the end, and the share of letters recalled at 0, 1, 2, … noise tokens."""
    torch.manual_seed(seed)
    network = c.copy_models()[model].to(c.device)
    losses, _ = c.train_to_copy(network, distances, c.COPY_PEAKS[model], seed=seed)
    recall = [round(c.recalled(network, d, seed=1000), 3) for d in range(c.LONGEST + 1)]
    return {"loss": round(float(np.mean(losses[-20:])), 4), "recall": recall}


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    c = definitions("01")
    plan = [
        {"model": model, "distances": distances, "seed": seed}
        for seed in arguments.seeds
        for model in ("LSTM", "Transformer")
        for distances in ("random", "fixed")
    ]
    EXPERIMENT.fill(FILE, arguments, plan, lambda **run: copied(c, **run))


if __name__ == "__main__":
    main()
