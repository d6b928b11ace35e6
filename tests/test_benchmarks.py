"""The benchmarks run: tiny, on a CPU, measuring nothing."""

import json
import time

import pytest
import torch
from accelerate import PartialState
from transformers.utils import logging

from benchmarks import gpu
from benchmarks.finetuning import alternate
from tools import speeds

CPU = torch.device("cpu")


@pytest.fixture
def fresh_process():
    """What a script sets for its whole process is undone for the next test."""
    verbosity = logging.get_verbosity()
    yield
    logging.set_verbosity(verbosity)
    PartialState._reset_state()


def test_the_gpu_check_runs_whole_on_a_cpu(tmp_path, fresh_process):
    file = tmp_path / "smoke.json"
    report = gpu.main(["--smoke", "--rounds", "1", "--out", str(file)])
    assert json.loads(file.read_text()) == report
    assert "no number here is a measurement" in report["machine"]["smoke"]
    assert '"failed"' not in file.read_text()
    assert '"left out"' not in file.read_text()
    assert set(report["waits_per_update"]["errors"].values()) == {"none"}
    # What chapter 16 reads of a stored report.
    for part in (report["fine_tuning"], *report["pretraining"].values()):
        assert all(len(rounds) == 1 for rounds in part["tokens_per_second"].values())
    assert "bare loop, compiled" in report["pretraining"]["causal"]["model_flop_utilisation"]
    assert all(part["same_tokens"] > 0.9 for part in report["generation"].values())


def test_what_fails_or_finds_no_time_says_so_and_the_rest_goes_on(monkeypatch):
    def fail(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    for name in ("cpu_difference", "waits_per_update", "fine_tuning", "generation"):
        monkeypatch.setattr(gpu, name, fail)
    monkeypatch.setattr(gpu, "pretraining", lambda *_, **__: {"done": True})
    kept = []
    report = gpu.check(gpu.SMOKE, 1, 8.0, lambda report: kept.append(len(report)))
    assert report["fine_tuning"]["failed"] == "OutOfMemoryError: CUDA out of memory."
    assert report["pretraining"] == {"causal": {"done": True}, "masked": {"done": True}}
    assert len(kept) == 6  # written after each section
    report = gpu.check(gpu.SMOKE, 1, -1.0, lambda report: None)
    assert report["generation"] == {"left out": "the -1 minutes were over"}


def test_a_run_on_the_cpu_that_fails_leaves_the_gpu_to_the_sections_after_it(monkeypatch):
    def fail(*_, **__):
        assert PartialState().device == CPU
        raise ValueError

    monkeypatch.setattr(gpu, "train", fail)
    with pytest.raises(ValueError):
        gpu.cpu_difference()
    assert not PartialState._shared_state


def test_without_a_gpu_the_check_says_so():
    if torch.cuda.is_available():
        pytest.skip("a GPU is here")
    with pytest.raises(SystemExit, match="No CUDA device is here"):
        gpu.main([])


def test_contenders_take_turns_and_the_first_round_is_not_counted():
    turns = []
    contenders = {name: lambda name=name: turns.append(name) for name in "ab"}
    seconds = alternate(contenders, 2, CPU)
    assert "".join(turns) == "abbaab"
    assert [len(values) for values in seconds.values()] == [2, 2]
    late = alternate(contenders, 5, CPU, deadline=time.monotonic() - 1)
    assert [len(values) for values in late.values()] == [1, 1]


def test_the_page_of_speeds_is_made_from_the_stored_results():
    """`make speeds` writes it."""
    assert speeds.PAGE.read_text("utf-8") == speeds.page()


def test_a_row_of_the_page_has_median_range_and_ratio():
    rows = speeds.table({"train": [100, 300, 200], "other": [100, 100, 100]}).splitlines()
    assert rows[2].split(" | ")[1:] == ["200", "100 to 300", "1.00 × (1.00 to 1.00) |"]
    assert rows[3].split(" | ")[1:] == ["100", "100 to 100", "2.00 × (1.00 to 3.00) |"]
