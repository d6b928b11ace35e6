"""What all experiments share: what each declares, the chapter's functions, rows that stay, a log.

An experiment makes the long runs of a chapter, once: `python -m experiments.chapter_NN_name`. It
runs the chapter's own cells, so that the two can't drift apart, and writes results that the chapter
reads. A row is on the disk as soon as it is made, and isn't made again: a script can be stopped at
any moment, and goes on when it is started again. To have a row repeated, take it out of its file.
As everywhere in torch, `OMP_NUM_THREADS` sets the threads; the log says how many there were.
"""

import argparse
import contextlib
import io
import json
import math
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import torch
import transformers

from helpers.data import disk
from helpers.hardware import has_native_bf16
from helpers.teaching import environment
from helpers.teaching.show import comparison

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
RESULTS, CHECKPOINTS = NOTEBOOKS / "results", NOTEBOOKS / "checkpoints"
LOG = ROOT / "experiments" / "log.jsonl"  # where and when each row was made, a line a run
Row = dict[str, Any]
to_json = partial(json.dumps, ensure_ascii=False, default=float)  # numpy's and torch's scalars too


@dataclass(frozen=True)
class Experiment:
    """What a script makes, and what its comparison rests on.

    Attributes:
        script: its `__file__`.
        about: its docstring. The first line names the chapter, its figures or sections, the files.
        writes: the files in RESULTS and the folders in CHECKPOINTS that it alone writes.
        reads: the input of each side.
        searched: what was tried for each side, "nothing" included.
        selected: on what the best of it was chosen.
        test: what test data are used for.
        seeds: of the runs; empty where nothing is drawn.
    """

    script: str
    about: str
    writes: tuple[Path, ...]
    reads: str
    searched: str
    selected: str
    test: str
    seeds: tuple[int, ...] = ()

    def table(self) -> str:
        """What a reader needs to know to call the comparison fair, as a table in Markdown."""
        return comparison(
            reads=self.reads,
            searched=self.searched,
            selected=self.selected,
            test=self.test,
            seeds=self.seeds,
        )

    def parser(self, *, rows: bool = False) -> argparse.ArgumentParser:
        """A command line whose `--help` says all this; with `rows` the two options of `fill`."""
        files = "\n".join(path.relative_to(ROOT).as_posix() for path in self.writes)
        parser = argparse.ArgumentParser(
            description=self.about,
            epilog=f"writes:\n{files}\n\n{self.table()}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if rows:
            parser.add_argument("--runs", type=int, default=math.inf, help="at most so many now")
            parser.add_argument(
                "--seeds", type=int, nargs="+", default=self.seeds, help="default: the table's"
            )
        return parser

    def fill(
        self,
        file: Path,
        arguments: argparse.Namespace,
        plan: Sequence[Row] | Callable[[list[Row]], Sequence[Row]],
        run: Callable[..., Row],
        *,
        part: str | None = None,
    ) -> None:
        """Make the runs of a plan that have no row in `file` yet; each is written when it is done.

        Args:
            file: one of `writes`: a list of rows, or with `part` an object that holds one.
            arguments: `arguments.runs`, how many runs may be made, is counted down.
            plan: the settings of each run, which its row begins with and is known by; or what gives
                them, called with the rows that stand, where later runs depend on earlier ones.
            run: called with a run's settings as keywords, gives the rest of its row.
            part: the list's name in the object.
        """
        while arguments.runs > 0:
            rows = _rows(file, part)
            runs = plan(rows) if callable(plan) else plan
            settings = next((s for s in runs if not any(_is_of(row, s) for row in rows)), None)
            if settings is None:
                return
            arguments.runs -= 1
            started = time.perf_counter()
            row = settings | run(**settings)
            rows = [row for row in _rows(file, part) if not _is_of(row, settings)]  # as it is now
            self._keep(file, [*rows, row], part, settings, started)

    def make(self, file: Path, result: Callable[[], Any], part: str | None = None) -> None:
        """Write what `result` gives to `file`, or into the object there under the name `part`."""
        started = time.perf_counter()
        self._keep(file, result(), part, {"part": part} if part else {}, started)

    def _keep(self, file: Path, content: Any, part: str | None, run: Row, started: float) -> None:
        seconds = round(time.perf_counter() - started, 1)
        whole = read(file, {}) | {part: content} if part else content
        # First the log: killed in between, a run is made again, and none is without its machine.
        self.record(file, run, seconds)
        disk.write_file(file, as_text(whole) + "\n")
        log(file.name, run or "", f"{seconds:.0f} s")

    def record(self, file: Path, run: Row, seconds: float) -> None:
        """Add a line to the log: what was run when, for how long, on which machine."""
        assert file in self.writes, f"{self.script} doesn't declare {file}"
        line = {"experiment": Path(self.script).stem, "file": file.name, "run": run}
        line |= {"ended": time.strftime("%Y-%m-%d %H:%M"), "seconds": seconds, "machine": machine()}
        before = LOG.read_text("utf-8") if LOG.exists() else ""
        disk.write_file(LOG, before + to_json(line) + "\n")


def definitions(chapter: str) -> SimpleNamespace:
    """The names that the cells tagged `definitions` of a chapter ("05") define, and `device`.

    They run as in the notebook: from its seed and in its folder, where the process stays.
    """
    names = {"device": environment.set_up()}
    os.chdir(NOTEBOOKS)
    [notebook] = NOTEBOOKS.glob(f"{chapter}-*.ipynb")
    for cell in nbformat.read(notebook, as_version=4).cells:
        if "definitions" in cell.metadata.get("tags", ()):
            with contextlib.redirect_stdout(io.StringIO()):
                exec(cell.source, names)
    return SimpleNamespace(**names)


def read(file: Path, otherwise: Any) -> Any:
    """What a result file holds, or `otherwise` where there is none."""
    return json.loads(file.read_text("utf-8")) if file.exists() else otherwise


def as_text(content: Any, *, inside: bool = False) -> str:
    """JSON with a line for each row and entry, so that a diff shows what a run has added."""
    if isinstance(content, dict) and not inside:
        entries = (f"{to_json(k)}: {as_text(value, inside=True)}" for k, value in content.items())
        return "{\n" + ",\n".join(entries) + "\n}"
    if isinstance(content, list) and any(isinstance(row, dict) for row in content):
        return "[\n" + ",\n".join(map(to_json, content)) + "\n]"
    return to_json(content)


def machine() -> Row:
    """What the minutes of a run depend on, and its last digits."""
    processors = Path("/proc/cpuinfo")  # Linux: `platform.processor` is often empty there
    lines = processors.read_text("utf-8").splitlines() if processors.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "native bf16": has_native_bf16(torch.device("cpu")),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def log(*what: object) -> None:
    """Print a line with the time of day, at once."""
    print(time.strftime("%H:%M:%S"), *what, flush=True)


def _rows(file: Path, part: str | None) -> list[Row]:
    return read(file, {}).get(part, []) if part else read(file, [])


def _is_of(row: Row, settings: Row) -> bool:
    return all(name in row and row[name] == value for name, value in settings.items())
