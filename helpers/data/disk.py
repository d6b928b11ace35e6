"""Files and folders written for keeps, and whether they are still what was written.

What is written here is whole or not there, even if the process is killed or the power fails: it is
written under another name, synced to the disk, renamed, and the rename is synced. Windows and some
network drives can't sync a folder: there the newest rename may be lost, and what stood before it
stays. No program can mend a disk that says "written" of what is in its own cache only.

A folder's manifest lists size and SHA-256 of each of its files, so that damage is noticed when they
are read, and nothing else is read.
"""

import errno
import hashlib
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

MANIFEST = "manifest.json"
PARTIAL, REPLACED = ".partial", ".replaced"  # never read; what a killed process left is removed
# What folders that can't be synced answer: on Windows, and on some network drives.
NO_FOLDER_SYNC = (errno.EACCES, errno.EINVAL, errno.ENOTSUP, errno.EBADF)
PATIENCE = 1  # seconds; a process that was killed while it forked has its lock a moment longer
OWNER = "process {pid} on {host} (since {since})"


class InUseError(OSError):
    """A folder that another process is writing to."""


def make_folder(folder: Path) -> None:
    """Make `folder`, if it isn't there, and those above it."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync(folder.parent)


def write_file(file: Path, text: str) -> None:
    """Write a file in UTF-8, in the place of one that is there; its folder is made if absent."""
    make_folder(file.parent)
    partial = file.with_name(file.name + PARTIAL)
    try:
        partial.write_text(text, encoding="utf-8")
        _sync(partial)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
    _sync(file.parent)


@contextmanager
def new_folder(folder: Path, **recorded: object) -> Iterator[Path]:
    """An empty folder to fill, which at the end takes the place of `folder`, with a manifest.

    Args:
        folder: the final place; those above it are made if absent.
        recorded: what the manifest is to say besides the files, in JSON's types.
    """
    partial = folder.with_name(folder.name + PARTIAL)
    make_folder(folder.parent)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        content = recorded | {"files": _measured(partial)}
        (partial / MANIFEST).write_text(json.dumps(content, indent=1), encoding="utf-8")
        for path in (*partial.rglob("*"), partial):
            _sync(path)
        replaced = _set_aside(folder) if folder.exists() else None
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)  # room for who wants to mend a full disk
        raise
    _sync(folder.parent)
    if replaced:
        shutil.rmtree(replaced)


def remove(folder: Path) -> None:
    """Take a folder away: killed in between, it is gone or whole, under its name."""
    shutil.rmtree(_set_aside(folder))


def _set_aside(folder: Path) -> Path:
    replaced = folder.with_name(folder.name + REPLACED)
    shutil.rmtree(replaced, ignore_errors=True)
    return folder.rename(replaced)


def read_manifest(folder: Path) -> dict:
    """What `new_folder` recorded, and `files`: size and SHA-256 of each, by its name.

    Raises:
        ValueError: there is none, or it isn't one.
    """
    file = folder / MANIFEST
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        {(entry["size"], entry["sha256"]) for entry in manifest["files"].values()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{file} is missing or unreadable.") from error
    return manifest


def damage(folder: Path, check_hashes: bool = True) -> list[str]:
    """What is wrong with the files that the manifest names, a sentence each; none if all is well.

    With `check_hashes` each file is read; without, only sizes are compared.
    """
    try:
        files = read_manifest(folder)["files"].items()
    except ValueError as error:
        return [str(error)]
    found = [_file_damage(folder / name, entry, check_hashes) for name, entry in files]
    return [problem for problem in found if problem]


def differences(there: Mapping, now: Mapping) -> list[str]:
    """What two descriptions of a thing don't agree on, a line each."""
    return [
        f"{key}: {there.get(key)!r} there, {now.get(key)!r} now"
        for key in sorted(there.keys() | now.keys())
        if there.get(key) != now.get(key)
    ]


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Keep other processes out of `folder`, which is made if absent, until the end of the block.

    The system lifts the lock when the process ends, however it does.

    Raises:
        InUseError: naming the process that has the folder, and its machine.
    """
    make_folder(folder)
    lock, note = FileLock(folder / ".lock"), folder / ".owner.json"
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        try:
            who = OWNER.format(**json.loads(note.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            who = "another process"
        raise InUseError(
            f"{folder} is in use: {who} is writing to it. Wait until that ends, stop it, or choose "
            "another folder."
        ) from None
    try:
        me = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.ctime()}
        note.write_text(json.dumps(me), encoding="utf-8")
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def _sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    is_folder = path.is_dir()
    try:
        # Windows syncs no file that was opened for reading only.
        descriptor = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if not (is_folder and error.errno in NO_FOLDER_SYNC):
            raise


def _measured(folder: Path) -> dict[str, dict]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): {"size": path.stat().st_size, "sha256": sha256(path)}
        for path in files
    }


def sha256(file: Path) -> str:
    """The digest of a file's bytes, in hex."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _file_damage(file: Path, entry: dict, check_hash: bool) -> str | None:
    try:
        size = file.stat().st_size
        if size != entry["size"]:
            return f"{file} has {size:,} bytes where {entry['size']:,} were written."
        if check_hash and (found := sha256(file)) != entry["sha256"]:
            return f"{file} has SHA-256 {found} where {entry['sha256']} was written."
    except OSError as error:
        return f"{file} cannot be read: {error.strerror}."
    return None
