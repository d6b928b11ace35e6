"""An update never makes the CPU wait for the GPU: proved on a device that has no numbers.

Tensors on torch's "meta" device have shapes and no numbers. Whatever would make the CPU wait for a
GPU asks such a tensor for a number (`item`, a condition, `nonzero`, a mask as an index, a copy to
the CPU), and is an error there. A copy that waits is found by a dispatch mode.
"""

import math
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import peft
import pytest
import torch
import transformers
from torch import nn
from torch.optim import optimizer as optimizers
from torch.utils._python_dispatch import TorchDispatchMode

from helpers.data.batching import collate_causal
from helpers.data.masking import MaskedCollator
from helpers.hardware import labelled
from helpers.models.classification import MeanPoolClassifier
from helpers.models.contrastive import PairEncoder
from helpers.models.modernbert import ModernBert, ModernBertConfig
from helpers.training import evaluation
from helpers.training import run as run_module
from helpers.training.batches import sequence_lengths
from helpers.training.config import TrainingConfig
from helpers.training.loop import NonFiniteLossError, train
from helpers.training.objective import smoothed
from helpers.training.optim import adamw
from tests import tiny
from tests.test_multitask import COLLATES, DATA
from tests.test_multitask import model as multitask

META = torch.device("meta")


class Copies(TorchDispatchMode):
    """Refuses what waits: a copy between the devices that isn't `non_blocking`."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        target = kwargs.get("device")
        if (
            func is torch.ops.aten._to_copy.default
            and target is not None
            and target.type != args[0].device.type
        ):
            assert target == META, "a copy to the CPU waits for the GPU"
            assert kwargs.get("non_blocking"), "a blocking copy waits for the GPU"
        return func(*args, **kwargs)


def blocks(examples):
    return [{"input_ids": np.array(e["input_ids"][:3] + [5] * 13)} for e in examples]


def masked(examples):
    return MaskedCollator(4, tiny.VOCABULARY, (0, 1, 2, 3), rate=0.3)(blocks(examples))


def causal(examples):
    return collate_causal(blocks(examples))


def next_piece(examples):
    batch = tiny.collate(examples)
    return batch | {"labels": batch["input_ids"].where(batch["attention_mask"] == 1, -100)}


def pairs(examples):
    batch = tiny.collate(examples)
    keys = {"key_ids": batch["input_ids"], "key_mask": batch["attention_mask"]}
    return batch | keys | {"labels": torch.arange(len(examples))}


def unpadded_next_piece(examples):
    batch = full(examples)
    return batch | {"labels": batch["input_ids"]}


def full(examples):
    """Sentences of one length: the mask is all ones."""
    short = [{"input_ids": e["input_ids"][:3], "labels": e["labels"]} for e in examples]
    return tiny.collate(short)


def modernbert(**changes):
    shape = {"d_model": 16, "n_layers": 2, "n_heads": 2, "d_ff": 32}
    return ModernBert(ModernBertConfig(vocab_size=tiny.VOCABULARY, **shape, **changes))


def llama():
    config = transformers.LlamaConfig(
        vocab_size=tiny.VOCABULARY,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
    )
    return transformers.LlamaForCausalLM(config)


def with_lora():
    return peft.get_peft_model(llama(), peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"]))


CASES = {
    "classes": (tiny.classifier, tiny.collate),
    "classes, no padding": (tiny.classifier, full),
    "tags": (tiny.tagger, tiny.collate),
    "mean of the vectors": (lambda: MeanPoolClassifier(tiny.bert_config()), tiny.collate),
    "masked": (modernbert, masked),
    "causal": (lambda: modernbert(causal=True), causal),
    "causal, transformers'": (llama, next_piece),
    "causal, transformers', no padding": (llama, unpadded_next_piece),
    "causal, LoRA": (with_lora, next_piece),
    "pairs": (lambda: PairEncoder(modernbert()), pairs),
    "two tasks": (multitask, COLLATES[0]),
}


def make_run(model, collate, monkeypatch, *, processes=1, loss_fn=None, data=None):
    """A `Run` on the device without numbers, whose checks of the data were done elsewhere."""
    monkeypatch.setattr(run_module, "autocast", lambda *_: nullcontext())
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # meta has none
    monkeypatch.setattr(optimizers, "_get_fused_kernels_supported_devices", lambda: ["meta"])
    monkeypatch.setattr(run_module, "FLUSH_EVERY", math.inf)  # a flush reads, every tenth update
    monkeypatch.setattr(run_module, "reduce", lambda sums, reduction: sums)
    model = model.to(META)
    data = tiny.tagging_data(16) if data is None else data
    optimizer = adamw(model, 1e-3, 0.01)
    config = TrainingConfig(steps=9, batch_size=4, accumulation=2, precision="fp32")
    group = SimpleNamespace(device=META, num_processes=processes, process_index=0)
    return tiny.fresh_run(
        model, data, config, group, optimizer, collate_fn=collate, loss_fn=loss_fn
    )


def two_updates(run):
    windows = run.epoch_windows(0)
    with Copies():
        for k in range(2):
            run.update(windows[k % len(windows)])


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("processes", [1, 2])
def test_an_update_waits_for_nothing(name, processes, monkeypatch):
    make, collate = CASES[name]
    data = tiny.classification_data if name.startswith(("classes", "mean", "pairs")) else None
    data = DATA[0] if name == "two tasks" else data and data(32)
    run = make_run(make(), collate, monkeypatch, processes=processes, data=data)
    two_updates(run)
    assert run.step == 2
    assert all(record["loss"].device == META for record in run.pending)


@pytest.mark.parametrize("name", [name for name in CASES if name != "two tasks"])
@pytest.mark.parametrize("loss_fn", [None, smoothed(0.1)])
def test_an_evaluation_waits_for_nothing_before_its_results_are_read(name, loss_fn, monkeypatch):
    make, collate = CASES[name]
    of_texts = name.startswith(("classes", "mean", "pairs"))
    data = tiny.classification_data(8) if of_texts else tiny.tagging_data(8)
    monkeypatch.setattr(evaluation, "computing_in", lambda *_: nullcontext())
    monkeypatch.setattr(evaluation, "check_data", lambda *_, **__: sequence_lengths(data))
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    settings = (make().to(META), data, collate, 4, "fp32", loss_fn)
    with Copies():
        batches = list(evaluation._forward(*settings, labelled=True))
    assert all(loss.device == META and n > 0 for *_, (loss, n) in batches)


@pytest.mark.parametrize("make", [tiny.tagger, modernbert])
def test_a_loss_function_of_ones_own_waits_for_nothing(make, monkeypatch):
    collate = tiny.collate if make is tiny.tagger else masked
    two_updates(make_run(make(), collate, monkeypatch, loss_fn=smoothed(0.1)))


@pytest.mark.parametrize(
    "read",
    [
        lambda x: x.sum().item(),
        lambda x: bool((x > 0).all()),
        lambda x: x[x > 0],
        lambda x: x.cpu(),
        lambda x: x + torch.zeros(1).to(x.device),
    ],
)
def test_a_model_that_waits_is_found(read, monkeypatch):
    model = tiny.tagger()
    run = make_run(model, tiny.collate, monkeypatch)
    model.dropout.register_forward_hook(lambda module, given, made: read(made) and None)
    with pytest.raises((RuntimeError, NotImplementedError, AssertionError)):
        two_updates(run)


def test_labelled_equals_indexing_with_a_mask():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 9, (5, 7), generator=generator)
    labels[torch.rand(5, 7, generator=generator) < 0.4] = -100
    places, found = labelled(labels, -100, torch.device("cpu"))
    kept = labels != -100
    assert torch.equal(found, labels[kept])
    assert torch.equal(places, kept.flatten().nonzero()[:, 0])


def test_a_nan_is_met_before_it_reaches_the_weights(monkeypatch):
    """On the CPU the update isn't made; on a GPU the fused optimizer is told to leave it out."""
    model = tiny.tagger(dropout=0.0)
    calls = 0

    def hook(module, given, made):
        nonlocal calls
        calls += 1
        return made * (math.nan if calls > 4 else 1.0)

    model.dropout.register_forward_hook(hook)
    config = TrainingConfig(steps=9, batch_size=4, precision="fp32", progress=False)
    with pytest.raises(NonFiniteLossError):
        train(model, tiny.tagging_data(16), config, collate_fn=tiny.collate)
    assert all(parameter.isfinite().all() for parameter in model.parameters())


def test_a_fused_optimizer_leaves_out_what_it_is_told_to():
    weight = nn.Parameter(torch.ones(4, 4))
    optimizer = adamw(nn.ParameterList([weight]), 0.1, weight_decay=0.1)
    weight.grad = torch.full((4, 4), math.nan)
    optimizer.found_inf = torch.tensor(1.0)
    optimizer.step()
    assert torch.equal(weight, torch.ones(4, 4))
