"""Run notebooks in place, so that a second run of the same code changes nothing in the file.

    python -m tools.execute_notebooks [notebooks/11-text-classification.ipynb …]

Each notebook runs in a fresh kernel, in its own folder. The seconds and the peak memory of each
are printed, not stored. A notebook in which a cell fails stays as it was.
"""

import argparse
import base64
import io
import os
import re
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from PIL import Image

from tools import notebook_form
from tools.set_address import ROOT, configured_url

CELL_TIMEOUT = 600  # seconds
COLOURS = 256  # of a stored figure: lines, text and heat maps need no more
LIMIT = 120  # seconds that a chapter may take

_ADDRESS = re.compile(r" at 0x[0-9a-f]+(?=>)")  # of an object that has no text of its own

# ru_maxrss counts KiB on Linux and bytes on macOS.
PEAK_MEMORY = """
import resource as _resource, sys as _sys
_unit = 1 if _sys.platform == "darwin" else 1024
print(_resource.getrusage(_resource.RUSAGE_SELF).ru_maxrss * _unit)
"""


class CellFailedError(RuntimeError):
    """A cell raised an error, took too long, or ended the kernel."""


def execute(notebook: NotebookNode, folder: Path, kernel: str = "python3") -> int:
    """Run all code cells in a fresh kernel and store their outputs in the notebook.

    Args:
        notebook: changed in place.
        folder: the kernel's working directory.
        kernel: the name of an installed kernel.

    Returns:
        The peak resident memory of the kernel's process, in bytes.

    Raises:
        CellFailedError: names the cell and what happened.
    """
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name=kernel,
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    )
    with client.setup_kernel():
        code_cells = 0
        for index, cell in enumerate(notebook.cells):
            if cell.cell_type != "code" or not cell.source.strip():
                continue
            code_cells += 1
            try:
                client.execute_cell(cell, index, execution_count=code_cells)
            except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
                raise CellFailedError(f"cell {index + 1} failed\n{error}") from error
        return _peak_memory(client)


def _peak_memory(client: NotebookClient) -> int:
    """Ask the running kernel for its peak resident memory in bytes, by a cell that isn't kept."""
    cells = client.nb.cells
    cells.append(nbformat.v4.new_code_cell(PEAK_MEMORY))
    try:
        return int(client.execute_cell(cells[-1], len(cells) - 1).outputs[0].text)
    finally:
        cells.pop()


def normalise(notebook: NotebookNode) -> None:
    """Drop, in place, what changes from run to run or from machine to machine."""
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            # myst-nb highlights the code by this lexer, which knows `%pip`.
            "language_info": {"name": "python", "pygments_lexer": "ipython3"},
        }
    )
    # Cell ids came with this version of the format.
    notebook.nbformat_minor = max(notebook.nbformat_minor, 5)
    for cell in notebook.cells:
        for key in ("execution", "collapsed", "scrolled", "trusted", "widgets"):
            cell.metadata.pop(key, None)
        if cell.cell_type != "code":
            continue
        if not cell.source.strip():
            cell.execution_count, cell.outputs = None, []
        for output in cell.outputs:
            _lighten(output)
            text = output.get("data", {}).get("text/plain", "")
            if _ADDRESS.search(text):  # of a styled table, say: another in each run
                output.data["text/plain"] = _ADDRESS.sub("", text)
        cell.metadata.pop("jupyter", None)
        if "hide-input" in cell.metadata.get("tags", ()):  # what the pages fold, JupyterLab folds
            cell.metadata["jupyter"] = {"source_hidden": True}


def _lighten(output: NotebookNode) -> None:
    """Store a figure with a palette, in place, at about a third of the bytes.

    Of its shown size the width alone is kept: a phone makes the figure narrower, and a height
    would stretch it then.
    """
    if "image/png" not in output.get("data", {}):
        return
    output.metadata.get("image/png", {}).pop("height", None)
    with Image.open(io.BytesIO(base64.b64decode(output.data["image/png"]))) as image:
        if image.mode != "RGBA" or image.getextrema()[3] != (255, 255):  # done, or see-through
            return
        light = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    file = io.BytesIO()
    light.save(file, "PNG", optimize=True)
    output.data["image/png"] = base64.b64encode(file.getvalue()).decode("ascii")


def run(path: Path) -> list[str]:
    """Run one notebook and write it back; return what is wrong with its form.

    Raises:
        CellFailedError: a cell failed; the file is as it was.
    """
    notebook = nbformat.read(path, as_version=4)
    start = time.perf_counter()
    peak = execute(notebook, path.parent)
    seconds = time.perf_counter() - start
    normalise(notebook)
    nbformat.validate(notebook)
    nbformat.write(notebook, path)
    print(f"{path.name}: {seconds:.0f} s, {peak / 2**20:.0f} MiB at its peak", flush=True)
    findings = notebook_form.findings(
        notebook, path.parent, configured_url(), chapter=notebook_form.is_chapter(path)
    )
    if seconds > LIMIT:
        findings.insert(0, f"took {seconds:.0f} s; a chapter has {LIMIT} s on two cores")
    return findings


def main() -> int:
    os.environ["PLM_PROGRESS"] = "0"  # the kernels inherit it: no training bars in stored output
    parser = argparse.ArgumentParser(description="Run notebooks in place.")
    parser.add_argument("notebooks", nargs="*", type=Path, help="all chapters, if none is given")
    parser.add_argument("--tidy", action="store_true", help="run nothing, only mend the metadata")
    arguments = parser.parse_args()
    paths = arguments.notebooks or sorted((ROOT / "notebooks").glob("*.ipynb"))
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        print(f"no such notebook: {', '.join(missing)}", file=sys.stderr)
        return 1
    failed = False
    for path in paths:
        if arguments.tidy:
            notebook = nbformat.read(path, as_version=4)
            normalise(notebook)
            nbformat.write(notebook, path)
            continue
        try:
            findings = run(path.resolve())
        except CellFailedError as error:
            failed = True
            print(f"{path}: {error}\n{path} is unchanged.", file=sys.stderr)
            continue
        for finding in findings:
            print(f"  warning: {finding}", file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
