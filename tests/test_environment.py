"""helpers.teaching.environment and the doctor: reproducible state, quiet outputs, true reports."""

import logging
import random
import subprocess
import sys
from base64 import b64decode
from collections import namedtuple
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import matplotlib as mpl
import nbclient
import nbformat
import numpy as np
import psutil
import pytest
import torch
import transformers
from PIL import Image

from helpers.data import assets
from helpers.teaching import doctor, environment, plots


@pytest.fixture(autouse=True)
def unchanged_style():
    with mpl.rc_context():
        yield


def draws():
    return random.random(), np.random.rand(), torch.rand(1).item()


def run_cells(*sources):
    """The outputs of each cell, run in a fresh kernel."""
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbclient.NotebookClient(notebook, kernel_name="python3", timeout=120).execute()
    return [cell.outputs for cell in notebook.cells]


# set_up


def test_the_seed_fixes_every_generator():
    environment.set_up(seed=7)
    first = draws()
    environment.set_up(seed=7)
    assert draws() == first
    environment.set_up(seed=8)
    assert all(new != old for new, old in zip(draws(), first, strict=True))


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_changes_nothing(seed):
    environment.set_up(seed=7)
    expected = draws()
    environment.set_up(seed=7)
    with pytest.raises(ValueError, match=rf"{seed}\b.* 0 to 2\*\*32 - 1"):
        environment.set_up(seed=seed)
    assert draws() == expected


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_the_device_is_the_best_there_is(monkeypatch, cuda, mps, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert environment._device() == torch.device(expected)


def test_an_edition_runs_beside_the_chapters_results(tmp_path, monkeypatch):
    for folder in ("editions/student", "notebooks"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "editions" / "student")
    environment.set_up()
    assert Path.cwd() == tmp_path / "notebooks"
    environment.set_up()
    assert Path.cwd() == tmp_path / "notebooks"


def test_set_up_applies_the_figures_style():
    mpl.rcParams["figure.dpi"] = 33
    environment.set_up()
    assert mpl.rcParams["figure.dpi"] == 120
    assert mpl.rcParams["axes.prop_cycle"].by_key()["color"] == 2 * list(plots.PALETTE)


def test_a_warning_passes_and_a_report_of_weights_is_printed_once(capsys, tmp_path):
    environment.set_up()
    environment.set_up()
    logger = logging.getLogger("transformers")
    counts = [h.filters.count(environment._print_load_report) for h in logger.handlers]
    assert counts and set(counts) == {1}
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = transformers.BertConfig(vocab_size=9, intermediate_size=8, **sizes)
    folder = tmp_path / "tiny"
    transformers.BertModel(config).save_pretrained(folder)
    capsys.readouterr()
    for _ in range(3):
        transformers.BertForTokenClassification.from_pretrained(folder)
    printed = capsys.readouterr().out.splitlines()
    assert printed == [
        "BertForTokenClassification from tiny: MISSING (new, to be trained): classifier.bias, "
        "classifier.weight; UNEXPECTED (not used): pooler.dense.bias, pooler.dense.weight"
    ]
    transformers.BertModel.from_pretrained(folder)
    assert capsys.readouterr().out == ""  # nothing is wrong: nothing is said
    record = logging.LogRecord("transformers.x", logging.WARNING, "", 0, "careful", (), None)
    assert all(handler.filter(record) for handler in logger.handlers)


def test_another_report_passes_as_it_is():
    record = logging.LogRecord("transformers.x", logging.WARNING, "", 0, "A LOAD REPORT", (), None)
    assert environment._print_load_report(record)


SET_UP = """
from helpers.teaching import environment
device = environment.set_up(seed=0)
"""
SAVE = """
from transformers import BertConfig, BertModel
sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 9}
BertModel(BertConfig(**sizes, intermediate_size=8)).save_pretrained(FOLDER)
"""
LOAD = """
from datasets import Dataset
from transformers import BertForSequenceClassification
_ = BertForSequenceClassification.from_pretrained(FOLDER)
_ = Dataset.from_dict({"n": [1, 2]}).map(lambda row: row)
"""
WARN = """
import transformers
transformers.logging.get_logger("transformers").warning("a real warning")
"""
PLOT = """
from matplotlib import pyplot as plt
_ = plt.plot([1, 2])
"""


def test_a_notebook_stays_quiet_and_keeps_real_warnings(tmp_path):
    folder = f"FOLDER = {str(tmp_path)!r}"
    set_up, _, load, warn, figure = run_cells(SET_UP, folder + SAVE, LOAD, WARN, PLOT)
    assert set_up == []
    (report,) = load  # no bar; the weights that are newly made, in a line
    assert report.name == "stdout"
    assert report.text.startswith("BertForSequenceClassification from ")
    assert "MISSING (new, to be trained): classifier.bias, classifier.weight" in report.text
    assert "\x1b" not in report.text
    assert [output.name for output in warn] == ["stderr"]
    assert "a real warning" in warn[0].text
    (picture,) = figure
    with Image.open(BytesIO(b64decode(picture.data["image/png"]))) as png:
        assert png.info["dpi"] == pytest.approx((240, 240), abs=0.1)  # shown at half
        assert "Software" not in png.info  # a new version of matplotlib makes no diff


# The doctor


Memory = namedtuple("Memory", "total available")


def only(findings):
    (finding,) = findings
    return finding


def test_every_line_that_is_not_ok_says_what_to_do(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 2, "final", 0))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: Memory(8 * 2**30, 2**30))
    monkeypatch.setattr(doctor, "SLOW", 1e9)
    found = [
        only(check()) for check in (doctor.check_python, doctor.check_memory, doctor.check_speed)
    ]
    assert [finding.status for finding in found] == ["FAIL", "note", "note"]
    assert all(finding.remedy for finding in found)
    assert "1.0 of 8.0 GiB" in found[1].what
    assert str(found[0]).splitlines() == [
        "FAIL  Python 3.9.2 is too old",
        "      -> Install Python 3.11 or newer and make a new virtual environment with it.",
    ]


