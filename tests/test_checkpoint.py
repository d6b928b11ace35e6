"""Published checkpoints are read as they are, or refused with a message that says why."""

import json
import pickle
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from helpers.models import _checkpoint as checkpoint


@pytest.fixture
def tensors():
    generator = torch.Generator().manual_seed(0)
    return {f"part.{i}": torch.randn(3, i + 1, generator=generator) for i in range(5)}


@pytest.fixture
def folder(tmp_path, tensors):
    (tmp_path / "config.json").write_text('{"model_type": "bert", "hidden_size": 8}')
    save_file(tensors, tmp_path / "model.safetensors")
    return tmp_path


@pytest.fixture
def sharded(tmp_path, tensors):
    """The same tensors in two files, with their index."""
    names = list(tensors)
    places = {name: f"model-0000{1 + (i > 2)}-of-00002.safetensors" for i, name in enumerate(names)}
    for file in set(places.values()):
        save_file({n: tensors[n] for n in names if places[n] == file}, tmp_path / file)
    (tmp_path / checkpoint.INDEX).write_text(json.dumps({"weight_map": places}))
    return tmp_path


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_config_and_weights_are_read(folder, tensors):
    assert checkpoint.read_config(folder) == {"model_type": "bert", "hidden_size": 8}
    assert equal(checkpoint.read_weights(folder), tensors)
    assert equal(checkpoint.read_weights(str(folder)), tensors)


def test_a_sharded_checkpoint_is_read_whole(sharded, tensors):
    assert equal(checkpoint.read_weights(sharded), tensors)


def test_a_missing_shard_is_named(sharded):
    (sharded / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks model-00002-of-00002\.safetensors"):
        checkpoint.read_weights(sharded)


def test_an_index_that_promises_too_much(sharded):
    index = json.loads((sharded / checkpoint.INDEX).read_text())
    index["weight_map"]["part.9"] = "model-00001-of-00002.safetensors"
    (sharded / checkpoint.INDEX).write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"part\.9"):
        checkpoint.read_weights(sharded)
    (sharded / checkpoint.INDEX).write_text("{}")
    with pytest.raises(ValueError, match="no weight_map"):
        checkpoint.read_weights(sharded)


def test_an_index_may_not_lead_out_of_its_folder(sharded, tmp_path_factory, tensors):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "secret.safetensors"
    save_file(tensors, elsewhere)
    outside = {"weight_map": {"part.0": f"../{elsewhere.parent.name}/{elsewhere.name}"}}
    (sharded / checkpoint.INDEX).write_text(json.dumps(outside))
    with pytest.raises(FileNotFoundError, match=r"secret\.safetensors"):
        checkpoint.read_weights(sharded)


@pytest.mark.parametrize("name", ["no/such/folder", "/no/such", "../other", "a b"])
def test_no_such_folder(name):
    with pytest.raises(FileNotFoundError, match=re.escape(repr(name))):
        checkpoint.read_config(name)


@pytest.mark.parametrize("name", ["minilm", "nobody/no-such-model"])
def test_a_hub_id_that_cannot_be_had(name, monkeypatch):
    def unreachable(*_, **__):
        raise ConnectionError("no network")

    monkeypatch.setattr(checkpoint, "snapshot_download", unreachable)
    with pytest.raises(FileNotFoundError, match="Hub") as error:
        checkpoint.read_weights(name)
    assert ("assets.path" in str(error.value)) == (name == "minilm")


def test_a_hub_id_is_fetched_without_pickles(folder, tensors, monkeypatch):
    asked = []

    def snapshot(name, allow_patterns):
        asked.append((name, tuple(allow_patterns)))
        return str(folder)

    monkeypatch.setattr(checkpoint, "snapshot_download", snapshot)
    assert equal(checkpoint.read_weights("org/model"), tensors)
    assert checkpoint.read_config("org/model")["hidden_size"] == 8
    assert [name for name, _ in asked] == ["org/model", "org/model"]
    patterns = [pattern for _, patterns in asked for pattern in patterns]
    assert patterns and all(p.endswith((".safetensors", ".json")) for p in patterns)


def test_a_file_in_place_of_a_folder(folder):
    with pytest.raises(FileNotFoundError, match=r"file.*folder"):
        checkpoint.read_config(folder / "config.json")


def test_no_config(folder):
    (folder / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"config\.json.*model\.safetensors"):
        checkpoint.read_config(folder)


@pytest.mark.parametrize(("text", "why"), [("{", "JSON"), ("[1]", "list")])
def test_a_damaged_config(folder, text, why):
    (folder / "config.json").write_text(text)
    with pytest.raises(ValueError, match=rf"config\.json.*{why}"):
        checkpoint.read_config(folder)


def test_a_pickle_is_never_opened(folder, tmp_path):
    class Bomb:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(FileNotFoundError, match=r"pytorch_model\.bin, a pickle.*save_pretrained"):
        checkpoint.read_weights(folder)
    assert not (tmp_path / "ran").exists()


def test_no_weights_at_all(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"only config\.json"):
        checkpoint.read_weights(folder)


def test_a_file_cut_short(folder):
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-7])
    with pytest.raises(ValueError, match="damaged"):
        checkpoint.read_weights(folder)


def test_another_architecture_is_named():
    config = {"model_type": "roberta", "architectures": ["RobertaModel"]}
    with pytest.raises(ValueError, match=r"'roberta'.*RobertaModel.*'bert'"):
        checkpoint.check_architecture(config, "bert", "somewhere")
    checkpoint.check_architecture({"model_type": "bert"}, "bert", "somewhere")
    checkpoint.check_architecture({}, "bert", "somewhere")  # old files don't say


def weights_of(module):
    return {name: torch.full_like(tensor, 0.5) for name, tensor in module.state_dict().items()}


def test_weights_are_copied_in_the_modules_precision():
    module = nn.Linear(3, 2)
    half = {name: tensor.half() for name, tensor in weights_of(module).items()}
    checkpoint.load_weights(module, half, "somewhere")
    assert all(p.dtype == torch.float32 and (p == 0.5).all() for p in module.parameters())


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda w: w.pop("bias"), "missing bias"),
        (lambda w: w.update(extra=torch.ones(1)), "unexpected extra"),
        (lambda w: w.update(bias=torch.ones(1)), r"bias of x.*\(1,\).*\(2,\)"),
        (lambda w: w.update(bias=torch.ones(2, dtype=torch.int8)), r"bias of x.*torch\.int8"),
    ],
)
def test_weights_that_do_not_fit_are_refused_before_any_is_copied(change, why):
    module = nn.Linear(3, 2)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    weights = weights_of(module)
    change(weights)
    with pytest.raises(ValueError, match=why):
        checkpoint.load_weights(module, weights, "x")
    assert equal(module.state_dict(), before)


def test_long_lists_of_names_are_shortened():
    module = nn.Sequential(*(nn.Linear(1, 1) for _ in range(5)))
    with pytest.raises(ValueError, match=r"missing 0\.weight, 0\.bias, 1\.weight, 1\.bias"):
        checkpoint.load_weights(module, {}, "x")
