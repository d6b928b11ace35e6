"""Compiled, in TF32, deterministic: settings that change how torch computes, and not what."""

import re
from functools import partial
from types import SimpleNamespace

import numpy as np
import peft
import pytest
import torch
import transformers
from torch._dynamo.testing import CompileCounterWithBackend

from helpers.training import evaluation, precision
from helpers.training.config import TrainingConfig
from helpers.training.loop import evaluate, predict, train
from helpers.training.memory import (
    Network,
    out_of_memory_explained,
    remedy,
    training_memory,
)
from helpers.training.optim import Muon, orthogonalize
from tests import tiny
from tests.test_training_waits import causal, llama, masked, modernbert, next_piece

KINDS = {
    "classes": (tiny.classifier, tiny.collate, tiny.classification_data),
    "tags": (tiny.tagger, tiny.collate, tiny.tagging_data),
    "causal, transformers'": (llama, next_piece, tiny.tagging_data),
    "causal": (lambda: modernbert(causal=True), causal, tiny.tagging_data),
    "masked": (modernbert, masked, tiny.tagging_data),
}


def fit(model, data, collate, **settings):
    settings = {"epochs": 2, "batch_size": 4, "precision": "fp32", "progress": False} | settings
    return train(model, data, TrainingConfig(**settings), collate_fn=collate)


@pytest.fixture
def counter(monkeypatch):
    """Counts graphs, and runs them without compiling: that costs no minutes."""
    torch._dynamo.reset()
    counter, compiled = CompileCounterWithBackend("eager"), torch.compile
    monkeypatch.setattr(torch, "compile", partial(compiled, backend=counter))
    yield counter
    torch._dynamo.reset()


@pytest.mark.parametrize("kind", KINDS)
def test_all_lengths_share_their_graphs(kind, counter):
    make, collate, data = KINDS[kind]
    fit(make(), data(8), collate, compile=True)
    few = counter.frame_count
    torch.manual_seed(0)
    model, rows = make(), data(64)
    history = fit(model, rows, collate, compile=True)
    widths = {record["tokens"] for record in history.records}
    assert len(widths) > 10 or kind in ("causal", "masked")  # blocks, all of one length
    assert counter.frame_count == few > 0
    torch.manual_seed(0)
    plain = fit(make(), rows, collate)
    assert history.losses == pytest.approx(plain.losses, abs=1e-4)
    assert not any("_orig_mod" in name for name in model.state_dict())
    evaluate(model, rows, collate_fn=collate)


def test_a_compiled_run_goes_on_from_its_checkpoint_and_an_eager_one_does_not(counter, tmp_path):
    settings = {"checkpoint_dir": tmp_path, "checkpoint_every": 4, "steps": 8, "epochs": None}
    fit(tiny.tagger(), tiny.tagging_data(16), tiny.collate, compile=True, **settings)
    again = settings | {"resume": True}
    fit(tiny.tagger(), tiny.tagging_data(16), tiny.collate, compile=True, **again)
    with pytest.raises(RuntimeError, match=r"kernels: .'compile'. there, None now"):
        fit(tiny.tagger(), tiny.tagging_data(16), tiny.collate, **again)
    # On a CPU these two change nothing.
    fit(tiny.tagger(), tiny.tagging_data(16), tiny.collate, compile=True, tf32=True, **again)


def seen(model):
    """What torch is told in a forward pass."""
    told = []
    model.register_forward_hook(
        lambda *_: told.append(
            (torch.get_float32_matmul_precision(), torch.are_deterministic_algorithms_enabled())
        )
    )
    return told


def test_the_settings_hold_for_the_run_and_not_after_it(monkeypatch):
    before = torch.get_float32_matmul_precision(), False
    model = tiny.tagger()
    told = seen(model)
    fit(model, tiny.tagging_data(8), tiny.collate, tf32=True, deterministic=True)
    assert told[-1] == ("high", True)
    assert (torch.get_float32_matmul_precision(), False) == before
    assert not torch.are_deterministic_algorithms_enabled()
    with pytest.raises(ZeroDivisionError), precision.kernels(tf32=True, deterministic=True):
        raise ZeroDivisionError
    assert torch.get_float32_matmul_precision() == before[0]
    with monkeypatch.context() as untouched:  # a call imports 800 modules, which takes a second
        untouched.setattr(torch, "use_deterministic_algorithms", None)
        with precision.kernels(tf32=False, deterministic=False):
            pass
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with precision.kernels(tf32=False, deterministic=False):
            assert torch.are_deterministic_algorithms_enabled()  # the caller's wish stays
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


def products():
    """How torch multiplies and convolves numbers in fp32, on GPUs, on CPUs and in cuDNN."""
    backends = torch.backends
    parts = (backends.cuda.matmul, backends.mkldnn.matmul, backends.cudnn.conv, backends.cudnn.rnn)
    return tuple(part.fp32_precision for part in (*parts, backends.mkldnn.conv))