def test_an_old_python_ends_the_report(monkeypatch, capsys):
    monkeypatch.setattr(sys, "version_info", (3, 9, 2, "final", 0))
    assert doctor.main() == 1
    printed = capsys.readouterr().out
    assert printed.count("FAIL  ") == 1
    assert "packages" not in printed
    assert printed.endswith("Not ready: mend what is marked FAIL (1), then run this again.\n")


def install(folder, name, *needs):
    """A package of nothing but its metadata, for the pip of another process."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    lines = "".join(f"Requires-Dist: {need}\n" for need in needs)
    (info / "METADATA").write_text(head + lines)


def test_packages_that_are_absent_too_old_or_broken_are_named(monkeypatch, tmp_path):
    needs = ("torch>=99", "numpy>=1.26", "nowhere-to-be-found", 'pytest>=99; extra == "test"')
    install(tmp_path, "a-book", *needs)
    install(tmp_path, "another", "something")  # no business of the book's
    (tmp_path / "broken_library.py").write_text("raise OSError('libcudart.so.12: not found')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(doctor, "PACKAGE", "a-book")
    monkeypatch.setattr(doctor, "MODULES", ("torch", "broken_library"))
    found = list(doctor.check_packages())
    assert [finding.status for finding in found] == ["FAIL"] * 3
    assert all("pip install -e ." in finding.remedy for finding in found)
    said = " ".join(finding.what for finding in found[:2])  # in pip's words and order
    version = torch.__version__.partition("+")[0]
    assert all(part in said for part in ("torch>=99", version, "nowhere-to-be-found"))
    assert "broken_library" in found[2].what and "libcudart.so.12" in found[2].what


def test_the_books_package_itself_may_be_missing(monkeypatch):
    monkeypatch.setattr(doctor, "PACKAGE", "a-package-that-nobody-installed")
    finding = only(doctor.check_packages())
    assert finding.status == "FAIL"
    assert "pip install -e ." in finding.remedy


def test_a_missing_pip_is_not_taken_for_a_missing_package(monkeypatch):
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    finding = only(doctor.check_packages())
    assert finding.status == "FAIL"
    assert "pip" in finding.what and "ensurepip" in finding.remedy


WITHOUT = """
import importlib.abc, runpy, sys

class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == PACKAGE:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)

