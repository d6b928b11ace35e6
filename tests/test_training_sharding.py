"""strategy="fsdp": two processes with half of the model each are one process with all of it."""

import json
import re
import subprocess
import sys
from itertools import chain

import pytest
import torch
from safetensors.torch import load_file

from helpers.training import checkpoints
from helpers.training.config import TrainingConfig
from helpers.training.sharding import check_shardable
from tests.test_training_resume import BATCHES, launch, launch_anew, result
from tests.tiny import tagger

SHARDED = ["--half", "--fsdp"]

OPEN = """
import sys
import torch
from safetensors.torch import load_file
from transformers import AutoModelForTokenClassification

folder = sys.argv[1]
model = AutoModelForTokenClassification.from_pretrained(folder + "/model")
assert model.config.architectures == ["BertForTokenClassification"], model.config.architectures
trained = load_file(folder + "/result.safetensors")
assert all(torch.equal(value, trained[name]) for name, value in model.state_dict().items())
assert model(torch.tensor([[1, 2, 3]])).logits.shape == (1, 3, 3)
print("opened")
"""


@pytest.fixture(scope="module")
def sharded(tmp_path_factory):
    """A sharded run in two processes, left alone."""
    folder = tmp_path_factory.mktemp("sharded")
    assert launch(folder, *SHARDED, processes=2) == 0
    return folder


def test_two_sharded_processes_equal_one(tmp_path):
    """In fp32 and without dropout: losses to 2e-6, weights to 5e-5 after 24 updates."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    assert launch(tmp_path / "one", "--dropout", "0") == 0
    assert launch(tmp_path / "two", "--dropout", "0", *SHARDED, processes=2) == 0
    (one, one_weights), (two, two_weights) = result(tmp_path / "one"), result(tmp_path / "two")
    assert two["losses"] == pytest.approx(one["losses"], abs=2e-6)
    assert len(two["evaluations"]) == 5
    for ours, theirs in zip(two["evaluations"], one["evaluations"], strict=True):
        assert ours == pytest.approx(theirs, abs=2e-6)
    for name, value in one_weights.items():
        torch.testing.assert_close(two_weights[name], value, rtol=0, atol=5e-5)
    # The moments, whole and by the same names.
    states = [
        load_file(checkpoints.latest(tmp_path / name / "checkpoints") / "optimizer.safetensors")
        for name in ("one", "two")
    ]
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, rtol=0, atol=5e-5)


def test_a_killed_sharded_run_goes_on_bit_for_bit(tmp_path, sharded):
    """With accumulation, dropout, random labels and best weights."""
    kill_at = str(BATCHES // 2 + 3)
    assert launch_anew(tmp_path, "--kill-at", kill_at, *SHARDED, processes=2) != 0
    assert not (tmp_path / "result.json").exists()
    assert checkpoints.latest(tmp_path / "checkpoints") is not None
    assert launch(tmp_path, *SHARDED, processes=2) == 0
    (numbers, weights), (expected, expected_weights) = result(tmp_path), result(sharded)
    assert numbers == expected
    assert weights.keys() == expected_weights.keys()
    assert all(torch.equal(weights[name], value) for name, value in expected_weights.items())


def test_a_saved_folder_opens_in_a_process_without_this_book(sharded):
    done = subprocess.run(
        [sys.executable, "-c", OPEN, str(sharded)],
        capture_output=True,
        text=True,
        check=False,
        cwd=sharded,
    )
    assert done.stdout == "opened\n", done.stderr[-2000:]


def test_a_checkpoint_is_whole_and_another_strategy_goes_on_from_it(tmp_path):
    assert launch(tmp_path, "--dropout", "0", "--kill-at", "30", *SHARDED, processes=2) != 0
    model = tagger()
    checkpoints.load_weights(checkpoints.latest(tmp_path / "checkpoints"), model)
    assert launch(tmp_path, "--dropout", "0") == 0  # one process, nothing sharded
    errors = tmp_path.with_name(f"{tmp_path.name}-errors.txt").read_text()
    assert "processes: 2 there, 1 now, strategy: 'fsdp' there, None now" in errors
    whole = tmp_path / "whole"
    whole.mkdir()
    assert launch(whole, "--dropout", "0") == 0
    (numbers, weights), (expected, expected_weights) = result(tmp_path), result(whole)
    assert numbers["losses"] == pytest.approx(expected["losses"], abs=1e-4)
    assert all(torch.allclose(weights[k], v, atol=1e-3) for k, v in expected_weights.items())


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    folder, found = tmp_path_factory.mktemp("kinds"), []
    for processes in (1, 2):
        file = folder / f"{processes}.json"
        assert launch(file, processes=processes, program="sharding_process") == 0
        found.append(json.loads(file.read_text()))
    return found


def test_models_of_all_kinds_are_trained_and_evaluated_in_shards(kinds):
    """Tied weights, odd sizes, logits computed late, LoRA, gradient checkpointing; to 5e-6."""
    one, two = kinds
    assert len(one) == len(two) == 11
    for kind in one.keys() - {"refusals"}:
        alone, shared = one[kind], two[kind]
        assert shared["losses"] == pytest.approx(alone["losses"], abs=5e-6), kind
        # AdamW hardly sees a constant factor, so the norms are compared by themselves.
        assert shared["norms"] == pytest.approx(alone["norms"], rel=1e-4), kind
        assert shared["sums"] == pytest.approx(alone["sums"], abs=1e-4), kind
        seen = [list(chain(*numbers["seen"])) for numbers in (alone, shared)]
        assert seen[1] == pytest.approx(seen[0], abs=5e-6), kind
        assert all(0.49 < share < 0.55 for share in shared["shares"]), kind
        assert set(alone["shares"]) == {0.0}, kind


@pytest.mark.parametrize(
    ("case", "told"),
    [
        ("two tasks", "leaves some parameters without a gradient"),
        ("optimizer", "with an optimizer, AdamW: .* Leave it to the config"),
        ("half", r"word_embeddings.weight is torch.bfloat16. Load .* dtype=torch.float32"),
        ("tied", "a weight is shared by several blocks"),
    ],
)
def test_what_cannot_be_sharded_is_refused(kinds, case, told):
    assert re.search(told, kinds[1]["refusals"][case])


@pytest.mark.parametrize("setting", [{"compile": True}, {"optimizer": "muon"}])
def test_settings_that_need_the_whole_model_are_refused(setting):
    with pytest.raises(ValueError, match=r'strategy="fsdp" with compile=.*whole matrices'):
        TrainingConfig(steps=1, strategy="fsdp", **setting)
    with pytest.raises(ValueError, match=r"strategy='zero': it must be one of \('ddp', 'fsdp'\)"):
        TrainingConfig(steps=1, strategy="zero")


def test_fp16_is_refused():
    with pytest.raises(ValueError, match='with precision="fp16"'):
        check_shardable(tagger(), "fp16")
