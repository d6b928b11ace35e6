"""Kills, power cuts and double starts: does a run still end with the bits of one left alone?

    python -m tools.stress                      100 kills, 10 cuts, 20 double starts; minutes
    python -m tools.stress --without-sync       what the cuts do to files that nobody synced

A kill is SIGKILL at a random moment. A cut ends all writing to an ext4 image in a loop device at
a random moment, its journal unflushed (ioctl EXT4_IOC_SHUTDOWN, as the file system's own tests
do), and mounts it again: what wasn't synced is lost, as when the power fails. That needs Linux and
root; elsewhere the cuts are left out, and the script says so. A double start is two processes in
one folder. Half of them are `train`, half `pretrain`, from its text to its model.
"""

import argparse
import fcntl
import multiprocessing
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.context import ForkProcess
from pathlib import Path

os.environ |= {"TOKENIZERS_PARALLELISM": "false", "PLM_PROGRESS": "0"}  # before its import
import torch

from helpers import pretrain
from helpers.data import disk
from helpers.training import checkpoints
from helpers.training.loop import TrainingConfig, evaluate, train
from tests.tiny import collate, tagger, tagging_data

SHUTDOWN, UNFLUSHED = 0x8004587D, 2  # EXT4_IOC_SHUTDOWN and its flag, from Linux's ext4.h
IN_USE = 3  # exit code
PHRASES = ("the cat sat on a mat", "and saw the dog run", "over a green hill", "while rain fell")
# Imported once and forked: starting Python and torch takes longer than a run.
FORK = multiprocessing.get_context("fork")
TEXT = Path(tempfile.gettempdir()) / f"stress-{os.getpid()}.txt"


def fine_tune(folder: Path) -> None:
    """The run that is killed: `train`, with dropout, accumulation and best weights."""
    train(
        tagger(),
        tagging_data(45),
        TrainingConfig(
            steps=24,
            batch_size=4,
            accumulation=2,
            precision="fp32",
            evaluate_every=5,
            best_metric="loss",
            higher_is_better=False,
            checkpoint_dir=folder,
            checkpoint_every=1,
            resume=True,
        ),
        collate_fn=collate,
        evaluate_fn=lambda model: evaluate(model, tagging_data(21, seed=1), collate_fn=collate),
    )


def pretrain_small(folder: Path) -> None:
    """The other one: vocabulary, blocks, training and model."""
    pretrain.pretrain(
        pretrain.PretrainingConfig(
            objective="mlm",
            output=str(folder),
            text=[str(TEXT)],
            text_split="paragraph",
            vocab_size=60,
            block_size=32,
            d_model=16,
            layers=1,
            heads=2,
            batch_size=4,
            steps=20,
            checkpoint_every=1,
            validation_share=0.1,
            precision="fp32",
        )
    )


RUNS: dict[str, tuple[Callable[[Path], None], str]] = {
    "train": (fine_tune, "."),  # what runs, and where in its folder the checkpoints lie
    "pretrain": (pretrain_small, "checkpoints"),
}


def begin(name: str, folder: Path, log: Path, pause: float = 0.0) -> ForkProcess:
    """Start a run; it notes in `log`, on another disk, each checkpoint that it was promised."""

    def child() -> None:
        torch.set_num_threads(1)
        save = checkpoints.save

        def noted(*given: object, **options: object) -> Path:
            written = save(*given, **options)
            log.write_text(written.name)
            time.sleep(pause)
            return written

        checkpoints.save = noted
        with log.with_suffix(".txt").open("w") as errors:
            os.dup2(errors.fileno(), 2)
        try:
            RUNS[name][0](folder)
        except disk.InUseError:
            os._exit(IN_USE)

    process = FORK.Process(target=child)
    process.start()
    return process


def bits(name: str, folder: Path) -> list[bytes]:
    """The weights at the end, and the optimizer's state."""
    last = checkpoints.latest(folder / RUNS[name][1])
    if last is None:
        return []
    files = ("model.safetensors", "optimizer.safetensors")
    return [(last / file).read_bytes() for file in files]


def finish(name: str, folder: Path, log: Path, expected: list[bytes]) -> bool:
    """Start it once more; whether it ends as one left alone."""
    process = begin(name, folder, log)
    process.join()
    ended_well = process.exitcode == 0 and bits(name, folder) == expected
    if not ended_well:
        said = log.with_suffix(".txt").read_text().strip().splitlines()[-1:]
        print(f"  {name}: exit code {process.exitcode}, {said or 'other bits'}", flush=True)
    return ended_well


