"""Real processes, killed and resumed; one process against two."""

import json
import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from helpers.training import checkpoints
from helpers.training.loop import TrainingConfig, train
from helpers.training.optim import adamw
from tests.forked import Forked, fork
from tests.tiny import collate, fresh_run, tagger, tagging_data

BATCHES = 48  # that the first process collates: 24 updates of 2, and one for the checks


def start(
    folder: Path, *options: str, processes: int = 1, program: str = "training_process"
) -> Forked:
    """Start a program of tests; its first argument is the folder or file that it writes."""
    errors = folder.with_name(f"{folder.name}-errors.txt")
    return fork(program, [str(folder), *options], errors=errors, processes=processes)


def launch(folder: Path, *options: str, **more) -> int:
    """The same, to its end; returns the exit code."""
    code, errors = start(folder, *options, **more).wait()
    print(errors[-3000:])
    return code


def launch_anew(folder: Path, *options: str, processes: int) -> int:
    """The same as a reader would, by a command line that starts Python."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    command = [sys.executable, *(launcher if processes > 1 else []), "-m", "tests.training_process"]
    done = subprocess.run(
        [*command, str(folder), *options],
        check=False,
        stderr=subprocess.PIPE,
        text=True,
        timeout=300,
    )
    print(done.stderr[-3000:])
    return done.returncode


def result(folder: Path) -> tuple[dict, dict[str, torch.Tensor]]:
    return json.loads((folder / "result.json").read_text()), load_file(
        folder / "result.safetensors"
    )


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The same run on one and on two processes, left alone."""
    folders = {n: tmp_path_factory.mktemp(f"whole-{n}") for n in (1, 2)}
    for processes, folder in folders.items():
        half = ["--half"] if processes == 2 else []
        assert launch(folder, *half, processes=processes) == 0
    return {processes: result(folder) for processes, folder in folders.items()}


@pytest.mark.parametrize("processes", [1, 2])
def test_a_killed_run_goes_on_bit_for_bit(tmp_path, uninterrupted, processes):
    """Killed at a random batch, with accumulation, dropout, random labels and best weights.

    Each of the two is started by a Python of its own kind, in which a set has another order.
    """
    half = ["--half"] if processes == 2 else []
    kill_at = random.SystemRandom().randrange(12, BATCHES)
    print(f"killed at batch {kill_at}")
    assert launch_anew(tmp_path, "--kill-at", str(kill_at), *half, processes=processes) != 0
    assert not (tmp_path / "result.json").exists()
    assert checkpoints.latest(tmp_path / "checkpoints") is not None
    assert launch(tmp_path, *half, processes=processes) == 0
    numbers, weights = result(tmp_path)
    expected_numbers, expected_weights = uninterrupted[processes]
    assert numbers == expected_numbers
    assert weights.keys() == expected_weights.keys()
    for name, value in expected_weights.items():
        assert torch.equal(weights[name], value), name


