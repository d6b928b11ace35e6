"""Published checkpoints are read as they are, or refused with a message that says why."""

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import BertConfig, BertModel, ModernBertConfig

from helpers.models import _checkpoint as checkpoint
from tests import tiny


def change_config(folder, **changes):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.fixture
def folder(tmp_path):
    tiny.classifier().bert.save_pretrained(tmp_path)
    return tmp_path


def read(folder, **options):
    config = checkpoint.read_config(folder, BertConfig)
    return checkpoint.read_weights(folder, BertModel, config, **options)


def test_config_and_weights_are_read(folder):
    assert checkpoint.read_config(folder, BertConfig).hidden_size == tiny.bert_config().hidden_size
    saved = load_file(folder / "model.safetensors")
    for path in (folder, str(folder)):
        weights, missing = read(path)
        assert not missing
        assert weights.keys() == saved.keys()
        assert all(torch.equal(weights[name], saved[name]) for name in saved)


def test_a_missing_shard_is_named(folder):
    BertModel(tiny.bert_config()).save_pretrained(folder, max_shard_size="4KB")
    (folder / "model.safetensors").unlink(missing_ok=True)
    assert not read(folder)[1]
    shard = sorted(folder.glob("model-*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(OSError, match=shard.name):
        read(folder)


@pytest.mark.parametrize("name", ["no/such/folder", "/no/such", "../other", "a b"])
def test_no_such_folder(name):
    with pytest.raises(OSError, match=name):
        checkpoint.read_config(name, BertConfig)


def test_no_config(folder):
    (folder / "config.json").unlink()
    with pytest.raises(OSError, match=r"no.*config\.json"):
        read(folder)


def test_a_damaged_config(folder):
    (folder / "config.json").write_text("{")
    with pytest.raises(OSError, match="not a valid JSON"):
        read(folder)


def test_a_pickle_is_never_opened(folder, tmp_path):
    class Bomb:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(OSError, match=r"no file named model\.safetensors"):
        read(folder)
    assert not (tmp_path / "ran").exists()


def test_a_file_cut_short(folder):
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-7])
    with pytest.raises(ValueError, match="damaged or cut short"):
        read(folder)


def test_another_architecture_is_named(folder):
    config = {"model_type": "roberta", "architectures": ["RobertaModel"]}
    with pytest.raises(ValueError, match=r"'roberta'.*RobertaModel.*'bert'"):
        checkpoint.check_architecture(config, "bert", "somewhere")
    checkpoint.check_architecture({}, "bert", "somewhere")  # old files don't say
    with pytest.raises(ValueError, match=r"'bert'.*expected 'modernbert'"):
        checkpoint.read_config(folder, ModernBertConfig)


def test_a_quantised_checkpoint_is_refused(folder):
    change_config(folder, quantization_config={"quant_method": "gptq"})
    with pytest.raises(ValueError, match="gptq"):
        read(folder)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"num_hidden_layers": 3}, r"missing encoder\.layer\.2.* and 14 more"),
        ({"num_hidden_layers": 1}, r"unexpected encoder\.layer\.1"),
        ({"type_vocab_size": 3}, r"token_type_.* has shape \(2, 16\), expected \(3, 16\)"),
    ],
)
def test_weights_that_do_not_fit_are_refused(folder, changes, why):
    change_config(folder, **changes)
    with pytest.raises(ValueError, match=why):
        read(folder)
    if "num_hidden_layers" in changes:
        read(folder, optional=r"encoder\.layer\.[12]\.")


def test_names_go_there_and_back():
    names = (("body.layers.", "blocks."), ("body.norm.", "norm."), (".attn.", ".attention."))
    theirs = {name: torch.ones(1) for name in ("body.layers.0.attn.norm.weight", "body.norm.bias")}
    ours = checkpoint.renamed(theirs, names)
    assert list(ours) == ["blocks.0.attention.norm.weight", "norm.bias"]
    assert checkpoint.renamed(ours, names, back=True) == theirs


def test_attention_is_joined_and_split():
    three = {f"a.{part}_proj.weight": torch.randn(2, 4) for part in "qkv"}
    weights = dict(three) | {"a.output.weight": torch.randn(4, 4)}
    checkpoint.join_attention(weights)
    assert weights["a.query_key_value.weight"].tolist() == torch.cat([*three.values()]).tolist()
    assert weights.keys() == {"a.query_key_value.weight", "a.output.weight"}
    checkpoint.split_attention(weights)
    assert all(torch.equal(weights[name], three[name]) for name in three)


def test_a_module_is_filled():
    weights = {"weight": torch.randn(2, 3), "bias": torch.randn(2)}
    module = checkpoint.filled(lambda width: nn.Linear(width, 2), 3, weights)
    assert not module.training
    assert all(p.requires_grad and torch.equal(p, weights[n]) for n, p in module.named_parameters())
