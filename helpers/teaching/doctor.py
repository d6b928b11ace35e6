"""Checks whether a machine is ready for the book, and says what to do where it isn't.

Run it as `python -m helpers.teaching.environment`. It works where packages are missing, so it
imports them inside the checks.
"""
# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import importlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

PACKAGE = "plm-book-helpers"
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
        remedy: what to do, where the status isn't "ok".
    """

    status: str
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        lines = [f"{self.status:<5} {self.what}"]
        if self.remedy:
            lines.append(f"      -> {self.remedy}")
        return "\n".join(lines)


def main() -> int:
    """Print the report and a last sentence; the exit code is 0 if the machine is ready, else 1."""
    findings = []
    for check in (check_python, check_packages, check_memory, check_assets, check_speed, check_gpu):
        for finding in _run(check):
            print(finding, flush=True)
            findings.append(finding)
        if check is check_python and findings[-1].status == "FAIL":
            break  # on an old Python the other checks would fail for this one reason
    failed = sum(finding.status == "FAIL" for finding in findings)
    if failed:
        print(f"\nNot ready: mend what is marked FAIL ({failed}), then run this again.")
        return 1
    print("\nReady: this machine can run the book.")
    return 0


def _run(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from check()
    except ImportError as error:
        # check_packages has told what is missing; here only what could not be looked at.
        name = check.__name__.removeprefix("check_")
        yield Finding("note", f"{name}: not checked ({error})", "Mend the packages first.")
    except Exception as error:  # one broken check must not hide the others
        name = check.__name__.removeprefix("check_")
        what = f"{name}: the check itself failed ({type(error).__name__}: {error})"
        yield Finding("FAIL", what, f"Reinstall the book's package {PACKAGE}.")


def check_python() -> Iterator[Finding]:
    """The Python that runs this."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info[:2] >= OLDEST_PYTHON:
        yield Finding("ok", f"Python {version}")
        return
    oldest = ".".join(str(part) for part in OLDEST_PYTHON)
    remedy = f"Install Python {oldest} or newer and make a new virtual environment with it."
    yield Finding("FAIL", f"Python {version} is too old", remedy)


def check_packages() -> Iterator[Finding]:
    """Each package that the book's own metadata asks for: there, in its range, importable."""
    try:
        lines = metadata.requires(PACKAGE) or []
    except metadata.PackageNotFoundError:
        remedy = "In the book's folder, run: python -m pip install -e ."
        yield Finding("FAIL", f"The book's package {PACKAGE} is not installed", remedy)
        return
    try:
        from packaging.requirements import Requirement
    except ImportError:
        remedy = "Run: python -m pip install packaging"
        yield Finding("FAIL", "packaging is not installed, so no version can be checked", remedy)
        return
    requirements = [Requirement(line) for line in lines]
    needed = [r for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})]
    wrong = [finding for r in needed if (finding := _check_version(r.name, r.specifier))]
    if not wrong:
        # Only now: where torch is absent, half of the others could not be imported either.
        modules = _modules()
        names = [(r.name, modules.get(_plain(r.name), r.name)) for r in needed]
        wrong = [finding for pair in names if (finding := _check_import(*pair))]
    if not wrong:
        yield Finding("ok", f"All {len(needed)} packages are here, in the versions needed")
    yield from wrong


def _check_version(name: str, specifier) -> Finding | None:
    """What is wrong with a package's version, given a `packaging` SpecifierSet; None if nothing."""
    wanted = str(specifier) or "any version"
    remedy = f'Run: python -m pip install "{name}{specifier}"'
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Finding("FAIL", f"{name} is not installed (needed: {wanted})", remedy)
    if not specifier.contains(version, prereleases=True):
        return Finding("FAIL", f"{name} is {version} (needed: {wanted})", remedy)
    return None


def _check_import(name: str, module: str) -> Finding | None:
    """Why an installed package can't be imported; None if it can."""
    try:
        importlib.import_module(module)
    except Exception as error:  # a broken package can raise anything, as OSError for a library
        what = f"{name} is installed, but importing it fails: {error}"
        remedy = f"Run: python -m pip install --force-reinstall {name}"
        return Finding("FAIL", what, remedy)
    return None