def kill(name: str, work: Path, expected: list[bytes], seconds: float) -> bool:
    """One run that is killed once."""
    process = begin(name, work / "run", work / "log")
    process.join(random.uniform(0, seconds))
    process.kill()
    process.join()
    return finish(name, work / "run", work / "log", expected)


def start_twice(name: str, work: Path, expected: list[bytes], seconds: float) -> bool:
    """Two runs in one folder, the second at a random moment of the first."""
    processes = []
    for k in range(2):
        processes.append(begin(name, work / "run", work / f"log-{k}"))
        time.sleep(random.uniform(0, seconds / 4) * random.randrange(2))
    for process in processes:
        process.join()
    codes = {process.exitcode for process in processes}
    survived = {0} <= codes <= {0, IN_USE} and bits(name, work / "run") == expected
    if not survived:
        said = [(work / f"log-{k}.txt").read_text().strip().splitlines()[-1:] for k in range(2)]
        print(f"  {name}: exit codes {codes}, {said}", flush=True)
    return survived


def cut(name: str, work: Path, expected: list[bytes], seconds: float) -> bool:
    """One run on a disk of its own whose power fails once."""
    image, place = work / "image", work / "disk"
    place.mkdir()
    subprocess.run(["truncate", "--size=64M", image], check=True)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    mount = ["mount", "-o", "loop,commit=1", image, place]  # the journal is written every second
    subprocess.run(mount, check=True)
    try:
        process = begin(name, place / "run", work / "log", pause=0.1)
        process.join(random.uniform(0, seconds + 3))
        descriptor = os.open(place, os.O_RDONLY)
        fcntl.ioctl(descriptor, SHUTDOWN, struct.pack("I", UNFLUSHED))
        os.close(descriptor)
        process.kill()
        process.join()
        subprocess.run(["umount", place], check=True)
        subprocess.run(mount, check=True)
        promised = (work / "log").read_text() if (work / "log").exists() else ""
        found = checkpoints.latest(place / "run" / RUNS[name][1])
        if promised > (found.name if found else ""):
            print(f"  {name}: {promised} was written, and {found} is there", flush=True)
            return False
        return finish(name, place / "run", work / "log", expected)
    finally:
        subprocess.run(["umount", place], check=True)


def trials(
    what: Callable[..., bool], count: int, alone: dict[str, tuple[list[bytes], float]]
) -> bool:
    """Try it, with each run in turn, and say how often it went well."""
    survived, tried = dict.fromkeys(RUNS, 0), dict.fromkeys(RUNS, 0)
    for number in range(count):
        name = list(RUNS)[number % len(RUNS)]
        with tempfile.TemporaryDirectory(prefix="stress-") as work:
            survived[name] += what(name, Path(work), *alone[name])
        tried[name] += 1
    total = f"{sum(survived.values())} of {count} survived"
    each = ", ".join(f"{name} {survived[name]} of {tried[name]}" for name in RUNS)
    print(f"{what.__name__}: {total} ({each})", flush=True)
    return survived == tried


def main() -> int:
    """Run all trials; returns 1 if one went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--cuts", type=int, default=10)
    parser.add_argument("--double-starts", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--without-sync", action="store_true", help="sync nothing: cuts destroy")
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    if arguments.without_sync:
        disk._sync = lambda path: None
    draw = random.Random(0)
    TEXT.write_text("\n\n".join(" ".join(draw.choices(PHRASES, k=6)) for _ in range(200)))
    alone = {}
    for name in RUNS:
        with tempfile.TemporaryDirectory(prefix="stress-") as work:
            before = time.monotonic()
            begin(name, Path(work) / "run", Path(work) / "log").join()
            alone[name] = bits(name, Path(work) / "run"), time.monotonic() - before
            assert alone[name][0], f"{name} doesn't run: {(Path(work) / 'log.txt').read_text()}"
    mounts = sys.platform == "linux" and os.geteuid() == 0 and shutil.which("mkfs.ext4")
    if not mounts:
        print("No power cuts: they need Linux, root and mkfs.ext4.")
    plan = {kill: arguments.kills, start_twice: arguments.double_starts}
    plan |= {cut: arguments.cuts} if mounts else {}
    went_well = [trials(what, count, alone) for what, count in plan.items()]
    TEXT.unlink()
    return int(not all(went_well))


if __name__ == "__main__":
    sys.exit(main())
