"""helpers.training.pretrain as a program that a test can kill.

    python -m tests.pretraining_process KILL_AT [arguments of pretrain]

The first process sends itself SIGKILL when it collates its KILL_AT-th batch; 0 for never.
"""

import os
import signal
import sys

import torch

from helpers.training import pretrain


def main() -> int:
    arguments = sys.argv[2:]
    torch.set_num_threads(1)  # two processes on two cores
    collated = 0
    make = pretrain._objective

    def objective(*given):
        collate, measure = make(*given)

        def collate_or_die(examples):
            nonlocal collated
            collated += 1
            # Not from a variable: what a function reads is part of what the run is.
            if collated == int(sys.argv[1]) and os.environ.get("RANK", "0") == "0":
                os.kill(os.getpid(), signal.SIGKILL)
            return collate(examples)

        return collate_or_die, measure

    pretrain._objective = objective
    return pretrain.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
