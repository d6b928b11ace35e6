"""The folder for a room without a network; pip, its index and the environment are stand-ins."""

import ast
import errno
import json
import re
import shutil
import subprocess
import zipfile
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from packaging.requirements import Requirement

from tools import workshop, workshop_notebooks, workshop_wheels
from tools.room import start
from tools.set_address import ROOT

CHAPTERS = sorted((ROOT / "editions" / "student").glob("[0-9]*.ipynb"))


def wheel(folder, name, version, needs=(), tag="py3-none-any"):
    """A wheel with metadata and nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{name.replace('-', '_')}-{version}"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {need}" for need in needs]
    path = folder / f"{stem}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{stem}.dist-info/METADATA", "\n".join(lines) + "\n")
    return path


class Index:
    """A stand-in for pip and its index: name -> (version, needs), sources apart."""

    def __init__(self, wheels, sources=(), error="", says="No matching distribution found for"):
        self.wheels, self.sources, self.error, self.says = wheels, sources, error, says
        self.calls = []

    def __call__(self, arguments):
        self.calls.append(arguments)
        if self.error:
            return SimpleNamespace(returncode=1, stderr=self.error)
        asked = [a for a in arguments[1:] if not a.startswith(("-", "/", "http"))]
        flag = "--dest" if arguments[0] == "download" else "--wheel-dir"
        folder = Path(arguments[arguments.index(flag) + 1])
        for requirement in asked:
            name = re.split("[=<>!~]", requirement)[0]
            known = self.sources if arguments[0] == "wheel" else self.wheels
            if name not in known:
                said = f"ERROR: {self.says} {requirement} because of this and that"
                return SimpleNamespace(returncode=1, stderr=said)
            wheel(folder, name, *self.wheels.get(name, ("1", ())))
        return SimpleNamespace(returncode=0, stderr="")


def collected(monkeypatch, folder, index, system="windows", wanted=("a",), pins=None):
    monkeypatch.setattr(workshop_wheels, "run_pip", index)
    monkeypatch.setattr(workshop_wheels, "pins", lambda: pins or {})
    roots = [Requirement(name) for name in wanted]
    found = workshop_wheels.collect(roots, system, "3.12", folder, say=lambda _: None)
    return [path.name.split("-")[0] for path in found]


# --- Wheels


def test_the_other_systems_markers_are_followed(monkeypatch, tmp_path):
    needs = [
        'b; sys_platform == "win32"',
        'c; platform_system == "Linux"',
        'd; platform_machine == "arm64"',
        'e; python_version < "3.12"',
        'f; extra == "more"',
        "g[more]>=1",
    ]
    index = Index(
        {"a": ("1", needs), "g": ("1", ['h; extra == "more"', "a"])}
        | dict.fromkeys("bcdefh", ("1", ()))
    )
    for system, names in {"windows": "abgh", "linux": "acgh", "macos": "adgh"}.items():
        assert collected(monkeypatch, tmp_path / system, index, system) == list(names)


def test_what_is_in_the_cache_is_not_fetched_again(monkeypatch, tmp_path):
    index = Index({"a": ("1", ["b"]), "b": ("1", ())})
    collected(monkeypatch, tmp_path, index)
    before = len(index.calls)
    assert collected(monkeypatch, tmp_path, index) == ["a", "b"]
    assert len(index.calls) == before


def test_versions_are_those_of_the_pins(monkeypatch, tmp_path):
    wheel(tmp_path, "a", "3")  # of an older requirements.txt
    index = Index({"a": ("2", ())})
    assert collected(monkeypatch, tmp_path, index, pins={"a": "2"}) == ["a"]
    assert index.calls[0][-1] == "a==2"
    assert workshop_wheels.pinned(Requirement("Foo_bar>=2,<3"), "linux") == "foo-bar<3,>=2"


def test_linux_gets_pytorchs_cpu_build(monkeypatch, tmp_path):
    monkeypatch.setattr(workshop_wheels, "pins", lambda: {"torch": "2.0"})
    assert workshop_wheels.pinned(Requirement("torch"), "linux") == "torch==2.0+cpu"
    assert workshop_wheels.pinned(Requirement("torch"), "macos") == "torch==2.0"
    index = Index({"torch": ("2.0+cpu", ["nvidia-cudnn-cu13", "triton", "a"]), "a": ("1", ())})
    found = collected(
        monkeypatch, tmp_path, index, "linux", wanted=["torch"], pins={"torch": "2.0"}
    )
    assert found == ["a", "torch"]


def test_a_source_package_is_built_if_it_is_pure(monkeypatch, tmp_path):
    index = Index({"a": ("1", ["b"])}, sources=["b"])
    assert collected(monkeypatch, tmp_path, index) == ["a", "b"]
    assert [call[0] for call in index.calls].count("wheel") == 1


@pytest.mark.parametrize("says", ["No matching distribution found for", "Cannot install"])
def test_all_absent_wheels_are_named_with_what_to_do(monkeypatch, tmp_path, says):
    index = Index({"a": ("1", ())}, says=says)
    with pytest.raises(workshop_wheels.WheelError) as error:
        collected(monkeypatch, tmp_path, index, wanted=["a", "x", "y>=2"])
    said = str(error.value)
    assert "Windows x86-64 and Python 3.12 of: x, y>=2." in said
    assert 'WHEELS="linux macos"' in said
    assert "PY=" in said
    assert str(tmp_path) in said


def test_an_absent_cpu_build_is_looked_for_at_pytorchs_own_index(monkeypatch, tmp_path):
    index = Index({})
    with pytest.raises(workshop_wheels.WheelError, match="PIP_EXTRA_INDEX_URL"):
        collected(monkeypatch, tmp_path, index, "linux", wanted=["torch"], pins={"torch": "2.0"})
    downloads = [call for call in index.calls if call[0] == "download"]
    assert [workshop_wheels.CPU_INDEX in call for call in downloads] == [False, True]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("NewConnectionError: [Errno -3] Temporary failure in name resolution", "can't reach"),
        ("OSError: [Errno 28] No space left on device", "The disk is full"),
        ("something else", "something else"),
    ],
)
def test_pips_other_errors_are_told(monkeypatch, tmp_path, said, message):
    with pytest.raises(workshop_wheels.WheelError, match=message):
        collected(monkeypatch, tmp_path, Index({}, error=said))


def test_packages_that_contradict_each_other_are_named(monkeypatch, tmp_path):
    index = Index({"a": ("1", ["b>=2"]), "b": ("1", ())})
    with pytest.raises(workshop_wheels.WheelError, match=r"b-1-py3-none-any.whl.*b>=2"):
        collected(monkeypatch, tmp_path, index, pins={"b": "1"})


def test_the_extras_of_a_chapter_come_with_it():
    def names(code):
        return {requirement.name for requirement in workshop_wheels.roots(code)}

    assert {"torch", "jupyterlab", "pip"} <= names("import torch")
    assert "trl" not in names("import torch\nprint('import trl')")
    assert "trl" in names("x = 1\nfrom trl import SFTTrainer")
    assert {"gradio", "onnx"} <= names("import onnxruntime")


# --- Notebooks


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_each_check_is_told_the_number_that_its_page_shows(path):
    notebook = nbformat.read(path, as_version=4)
    before = [cell.source for cell in notebook.cells if "exercises.check_" in cell.source]
    workshop_notebooks.numbered(notebook)
    after = [cell.source for cell in notebook.cells if "exercises.check_" in cell.source]
    numbers = []
    for old, new in zip(before, after, strict=True):
        found = re.findall(r'exercise="([\d.]+)"', new)
        assert len(found) == old.count("exercises.check_")
        numbers += found
        without = ast.parse(new)
        for call in (node for node in ast.walk(without) if isinstance(node, ast.Call)):
            call.keywords = [keyword for keyword in call.keywords if keyword.arg != "exercise"]
        assert ast.dump(without) == ast.dump(ast.parse(old))
    assert len(set(numbers)) == len(numbers) > 0
    assert {number.split(".")[0] for number in numbers} == {str(int(path.name[:2]))}


@pytest.mark.parametrize(
    ("source", "becomes"),
    [
        ("exercises.check_value(x, 'd')", "exercises.check_value(x, 'd', exercise=\"1.2\")"),
        (
            "_ = exercises.check_value(\n    'é',\n)",
            "_ = exercises.check_value(\n    'é',\n    exercise=\"1.2\",\n)",
        ),
        (
            "_ = exercises.check_value(\n    'é'\n)",
            "_ = exercises.check_value(\n    'é',\n    exercise=\"1.2\",\n)",
        ),
        ("'é'; exercises.check_value('é')", "'é'; exercises.check_value('é', exercise=\"1.2\")"),
        ("check_value(x)", "check_value(x)"),
        ("exercises.check_value(x, exercise='9')", "exercises.check_value(x, exercise='9')"),
    ],
)
def test_a_number_is_put_into_any_form_of_call(source, becomes):
    assert workshop_notebooks.with_number(source, "1.2") == becomes


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_all_that_a_chapter_reads_beside_itself_is_found(path):
    notebook = nbformat.read(path, as_version=4)
    found = {path.as_posix() for path in workshop_notebooks.read_beside(notebook)}
    for name in found:
        assert (ROOT / name).exists()
    # Each string of its code that names something in notebooks/ or is built from such a name.
    code = workshop_notebooks.code_of(notebook)
    for folder in ("results", "checkpoints", "data", "images"):
        for name in re.findall(rf"[\"']({folder}/[^\"'\n{{]+)", code):
            assert any(place.startswith(f"notebooks/{name}") for place in found), name
    for script in re.findall(r'show_comparison\(\s*"(\w+)"', code):
        assert f"experiments/{script}.py" in found
    assert "show_comparison(" not in code or any(n.startswith("experiments/") for n in found)
    assert "examples" in found or "from examples" not in code


# --- The folder


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A workshop of chapter 11 whose wheels and assets are stand-ins."""
    asset = tmp_path / "cache" / "minilm-0.1.0"
    asset.mkdir(parents=True)
    (asset / "weights").write_bytes(bytes(1000))
    (asset / ".gitattributes").write_text("an asset's own, and in its manifest")
    monkeypatch.setattr(workshop.assets, "path", lambda name: str(asset))
    monkeypatch.setattr(
        workshop_wheels, "build_helpers", lambda folder: wheel(folder, "plm-book-helpers", "0.1.0")
    )

    def collect(wanted, system, python, cache):
        if not cache.exists():  # a file there is linked to, so it is never written again
            wheel(cache, "pip", "26")
            wheel(cache, "only-" + system, "1")
        return sorted(cache.glob("*.whl"))

    monkeypatch.setattr(workshop_wheels, "collect", collect)
    return tmp_path / "out"


