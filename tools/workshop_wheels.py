"""The wheels of a workshop: all that the chapters' packages need on each system, and no more.

pip can't resolve for another system: it follows the markers of the machine that runs it. So each
wheel's own metadata is read here, with the other system's markers, level by level until nothing
is missing. Versions come from requirements.txt; what only another system needs has no pin there
and comes in the newest version that fits. PyTorch is the CPU build. The wheels stay in a cache
beside the workshops, so that the next workshop fetches what is new.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from email.parser import Parser
from functools import cache
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from tools.set_address import ROOT

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
OFFLINE = re.compile(r"ConnectionError|ConnectTimeout|ReadTimeout|name resolution|ProxyError|SSLEr")
# The second where a file of constraints names the package as well.
ABSENT = re.compile(r"No matching distribution found for (\S+)|Cannot install (\S+) because")
GLIBC = (28, 27, 26, 24, 17, 12, 5)  # pip takes each tag for itself


class WheelError(Exception):
    """The wheels can't be had whole; the message says which, and what to do."""


@dataclass(frozen=True)
class System:
    """A system that a room may have.

    Attributes:
        title: what a reader calls it.
        platforms: pip's names for it.
        markers: what differs from this machine in a requirement's conditions.
        megabytes: of its wheels, for the estimate before anything is fetched; measured in November
            2026 with the extra "serve", without which they are 60 to 75 fewer.
    """

    title: str
    platforms: tuple[str, ...]
    markers: dict[str, str]
    megabytes: int


def _markers(sys_platform: str, platform_system: str, os_name: str, machine: str) -> dict[str, str]:
    return {
        "sys_platform": sys_platform,
        "platform_system": platform_system,
        "os_name": os_name,
        "platform_machine": machine,
    }


SYSTEMS = {
    "linux": System(
        "Linux x86-64",
        (*(f"manylinux_2_{n}_x86_64" for n in GLIBC), "manylinux2014_x86_64", "linux_x86_64"),
        _markers("linux", "Linux", "posix", "x86_64"),
        525,
    ),
    "windows": System(
        "Windows x86-64", ("win_amd64",), _markers("win32", "Windows", "nt", "AMD64"), 400
    ),
    "macos": System(
        "macOS arm64",
        ("macosx_14_0_arm64",),  # pip takes those for older systems too
        _markers("darwin", "Darwin", "posix", "arm64"),
        385,
    ),
}


# --- What is wanted


@cache
def pins() -> dict[str, str]:
    """The versions of requirements.txt by canonical name."""
    text = (ROOT / "requirements.txt").read_text("utf-8")
    found = re.findall(r"^([\w.-]+)==(\S+)$", text, re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


def roots(code: str) -> list[Requirement]:
    """What a workshop installs: the package's dependencies, JupyterLab, what the chapters import.

    Args:
        code: of the chapters; an extra of pyproject.toml is taken if they import a part of it.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    chosen = [*project["dependencies"], "jupyterlab", "ipykernel"]
    for extra in ("chat", "serve"):
        parts = project["optional-dependencies"][extra]
        names = "|".join(Requirement(part).name for part in parts)
        if re.search(rf"^\s*(?:from|import) (?:{names})\b", code, re.MULTILINE):
            chosen += parts
    return [Requirement(part) for part in chosen]


def pinned(requirement: Requirement, system: str) -> str:
    """How pip is asked for a requirement."""
    name = canonicalize_name(requirement.name)
    version = pins().get(name)
    if version is None:
        return f"{name}{requirement.specifier}"
    # Without its local version pip would take the CUDA build, and its libraries of gigabytes.
    return f"{name}=={version}" + ("+cpu" if (name, system) == ("torch", "linux") else "")


# --- Wheels in a folder


def find(folder: Path, asked: str) -> Path | None:
    """The newest wheel in a folder that meets what pip is asked for, "torch==2.13.0"."""
    requirement = Requirement(asked)
    fitting = []
    for wheel in folder.glob("*.whl"):
        name, version, *_ = parse_wheel_filename(wheel.name)
        if name == requirement.name and requirement.specifier.contains(version, prereleases=True):
            fitting.append((version, wheel))
    return max(fitting)[1] if fitting else None


def needs(wheel: Path, extras: Iterable[str], environment: dict[str, str]) -> Iterator[Requirement]:
    """What a wheel's metadata asks for in an environment, with some of its extras."""
    with zipfile.ZipFile(wheel) as archive:
        inside = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(inside).decode("utf-8"))
    for line in metadata.get_all("Requires-Dist") or []:
        requirement = Requirement(line)
        if requirement.marker is None or any(
            requirement.marker.evaluate(environment | {"extra": extra}) for extra in ("", *extras)
        ):
            yield requirement


def environment_of(system: str, python: str) -> dict[str, str]:
    """The markers' values on a system with a Python, "3.11"."""
    return (
        dict(default_environment())
        | SYSTEMS[system].markers
        | {
            "python_version": python,
            "python_full_version": f"{python}.0",
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
        }
    )


# --- pip


