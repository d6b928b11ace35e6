"""Code run as a stranger would: in a fresh Python process that has no `helpers`."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

BEFORE = """import json, os, sys
sys.modules["helpers"] = None  # as where the book's package isn't installed
os.environ["HF_HUB_OFFLINE"] = "1"
globals().update(json.load(sys.stdin))
results = []
"""


def elsewhere(programs: Sequence[tuple[Path, str]], **values: Any) -> list:
    """The `result` of each program, (folder to run it in, code), all in one process.

    `values` are what JSON can hold; the programs find them under their names, and their results
    come back through JSON too.
    """
    code = BEFORE
    for folder, program in programs:
        code += f"os.chdir({str(folder)!r})\n{program}\nresults.append(result)\n"
    code += "print(json.dumps(results, default=float))\n"
    # -I: nothing can be imported from this folder or from PYTHONPATH.
    done = subprocess.run(
        [sys.executable, "-I", "-c", code],
        input=json.dumps(values),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])