def run(*arguments):
    return workshop.main([*map(str, arguments)])


def test_a_folder_has_what_the_room_needs_and_nothing_else(small, capsys):
    assert run("11", "--out", small, "--systems", "linux", "windows", "--python", "3.11") == 0
    folder = small / "workshop-11"
    assert {path.name for path in folder.iterdir()} == {
        *("README.md", "SHA256SUMS", "assets", "experiments", "notebooks", "setup.bat", "setup.sh"),
        *("start.py", "wheels", "workshop.json", "LICENSE", "DATA-AND-LICENCES.md"),
    }
    assert {path.name for path in (folder / "notebooks").iterdir()} == {
        "11-text-classification.ipynb",
        "results",
    }
    results = {path.name for path in (folder / "notebooks" / "results").iterdir()}
    assert results
    assert all(name.startswith("11-") for name in results)
    pins = (folder / "wheels" / "windows-3.11.txt").read_text().splitlines()
    assert pins == ["only_windows==1", "pip==26", "plm_book_helpers==0.1.0"]
    assert (folder / "wheels" / "only_linux-1-py3-none-any.whl").exists()
    assert (folder / "setup.sh").stat().st_mode & 0o111
    assert b"\r\n" in (folder / "setup.bat").read_bytes()
    for name in ("README.md", "setup.sh", "setup.bat"):
        assert "@" not in (folder / name).read_text().replace("@echo", "").replace('"$@"', "")
    assert start.damaged(folder) == []
    assert (folder / "assets" / "minilm-0.1.0" / ".gitattributes").exists()
    said = capsys.readouterr().out
    assert "To write, at most about: Linux x86-64" in said
    assert "Windows x86-64: packages of" in said
    assert not list(small.glob("*.partial"))


