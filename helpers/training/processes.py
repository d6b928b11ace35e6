"""This process, and the others that `torchrun` or `accelerate launch` started beside it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from helpers.data import disk


def join_processes() -> PartialState:
    """The process group as this process sees it: its device, its rank, how many there are.

    Not an `Accelerator`: there is one numeric precision for all of them in a Python process.
    After a `Trainer` in bf16, as in a notebook, a second one without bf16 is refused.
    """
    # Left to itself, Accelerate joins several processes only where there is a GPU.
    return PartialState(cpu=not torch.accelerator.is_available())


@contextmanager
def owned_folder(folder: str | Path | None) -> Iterator[None]:
    """Keep other runs out of this run's folder, if it has one: the first process holds the lock.

    Raises:
        InUseError: in all processes, naming the process that has the folder.
    """
    group, refusal = join_processes(), None
    with ExitStack() as stack:
        try:
            if folder is not None and group.is_main_process:
                stack.enter_context(disk.owned(Path(folder)))
        except OSError as error:
            refusal = error
        (refusal,) = broadcast_object_list([refusal])
        if refusal is not None:
            raise refusal from None
        yield
