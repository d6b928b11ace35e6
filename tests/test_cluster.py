"""examples/cluster: the batch script says what it should, and runs with two processes here."""

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoModelForSequenceClassification

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "examples" / "cluster" / "train.sbatch"


def directives():
    lines = SCRIPT.read_text("utf-8").splitlines()
    commands = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
    # Slurm reads no directive behind the first command.
    assert not any("#SBATCH" in line for line in lines[commands:])
    found = [re.fullmatch(r"#SBATCH --([a-z-]+)(?:=(\S+))?", line) for line in lines]
    assert sum(line.startswith("#SBATCH") for line in lines) == sum(map(bool, found))
    return {match[1]: match[2] for match in found if match}


def test_the_directives_are_what_torchrun_needs():
    said = directives()
    assert said["ntasks-per-node"] == "1"  # torchrun starts the processes of a machine itself
    assert said.keys() >= {"nodes", "gpus-per-node", "cpus-per-task", "time", "signal", "requeue"}
    assert int(said["cpus-per-task"]) % int(said["gpus-per-node"]) == 0
    assert re.fullmatch(r"TERM@\d+", said["signal"])


@pytest.fixture
def slurm(tmp_path):
    """A machine on which Slurm has started this job: its commands and its variables."""
    commands = tmp_path / "bin"
    commands.mkdir()
    tools = {
        "srun": 'exec "$@"',
        "scontrol": "echo localhost",
        "torchrun": f'exec "{sys.executable}" -m torch.distributed.run "$@"',
    }
    for name, command in tools.items():
        (commands / name).write_text(f"#!/bin/bash\n{command}\n")
        (commands / name).chmod(0o755)
    return os.environ | {
        "PATH": f"{commands}:{os.environ['PATH']}",
        "SLURM_JOB_ID": str(random.randrange(20_000)),
        "SLURM_JOB_NODELIST": "localhost",
        "SLURM_JOB_NUM_NODES": "1",
        "SLURM_CPUS_PER_TASK": "2",
        "CUDA_VISIBLE_DEVICES": "",
        "PLM_PROGRESS": "0",
    }


def run(environment, *options, processes):
    done = subprocess.run(
        ["bash", str(SCRIPT), *options],
        cwd=ROOT,
        env=environment | {"PROCESSES": str(processes)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done


@pytest.mark.skipif(sys.platform == "win32", reason="a script for bash")
def test_the_script_runs_with_two_processes_and_goes_on_with_one(slurm, tmp_path):
    options = ["--folder", str(tmp_path / "run"), "--window", "4", "--pieces", "16"]
    done = run(slurm, *options, "--updates", "3", processes=2)
    assert done.stdout.startswith("2 processes, loss ")
    AutoModelForSequenceClassification.from_pretrained(tmp_path / "run" / "model")
    # The last checkpoint is lost, as if the job had died: one process makes the update again.
    for path in sorted((tmp_path / "run" / "checkpoints").glob("step-*"))[1:]:
        path.rename(path.with_name(f"lost-{path.name}"))
    done = run(slurm, *options, "--updates", "3", processes=1)
    assert done.stdout.startswith("1 processes, loss ")
    assert "goes on with batch_size: 2 there, 4 now, processes: 2 there, 1 now" in done.stderr