def test_the_teachers_folder_and_the_packed_copy(small):
    assert run("00", "11", "--out", small, "--systems", "macos") == 0
    teacher = small / "teacher-00-11"
    names = {path.name for path in teacher.iterdir()}
    assert {"README.md", "collect.py", "feedback.md", "guide-11-text-classification.md"} <= names
    assert "solutions-00-a-first-hour.ipynb" in names
    guide = (teacher / "guide-11-text-classification.md").read_text("utf-8")
    assert guide.startswith("# Teaching 11")
    assert "](../" not in guide
    page = (teacher / "README.md").read_text("utf-8")
    assert "`workshop-00-11.zip` is the same, packed" in page
    assert "@" not in page
    with zipfile.ZipFile(small / "workshop-00-11.zip") as archive:
        assert "workshop-00-11/setup.sh" in archive.namelist()
        assert archive.getinfo("workshop-00-11/setup.sh").external_attr >> 16 & 0o111
        assert not any("teacher" in name for name in archive.namelist())


def test_slides_come_when_they_are_built(small, monkeypatch, tmp_path):
    monkeypatch.setattr(workshop, "SLIDES", tmp_path / "slides")
    (tmp_path / "slides" / "11-text-classification").mkdir(parents=True)
    (tmp_path / "slides" / "11-text-classification" / "index.html").write_text("")
    (tmp_path / "slides" / "12.html").write_text("")
    assert run("11", "--out", small, "--systems", "linux", "--no-zip") == 0
    slides = small / "teacher-11" / "slides"
    assert [path.name for path in slides.iterdir()] == ["11-text-classification"]
    assert ", the slides," in (small / "teacher-11" / "README.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], 'make workshop NB="11 13"'),
        (["99"], "There is no chapter '99'"),
        (["11", "--systems", "bsd"], "'bsd' is none of linux, windows, macos"),
        (["11", "--python", "3.9"], "the oldest is 3.11"),
        (["11", "--python", "three"], "'three' is no version"),
    ],
)
def test_bad_wishes_are_refused_before_any_work(small, capsys, arguments, message):
    assert run(*arguments, "--out", small) > 0
    assert message in capsys.readouterr().err
    assert not small.exists()


