"""Models of several kinds, trained and evaluated in shards, as a program that a test starts twice.

    python -m tests.sharding_process FILE

Writes to FILE, as JSON, for each kind the losses of three updates, the sums of the weights
afterwards, evaluations, which share of the weights the first process kept, and what `train` says of
what it refuses. With one process nothing is sharded.
"""

import json
import sys
from pathlib import Path

import torch
from torch import nn
from torch.distributed.tensor import DTensor
from transformers import BertForTokenClassification, T5Config, T5ForConditionalGeneration

from helpers.training.loop import TrainingConfig, evaluate, train
from helpers.training.objective import smoothed
from helpers.training.optim import adamw
from helpers.training.processes import join_processes
from tests import tiny
from tests.test_multitask import mixed
from tests.test_training_waits import (
    causal,
    llama,
    modernbert,
    multitask,
    next_piece,
    with_lora,
)


def checkpointing():
    model = tiny.tagger(dropout=0.0)
    model.gradient_checkpointing_enable()
    return model


def masked(examples):
    """Every third place is masked: nothing is drawn, which would differ between processes."""
    batch = causal(examples)
    hidden = batch["input_ids"] % 3 == 0
    hidden[:, 0] = True
    labels = batch["input_ids"].where(hidden, -100)
    return batch | {"input_ids": batch["input_ids"].where(~hidden, 4), "labels": labels}


def writer():
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
    config = T5Config(vocab_size=tiny.VOCABULARY, dropout_rate=0.0, **sizes)
    config.decoder_start_token_id = 0
    return T5ForConditionalGeneration(config)


def tied():
    """Two blocks with one matrix."""
    model = tiny.tagger()
    first, second = model.bert.encoder.layer
    second.output.dense.weight = first.output.dense.weight
    return model


def odd():
    """Of 5 heads and 25 features: nothing can be divided by two."""
    sizes = {"hidden_size": 25, "num_attention_heads": 5, "intermediate_size": 31}
    return BertForTokenClassification(tiny.bert_config(dropout=0.0, **sizes))


KINDS = {
    "tags": (lambda: tiny.tagger(dropout=0.0), tiny.collate, None),
    "tags, a loss of one's own": (lambda: tiny.tagger(dropout=0.0), tiny.collate, smoothed(0.1)),
    "gradient checkpointing": (checkpointing, tiny.collate, None),
    "odd sizes": (odd, tiny.collate, None),
    "causal, tied": (lambda: modernbert(causal=True), causal, None),
    "masked, logits when they are read": (modernbert, masked, None),
    "masked, logits for a loss": (modernbert, masked, smoothed(0.1)),
    "transformers' causal": (llama, next_piece, None),
    "encoder and decoder": (writer, next_piece, None),
    "LoRA": (with_lora, next_piece, None),
}


def config(**settings):
    given = {"steps": 3, "learning_rate": 1e-2, "precision": "fp32", "progress": False}
    return TrainingConfig(**given | {"strategy": "fsdp", **settings})


def fit(kind, group):
    make, collate, loss_fn = KINDS[kind]
    torch.manual_seed(group.process_index)  # the first process's weights are those of all
    model, data, shares = make(), tiny.tagging_data(20), []

    def largest(predictions):
        return {"largest": max(float(row.max()) for row in predictions.logits)}

    def watch(trained):
        kept = sum(p.to_local().numel() for p in trained.parameters() if isinstance(p, DTensor))
        shares.append(kept / sum(p.numel() for p in trained.parameters()))
        # Three batches for two processes, and then one.
        settings = {"collate_fn": collate, "compute_metrics": largest, "loss_fn": loss_fn}
        seen = evaluate(trained, data, batch_size=8, **settings)
        assert seen == evaluate(trained, data, batch_size=8, **settings)
        return seen | {"one batch": evaluate(trained, data, collate_fn=collate)["loss"]}

    history = train(
        model,
        data,
        config(batch_size=8 // group.num_processes, accumulation=2, evaluate_every=2),
        collate_fn=collate,
        evaluate_fn=watch,
        loss_fn=loss_fn,
    )
    sums = {name: p.double().abs().sum().item() for name, p in model.named_parameters()}
    evaluations = [list(e.values()) for e in history.evaluations]
    # What is left is an ordinary model.
    assert type(model).__name__[:4] != "FSDP" and type(next(model.parameters())) is nn.Parameter
    alone = evaluate(model, data, collate_fn=collate, loss_fn=loss_fn)["loss"]
    return {
        "losses": history.losses,
        "norms": [record["grad_norm"] for record in history.records],
        "sums": sums,
        "seen": [*evaluations, [alone]],
        "shares": shares,
    }


def refused(model, data=None, collate=tiny.collate, optimizer=None, **settings):
    try:
        data = tiny.tagging_data(8) if data is None else data
        train(model, data, config(**settings), collate_fn=collate, optimizer=optimizer)
    except ValueError as error:
        return str(error)


def refusals():
    model, half = tiny.tagger(), tiny.tagger()
    half.bert.requires_grad_(False).bfloat16()
    mixture = mixed(steps=6)
    return {
        "two tasks": refused(
            multitask(), mixture, mixture.collate, batch_size=1, group_by_length=False
        ),
        "optimizer": refused(model, optimizer=adamw(model, 0.1, 0.0)),
        "half": refused(half),
        "tied": refused(tied()),
    }


def main():
    torch.set_num_threads(1)  # two processes on two cores
    group = join_processes()
    results = {kind: fit(kind, group) for kind in KINDS}
    results["refusals"] = refusals() if group.num_processes > 1 else {}
    if group.is_main_process:
        Path(sys.argv[1]).write_text(json.dumps(results))
    group.destroy_process_group()


if __name__ == "__main__":
    main()
