"""Programs of the tests in processes of their own, forked from one that has imported torch.

A fresh Python imports for seconds before a program's first line; the server of `multiprocessing`
has done so once and for all. What a test kills or starts twice is a whole process all the same.
What a fork can't show is another order of sets, or torchrun's command line: a test of those starts
Python anew.
"""

import importlib
import multiprocessing
import os
import sys
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from torch.distributed import TCPStore

PROGRAMS = (
    *("multitask_process", "pretraining_process"),
    *("sharding_process", "training_process"),
)
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([f"tests.{program}" for program in PROGRAMS])


@dataclass
class Forked:
    """A program that was started; what it writes to stderr is in a file."""

    processes: list[BaseProcess]
    errors: Path
    store: TCPStore | None  # where the processes find each other

    def is_running(self) -> bool:
        return any(process.is_alive() for process in self.processes)

    def wait(self, timeout: float = 300) -> tuple[int, str]:
        """Its exit code (minus a signal's number) and what it wrote to stderr.

        When a process has failed, the others are ended, as torchrun does.
        """
        running = list(self.processes)
        while running:
            ended = wait([process.sentinel for process in running], timeout)
            if not ended:  # else they would keep the tests from ending
                for process in running:
                    process.kill()
                raise AssertionError(
                    f"still running after {timeout} seconds\n{self.errors.read_text()[-2000:]}"
                )
            running = [process for process in running if process.sentinel not in ended]
            code = next((p.exitcode for p in self.processes if p.exitcode), 0)
            for process in running if code else ():
                process.terminate()
        return code, self.errors.read_text()


def fork(program: str, arguments: list[str], *, errors: Path, processes: int = 1) -> Forked:
    """Start `main()` of a module of tests with these arguments, in one process or in several."""
    store, environments = None, [{}]
    if processes > 1:
        # As torchrun does: what starts the processes keeps the store, at a port that is free.
        store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port)}
        shared |= {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "0"}
        shared |= {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
        environments = [shared | {"RANK": str(i), "LOCAL_RANK": str(i)} for i in range(processes)]
    started = []
    for environment in environments:
        started.append(
            _context.Process(target=_run, args=(program, arguments, errors, environment))
        )
        started[-1].start()
    return Forked(started, errors, store)


def _run(program: str, arguments: list[str], errors: Path, environment: dict[str, str]) -> None:
    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), sys.stderr.fileno())
    os.environ.update(environment, CUDA_VISIBLE_DEVICES="")
    sys.argv = [program, *arguments]
    sys.exit(importlib.import_module(f"tests.{program}").main())