def test_a_small_disk_is_found_before_anything_is_fetched(small, monkeypatch, capsys):
    monkeypatch.setattr(workshop.shutil, "disk_usage", lambda _: SimpleNamespace(free=10**6))
    assert run("11", "--out", small, "--systems", "linux") == 1
    said = capsys.readouterr()
    assert "MB together." in said.out
    assert "1 MB are free" in said.err
    assert "WHEELS=linux" in said.err
    assert list(small.iterdir()) == []


def test_a_disk_that_fills_up_leaves_the_folder_that_was_there(small, monkeypatch, capsys):
    assert run("11", "--out", small, "--systems", "linux", "--no-zip") == 0

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(workshop, "put_assets", full)
    assert run("11", "--out", small, "--systems", "linux") == 1
    assert "nothing half-made was kept" in capsys.readouterr().err
    assert start.damaged(small / "workshop-11") == []
    assert not list(small.glob("*.partial"))


# --- The start in the room


@pytest.fixture
def room(small, monkeypatch):
    """A participant's copy of the folder, whose environment is a stand-in."""
    here = "{}.{}".format(*start.sys.version_info[:2])
    system = start.MACHINES[start.platform.system()][0]
    assert run("11", "--out", small, "--systems", system, "--python", here, "--no-zip") == 0
    folder = small / "workshop-11"
    monkeypatch.setattr(start, "HERE", folder)
    installed = []

    def create(place, **_):
        python = place / ("Scripts/python.exe" if start.os.name == "nt" else "bin/python")
        python.parent.mkdir(parents=True)
        python.write_text("")

    monkeypatch.setattr(start.venv, "create", create)

    def ran(command, **options):
        installed.append((command, options))
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(start.subprocess, "run", ran)
    machine = start.MACHINES[start.platform.system()][1]
    monkeypatch.setattr(start.platform, "machine", lambda: machine)
    return SimpleNamespace(folder=folder, ran=installed)


