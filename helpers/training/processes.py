"""This process, and the others that `torchrun` or `accelerate launch` started beside it."""

import torch
from accelerate import Accelerator


def join_processes() -> Accelerator:
    """The accelerator of this process: its device, its rank, and the way to the others.

    Its own mixed precision stays off: `helpers.training.precision` sees to that.
    """
    # Left to itself, Accelerate joins several processes only where there is a GPU.
    return Accelerator(mixed_precision="no", cpu=not torch.accelerator.is_available())
