"""Checks whether a machine is ready for the book, and says what to do where it isn't.

Run it as `python -m helpers.teaching.environment`. It works where packages are missing, so it
imports them inside the checks.
"""
# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import timeit
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "plm-book-helpers"
# Those of which a broken build is common; the others come with them.
MODULES = ("torch", "transformers", "datasets", "evaluate", "sklearn", "matplotlib", "psutil")
OLDEST_PYTHON = (3, 11)
TIGHT_MEMORY = 4.0  # GiB free; with less, a chapter beside a browser may not fit
SLOW = 25.0  # GFLOP/s in fp32; two AVX2 cores in the cloud reach twice as much
_GIB = 2**30


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        status: "ok"; "note", which doesn't stop a reader; or "FAIL", which does.
        what: the fact found.
        remedy: what to do, where the status isn't "ok"; else it isn't printed.
    """

    status: str
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        arrow = "" if self.status == "ok" else f"\n      -> {self.remedy}"
        return f"{self.status:<5} {self.what}{arrow}"


def main() -> int:
    """Print the report and a last sentence; the exit code is 0 if the machine is ready, else 1."""
    failed = 0
    checks = (check_packages, check_memory, check_caches, check_assets, check_speed, check_machine)
    for check in (check_python, *checks):
        for finding in _run(check):
            print(finding, flush=True)
            failed += finding.status == "FAIL"
        if check is check_python and failed:
            break  # on an old Python the other checks would fail for this one reason
    if failed:
        print(f"\nNot ready: mend what is marked FAIL ({failed}), then run this again.")
        return 1
    print("\nReady: this machine can run the book.")
    return 0


def _run(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    name = check.__name__.removeprefix("check_")
    try:
        yield from check()
    except ImportError as error:
        # check_packages has told what is missing; here only what could not be looked at.
        yield Finding("note", f"{name}: not checked ({error})", "Mend the packages first.")
    except Exception as error:  # one broken check must not hide the others
        what = f"{name}: the check itself failed ({type(error).__name__}: {error})"
        yield Finding("FAIL", what, f"Reinstall the book's package {PACKAGE}.")


def check_python() -> Iterator[Finding]:
    """The Python that runs this."""
    version, oldest = (".".join(map(str, v)) for v in (sys.version_info[:3], OLDEST_PYTHON))
    remedy = f"Install Python {oldest} or newer and make a new virtual environment with it."
    fits = sys.version_info[:2] >= OLDEST_PYTHON
    what = f"Python {version}" + ("" if fits else " is too old")
    yield Finding("ok" if fits else "FAIL", what, remedy)


def check_packages() -> Iterator[Finding]:
    """What the book's own metadata asks for: there, in its range, importable."""
    if importlib.util.find_spec("pip") is None:
        yield Finding("FAIL", "This Python has no pip", "Run: python -m ensurepip --upgrade")
        return
    again = "In the book's folder, run: python -m pip install -e ."
    try:
        importlib.metadata.distribution(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        yield Finding("FAIL", f"The book's package {PACKAGE} is not installed", again)
        return
    command = [sys.executable, "-m", "pip", "check"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    # Of other packages' quarrels the book knows nothing.
    wrong = [line for line in found.stdout.splitlines() if line.startswith(f"{PACKAGE} ")]
    for name in MODULES:
        try:
            importlib.import_module(name)
        except Exception as error:  # a broken package can raise anything, as OSError for a library
            wrong.append(f"{name} can't be imported: {error}")
    for what in wrong:
        yield Finding("FAIL", what, again)
    if not wrong:
        yield Finding("ok", "All packages are here, in the versions needed")


def check_memory() -> Iterator[Finding]:
    """Free main memory."""
    import psutil

    memory = psutil.virtual_memory()
    what = f"{memory.available / _GIB:.1f} of {memory.total / _GIB:.1f} GiB of memory are free"
    remedy = "Tight: close other programs, and run one notebook at a time."
    yield Finding("ok" if memory.available / _GIB >= TIGHT_MEMORY else "note", what, remedy)


def check_caches() -> Iterator[Finding]:
    """Whether the Hugging Face libraries can write where they must: metrics keep a lock there."""
    import datasets
    import evaluate

    for place in (evaluate.config.HF_METRICS_CACHE, datasets.config.HF_DATASETS_CACHE):
        if not _is_writable(Path(place)):
            remedy = "Set the environment variable HF_HOME to a folder that you can write to."
            yield Finding("FAIL", f"{place} can't be written", remedy)
            return
    yield Finding("ok", f"The Hugging Face libraries can write to {Path(place).parent}")


def check_assets() -> Iterator[Finding]:
    """The models and corpora: fetched and whole, or room on the disk to fetch them."""
    from helpers.data import assets

    cache = assets.cache.root()
    missing = [asset for asset in assets.ASSETS.values() if assets.cache.problems(asset)]
    if not missing:
        yield Finding("ok", f"All {len(assets.ASSETS)} models and corpora are in {cache}, whole")
        return
    if not _is_writable(cache):
        remedy = "Set PLM_ASSETS to a folder that you can write to."
        yield Finding("FAIL", f"{cache} can't be written", remedy)
        return
    # Unpacked ones stay; while one is fetched, pip holds its archive twice.
    needed = sum(a.unpacked for a in missing) + max(a.space - a.unpacked for a in missing)
    free = shutil.disk_usage(_existing(cache)).free
    room = f"{needed / _GIB:.1f} GiB of disk space needed in {cache}, {free / _GIB:.1f} GiB free"
    if free < needed:
        what = f"Too little room for the models and corpora: {room}"
        remedy = "Free some space, or set PLM_ASSETS to a folder on another disk."
        yield Finding("FAIL", what, remedy)
        return
    yield Finding("ok", f"Room for the models and corpora: {room}")
    size, names = sum(a.size for a in missing) / 1e6, ", ".join(a.name for a in missing)
    what = f"Not fetched yet, or not whole ({size:.0f} MB): {names}"
    yield Finding("note", what, "While online, run: python -m helpers.data.assets fetch --all")


def _existing(folder: Path) -> Path:
    """The folder or, before it is created, the nearest one above it that exists."""
    return next(place for place in (folder, *folder.absolute().parents) if place.exists())


def _is_writable(folder: Path) -> bool:
    place = _existing(folder)
    return place.is_dir() and os.access(place, os.W_OK | os.X_OK)


def check_speed() -> Iterator[Finding]:
    """How fast the CPU multiplies matrices, measured for about a second."""
    import torch

    a = torch.ones(512, 512)
    # torch's own Timer would import setuptools, which a module that brought distutils stops.
    timer = timeit.Timer(lambda: torch.mm(a, a))
    calls, _ = timer.autorange()
    fastest = min(timer.repeat(repeat=4, number=calls)) / calls  # other programs disturb it least
    speed = 2 * len(a) ** 3 / fastest / 1e9
    what = f"The CPU multiplies matrices at {speed:.0f} GFLOP/s (fp32)"
    remedy = "Slow: chapters take longer than they say. Close other programs, or use Colab."
    yield Finding("ok" if speed >= SLOW else "note", what, remedy)


def check_machine() -> Iterator[Finding]:
    """What a run's minutes depend on; a GPU that torch can use, or one that it should but can't."""
    import torch
    import transformers

    from helpers.hardware import has_native_bf16

    gpu = "no GPU: every chapter runs on the CPU at its default scale"
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        gpu = f"{properties.name} with {properties.total_memory / _GIB:.0f} GiB"
    elif torch.backends.mps.is_available():
        gpu = "Apple's GPU (mps)"
    elif shutil.which("nvidia-smi"):
        yield Finding(
            "note",
            "There is an NVIDIA driver, but torch sees no GPU",
            "To use it, install torch built for CUDA: https://pytorch.org/get-started/locally/",
        )
    bf16 = "native" if has_native_bf16(torch.device("cpu")) else "emulated (slow)"
    yield Finding(
        "ok",
        f"torch {torch.__version__} on {torch.get_num_threads()} threads, transformers "
        f"{transformers.__version__}, bfloat16 on the CPU {bf16}, {gpu}",
    )
