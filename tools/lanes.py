"""Environments beside `.venv`, for running the book's tests where readers work.

A lane's environment lies in `.lanes/NAME` and is made anew when what it is made from changes.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tools.set_address import ROOT

FOLDER = ROOT / ".lanes"
COLAB_PINS = ROOT / "tests" / "colab-pins.txt"
COLAB_PYTHON = "3.13"
PACKAGE = ".[test,serve]"  # with what its tests need, but for those of the rendered book


class LaneError(RuntimeError):
    """An environment can't be made; the message says why and what to do."""


def find_python(version: str) -> str:
    """The path of a Python of this version, "3.13".

    It is looked for on the PATH, and among pyenv's versions.

    Raises:
        LaneError: there is none.
    """
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [sys.executable, shutil.which(f"python{version}")]
    candidates += sorted(map(str, versions.glob(f"{version}.*/bin/python")), reverse=True)
    for path in filter(None, candidates):
        if _version(path) == version:
            return path
    raise LaneError(f"This needs Python {version}, and none is at hand: install python{version}.")


def newest_python() -> str:
    """The path of the newest Python at hand that the book supports."""
    for minor in (14, 13, 12):
        try:
            return find_python(f"3.{minor}")
        except LaneError:
            continue
    return sys.executable


def _version(python: str) -> str | None:
    """Such as "3.13"; None if it does not run, as a shim of pyenv for a version that is absent."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        result = subprocess.run(
            [python, "-c", code], capture_output=True, text=True, timeout=60, check=False
        )
    except OSError:
        return None
    return result.stdout.strip() if result.returncode == 0 else None


def environment(name: str, python: str, *steps: list[str], base: Path | None = None) -> Path:
    """Make the environment `.lanes/NAME`, unless it stands already; return its Python.

    Args:
        name: of its folder.
        python: to make it with.
        steps: arguments of `pip install`, one call each. Files named there, as in ["-r", file],
            belong to what the environment is made from.
        base: the Python of an environment whose packages it sees too, as if it had installed
            them; what is installed here comes first.

    Raises:
        LaneError: pip failed; the message ends with what it said.
    """
    folder = FOLDER / name
    recipe = _recipe(python, steps, base)
    stamp = folder / "recipe"
    if stamp.is_file() and stamp.read_text("utf-8") == recipe:
        return folder / "bin" / "python"
    shutil.rmtree(folder, ignore_errors=True)
    print(f"{name}: making the environment {folder.relative_to(ROOT)}", flush=True)
    made = make(folder, python, base)
    for step in steps:
        pip_install(made, step)
    stamp.write_text(recipe, "utf-8")
    return made


def make(folder: Path, python: str, base: Path | None = None) -> Path:
    """A new virtual environment; with a base, one that sees the base's packages, pip included."""
    options = ["--without-pip"] if base else []
    subprocess.run([python, "-m", "venv", *options, str(folder)], check=True)
    if base:
        (site_packages(folder / "bin" / "python") / "base.pth").write_text(
            f"{site_packages(base)}\n", "utf-8"
        )
    return folder / "bin" / "python"


def site_packages(python: Path) -> Path:
    """The folder of an environment's installed packages."""
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    result = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return Path(result.stdout.strip())


def pip_install(python: Path, arguments: list[str]) -> None:
    """`pip install` with these arguments, in the project's folder.

    Raises:
        LaneError: it failed.
    """
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    result = subprocess.run(
        [*command, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise LaneError(f"pip install {' '.join(arguments)} failed:\n{result.stderr[-2000:]}")


def versions(python: Path, *packages: str) -> dict[str, str]:
    """The installed version of each package, and Python's own under "python"."""
    code = (
        "import sys, platform; from importlib.metadata import version\n"
        "print('python', platform.python_version())\n"
        "for name in sys.argv[1:]: print(name, version(name))"
    )
    result = subprocess.run(
        [python, "-c", code, *packages], capture_output=True, text=True, check=True
    )
    return dict(line.split() for line in result.stdout.splitlines())


def colab() -> Path:
    """The Python of an environment with exactly Colab's published packages."""
    return environment("colab", find_python(COLAB_PYTHON), ["-r", str(COLAB_PINS)])


def oldest() -> Path:
    """The Python of Colab's environment with the book's package and its tests' tools."""
    return environment(
        "oldest",
        find_python(COLAB_PYTHON),
        ["--constraint", str(COLAB_PINS), "--editable", PACKAGE],
        base=colab(),
    )


def newest() -> Path:
    """The Python of an environment with the newest release of everything, on the newest Python."""
    python = environment("newest", newest_python())
    # Each time: a release of today isn't there yet. TRL, of the extra "chat", asks for newer
    # datasets than Colab's, so the oldest lane hasn't got it.
    package = PACKAGE.replace("]", ",chat]")
    pip_install(python, ["--upgrade", "--upgrade-strategy", "eager", "--editable", package])
    return python


def _recipe(python: str, steps: tuple[list[str], ...], base: Path | None) -> str:
    total = hashlib.sha256()
    for argument in (argument for step in steps for argument in step):
        project = argument.startswith(".[")
        path = ROOT / "pyproject.toml" if project else Path(argument)
        if path.is_file():
            total.update(path.read_bytes())
    return f"{python} {steps} {base} {total.hexdigest()}\n"