@pytest.fixture(params=["older", "newer"])
def coarse(request):
    """TF32 on a GPU and bf16 on a CPU are permitted, by one of torch's two ways."""
    matmul, before = torch.backends.cuda.matmul, torch.get_float32_matmul_precision()
    if request.param == "older":
        torch.set_float32_matmul_precision("medium")
    else:
        matmul.fp32_precision = "tf32"
        torch.backends.mkldnn.conv.fp32_precision = "bf16"
    yield
    if request.param == "newer":
        matmul.fp32_precision = torch.backends.mkldnn.conv.fp32_precision = "none"
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("ask", [evaluate, predict])
def test_an_evaluation_in_fp32_multiplies_in_fp32(ask, coarse):
    model, told = tiny.tagger(), []
    model.register_forward_hook(lambda *_: told.append(products()))
    before = products()
    assert "tf32" in before
    ask(model, tiny.tagging_data(8), collate_fn=tiny.collate)
    # Of cuDNN "none" says that nothing is permitted.
    assert told and all(set(seen) <= {"ieee", "none"} for seen in told)
    assert all(seen[0] == "ieee" for seen in told)
    assert products() == before
    model.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ask(model, tiny.tagging_data(8), collate_fn=tiny.collate)
    assert products() == before


def test_a_run_in_tf32_is_evaluated_in_fp32():
    model, told = tiny.tagger(), []
    model.register_forward_hook(
        lambda *_: told.append((model.training, torch.get_float32_matmul_precision()))
    )
    data, collate = tiny.tagging_data(8), tiny.collate
    train(
        model,
        data,
        TrainingConfig(epochs=2, batch_size=4, precision="fp32", tf32=True, progress=False),
        collate_fn=collate,
        evaluate_fn=lambda model: evaluate(model, data, collate_fn=collate),
    )
    assert (True, "high") in told and (False, "highest") in told
    assert told[-1] == (False, "highest")


def test_no_memory_says_what_to_lower(monkeypatch):
    model = tiny.tagger()

    def fail(*_):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    handle = model.register_forward_hook(fail)
    monkeypatch.setattr("helpers.training.run.check_data", lambda *_: np.arange(8) + 3)
    with pytest.raises(torch.OutOfMemoryError) as caught:
        fit(model, tiny.tagging_data(8), tiny.collate)
    (note,) = caught.value.__notes__
    assert "Lower batch_size, and raise accumulation by the same factor" in note
    handle.remove()


def test_the_remedy_counts_what_fits():
    config = TrainingConfig(steps=1, precision="fp32")
    gib = 2**30
    assert "not even one such sequence fits" in remedy(tiny.tagger(), 20, config, 2 * gib)
    said = remedy(tiny.tagger(), 2000, config, int(2.1 * gib))
    fits = int(re.search(r"memory (\d+) such sequences fit", said)[1])
    network = Network.of(tiny.tagger())
    for n, is_small in ((fits, True), (fits + 1, False)):
        needed = training_memory(network, n, 2000, precision="fp32", accumulated=True).peak
        assert (needed <= int(2.1 * gib) - 2 * gib) is is_small
    other = torch.nn.Linear(2, 2)
    assert "By helpers" not in remedy(other, 20, config, 16 * gib)
    odd = tiny.tagger()
    sizes = odd.config.to_dict() | {
        "intermediate_size": [32, 64]
    }  # one for each layer, as some have
    odd.config = SimpleNamespace(**sizes)
    assert "By helpers" not in remedy(odd, 20, config, 16 * gib)


def fits(model, **settings):
    """How many sequences of 2,000 pieces the remedy says fit."""
    config = TrainingConfig(steps=1, precision="fp32", **settings)
    said = remedy(model, 2000, config, int(2.02 * 2**30))
    return int(re.search(r"memory (\d+) such sequences fit", said)[1])


