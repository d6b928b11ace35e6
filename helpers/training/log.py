"""The course of a run as it goes on: a file that a plot can follow, and a line now and then."""

import json
import math
import sys
import time
from pathlib import Path

EVERY_SECONDS = 10.0


class Log:
    """What `train` tells of each update and evaluation, one JSON object a line.

    Called with a record of `History`, or with an evaluation whose metrics begin with
    `validation_`. Lines of updates that a killed run lost, since they came after its last
    checkpoint, are taken out when they are made again. `pandas.read_json(file, lines=True)`
    reads it.
    """

    def __init__(self, file: str | Path, steps: int):
        self.file, self.steps = Path(file), steps
        self.is_open = False
        self.shown = -math.inf  # when a line was last shown

    def __call__(self, record: dict) -> None:
        if not self.is_open:
            self._drop_from(record["step"])
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, default=float) + "\n")
        now = time.monotonic()
        is_evaluation = "loss" not in record
        if is_evaluation or record["step"] == self.steps or now - self.shown >= EVERY_SECONDS:
            self.shown = now
            print(self._line(record), file=sys.stderr, flush=True)

    def _line(self, record: dict) -> str:
        numbers = {k: v for k, v in record.items() if k not in ("step", "tokens")}
        shown = ", ".join(f"{k.replace('_', ' ')} {float(v):.5g}" for k, v in numbers.items())
        return f"update {record['step']:,} of {self.steps:,}: {shown}"

    def _drop_from(self, step: int) -> None:
        self.is_open = True
        if not self.file.exists():
            self.file.parent.mkdir(parents=True, exist_ok=True)
            return
        lines = self.file.read_text(encoding="utf-8").splitlines(keepends=True)
        whole = (line for line in lines if line.endswith("}\n"))  # a kill may have cut the last
        kept = [line for line in whole if json.loads(line)["step"] < step]
        self.file.write_text("".join(kept), encoding="utf-8")
