"""Run chapters as Colab would: `make colab`, or `make colab NB=11` for one.

Each chapter's Colab notebook is opened in an empty folder, in an environment with exactly Colab's
published packages (tests/colab-pins.txt) on Colab's Python, where `google.colab` is present. Its
set-up cell runs as it stands; the book's public address is redirected to this checkout, of which
git clones what is committed. A chapter passes if every cell runs, its assertions included, and
installing the book changed none of Colab's packages. Minutes and peak memory are printed.
"""

import argparse
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat

from tools import lanes
from tools.execute_notebooks import CellFailedError, execute
from tools.set_address import ROOT, configured_url

MEMORY = 12.7  # GiB that free Colab has

# What Colab's kernels have imported when a notebook begins.
STARTUP = "import google.colab\n"


def chapters(chosen: str | None) -> list[Path]:
    """The Colab notebooks of all chapters, or of the one with this number, "11".

    Raises:
        ValueError: there is none.
    """
    found = sorted((ROOT / "editions" / "colab").glob(f"{chosen or '*'}-*.ipynb"))
    if not found:
        raise ValueError(f"There is no chapter {chosen!r}; say NB=11 for chapter 11.")
    return found


def kernel(folder: Path, base: Path) -> Path:
    """A fresh Colab machine in `folder`, seen by this process's Jupyter as the kernel "colab".

    Returns:
        Its Python, in an environment of its own over Colab's: what a chapter installs is gone
        with the folder.
    """
    python = lanes.make(folder / "machine", str(base), base)
    package = lanes.site_packages(python) / "google" / "colab"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("", "utf-8")
    startup = folder / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "00-colab.py").write_text(STARTUP, "utf-8")
    spec = folder / "jupyter" / "kernels" / "colab"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(
        json.dumps(
            {
                "argv": [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
                "display_name": "Colab",
                "language": "python",
                "env": {
                    "IPYTHONDIR": str(folder / "ipython"),
                    # pip and python in a shell's line are this machine's.
                    "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
                    "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # a notice of the debugger
                    "GIT_CONFIG_COUNT": "1",
                    "GIT_CONFIG_KEY_0": f"url.file://{ROOT}.insteadOf",
                    "GIT_CONFIG_VALUE_0": configured_url(),
                },
            }
        ),
        "utf-8",
    )
    os.environ["JUPYTER_PATH"] = str(folder / "jupyter")
    return python


def changed_packages(python: Path) -> list[str]:
    """Colab's packages of which installing the book brought another version."""
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", lanes.COLAB_PINS.read_text("utf-8"), re.M))
    names = {re.sub(r"[-_.]+", "-", name).lower() for name in pins}
    installed = (
        re.match(r"(.+?)-(.+)\.dist-info", path.name)
        for path in lanes.site_packages(python).glob("*.dist-info")
    )
    return [
        f"{match[1]} {match[2]}"
        for match in installed
        if match and re.sub(r"[-_.]+", "-", match[1]).lower() in names
    ]


def run(path: Path, base: Path) -> tuple[bool, str]:
    """Run one chapter; return whether it passed, and its row of the table."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        python = kernel(folder, base)
        content = folder / "content"
        content.mkdir()
        notebook = nbformat.read(path, as_version=4)
        start = time.perf_counter()
        try:
            peak = execute(notebook, content, "colab") / 2**30
        except CellFailedError as error:
            return False, f"{path.stem:<40} FAILED {error}"
        minutes = (time.perf_counter() - start) / 60
        changed = changed_packages(python)
    if changed:
        return False, f"{path.stem:<40} FAILED: installing the book changed {', '.join(changed)}"
    if peak > MEMORY:
        return False, f"{path.stem:<40} FAILED: {peak:.1f} GiB; free Colab has {MEMORY}"
    return True, f"{path.stem:<40} passed {minutes:7.1f} {peak:9.1f}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run chapters as Colab would.")
    parser.add_argument("chapter", nargs="?", help="its number, 11; all, if none is given")
    try:
        paths = chapters(parser.parse_args(arguments).chapter)
        base = lanes.colab()
    except (ValueError, lanes.LaneError) as error:
        print(error, file=sys.stderr)
        return 1
    passed = 0
    print(f"{'chapter':<40} {'':<6} {'minutes':>7} {'GiB peak':>9}")
    for path in paths:
        good, row = run(path, base)
        passed += good
        print(row, flush=True)
    print(f"\n{passed} of {len(paths)} chapters pass in Colab's set")
    return int(passed < len(paths))


if __name__ == "__main__":
    sys.exit(main())