def test_the_remedy_knows_lora_checkpointing_and_who_scores_the_vocabulary():
    whole = {"vocab_size": 50_000, "hidden_size": 16, "num_attention_heads": 2}
    shape = {"intermediate_size": 32, "num_hidden_layers": 2, "max_position_embeddings": 2000}
    config = transformers.BertConfig(**whole, **shape)
    model = transformers.BertForTokenClassification(config)
    frozen = transformers.BertForTokenClassification(config)
    lora = peft.LoraConfig(r=1, target_modules=["query"])
    assert fits(peft.get_peft_model(frozen, lora)) > fits(model)
    before = fits(model)
    model.gradient_checkpointing_enable()
    assert fits(model) > before
    masked_lm = transformers.BertForMaskedLM(config)
    said = remedy(masked_lm, 2000, TrainingConfig(steps=1), int(2.02 * 2**30))
    assert "not even one such sequence fits" in said  # its scores alone are 1.2 GB
    # Muon keeps 3 MB less of this one.
    shape = {"hidden_size": 256, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.BertConfig(vocab_size=50, intermediate_size=1024, **shape)
    model = transformers.BertForTokenClassification(config)
    for optimizer, too_large in (("adamw", True), ("muon", False)):
        one = TrainingConfig(steps=1, optimizer=optimizer)
        assert ("not even one" in remedy(model, 100, one, 2 * 2**30 + 15_500_000)) is too_large
    one = TrainingConfig(steps=1, batch_size=1)
    assert "Lower batch_size" not in remedy(model, 2000, one, None)


def test_data_that_nobody_has_checked_do_not_hide_that_memory_ran_out():
    with (
        pytest.raises(torch.OutOfMemoryError),
        out_of_memory_explained(tiny.tagger(), iter(()), TrainingConfig(steps=1)),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory.")


def test_an_accumulation_that_the_data_cannot_fill_is_refused():
    fit(tiny.tagger(), tiny.tagging_data(14), tiny.collate, accumulation=4)
    with pytest.raises(ValueError, match="Set accumulation=4 or less"):
        fit(tiny.tagger(), tiny.tagging_data(14), tiny.collate, accumulation=5)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_muon_leaves_embeddings_and_heads_to_adamw(device):
    for tied in (True, False):
        model = llama().to(device)
        if tied:
            model.lm_head.weight = model.model.embed_tokens.weight
        optimizer = Muon(model, 0.01, 0.0)
        inner = {p for g in optimizer.param_groups if g["orthogonalize"] for p in g["params"]}
        names = {name for name, p in model.named_parameters() if p not in inner}
        norms = {name for name in names if "norm" in name}
        heads = set() if tied else {"lm_head.weight"}
        assert names - norms == {"model.embed_tokens.weight"} | heads
        given = {p for group in optimizer.param_groups for p in group["params"]}
        assert given == set(model.parameters())


def test_a_vocabulary_as_large_as_the_network_is_wide_hides_no_inner_matrix_from_muon():
    sizes = {"vocab_size": 16, "hidden_size": 16, "intermediate_size": 32}
    model = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(**sizes, num_hidden_layers=2, num_attention_heads=2)
    )
    groups = Muon(model, 0.01, 0.0).param_groups
    inner = {p for group in groups if group["orthogonalize"] for p in group["params"]}
    outer = {name for name, p in model.named_parameters() if p.ndim == 2 and p not in inner}
    assert outer == {"model.embed_tokens.weight", "lm_head.weight"}


@pytest.mark.parametrize("shape", [(1, 6), (6, 1), (1, 1), (2, 1, 6), (2, 3, 6, 4)])
def test_a_matrix_of_one_row_and_stacks_of_stacks_are_orthogonalized(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    turned = orthogonalize(matrix)
    assert turned.shape == matrix.shape
    assert torch.linalg.svdvals(turned).min() > 0.6 and torch.linalg.svdvals(turned).max() < 1.3
    assert torch.equal(orthogonalize(0 * matrix), 0 * matrix)


def test_matrices_of_one_shape_are_orthogonalized_together(monkeypatch):
    stack = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(0))
    together = orthogonalize(stack)
    for one, matrix in zip(together, stack, strict=True):
        torch.testing.assert_close(one, orthogonalize(matrix), rtol=0, atol=1e-5)
    shapes = []

    def watched(matrix):
        shapes.append(tuple(matrix.shape))
        return orthogonalize(matrix)

    monkeypatch.setattr("helpers.training.optim.orthogonalize", watched)
    model = llama()
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    Muon(model, 0.01, 0.0).step()
    assert sorted(shapes) == [(2, 16, 32), (4, 32, 16), (8, 16, 16)]


def test_evaluation_collates_the_next_batch_before_it_reads_a_result(monkeypatch):
    """So that a GPU computes meanwhile."""
    events, model = [], tiny.tagger()
    model.register_forward_hook(lambda *_: events.append("forward"))

    def collate(examples):
        events.append("collate")
        return tiny.collate(examples)

    def measure(predictions):
        return {}

    read = evaluation._unpad
    monkeypatch.setattr(evaluation, "_unpad", lambda *a: (events.append("read"), read(*a))[1])
    state = torch.get_rng_state()
    data = tiny.tagging_data(12)
    evaluate(model, data, collate_fn=collate, compute_metrics=measure, batch_size=4)
    reads = ["read", "read"]  # logits and labels
    expected = ["collate", "forward", "collate", *reads, "forward", "collate", *reads, "forward"]
    assert events[-12:] == [*expected, *reads]  # what came before are the checks
    assert torch.equal(torch.get_rng_state(), state)
