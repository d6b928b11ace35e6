"""helpers.pretrain as a program that a test can kill or stop.

    python -m tests.pretraining_process UPDATE SIGNAL [arguments of pretrain]

The first process sends itself the signal, such as SIGKILL, before that update; 0 for never.
"""

import os
import signal
import sys
from contextlib import contextmanager

import torch

from helpers import pretrain
from helpers.training.run import Run


@contextmanager
def signalling(update: int, name: str):
    """Runs within the block get the signal in the first process, before that update."""
    go_on = Run.update

    def update_or_stop(run, window):
        if run.step + 1 == update and os.environ.get("RANK", "0") == "0":
            os.kill(os.getpid(), signal.Signals[name])
        go_on(run, window)

    Run.update = update_or_stop
    try:
        yield
    finally:
        Run.update = go_on


def main() -> int:
    update, name, *arguments = sys.argv[1:]
    torch.set_num_threads(1)  # two processes on two cores
    with signalling(int(update), name):
        return pretrain.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
