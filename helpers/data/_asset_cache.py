"""The folder where fetched assets live: one folder per asset and version, whole or not there.

An asset is unpacked beside its final place and moved there by one rename, under a lock, so that
neither a crash nor a second process ever leaves or sees half an asset.
"""

import errno
import os
import re
import shutil
import tempfile
from pathlib import Path

import platformdirs
from filelock import FileLock

from helpers.data import disk
from helpers.data._asset_archive import Asset, AssetError, download, extract

# Folders that this process has compared by hash, with size and time of the files they had then.
_whole: dict[Path, dict[Path, tuple[int, int]]] = {}


def root() -> Path:
    """The cache: ``$PLM_ASSETS`` where set, else the platform's cache folder for this user."""
    chosen = os.environ.get("PLM_ASSETS")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("plm-book"))


def folder(asset: Asset) -> Path:
    """Where ``asset``'s files stand once fetched."""
    return root().absolute() / f"{asset.name}-{asset.version}"


def problems(asset: Asset) -> list[str]:
    """What is wrong with the cached ``asset``, one sentence a file; an empty list if it is whole.

    Compares each file's SHA-256 with the one taken when it was unpacked, which takes a second for
    half a gigabyte. Later calls in the same process read those again whose size or time changed. A
    file that isn't the asset's own is wrong too, since a library may read it with the others; one
    with a leading dot, as a Mac or a file manager leaves them, is not.
    """
    place = folder(asset)
    try:
        manifest = disk.read_manifest(place)
    except ValueError as error:
        return [str(error)]
    files = manifest.pop("files")
    if manifest != _recipe(asset):
        return [f"{place} was unpacked by another version of the book."]
    state = {
        path: (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(place.rglob("*"))
        if path.is_file() and not re.search(r"(^|/)\.", path.relative_to(place).as_posix())
    }
    known = {place / disk.MANIFEST, *(place / name for name in files)}
    found = disk.damage(place, check_hashes=_whole.get(place) != state)
    found += [f"{path} is no file of this asset: remove it." for path in state.keys() - known]
    if not found:
        _whole[place] = state
    return found


def _recipe(asset: Asset) -> dict:
    """What the files of ``asset`` were made from, as the manifest records it."""
    recipe = {"archive": asset.sha256, "members": list(asset.members)}
    return recipe | ({"convert": asset.convert.__name__} if asset.convert else {})


def fetch(asset: Asset, show_progress: bool = False) -> Path:
    """Return ``asset``'s folder; download, unpack and convert it first if absent or damaged.

    Raises:
        AssetError: the asset cannot be had whole (no network, wrong hash, full disk, cache that
            cannot be written, a member that is absent or unsafe). The cache is left as it was.
    """
    place = folder(asset)
    # A whole asset needs no lock, so a read-only cache serves as well.
    if not (damage := problems(asset)):
        return place
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(place.parent / f".{place.name}.lock"):
            if problems(asset):  # else another process fetched it while this one waited
                _unpack(asset, place, show_progress)
    except AssetError as error:
        if not place.exists():
            raise
        raise AssetError(
            f"The cached {asset.name!r} is damaged: {damage[0]} `python -m helpers.data.assets "
            f"fetch {asset.name}` mends it, but that failed just now. {error}"
        ) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise AssetError(_disk_full(asset, "too little")) from error
        raise AssetError(
            f"Cannot write {asset.name!r} to the asset cache {root()}: {error}. "
            "Set the environment variable PLM_ASSETS to a folder that you can write to."
        ) from error
    return place


def _unpack(asset: Asset, place: Path, show_progress: bool) -> None:
    free = shutil.disk_usage(place.parent).free
    if free < asset.space:
        raise AssetError(_disk_full(asset, f"{free / 1e6:,.0f} MB"))
    prefix = f".{place.name}-"
    for stale in place.parent.glob(f"{prefix}*"):  # from a killed run: the lock is ours
        shutil.rmtree(stale, ignore_errors=True)
    with (
        tempfile.TemporaryDirectory(
            prefix=prefix, dir=place.parent, ignore_cleanup_errors=True
        ) as work,
        disk.new_folder(place, **_recipe(asset)) as fresh,
    ):
        extract(asset, download(asset, Path(work), show_progress), fresh)
        if asset.convert:
            asset.convert(fresh)


def _disk_full(asset: Asset, free: str) -> str:
    needed = f"{asset.space / 1e6:,.0f} MB"
    return (
        f"Fetching {asset.name!r} needs {needed} of disk space for a moment, and {free} is free in "
        f"{root()}. Free some space, or set the environment variable PLM_ASSETS to a folder on "
        "another disk. Nothing half-written was kept."
    )
