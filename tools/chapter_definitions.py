"""What a chapter's notebook defines, for the experiments that make its long runs.

The cells tagged `definitions` are run, so that a chapter and its script can't drift apart.
"""

import contextlib
import io
from pathlib import Path
from types import SimpleNamespace

import nbformat
import torch

from tools.set_address import ROOT

NOTEBOOKS = ROOT / "notebooks"
RESULTS = NOTEBOOKS / "results"
CHECKPOINTS = NOTEBOOKS / "checkpoints"


def definitions(notebook: Path) -> SimpleNamespace:
    """The names that the notebook's cells tagged `definitions` define, and `device`.

    They run in the notebook's folder, as they do in the notebook.
    """
    names = {"device": torch.device("cuda" if torch.cuda.is_available() else "cpu")}
    for cell in nbformat.read(notebook, as_version=4).cells:
        if "definitions" in cell.metadata.get("tags", ()):
            with contextlib.redirect_stdout(io.StringIO()), contextlib.chdir(notebook.parent):
                exec(cell.source, names)
    return SimpleNamespace(**names)
