"""Run the book's tests, notebooks included, in lanes: other processors, other versions.

    python -m tools.portability [LANE …]

Prints a table, one row for each lane, and exits with 1 unless every lane is green. What each
lane printed lies in `.lanes/NAME.log`.

A processor's lane takes instructions away from this one; it can't add any. The rendered pages are
tested in the first lane alone: they are made of stored outputs, by nothing that computes.
"""

import argparse
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tools import lanes
from tools.set_address import ROOT

# What the book's own tools make, which are pinned; no lane of other versions has them.
RENDERING = tuple(
    f"tests/test_{name}.py"
    for name in (
        *("book", "chapter_numbers", "deeper", "editions", "editions_browser", "finding"),
        *("glossary", "live", "long_cells", "pdf", "pictures", "reading_time", "slides"),
        *("slips", "teaching", "zoom"),
    )
)
PACKAGES = ("torch", "transformers", "numpy", "pandas")


def pinned() -> Path:
    """The Python of the pinned environment, which runs this."""
    return Path(sys.executable)


class Lane(NamedTuple):
    """One way to run the tests."""

    what: str
    python: Callable[[], Path]  # makes its environment when it is asked for
    settings: dict[str, str]  # environment variables
    processes: int = 2  # 0: this one alone, with a thread on each core
    rendering: bool = False


LANES = {
    "as-it-is": Lane("this processor, all cores", pinned, {}, processes=0, rendering=True),
    "avx2": Lane(
        "without AVX-512 and bfloat16",
        pinned,
        {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    ),
    "plain": Lane(
        "the plainest code path",
        pinned,
        {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"},
    ),
    "one-thread": Lane(
        "one thread", pinned, {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}, processes=2
    ),
    "oldest": Lane("oldest supported versions: Colab's", lanes.oldest, {}),
    "newest": Lane("newest releases", lanes.newest, {}),
}


class Result(NamedTuple):
    """What came of a lane."""

    versions: dict[str, str]
    passed: int
    failed: int
    skipped: int
    minutes: float

    @property
    def green(self) -> bool:
        return self.passed > 0 and not self.failed


def run(name: str, lane: Lane) -> Result:
    """Run the tests in one lane.

    Raises:
        LaneError: its environment can't be made.
    """
    python = lane.python()
    report, log = lanes.FOLDER / f"{name}.xml", lanes.FOLDER / f"{name}.log"
    report.unlink(missing_ok=True)
    report.parent.mkdir(exist_ok=True)
    command = [python, "-m", "pytest", "-q", "-n", str(lane.processes), "-p", "no:cacheprovider"]
    command += [f"--junitxml={report}"]
    command += [] if lane.rendering else [f"--ignore={path}" for path in RENDERING]
    start = time.perf_counter()
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, **lane.settings},
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
        )
    minutes = (time.perf_counter() - start) / 60
    passed, failed, skipped = counts(report)
    # Stopped half-way, a run has no failure in its report, and another exit status than 0.
    failed = max(failed, int(done.returncode != 0))
    return Result(lanes.versions(python, *PACKAGES), passed, failed, skipped, minutes)


def counts(report: Path) -> tuple[int, int, int]:
    """(passed, failed, skipped) of a JUnit report; (0, 1, 0) if pytest didn't get to write one."""
    if not report.is_file():
        return 0, 1, 0
    suite = ET.parse(report).getroot().find("testsuite")
    total, failures, errors, skipped = (
        int(suite.get(key)) for key in ("tests", "failures", "errors", "skipped")
    )
    return total - failures - errors - skipped, failures + errors, skipped


def row(name: str, lane: Lane, result: Result) -> str:
    """The table's row for a lane."""
    v = result.versions
    return (
        f"{name:<11} {'green' if result.green else 'RED':<5} {result.passed:>6} "
        f"{result.failed:>6} {result.skipped:>7} {result.minutes:>7.1f}  "
        f"{v['python']:<8} {v['torch']:<13} {v['transformers']:<12} {v['numpy']:<7} "
        f"{v['pandas']:<7} {lane.what}"
    )


HEADER = (
    f"{'lane':<11} {'':<5} {'passed':>6} {'failed':>6} {'skipped':>7} {'minutes':>7}  "
    f"{'Python':<8} {'torch':<13} {'transformers':<12} {'numpy':<7} {'pandas':<7} what"
)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run all tests in lanes.")
    parser.add_argument("lanes", nargs="*", metavar="LANE", help=f"of {', '.join(LANES)}")
    names = parser.parse_args(arguments).lanes or list(LANES)
    unknown = [name for name in names if name not in LANES]
    if unknown:
        print(f"No lane is called {unknown[0]!r}: choose of {', '.join(LANES)}.", file=sys.stderr)
        return 2
    rows, green = [], 0
    for name in names:
        print(f"{name}: {LANES[name].what}", flush=True)
        try:
            result = run(name, LANES[name])
        except lanes.LaneError as error:
            rows.append(f"{name:<11} RED   {error}")
            continue
        rows.append(row(name, LANES[name], result))
        green += result.green
        print(rows[-1], flush=True)
    print("", HEADER, *rows, "", f"{green} of {len(names)} lanes green", sep="\n")
    return int(green < len(names))


if __name__ == "__main__":
    sys.exit(main())