def run_pip(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run this environment's pip, with the user's settings for it: index, mirror, proxy."""
    command = [sys.executable, "-m", "pip", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _last(said: str) -> str:
    """The last lines of what pip said."""
    return "It said:\n" + "\n".join(said.strip().splitlines()[-4:])


def _quiet(command: str, folder: Path) -> list[str]:
    destination = "--dest" if command == "download" else "--wheel-dir"
    quiet = ["--quiet", "--progress-bar=off", "--disable-pip-version-check"]
    return [command, *quiet, "--no-deps", destination, str(folder)]


def download(asked: list[str], system: str, python: str, folder: Path) -> list[str]:
    """Put a wheel of each into a folder, and return those of which there is none.

    Raises:
        WheelError: the index can't be reached, or the disk is full.
    """
    failed, index = [], []
    flags = ["--only-binary=:all:", f"--python-version={python}", "--implementation=cp"]
    flags += [f"--platform={name}" for name in SYSTEMS[system].platforms]
    while asked:
        run = run_pip([*_quiet("download", folder), *flags, *index, *asked])
        if run.returncode == 0:
            return failed
        said = run.stderr
        absent = {name.lower() for found in ABSENT.findall(said) for name in found}
        culprit = next((a for a in asked if a in absent), None)
        if "No space left" in said:
            raise WheelError(f"The disk is full: {folder} could not take all wheels.")
        if OFFLINE.search(said) and not index:
            raise WheelError(f"pip can't reach its index, so nothing was made. {_last(said)}")
        if culprit is None:
            raise WheelError(f"pip download failed for {SYSTEMS[system].title}. {_last(said)}")
        if culprit.endswith("+cpu") and not index:
            index = ["--extra-index-url", CPU_INDEX]  # where it is, unless a mirror has it
            continue
        asked = [a for a in asked if a != culprit]
        if not build(culprit, folder):
            failed.append(culprit)
    return failed


def build(asked: str, folder: Path) -> bool:
    """Make a wheel of a package that is published as source; only a pure one fits other systems."""
    with tempfile.TemporaryDirectory() as place:
        run = run_pip([*_quiet("wheel", Path(place)), asked])
        made = list(Path(place).glob("*-none-any.whl"))
        if run.returncode or not made:
            return False
        shutil.copy2(made[0], folder)
    return True


def build_helpers(folder: Path) -> Path:
    """Make the wheel of the book's own package.

    Raises:
        WheelError: pip could not build it.
    """
    with tempfile.TemporaryDirectory() as name:
        source, made = Path(name, "source"), Path(name, "made")
        source.mkdir()
        for file in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy2(ROOT / file, source)
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "helpers", source / "helpers", ignore=ignore)
        run = run_pip([*_quiet("wheel", made), str(source)])
        if run.returncode:
            raise WheelError(f"pip could not build the package helpers. {_last(run.stderr)}")
        return Path(shutil.copy2(next(made.glob("*.whl")), folder))


# --- All of a system


def collect(
    wanted: list[Requirement],
    system: str,
    python: str,
    folder: Path,
    say: Callable[[str], None] = print,
) -> list[Path]:
    """Fetch into a folder what is missing there, and return the wheels of a system, sorted.

    Args:
        wanted: what is to be installed; all that it needs comes too.
        system: a key of SYSTEMS.
        python: the room's version, "3.11".
        folder: of this system and Python only.
        say: is told how far it is.

    Raises:
        WheelError: a package has no wheel for this system, or two ask for unlike versions of one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    environment = environment_of(system, python)
    asked: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    while wanted:
        names = {canonicalize_name(r.name): r for r in wanted}
        asked |= {name: pinned(r, system) for name, r in names.items() if name not in asked}
        missing = [asked[name] for name in names if find(folder, asked[name]) is None]
        if missing:
            say(f"{SYSTEMS[system].title}, Python {python}: fetching {len(missing)} packages")
            if failed := download(missing, system, python, folder):
                raise WheelError(_without_wheel(failed, system, python, folder))
        following = []
        for requirement in wanted:
            name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
            wheel = find(folder, asked[name])
            _check(requirement, wheel)
            if (name, extras) not in seen:
                seen.add((name, extras))
                following += needs(wheel, extras, environment)
        wanted = [r for r in following if not (_is_cuda(r.name) and system == "linux")]
    return sorted(find(folder, a) for a in asked.values())


def _is_cuda(name: str) -> bool:
    """Whether a package is one of CUDA's, which the CPU build of PyTorch does without."""
    return re.match(r"nvidia-|cuda-|triton$", canonicalize_name(name)) is not None


def _check(requirement: Requirement, wheel: Path | None) -> None:
    if wheel is None:
        raise WheelError(f"pip reported no error, and there is no wheel of {requirement}.")
    version = parse_wheel_filename(wheel.name)[1]
    if not requirement.specifier.contains(version, prereleases=True):
        raise WheelError(
            f"{wheel.name} doesn't meet {requirement}. Is requirements.txt what `make lock` wrote?"
        )


def _without_wheel(failed: list[str], system: str, python: str, folder: Path) -> str:
    others = " ".join(name for name in SYSTEMS if name != system)
    another = "3.12" if python == "3.11" else "3.11"
    message = (
        f"The index has no wheel for {SYSTEMS[system].title} and Python {python} of: "
        f"{', '.join(sorted(failed))}. Choose another Python (PY={another}), leave the system out "
        f'(WHEELS="{others}"), or put a wheel that you have into {folder} and start again.'
    )
    if any(name.endswith("+cpu") for name in failed):
        message += (
            f" PyTorch's CPU build for Linux is at {CPU_INDEX}: if you use a mirror, name one of "
            "it in PIP_EXTRA_INDEX_URL."
        )
    return message
