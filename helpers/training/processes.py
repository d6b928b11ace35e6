"""This process, and the others that `torchrun` or `accelerate launch` started beside it."""

import torch
from accelerate import PartialState


def join_processes() -> PartialState:
    """The process group as this process sees it: its device, its rank, how many there are.

    Not an `Accelerator`: there is one numeric precision for all of them in a Python process.
    After a `Trainer` in bf16, as in a notebook, a second one without bf16 is refused.
    """
    # Left to itself, Accelerate joins several processes only where there is a GPU.
    return PartialState(cpu=not torch.accelerator.is_available())
