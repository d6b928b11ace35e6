"""What is written for keeps: synced in the right order, whole, checked when read, and one's own."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from filelock import FileLock

from helpers.data import disk


@pytest.fixture
def events(monkeypatch):
    """The syncs and renames that happen, in order: ("sync", inode) and ("rename", inode)."""
    seen = []
    sync = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda fd: (seen.append(("sync", os.fstat(fd).st_ino)), sync(fd))[1]
    )
    for name in ("rename", "replace"):
        move = getattr(Path, name)

        def record(self, target, move=move):
            seen.append(("rename", self.stat().st_ino))
            return move(self, target)

        monkeypatch.setattr(Path, name, record)
    return seen


def inode(path):
    return path.stat().st_ino


def test_a_folder_is_synced_file_by_file_then_renamed_then_its_parent_is_synced(tmp_path, events):
    target = tmp_path / "new" / "run" / "step"
    with disk.new_folder(target) as new:
        assert new.parent == target.parent
        (new / "sub").mkdir()
        (new / "sub" / "weights").write_bytes(b"12345")
        assert not target.exists()
    moved = events.index(("rename", inode(target)))
    for path in (target, *target.rglob("*")):
        assert ("sync", inode(path)) in events[:moved], path
    assert events[moved + 1 :] == [("sync", inode(target.parent))]
    for made in (tmp_path, tmp_path / "new"):  # they hold the names of folders that were made
        assert ("sync", inode(made)) in events[:moved], made
    assert disk.damage(target) == []


def test_a_file_is_synced_then_renamed_then_its_folder_is_synced(tmp_path, events):
    file = tmp_path / "settings.json"
    for text in ("old", "новый"):
        events.clear()
        disk.write_file(file, text)
        own, folder = inode(file), inode(tmp_path)
        assert events == [("sync", own), ("rename", own), ("sync", folder)]
    assert file.read_text(encoding="utf-8") == "новый"
    assert list(tmp_path.iterdir()) == [file]


def test_what_fails_leaves_what_was_there(tmp_path):
    for text in ("one", "two"):
        with disk.new_folder(tmp_path / "f") as new:
            (new / "a").write_text(text)
    with pytest.raises(KeyboardInterrupt), disk.new_folder(tmp_path / "f") as new:
        (new / "a").write_text("three")
        raise KeyboardInterrupt
    with pytest.raises(TypeError):
        disk.write_file(tmp_path / "f" / "a", 3)
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
    assert (tmp_path / "f" / "a").read_text() == "two"
    disk.remove(tmp_path / "f")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows opens no folder")
@pytest.mark.parametrize(("number", "fails"), [(22, False), (5, True)])  # EINVAL, EIO
def test_a_folder_that_cannot_be_synced(tmp_path, monkeypatch, number, fails):
    sync = os.fsync

    def refuse(descriptor):
        if Path(f"/dev/fd/{descriptor}").is_dir():
            raise OSError(number, "no")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)
    if fails:  # a failing disk is no network drive
        with pytest.raises(OSError, match="no"):
            disk.write_file(tmp_path / "a", "text")
    else:
        disk.write_file(tmp_path / "a", "text")
        assert (tmp_path / "a").read_text() == "text"


def flip(file):
    content = bytearray(file.read_bytes())
    content[1] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    "harm", [flip, Path.unlink, lambda f: f.write_bytes(b""), lambda f: f.write_text("[]")]
)
@pytest.mark.parametrize("name", ["sub/a", disk.MANIFEST])
def test_damage_names_the_file(tmp_path, harm, name):
    with disk.new_folder(tmp_path / "f", made_from="x") as new:
        (new / "sub").mkdir()
        (new / "sub" / "a").write_bytes(b"12345")
    (tmp_path / "f" / "extra").touch()  # nobody reads it
    assert disk.damage(tmp_path / "f") == []
    assert disk.read_manifest(tmp_path / "f")["made_from"] == "x"
    harm(tmp_path / "f" / name)
    (problem,) = disk.damage(tmp_path / "f")
    assert str(tmp_path / "f" / name) in problem


def start(folder, then):
    """Another process that owns the folder; says "mine" when it has it."""
    code = f"""if True:
        import os, sys, time
        from pathlib import Path
        from helpers.data import disk
        with disk.owned(Path({str(folder)!r})):
            {then}
    """
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "mine\n"
    return process


def test_a_folder_is_one_process_s_until_it_ends_however_it_does(tmp_path):
    other = start(tmp_path / "run", "print('mine', flush=True); time.sleep(60)")
    with (
        pytest.raises(disk.InUseError, match=f"{other.pid} on ") as caught,
        disk.owned(tmp_path / "run"),
    ):
        pass
    assert str(tmp_path / "run") in str(caught.value)
    other.kill()
    other.wait()
    with disk.owned(tmp_path / "run"):
        assert json.loads((tmp_path / "run" / ".owner.json").read_text())["pid"] == os.getpid()
        with pytest.raises(disk.InUseError), disk.owned(tmp_path / "run"):
            pass
    with pytest.raises(KeyError) as kept, disk.owned(tmp_path / "run"):  # as a notebook keeps it
        raise KeyError
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]
    with disk.owned(tmp_path / "run"):
        pass
    del kept


def test_what_a_killed_process_left_behind_is_waited_for(tmp_path):
    held = FileLock(tmp_path / ".lock", thread_local=False)
    held.acquire()
    threading.Timer(0.3, held.release).start()
    with disk.owned(tmp_path):
        pass