def test_two_processes_with_half_the_batch_equal_one(tmp_path):
    """Without dropout, whose units differ by process; within float tolerance."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    assert launch(tmp_path / "one", "--dropout", "0") == 0
    assert launch(tmp_path / "two", "--dropout", "0", "--half", processes=2) == 0
    one, one_weights = result(tmp_path / "one")
    two, two_weights = result(tmp_path / "two")
    assert two["losses"] == pytest.approx(one["losses"], abs=2e-5)
    assert [e["step"] for e in two["evaluations"]] == [e["step"] for e in one["evaluations"]]
    for ours, theirs in zip(two["evaluations"], one["evaluations"], strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=2e-5)
    for name, value in one_weights.items():
        torch.testing.assert_close(two_weights[name], value, rtol=0, atol=1e-4)


def test_two_processes_of_a_compiled_model_equal_two_that_are_not_compiled(tmp_path, uninterrupted):
    """With dropout, accumulation and evaluations; losses to 1e-5, weights to 1e-4."""
    assert launch(tmp_path, "--half", "--compile", processes=2) == 0
    (compiled, weights), (plain, expected) = result(tmp_path), uninterrupted[2]
    assert compiled["graphs"] > 0 == plain["graphs"]
    assert compiled["losses"] == pytest.approx(plain["losses"], abs=1e-5)
    for ours, theirs in zip(compiled["evaluations"], plain["evaluations"], strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)
    for name, value in expected.items():
        torch.testing.assert_close(weights[name], value, rtol=0, atol=1e-4)


@pytest.mark.parametrize("processes", [1, 2])
def test_of_two_starts_in_one_folder_one_runs_and_the_other_is_told(
    tmp_path, uninterrupted, processes
):
    half = ["--half"] if processes == 2 else []
    first = start(tmp_path, "--wait-at", "20", *half, processes=processes)
    owner = tmp_path / "checkpoints" / ".owner.json"
    while not owner.exists():
        assert first.is_running()
        time.sleep(0.1)
    code, errors = start(tmp_path, *half, processes=processes).wait()
    assert code != 0
    pid = json.loads(owner.read_text())["pid"]
    assert f"InUseError: {tmp_path / 'checkpoints'} is in use: process {pid} on " in errors
    (tmp_path / "go").touch()
    assert first.wait()[0] == 0
    numbers, weights = result(tmp_path)
    assert numbers == uninterrupted[processes][0]
    assert all(torch.equal(weights[k], v) for k, v in uninterrupted[processes][1].items())


def test_a_checkpoint_is_not_for_windows_of_another_size(tmp_path):
    assert launch(tmp_path, "--half", "--kill-at", "30") != 0
    assert launch(tmp_path, "--half", processes=2) != 0
    # The folder is as it was: the run still goes on with one process.
    assert launch(tmp_path, "--half") == 0


class Processes(SimpleNamespace):
    """As a process sees a group, where it need not meet the others."""

    device, process_index, is_main_process = torch.device("cpu"), 0, True

    def wait_for_everyone(self):
        pass


@pytest.mark.parametrize(("rows", "refused"), [(8, False), (9, True), (10, False)])
def test_another_number_of_processes_must_leave_out_as_many_sequences(tmp_path, rows, refused):
    """Of 9 sequences in windows of 4, the last goes round one process and not round two."""
    model, data = tagger(), tagging_data(rows)
    settings = {"steps": 6, "precision": "fp32", "progress": False, "checkpoint_dir": tmp_path}
    config = TrainingConfig(batch_size=4, checkpoint_every=3, **settings)
    train(model, data, config, collate_fn=collate)
    optimizer = adamw(model, config.learning_rate, config.weight_decay, config.beta2)
    half = replace(config, batch_size=2, resume=True)
    two = fresh_run(model, data, half, Processes(num_processes=2), optimizer)
    assert two.left_out == refused
    if refused:
        told = r"left_out: None there, 1 now(.|\n)*go on with as many processes"
        with pytest.raises(checkpoints.CheckpointError, match=told):
            two.restore()
    else:
        with pytest.warns(UserWarning, match="processes: 1 there, 2 now"):
            two.restore()
        assert two.step == 6


@pytest.mark.parametrize("before", [1, 2])
def test_a_run_goes_on_with_another_number_of_processes_on_the_same_windows(tmp_path, before):
    """Without dropout, nothing is drawn that depends on which process a sequence is on."""
    one, other = tmp_path / "one", tmp_path / "other"
    assert launch(one, "--dropout", "0") == 0
    half = {1: [], 2: ["--half"]}
    killed = launch_anew(
        other, "--dropout", "0", "--kill-at", "30", *half[before], processes=before
    )
    assert killed != 0
    after = 3 - before
    assert launch(other, "--dropout", "0", *half[after], processes=after) == 0
    (numbers, weights), (same, same_weights) = result(one), result(other)
    assert same["losses"] == pytest.approx(numbers["losses"], abs=1e-4)
    assert all(torch.allclose(same_weights[k], v, atol=1e-3) for k, v in weights.items())


def test_two_processes_may_work_on_two_tasks(tmp_path):
    """In an update one process may use one head and the other process the other."""
    results = []
    for processes in (1, 2):
        file = tmp_path / f"{processes}.json"
        assert launch(file, processes=processes, program="multitask_process") == 0
        results.append(json.loads(file.read_text()))
    one, two = results
    assert two["losses"] == pytest.approx(one["losses"], abs=2e-5)
    assert two["weights"] == pytest.approx(one["weights"], abs=1e-3)
