"""The state that every notebook starts from: seed, device, quiet outputs, the figures' style.

`python -m helpers.teaching.environment` tells whether this machine is ready for the book.
"""
# ruff: noqa: PLC0415 - heavy packages are imported where they are used: the command above must
# run, and say what is missing, where one of them isn't installed.

from __future__ import annotations

import logging
import os
import random
import re
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def set_up(seed: int = 0) -> torch.device:
    """Make a notebook reproducible and its stored outputs quiet; the first cell calls this.

    Seeds Python, NumPy and torch on all devices, turns off the progress bars of the Hugging Face
    libraries, and sets the book's figure style. transformers' report of weights that a checkpoint
    lacks, or has too many, is printed in a line, without colours and a folder's path, once for
    each model and checkpoint. From a folder of `editions/` it goes to `notebooks/`, whose results
    the chapters read. Prints nothing itself.

    Args:
        seed: from 0 to 2**32 - 1.

    Returns:
        The device to compute on: "cuda", else "mps" (Apple's GPU), else "cpu".

    Raises:
        ValueError: the seed is out of range.
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"The seed is {seed}: expected a whole number from 0 to 2**32 - 1.")
    _enter_notebooks()
    _quieten()
    import numpy as np
    import torch

    from helpers.teaching import plots

    # What transformers.set_seed does, which imports its trainer and peft for it: three seconds in
    # chapters that need neither.
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)  # of all devices
    plots.use_style()
    _set_inline_figures()
    return _device()


def _enter_notebooks() -> None:
    folder = Path.cwd().parent
    if folder.name == "editions" and (folder.parent / "notebooks").is_dir():
        os.chdir(folder.parent / "notebooks")


def _quieten() -> None:
    # tqdm says this on import in a notebook without ipywidgets; the book shows no bars anyway.
    warnings.filterwarnings("ignore", message="IProgress not found")
    import datasets
    from transformers.utils import logging as transformers_logging

    datasets.disable_progress_bars()
    transformers_logging.disable_progress_bar()  # huggingface_hub's too
    transformers_logging.get_logger()  # creates the handlers
    for handler in logging.getLogger("transformers").handlers:
        handler.addFilter(_print_load_report)


# "BertModel LOAD REPORT from: folder", and a row of the table below it: "key | STATUS | details".
_REPORT = re.compile(r"(\w+) LOAD REPORT from: (.*)")
_ROW = re.compile(r"^(\S+) *\| *([A-Z]+) *\|", re.MULTILINE)
_MEANING = {
    "MISSING": "new, to be trained",
    "UNEXPECTED": "not used",
    "MISMATCH": "of another shape",
}
_reported: set[str] = set()


def _print_load_report(record: logging.LogRecord) -> bool:
    """Print transformers' table of weights as a line; let every other record pass."""
    text = re.sub(r"\x1b\[\d+m", "", record.getMessage())
    head, rows = _REPORT.search(text), _ROW.findall(text)
    if not head or not rows:
        return True
    keys: dict[str, list[str]] = {}
    for key, status in rows:
        keys.setdefault(status, []).append(key)
    parts = [
        f"{status} ({_MEANING.get(status, 'see the library')}): {', '.join(sorted(found))}"
        for status, found in sorted(keys.items())
    ]
    line = f"{head[1]} from {Path(head[2].strip()).name}: {'; '.join(parts)}"
    if line not in _reported:
        _reported.add(line)
        print(line)
    return False


def _set_inline_figures() -> None:
    from IPython import get_ipython

    if get_ipython() is None:
        return
    from matplotlib_inline.backend_inline import set_matplotlib_formats

    # Twice the pixels at the same size. matplotlib writes its version into a PNG; without it,
    # unchanged figures make no diff.
    set_matplotlib_formats("retina", bbox_inches="tight", metadata={"Software": None})


def _device() -> torch.device:
    import torch

    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


if __name__ == "__main__":
    from helpers.teaching.doctor import main

    sys.exit(main())
