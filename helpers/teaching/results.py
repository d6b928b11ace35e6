"""What the checks said to one participant, in one small file, for a workshop's teacher to collect.

Off unless `record(path)` or the environment variable PLM_RESULTS names a file. The file says of
each exercise whether it was solved, after how many answers and hints, and which usual slips came
up; it holds no answer, no time, and no name but the one that a participant types. A file that
can't be written breaks no check. `tools/workshop_results.py` reads many of them.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any

from filelock import FileLock

from helpers.data import disk

FORMAT = 1
VARIABLE = "PLM_RESULTS"
PATIENCE = 2  # seconds for another notebook of the same participant to finish its writing

_chosen: dict[str, Any] = {"path": None, "name": ""}
_said: dict[str, str] = {}  # by exercise, the last message: the same cell run again counts once


def record(path: str | Path | None, name: str = "") -> None:
    """Keep what the checks of this process say from now on.

    Args:
        path: the participant's JSON file; made at the first check, and gone on with if it is
            there. None stops keeping, whatever PLM_RESULTS says.
        name: what the participant wants to be called; "" keeps the name that the file has.
    """
    _chosen.update(path="" if path is None else os.fspath(path), name=name)
    _said.clear()


def keep(exercise: str, message: str, right: bool | None, hint: str = "", slip: str = "") -> None:
    """Count one verdict, if a file for it was named; print why if that fails, and never raise.

    Args:
        exercise: the exercise's number; without one nothing is counted.
        message: the whole verdict.
        right: None for an answer that isn't given yet.
        hint: what of the message leads on.
        slip: the usual mistake that was made.
    """
    path = _chosen["path"]
    path = os.environ.get(VARIABLE, "") if path is None else path
    if not path or not exercise or _said.get(exercise) == message:
        return
    _said[exercise] = message
    file = Path(path).absolute()
    try:
        disk.make_folder(file.parent)
        with FileLock(file.with_name(f".{file.name}.lock"), timeout=PATIENCE):
            kept = _read(file)
            _count(kept["exercises"].setdefault(exercise, _nothing()), right, hint, slip)
            disk.write_file(file, json.dumps(kept, indent=1, ensure_ascii=False))
    except (OSError, ValueError) as error:
        print(f"(This result could not be kept in {file}: {error} The check itself counts.)")


def _nothing() -> dict[str, Any]:
    return {"right": False, "tries": 0, "hints": 0, "slips": {}}


def _count(kept: dict[str, Any], right: bool | None, hint: str, slip: str) -> None:
    """Count one verdict of an exercise; what follows the right answer doesn't count."""
    if right is None or kept["right"]:
        return
    kept["right"] = right
    kept["tries"] += 1
    kept["hints"] += bool(hint)
    if slip:
        kept["slips"][slip] = kept["slips"].get(slip, 0) + 1


def _read(file: Path) -> dict[str, Any]:
    """The participant's file, or the beginning of one.

    Raises:
        ValueError: it is no such file.
    """
    if file.exists():
        try:
            kept = json.loads(file.read_text("utf-8"))
            fits = kept["format"] == FORMAT and isinstance(kept["exercises"], dict)
        except (ValueError, KeyError, TypeError):
            fits = False
        if not fits:
            raise ValueError("it is not a file of results; move it away.")
    else:  # `secrets`, since `random` belongs to the notebook's seed
        kept = {"format": FORMAT, "id": secrets.token_hex(6), "name": "", "exercises": {}}
    return kept | ({"name": _chosen["name"]} if _chosen["name"] else {})
