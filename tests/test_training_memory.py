"""helpers.training.memory: bytes by formula, what a forward pass keeps, and a GPU's peak."""

import json
from pathlib import Path

import peft
import pytest
import torch
import transformers

from helpers.models.llama import Llama, LlamaConfig
from helpers.models.modernbert import ModernBert, ModernBertConfig
from helpers.training.memory import (
    Network,
    kept_for_backward,
    largest_batch,
    training_memory,
)
from helpers.training.objective import unwrap
from helpers.training.optim import Muon, adamw
from helpers.training.precision import autocast

CPU = torch.device("cpu")
SMALL = {"hidden_size": 128, "num_attention_heads": 4, "num_hidden_layers": 3}


def bert():
    config = transformers.BertConfig(
        vocab_size=300,
        intermediate_size=512,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,  # on a CPU, attention with dropout keeps its matrix
        **SMALL,
    )
    return transformers.BertForTokenClassification(config), 0.0


def modernbert():
    shape = {"d_model": 128, "n_layers": 3, "n_heads": 4, "d_ff": 256}
    config = ModernBertConfig(vocab_size=2000, causal=True, dropout=0.0, **shape)
    return ModernBert(config), 1.0


def llama():
    config = transformers.LlamaConfig(
        vocab_size=2000, intermediate_size=256, num_key_value_heads=2, **SMALL
    )
    return transformers.LlamaForCausalLM(config), 1.0


def lora():
    settings = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"])
    return peft.get_peft_model(llama()[0], settings), 1.0


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("make", [bert, modernbert, llama])
def test_activations_are_what_a_forward_pass_keeps(make, precision):
    torch.manual_seed(0)
    model, scored = make()
    ids = torch.randint(5, 300, (4, 48))
    labels = ids if scored else ids % 2

    def forward():
        with autocast(precision, CPU):
            return model(input_ids=ids, labels=labels).loss

    measured = kept_for_backward(model, forward)
    settings = {"precision": precision, "scored": scored, "dropout": False}
    network = Network.of(model)
    predicted = training_memory(network, 4, 48, **settings)
    # Of the scores, the backward pass starts from 4 bytes each; the rest comes and goes.
    size = 4 if precision == "fp32" else 2
    passing = round(4 * 48 * scored) * 2000 * (size + 4)
    assert predicted.activations + predicted.copies - passing == pytest.approx(measured, rel=0.1)


def test_peak_is_that_of_a_gpu():
    file = Path(__file__).parent.parent / "benchmarks" / "results" / "nvidia-h200.json"
    measured = json.loads(file.read_text(encoding="utf-8"))["pretraining"]
    for kind, scored in (("causal", 1.0), ("masked", 0.3)):
        causal = kind == "causal"
        shape = {"vocab_size": 50_304, "n_layers": 12, "d_ff": 2048, "max_positions": 1024}
        with torch.device("meta"):
            network = Network.of(ModernBert(ModernBertConfig(**shape, causal=causal)))
        assert network.parameters == measured[kind]["parameters"]
        peak = training_memory(network, 16, 1024, scored=scored).peak / 2**30
        assert peak == pytest.approx(measured[kind]["peak_memory_gib"], rel=0.1)


def test_sizes_are_read_from_both_kinds_of_configuration():
    with torch.device("meta"):
        ours = Llama(
            LlamaConfig(
                vocab_size=500,
                d_model=64,
                n_layers=2,
                n_heads=4,
                n_kv_heads=2,
                d_ff=96,
                max_positions=32,
            )
        )
        theirs = transformers.LlamaForCausalLM(
            transformers.LlamaConfig(
                vocab_size=500,
                hidden_size=64,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                intermediate_size=96,
                tie_word_embeddings=True,
            )
        )
    assert Network.of(ours) == Network.of(theirs)
    assert Network.of(ours).gated
    assert Network.of(ours).key_share == 0.5
    with pytest.raises(ValueError, match="one stack"):
        Network.of(transformers.T5ForConditionalGeneration(transformers.T5Config(d_ff=8)))


SIZES = Network(parameters=10_000, embeddings=2000, layers=2, width=10, inner=40, vocabulary=100)


def test_arithmetic_by_hand():
    memory = training_memory(SIZES, 3, 5, precision="fp32")
    assert (memory.weights, memory.optimizer, memory.gradients) == (40_000, 80_000, 40_000)
    assert memory.copies == 0
    assert memory.activations == 15 * 2 * 10 * (4 * 14 + 8 + 2) + 15 * 10 * 8
    assert memory.peak == 160_000  # the gradient is more than the activations
    half = training_memory(SIZES, 3, 5, scored=0.2)
    assert half.copies == 20_000
    scores = 3 * (100 * 10 + 10 * 12)
    assert half.activations == 15 * 2 * 10 * (2 * 14 + 8 + 2) + 15 * 10 * 6 + scores
    assert half.peak == 120_000 + max(half.copies + half.activations, 40_000)
    again = training_memory(SIZES, 3, 5, accumulated=True)
    assert again.peak == 160_000 + again.copies + again.activations
    some = training_memory(SIZES, 3, 5, trained=100)
    assert (some.weights, some.optimizer, some.gradients) == (40_000, 800, 400)
    kept = training_memory(SIZES, 3, 5, checkpointing=True).activations
    assert kept == 15 * 2 * 10 * 4 + 15 * 10 * 38 + 15 * 10 * 6


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("make", [bert, modernbert, llama, lora])
def test_the_optimizers_bytes_are_those_that_it_keeps(make, optimizer):
    torch.manual_seed(0)
    model, _ = make()
    network = Network.of(unwrap(model), optimizer)
    kept = (Muon if optimizer == "muon" else adamw)(model, 1e-3, 0.01)
    for p in model.parameters():
        p.grad = torch.randn_like(p) if p.requires_grad else None
    kept.step()
    states = [state.items() for state in kept.state.values()]
    size = sum(v.nbytes for state in states for key, v in state if key != "step")
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    memory = training_memory(network, 1, 8, trained=trained)
    assert memory.optimizer == size
    assert (size < 8 * trained) == (optimizer == "muon")


def test_the_largest_batch_fits_and_one_more_does_not():
    limit = 400_000
    n = largest_batch(SIZES, limit, 7)
    assert n > 0
    assert training_memory(SIZES, n, 7).peak <= limit
    assert training_memory(SIZES, n + 1, 7).peak > limit
    assert largest_batch(SIZES, training_memory(SIZES, n, 7).peak, 7) == n  # to the last byte
    assert largest_batch(SIZES, 100_000, 7) == 0


@pytest.mark.parametrize(
    ("sequences", "length", "settings"),
    [(0, 5, {}), (1, 0, {}), (1, 1, {"scored": 1.5}), (1, 1, {"precision": "auto"})],
)
def test_bad_input(sequences, length, settings):
    with pytest.raises(ValueError, match=r"expected|name it"):
        training_memory(SIZES, sequences, length, **settings)
