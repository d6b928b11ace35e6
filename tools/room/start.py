"""Set up this workshop on this machine, without a network, and open its notebooks.

setup.sh and setup.bat start it with a Python that the wheels are for. It needs nothing but
Python's own library: it checks the copied files, makes an environment from the wheels beside it,
asks for a name, and starts JupyterLab. Started again, it does only the last.
"""

from __future__ import annotations  # an older Python has to be able to say that it is too old

import argparse
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
SUMS = "SHA256SUMS"
MADE = Path(".venv", "workshop.txt")  # what stands in a finished environment
MACHINES = {
    "Linux": ("linux", "x86_64"),
    "Windows": ("windows", "AMD64"),
    "Darwin": ("macos", "arm64"),
}


class SetUpError(Exception):
    """The workshop can't start; the message says what to do."""


def wheel_list(folder: Path) -> Path:
    """The list of packages for this machine.

    Raises:
        SetUpError: the folder has none for this system or this Python.
    """
    system, machine = MACHINES.get(platform.system(), (platform.system(), ""))
    python = "{}.{}".format(*sys.version_info[:2])
    found = sorted(path.stem for path in (folder / "wheels").glob("*.txt"))
    bits = 64 if sys.maxsize > 2**32 else 32
    if platform.machine() != machine or bits == 32 or f"{system}-{python}" not in found:
        this = f"{platform.system()} {platform.machine()} and Python {python} of {bits} bits"
        raise SetUpError(
            f"This folder has packages for {', '.join(found) or 'no system'}; this machine has "
            f"{this}. Start it with another Python, sit down beside somebody, or ask your teacher "
            "for a folder for your system."
        )
    return folder / "wheels" / f"{system}-{python}.txt"


def damaged(folder: Path) -> list[str]:
    """The files that are absent or not what the teacher made, by SHA256SUMS."""
    wrong = []
    for line in (folder / SUMS).read_text("utf-8").splitlines():
        digest, name = line.split("  ", 1)
        try:
            with (folder / name).open("rb") as file:
                same = hashlib.file_digest(file, "sha256").hexdigest() == digest
        except OSError:
            same = False
        if not same:
            wrong.append(name)
    return wrong


def verify(folder: Path) -> None:
    """Compare all files with SHA256SUMS.

    Raises:
        SetUpError: some differ, or the list itself is absent.
    """
    print("Checking the copied files ...", flush=True)
    try:
        wrong = damaged(folder)
    except (OSError, ValueError) as error:
        raise SetUpError(f"{SUMS} can't be read ({error}): copy the folder again.") from error
    if wrong:
        shown = "\n  ".join(wrong[:10])
        raise SetUpError(
            f"{len(wrong)} files are not as your teacher made them:\n  {shown}\nA notebook that "
            "you saved may differ. If any other file does, copy the folder again."
        )
    print("All files are as they were made.")


def make_environment(folder: Path, wanted: Path) -> Path:
    """Make .venv from the wheels, unless it is there, and return its Python.

    Raises:
        SetUpError: the disk is too small or can't be written, or a wheel doesn't fit.
    """
    place, made = folder / ".venv", folder / MADE
    inside = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    python, packages = place.joinpath(*inside), wanted.read_text("utf-8")
    if python.exists() and made.exists() and made.read_text("utf-8") == packages:
        return python
    needed = json.loads((folder / "workshop.json").read_text("utf-8"))["installed"]
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise SetUpError(
            f"The environment takes {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free in "
            f"{folder}. Copy the folder to a larger disk, or make room."
        )
    print("Installing the packages from this folder: some minutes, once ...", flush=True)
    shutil.rmtree(place, ignore_errors=True)
    try:
        venv.create(place, symlinks=os.name != "nt", with_pip=False)
    except OSError as error:
        why = f"{place} can't be made ({error}): copy the folder to this machine's disk."
        raise SetUpError(why) from error
    if install(python, folder / "wheels", wanted):
        raise SetUpError("pip could not install the packages; show what it says to your teacher.")
    made.write_text(packages, encoding="utf-8")
    return python


def install(python: Path, wheels: Path, wanted: Path) -> int:
    """Install a list of packages from a folder of wheels, and from nowhere else; pip's exit code.

    pip runs out of its own wheel: a system's Python may come without it.
    """
    pip = next(wheels.glob("pip-*.whl")) / "pip"
    command = [str(python), str(pip), "install", "--quiet", "--no-compile"]
    command += ["--disable-pip-version-check", "--no-index", "--find-links", str(wheels)]
    command += ["--requirement", str(wanted)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")}
    environment["PIP_CONFIG_FILE"] = os.devnull  # a mirror's address would be asked in vain
    return subprocess.run(command, env=environment, check=False).returncode


def results_file(folder: Path, name: str | None) -> Path:
    """The participant's file of results, made at the first start with the name that they type."""
    results = folder / "results"
    if found := sorted(results.glob("*.json")):
        return found[0]
    if name is None and sys.stdin.isatty():
        print("Your teacher can collect which exercises were solved: no answers, no times.")
        name = input("A name for that, or Enter for none: ")
    name = (name or "").strip()[:60]
    mark = secrets.token_hex(6)
    called = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "participant"
    file = results / f"{called}-{mark[:4]}.json"
    try:
        results.mkdir(exist_ok=True)
        content = {"format": 1, "id": mark, "name": name, "exercises": {}}
        file.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
    except OSError as error:
        print(f"Results can't be kept here ({error}); the exercises work all the same.")
    return file


def surroundings(folder: Path, file: Path) -> dict[str, str]:
    """The environment variables of the notebooks: assets and results of this folder, no network."""
    return os.environ | {
        "PLM_ASSETS": str(folder / "assets"),
        "PLM_RESULTS": str(file),
        "HF_HUB_OFFLINE": "1",
    }


def main(arguments: list[str] | None = None) -> int:
    """Set up and start; return 0, or 1 with a message on an error."""
    parser = argparse.ArgumentParser(description="Set up the workshop and open its notebooks.")
    parser.add_argument("--verify", action="store_true", help="only compare the files' checksums")
    parser.add_argument("--no-lab", action="store_true", help="set up, and don't open JupyterLab")
    parser.add_argument("--name", help="the name for the results, instead of a question")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.verify:
            verify(HERE)
            return 0
        wanted = wheel_list(HERE)
        if not (HERE / MADE).exists():
            verify(HERE)
        python = make_environment(HERE, wanted)
    except SetUpError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    file = results_file(HERE, chosen.name)
    print(f"Ready. Your results: {file}")
    if chosen.no_lab:
        return 0
    lab = [str(python), "-m", "jupyterlab", "--LabApp.news_url=None"]
    lab += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    try:
        return subprocess.run(
            lab, cwd=HERE / "notebooks", env=surroundings(HERE, file), check=False
        ).returncode
    except KeyboardInterrupt:  # JupyterLab has said goodbye
        return 0


if __name__ == "__main__":
    sys.exit(main())