sys.meta_path.insert(0, Hidden())
runpy.run_module("helpers.teaching.environment", run_name="__main__")
"""


def doctor_without(package):
    """Run the doctor in a Python that cannot find a package."""
    code = f"PACKAGE = {package!r}\n{WITHOUT}"
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("package", ["torch", "psutil"])
def test_the_doctor_works_without_a_package(package):
    run = doctor_without(package)
    assert run.returncode == 1, run.stderr
    assert f"FAIL  {package} can't be imported" in run.stdout
    assert "Traceback" not in run.stdout + run.stderr
    assert run.stdout.rstrip().splitlines()[-1].startswith("Not ready")


def test_the_doctor_calls_this_machine_ready(capsys):
    assert doctor.main() == 0
    printed = capsys.readouterr().out
    assert printed.startswith("ok    Python 3.")
    assert printed.endswith("\nReady: this machine can run the book.\n")
    assert "FAIL" not in printed


def test_a_check_that_breaks_is_a_failure_and_hides_no_other(monkeypatch, capsys):
    def check_broken():
        raise OSError("no such device")
        yield

    monkeypatch.setattr(doctor, "check_assets", check_broken)
    monkeypatch.setattr(doctor, "check_packages", lambda: iter(()))
    assert doctor.main() == 1
    printed = capsys.readouterr().out
    assert "FAIL  broken: the check itself failed (OSError: no such device)" in printed
    assert "GFLOP/s" in printed


def test_assets_that_are_not_fetched_are_named_with_the_command(monkeypatch, tmp_path):
    monkeypatch.setenv("PLM_ASSETS", str(tmp_path / "not" / "yet"))
    room, missing = doctor.check_assets()
    assert room.status == "ok"
    assert missing.status == "note"
    assert "minilm" in missing.what
    assert missing.remedy.endswith("python -m helpers.data.assets fetch --all")
    assert not (tmp_path / "not").exists()


def test_room_is_for_all_that_is_unpacked_and_for_one_archive(monkeypatch, tmp_path):
    monkeypatch.setenv("PLM_ASSETS", str(tmp_path))
    every = assets.ASSETS.values()
    # While one is fetched, pip holds its archive twice, and a conversion what it converts.
    needed = sum(a.unpacked for a in every) + max(2 * a.size + a.raw for a in every)
    for free, status in ((needed, "ok"), (needed - 1, "FAIL")):
        usage = SimpleNamespace(free=free)
        monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _, usage=usage: usage)
        assert next(doctor.check_assets()).status == status


def test_too_small_a_disk_for_the_assets_is_a_failure(monkeypatch, tmp_path):
    monkeypatch.setenv("PLM_ASSETS", str(tmp_path))
    usage = SimpleNamespace(free=10**6)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda place: usage)
    finding = only(doctor.check_assets())
    assert finding.status == "FAIL"
    assert "0.0 GiB free" in finding.what
    assert "PLM_ASSETS" in finding.remedy


@pytest.mark.parametrize("library", ["evaluate", "datasets"])
def test_a_home_that_cannot_be_written_is_a_failure(monkeypatch, tmp_path, library):
    (tmp_path / "home").write_text("a file, which even root can't write into")
    assert [finding.status for finding in doctor.check_caches()] == ["ok"]
    config = __import__(library).config
    name = "HF_METRICS_CACHE" if library == "evaluate" else "HF_DATASETS_CACHE"
    monkeypatch.setattr(config, name, str(tmp_path / "home" / ".cache" / "metrics"))
    finding = only(doctor.check_caches())
    assert finding.status == "FAIL"
    assert str(tmp_path / "home") in finding.what
    assert "HF_HOME" in finding.remedy


def test_an_asset_cache_that_cannot_be_written_is_a_failure(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PLM_ASSETS", str(tmp_path / "file" / "cache"))
    finding = only(doctor.check_assets())
    assert finding.status == "FAIL"
    assert "PLM_ASSETS" in finding.remedy


def test_the_speed_is_of_this_machine(monkeypatch):
    n, seconds = 512, 0.5
    timer = SimpleNamespace(
        autorange=lambda: (3, 3 * seconds), repeat=lambda repeat, number: [9.0, number * seconds]
    )
    monkeypatch.setattr("timeit.Timer", lambda statement: timer)
    finding = only(doctor.check_speed())
    assert f"{2 * n**3 / seconds / 1e9:.0f} GFLOP/s" in finding.what
    assert finding.status == "note"


def test_the_machine_and_its_gpu_are_described(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    what = only(doctor.check_machine()).what
    assert all(part in what for part in (torch.__version__, transformers.__version__, "no GPU"))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert "Apple" in only(doctor.check_machine()).what
    properties = SimpleNamespace(name="NVIDIA L4", total_memory=24 * 2**30)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: properties)
    for native, word in ((True, "native"), (False, "emulated")):
        monkeypatch.setattr("helpers.hardware.has_native_bf16", lambda _, found=native: found)
        what = only(doctor.check_machine()).what
        assert "NVIDIA L4 with 24 GiB" in what and f"bfloat16 on the CPU {word}" in what


def test_a_driver_without_a_gpu_in_torch_is_noted(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    assert [finding.status for finding in doctor.check_machine()] == ["note", "ok"]
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    assert [finding.status for finding in doctor.check_machine()] == ["ok"]