def _modules() -> dict[str, str]:
    """From a distribution's name to the module that it is imported as: scikit-learn, sklearn."""
    found = {}
    for module, distributions in metadata.packages_distributions().items():
        for distribution in distributions:
            # Of several modules, the one named as the package, or else the first.
            name = _plain(distribution)
            if name not in found or _plain(module) == name:
                found[name] = module
    return found


def _plain(name: str) -> str:
    """A name as the package index compares it: huggingface_hub is huggingface-hub."""
    return name.lower().replace("_", "-").replace(".", "-")


def check_memory() -> Iterator[Finding]:
    """Free main memory."""
    import psutil

    memory = psutil.virtual_memory()
    what = f"{memory.available / _GIB:.1f} of {memory.total / _GIB:.1f} GiB of memory are free"
    if memory.available / _GIB >= TIGHT_MEMORY:
        yield Finding("ok", what)
    else:
        remedy = "Tight: close other programs, and run one notebook at a time."
        yield Finding("note", what, remedy)


def check_assets() -> Iterator[Finding]:
    """The models and corpora: fetched, or room on the disk to fetch them."""
    from helpers.data import assets

    cache = assets.cache.root()
    missing = [asset for asset in assets.ASSETS.values() if assets.cache.problems(asset)]
    if not missing:
        yield Finding("ok", f"All {len(assets.ASSETS)} models and corpora are in {cache}")
        return
    # Unpacked ones stay; while one is fetched, pip holds its archive twice.
    needed = sum(a.unpacked for a in missing) + max(a.space - a.unpacked for a in missing)
    free = shutil.disk_usage(_existing(cache)).free
    room = f"{needed / _GIB:.1f} GiB of disk space needed in {cache}, {free / _GIB:.1f} GiB free"
    if free < needed:
        remedy = "Free some space, or set PLM_ASSETS to a folder on another disk."
        yield Finding("FAIL", f"Too little room for the models and corpora: {room}", remedy)
        return
    yield Finding("ok", f"Room for the models and corpora: {room}")
    names = ", ".join(asset.name for asset in missing)
    size = sum(asset.size for asset in missing) / 1e6
    yield Finding(
        "note",
        f"Not fetched yet ({size:.0f} MB): {names}",
        "While online, run: python -m helpers.data.assets fetch --all",
    )


def _existing(folder: Path) -> Path:
    """The folder or, before it is created, the nearest one above it that exists."""
    return next(place for place in (folder, *folder.absolute().parents) if place.exists())


def check_speed() -> Iterator[Finding]:
    """How fast the CPU multiplies matrices, measured for at most two seconds."""
    speed = matmul_speed(seconds=1.5)
    what = f"The CPU multiplies matrices at {speed:.0f} GFLOP/s (fp32)"
    if speed >= SLOW:
        yield Finding("ok", what)
    else:
        remedy = "Slow: chapters take longer than they say. Close other programs, or use Colab."
        yield Finding("note", what, remedy)


def matmul_speed(*, seconds: float, size: int = 512) -> float:
    """Speed of an fp32 matrix product on the CPU.

    Args:
        seconds: how long to measure.
        size: n of the (n, n) matrices.

    Returns:
        GFLOP/s, from the fastest product, which other programs disturb least.
    """
    import torch

    a = torch.ones(size, size)
    best, stop = float("inf"), time.perf_counter() + seconds
    while (start := time.perf_counter()) < stop:
        torch.mm(a, a)
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best / 1e9


def check_gpu() -> Iterator[Finding]:
    """A GPU that torch can use, or one that it should but can't."""
    from helpers.teaching import environment

    machine = environment.describe()
    if machine.gpu is None and shutil.which("nvidia-smi"):
        yield Finding(
            "note",
            "There is an NVIDIA driver, but torch sees no GPU",
            "To use it, install torch built for CUDA: https://pytorch.org/get-started/locally/",
        )
    elif machine.gpu is None:
        yield Finding("ok", "No GPU: every chapter runs on the CPU at its default scale")
    yield Finding("ok", str(machine).replace("\n", "; "))
