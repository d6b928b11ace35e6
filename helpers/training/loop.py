"""The training loop: the same call on a laptop's CPU, one GPU, or several machines.

`train` is the whole loop; each line of it is a short method in `run.py` beside this file.
Hugging Face Accelerate finds the device and joins the processes that `torchrun` or
`accelerate launch` started. The rest is plain torch.

Each process holds the model, and they average their gradients (DDP). With `strategy="fsdp"` each
holds a share of a copy: see `helpers.training.sharding`.
"""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from helpers.training.config import TrainingConfig
from helpers.training.evaluation import Predictions, evaluate, predict
from helpers.training.history import History
from helpers.training.interruption import noted
from helpers.training.memory import out_of_memory_explained
from helpers.training.objective import Loss
from helpers.training.precision import kernels
from helpers.training.processes import owned_folder
from helpers.training.run import NonFiniteLossError, Run

__all__ = [
    "History",
    "NonFiniteLossError",
    "Predictions",
    "TrainingConfig",
    "evaluate",
    "predict",
    "train",
]


def train(
    model: nn.Module,
    dataset: Sequence,
    config: TrainingConfig,
    *,
    collate_fn: Callable[[list[dict]], dict[str, torch.Tensor]],
    evaluate_fn: Callable[[nn.Module], dict[str, float]] | None = None,
    loss_fn: Loss | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    after_update: Callable[[nn.Module, int], object] | None = None,
    log: Callable[[dict], object] | None = None,
) -> History:
    """Train `model` in place on `dataset` and return the run's history.

    The same seed gives the same losses and weights on the same machine, whether or not the
    run is interrupted, and whether or not `num_workers` collate ahead.

    With `strategy="fsdp"` and several processes, `model` comes back whole, on the CPU; what
    `evaluate_fn` and `after_update` get is sharded, and all processes must call it equally often,
    as `evaluate` and `predict` do.

    Args:
        model: keeps the contract of `helpers.training.objective`: `model(**batch)` returns an
            object with `.loss`, the mean over the batch's labels, and `.logits` of shape (B, C)
            or (B, T, C).
        dataset: map-style; each example a dict with `input_ids` and what `collate_fn` reads.
        config: see `TrainingConfig`.
        collate_fn: turns a list of examples into a dict of tensors with `labels`. Any
            randomness must come from torch's default generator, which is seeded for it.
        evaluate_fn: called with the model at the end of each epoch, or as `config` says;
            returns metrics by name, for example those of `evaluate` in this module.
        loss_fn: instead of the model's loss. `loss_fn(logits, labels)` gets the logits (n, C) in
            fp32 of all labels (n,) that aren't -100 and returns a loss for each, (n,): for
            example `nn.CrossEntropyLoss(weight=class_weights, reduction="none")`.
        optimizer: instead of the config's, made from the model's parameters; its groups'
            learning rates are the peaks of the schedule, and the config's `learning_rate`,
            `weight_decay`, `beta2` and `optimizer` aren't read.
        after_update: called with the model and the number of updates done, after each; may change
            the weights in place. What it remembers is in no checkpoint.
        log: called in the first process with each update's record of `History`, a few updates
            later, and with each evaluation, whose metrics begin with `validation_`.

    Raises:
        ValueError: for data or a model that `helpers.training.checks` refuses: no rows or labels,
            ids or labels that the model hasn't, sequences too long or empty, columns that don't
            fit; for weights in half precision, or a precision the device can't do. With
            `strategy="fsdp"` also for fp16, an `optimizer`, any weight that isn't fp32, or a
            first row that leaves parameters without a gradient, as with several tasks: all rows
            must use the same parameters.
        TypeError: for a dataset without a length, a batch that isn't a dict of tensors, or an
            `evaluate_fn` that returns no dict.
        CheckpointError: when asked to go on from a checkpoint of another run or a damaged one,
            to start in a folder that holds one, or when one can't be written.
        InUseError: when another run is writing to `checkpoint_dir`.
        NonFiniteLossError: naming the update, the rows of its batch and the last good
            checkpoint.
        torch.OutOfMemoryError: with a note on what to lower, and what fits by the formulas of
            `helpers.training.memory`, which don't know shards.
        Interrupted: after Ctrl-C or SIGTERM, in a run that keeps checkpoints: the update is
            finished and a checkpoint written first.
    """
    with (
        owned_folder(config.checkpoint_dir),
        kernels(tf32=config.tf32, deterministic=config.deterministic),
        out_of_memory_explained(model, dataset, config),
    ):
        run = Run.start(
            model,
            dataset,
            config,
            optimizer,
            collate_fn=collate_fn,
            evaluate_fn=evaluate_fn,
            loss_fn=loss_fn,
            after_update=after_update,
        )
        run.log = log if run.group.is_main_process else None
        with run.progress_bar() as bar, noted(config.checkpoint_dir is not None) as signals:
            for window in run.windows():
                run.update(window)
                bar.update()
                if run.evaluation_is_due():
                    run.evaluate()
                if run.checkpoint_is_due():
                    run.checkpoint()
                if run.out_of_patience():
                    break
                run.stop_if_asked(signals)
        return run.finish()
