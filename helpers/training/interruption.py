"""Ctrl-C and SIGTERM: a run ends at the end of an update, with a checkpoint."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """The process was asked to stop.

    Attributes:
        signal: which signal asked, SIGINT for Ctrl-C.
    """

    def __init__(self, number: int):
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.signal = number


def stop(number: int, _frame: object = None) -> None:
    """A handler of signals: stop at once."""
    raise Interrupted(number)


@contextmanager
def handled(handler: Callable[[int, object], None]) -> Iterator[None]:
    """Have `handler` called for the signals within the block.

    Python takes signals in the main thread alone; in another one nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


@contextmanager
def noted(is_on: bool = True) -> Iterator[list[int]]:
    """Signals are put into the list that this yields, and a second one stops at once."""
    seen: list[int] = []
    if not is_on:
        yield seen
        return

    def note(number: int, _frame: object) -> None:
        if seen:
            stop(number)
        seen.append(number)

    with handled(note):
        yield seen