def test_a_first_start_installs_from_the_folder_alone_and_opens_jupyterlab(
    room, monkeypatch, capsys
):
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.example.org")
    assert start.main(["--name", "Ada Lovelace"]) == 0
    (pip, pip_options), (lab, lab_options) = room.ran
    assert "--no-index" in pip
    assert "PIP_INDEX_URL" not in pip_options["env"]
    assert "jupyterlab" in lab
    assert lab_options["cwd"] == room.folder / "notebooks"
    assert lab_options["env"]["PLM_ASSETS"] == str(room.folder / "assets")
    file = Path(lab_options["env"]["PLM_RESULTS"])
    assert re.fullmatch(r"ada-lovelace-[0-9a-f]{4}\.json", file.name)
    assert json.loads(file.read_text("utf-8"))["name"] == "Ada Lovelace"
    room.ran.clear()
    assert start.main([]) == 0  # again: no check, no installation, the same file
    assert len(room.ran) == 1
    assert room.ran[0][1]["env"]["PLM_RESULTS"] == str(file)


def test_no_name_is_no_name(room):
    assert start.main(["--no-lab", "--name", ""]) == 0
    (file,) = (room.folder / "results").glob("*.json")
    assert file.name.startswith("participant-")


def test_a_damaged_copy_is_named(room, capsys):
    (room.folder / "workshop.json").write_text("{}")
    (room.folder / "assets" / "minilm-0.1.0" / "weights").unlink()
    assert start.main(["--no-lab"]) == 1
    said = capsys.readouterr().err
    assert "2 files are not as your teacher made them" in said
    assert "assets/minilm-0.1.0/weights" in said
    assert room.ran == []
    (room.folder / "SHA256SUMS").unlink()
    assert start.main(["--verify"]) == 1
    assert "copy the folder again" in capsys.readouterr().err


def test_sha256sum_agrees(room):
    if not shutil.which("sha256sum"):
        pytest.skip("no sha256sum here")
    check = subprocess.Popen(
        ["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=room.folder, stderr=subprocess.PIPE
    )
    assert check.communicate()[1] == b""
    assert check.returncode == 0


def test_another_machine_or_python_is_told_what_the_folder_has(room, monkeypatch, capsys):
    monkeypatch.setattr(start.platform, "machine", lambda: "riscv64")
    assert start.main(["--no-lab"]) == 1
    said = capsys.readouterr().err
    assert "riscv64" in said
    assert "This folder has packages for" in said


def test_a_disk_that_is_too_small_or_read_only_is_told(room, monkeypatch, capsys):
    monkeypatch.setattr(start.shutil, "disk_usage", lambda _: SimpleNamespace(free=100))
    assert start.main(["--no-lab"]) == 1
    assert "Copy the folder to a larger disk" in capsys.readouterr().err
    monkeypatch.setattr(start.shutil, "disk_usage", lambda _: SimpleNamespace(free=10**12))

    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(start.venv, "create", refuse)
    assert start.main(["--no-lab"]) == 1
    assert "copy the folder to this machine's disk" in capsys.readouterr().err


def test_results_that_can_not_be_kept_stop_nobody(room, capsys):
    (room.folder / "results").write_text("a file")
    assert start.main(["--no-lab", "--name", "Ada"]) == 0
    assert "the exercises work all the same" in capsys.readouterr().out


def test_a_failed_installation_is_no_environment(room, monkeypatch, capsys):
    monkeypatch.setattr(start, "install", lambda *_: 1)
    assert start.main(["--no-lab"]) == 1
    assert "pip could not install" in capsys.readouterr().err
    assert not (room.folder / start.MADE).exists()


def test_setup_sh_says_which_python_it_needs(room):
    run_ = subprocess.Popen(
        ["/bin/sh", "setup.sh"], cwd=room.folder, env={"PATH": "/nowhere"}, stderr=subprocess.PIPE
    )
    said = run_.communicate()[1].decode()
    assert run_.returncode == 1
    assert "This folder needs Python" in said
