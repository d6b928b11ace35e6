"""The steps of `train`: one update, its record, an evaluation, a checkpoint, the end."""

import math
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather, reduce
from torch import nn
from tqdm import tqdm

from helpers.training import checkpoints, sharding
from helpers.training.batches import Windows, derive_seed, plan_epoch
from helpers.training.checks import check_batch, check_data, check_weights
from helpers.training.columns import take
from helpers.training.config import TrainingConfig
from helpers.training.fingerprint import fingerprint
from helpers.training.history import History, peak_memory
from helpers.training.interruption import Interrupted
from helpers.training.objective import (
    IGNORED,
    Loss,
    count_labels,
    count_tokens,
    masks_unread,
    mean_loss,
    shifts_labels,
    smoothed,
    to_device,
)
from helpers.training.optim import Muon, adamw, check_optimizer, learning_rate_factor
from helpers.training.precision import autocast, resolve_precision
from helpers.training.processes import join_processes

FLUSH_EVERY = 10  # updates; to read a loss, the CPU must wait for the GPU, so do it seldom


class NonFiniteLossError(RuntimeError):
    """The loss or its gradient became infinite or not a number."""


@dataclass
class Run:
    """The state of one call of `train`: what it acts on, and what a checkpoint brings back."""

    config: TrainingConfig
    dataset: Sequence
    collate_fn: Callable
    evaluate_fn: Callable | None
    after_update: Callable | None
    loss_fn: Loss | None  # None: the model's own
    group: PartialState  # the processes, and the device of this one
    model: nn.Module  # as the caller gave it
    wrapped: nn.Module  # the same, averaging gradients if there are several processes, or sharded
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler  # does nothing unless the precision is fp16
    precision: str
    lengths: np.ndarray
    peaks: list[float]  # the learning rates of its groups at the end of warm-up
    fingerprint: dict = field(default_factory=dict)  # known where there are checkpoints

    step: int = 0  # finished updates
    stale_evaluations: int = 0  # since the last new best
    best_weights: dict[str, torch.Tensor] | None = None
    history: History = field(default_factory=History)
    pending: list[dict] = field(default_factory=list)  # records still on the device
    log: Callable[[dict], object] | None = None
    clock: float = 0.0  # when the training time not yet in the history began

    @classmethod
    def start(cls, model, dataset, config, optimizer, **functions) -> "Run":
        """Check everything that can be checked, then place the model and restore the run."""
        for name in ("best_metric", "evaluate_every"):
            value = getattr(config, name)
            if value is not None and functions["evaluate_fn"] is None:
                raise ValueError(f"{name}={value!r} needs an `evaluate_fn`.")
        loss_fn = functions["loss_fn"] = _loss_fn(config, functions["loss_fn"])
        group = join_processes()
        precision = resolve_precision(config.precision, group.device)
        check_weights(model)
        if config.strategy == "fsdp":
            _check_fsdp(model, optimizer, precision)
        sharded = config.strategy == "fsdp" and group.num_processes > 1
        trained = sharding.shard(model, group) if sharded else model.to(group.device)
        if group.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(group.device)
        if isinstance(loss_fn, nn.Module):
            loss_fn.to(group.device)  # weights of classes, for example
        lengths = check_data(trained, dataset, functions["collate_fn"], config.batch_size, loss_fn)
        sharding.drop_gathered(trained)  # the optimizer must get the shards
        if len(lengths) < group.num_processes:
            raise ValueError(
                f"{len(lengths)} sequences can't be shared by {group.num_processes} processes"
            )
        together = config.batch_size * group.num_processes
        if config.accumulation > math.ceil(len(lengths) / together):
            raise ValueError(
                f"accumulation={config.accumulation}: an update would take more than the "
                f"{len(lengths)} sequences that there are, {together} in a forward pass of all "
                f"processes. Set accumulation={math.ceil(len(lengths) / together)} or less."
            )
        if optimizer is None:
            make = adamw if config.optimizer == "adamw" else Muon
            optimizer = make(trained, config.learning_rate, config.weight_decay, config.beta2)
        check_optimizer(trained, optimizer)
        run = cls(
            config=config,
            dataset=dataset,
            **functions,
            group=group,
            model=model,
            wrapped=trained,
            optimizer=optimizer,
            peaks=[group["lr"] for group in optimizer.param_groups],
            scaler=torch.amp.GradScaler(group.device.type, enabled=precision == "fp16"),
            precision=precision,
            lengths=lengths,
        )
        run.restore()
        run.wrap()
        if run.step == 0 and getattr(model, "_unfinished", False):
            warnings.warn(
                "An earlier run on this model object was interrupted, and there is no checkpoint "
                "to go on from: this run starts from the weights as they are now. Load the model "
                "again to start from the beginning.",
                stacklevel=3,
            )
        model._unfinished = True
        trained.train()
        trained.zero_grad(set_to_none=True)  # an interrupted run may have left gradients
        run.clock = time.perf_counter()
        return run

    def wrap(self) -> None:
        """Compile the model if asked, and make several processes average its gradients."""
        if self.config.compile:
            # Lengths vary: one graph for all, and not one for each.
            several = len(set(self.lengths)) > 1
            self.wrapped = torch.compile(self.model, dynamic=True if several else None)
        if self.group.num_processes == 1:
            return
        rest = self.some_parameters_rest()
        if not sharding.is_sharded(self.wrapped):
            # No `static_graph`: that all batches use the same parameters, one can't tell.
            self.wrapped = nn.parallel.DistributedDataParallel(
                self.wrapped,
                find_unused_parameters=rest,
                gradient_as_bucket_view=True,  # else all gradients are there twice
            )
        elif rest:
            raise ValueError(
                'strategy="fsdp": a batch leaves some parameters without a gradient, as that of '
                "one task the heads of the others. Freeze them (requires_grad=False) if no batch "
                'uses them, or use strategy="ddp".'
            )

    @property
    def trained(self) -> nn.Module:
        """The model whose parameters are moved: the caller's, or the sharded copy."""
        return self.wrapped if sharding.is_sharded(self.wrapped) else self.model

    def some_parameters_rest(self) -> bool:
        """Whether the first row leaves parameters without a gradient, as heads of other tasks.

        The processes would wait for these gradients for ever, unless they are told to look.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)  # all processes must come to the same answer
            batch = self.collate_fn(take(self.dataset, np.array([0])))
        self.trained.zero_grad(set_to_none=True)
        self._loss(self.trained, batch).backward()
        return any(p.requires_grad and p.grad is None for p in self.trained.parameters())

    # The plan: which rows stand behind which update.

    @property
    def window_size(self) -> int:
        return self.config.batch_size * self.config.accumulation * self.group.num_processes

    @property
    def left_out(self) -> int:
        """Sequences of an epoch's last window, if they are too few to go round the processes."""
        rest = len(self.lengths) % self.window_size
        return rest if rest < self.group.num_processes else 0

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil((len(self.lengths) - self.left_out) / self.window_size)

    @property
    def total_steps(self) -> int:
        return self.config.steps or self.config.epochs * self.steps_per_epoch

    def epoch_windows(self, epoch: int) -> Windows:
        """The windows of one epoch as this process sees them."""
        plan = plan_epoch(
            self.lengths,
            self.window_size,
            seed=self.config.seed,
            epoch=epoch,
            group_by_length=self.config.group_by_length,
        )
        return Windows(
            dataset=self.dataset,
            plan=[window for window in plan if len(window) >= self.group.num_processes],
            collate_fn=self.collate_fn,
            batch_size=self.config.batch_size,
            seed=self.config.seed,
            epoch=epoch,
            process=self.group.process_index,
            processes=self.group.num_processes,
        )

    def windows(self) -> Iterator[list[dict[str, torch.Tensor]]]:
        """This process's micro-batches of each update that is still to do."""
        while self.step < self.total_steps and not self.out_of_patience():
            epoch, first = divmod(self.step, self.steps_per_epoch)
            last = min(self.steps_per_epoch, first + self.total_steps - self.step)
            yield from torch.utils.data.DataLoader(
                self.epoch_windows(epoch),
                batch_size=None,  # an item is a whole window already
                sampler=range(first, last),
                num_workers=self.config.num_workers,
                pin_memory=self.group.device.type == "cuda",
            )

    # One update and its record.

    def update(self, window: list[dict[str, torch.Tensor]]) -> None:
        """Forward and backward over the window's micro-batches, then one optimizer step.

        The loss is the mean over all labels of the window, over all its micro-batches and
        processes: each micro-batch's mean counts by its share of the labels.
        """
        for batch in window:
            check_batch(self.model, batch)
        counts = [count_labels(self.model, batch) for batch in window]
        tokens = sum(count_tokens(batch) for batch in window)
        labels, tokens = self._sum_over_processes(sum(counts), tokens)
        if not isinstance(labels, torch.Tensor):
            self._check_labels(self.step + 1, labels)
        loss = torch.zeros((), device=self.group.device)
        for micro, (batch, count) in enumerate(zip(window, counts, strict=True)):
            # Dropout's seed depends on where the run is, not on what ran before: so a
            # run that resumes here drops the same units.
            place = self.step, micro, self.group.process_index
            torch.manual_seed(derive_seed(self.config.seed, *place))
            last = micro == len(window) - 1
            loss += self._backward(batch, count, labels, last=last)
        factor = learning_rate_factor(
            self.step, self.total_steps, self.config.warmup_ratio, self.config.schedule
        )
        norm = self._clip(factor)
        rate = self.optimizer.param_groups[0]["lr"]
        self.step += 1
        record = {"step": self.step, "epoch": self.step / self.steps_per_epoch, "loss": loss}
        record |= {"grad_norm": norm, "lr": rate, "tokens": tokens}
        self.pending.append(record | {"labels": labels})
        self._optimizer_step(norm)
        if self.after_update is not None:
            self.after_update(self.trained, self.step)
            sharding.drop_gathered(self.trained)
        if self.step % FLUSH_EVERY == 0:
            self.flush()

    def _backward(
        self, batch: dict, count: int, labels: int | torch.Tensor, *, last: bool
    ) -> torch.Tensor:
        """Add one micro-batch's gradient; returns its part of the window's loss.

        It has `count` of the window's labels.
        """
        device = self.group.device
        with ExitStack() as contexts:
            if isinstance(self.wrapped, nn.parallel.DistributedDataParallel) and not last:
                # Processes exchange gradients once an update, not once a batch.
                contexts.enter_context(self.wrapped.no_sync())
            with autocast(self.precision, device):
                loss = self._loss(self.wrapped, batch)
            # The mean over no label is 0/0; such a batch adds nothing.
            loss = count / labels * loss if count > 0 else 0 * loss.nan_to_num()
            # Processes average their gradients; the shares are of the sum.
            self.scaler.scale(loss * self.group.num_processes).backward()
        return loss.detach()

    def _loss(self, model: nn.Module, batch: dict) -> torch.Tensor:
        placed = to_device(batch, self.group.device, self.model)
        with masks_unread(self.group.device):
            output = model(**placed)
        shifted = shifts_labels(self.model)
        return mean_loss(output, batch["labels"], shifted=shifted, loss_fn=self.loss_fn)

    def _clip(self, factor: float) -> torch.Tensor:
        """Set `factor` of the peak rates and clip; returns the gradient's norm before that."""
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * factor
        self.scaler.unscale_(self.optimizer)
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        limit = math.inf if self.config.max_grad_norm is None else self.config.max_grad_norm
        norm = nn.utils.clip_grad_norm_(parameters, limit)
        return norm.full_tensor() if sharding.is_sharded(self.wrapped) else norm

    def _optimizer_step(self, norm: torch.Tensor) -> None:
        """Update the weights and clear the gradient, unless its norm isn't a finite number.

        A GPU is not waited for: a fused optimizer finds `found_inf` 1 there and leaves all as it
        is, and the next flush stops the run.
        """
        skips = getattr(self.optimizer, "_step_supports_amp_scaling", False)
        skips = skips and norm.device.type != "mps"  # whose kernel nobody has tried here
        if self.scaler.is_enabled():
            pass  # the scaler looks itself, and an infinite gradient is routine
        elif norm.device.type == "cpu":
            if not math.isfinite(norm):
                self.flush()  # raises
        elif skips:
            self.optimizer.found_inf = norm.isfinite().logical_not().float()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        if hasattr(self.optimizer, "found_inf"):
            del self.optimizer.found_inf

    def _sum_over_processes(self, *counts: int) -> Sequence[int | torch.Tensor]:
        """Sums of these counts; several processes with GPUs leave them there, unread."""
        if self.group.num_processes == 1:
            return counts
        device = self.group.device
        sums = reduce(torch.tensor(counts).to(device, non_blocking=True), reduction="sum")
        return sums.tolist() if device.type == "cpu" else sums.unbind()

    def _check_labels(self, step: int, labels: int) -> None:
        if labels == 0:
            raise ValueError(
                f"Update {step} has no label: all labels of {self._rows(step)} are {IGNORED}, so "
                "there is nothing to learn from."
            )

    def flush(self) -> None:
        """Move the pending records into the history; stop if a loss is not a finite number."""
        if not self.pending:
            return
        losses = torch.stack([record["loss"] for record in self.pending])
        losses = reduce(losses, reduction="sum").tolist()
        norms = torch.stack([record["grad_norm"] for record in self.pending]).tolist()
        for record in self.pending:  # the GPU has them now
            record["tokens"] = int(record["tokens"])
            self._check_labels(record["step"], int(record.pop("labels")))
        seconds = time.perf_counter() - self.clock
        speed = sum(record["tokens"] for record in self.pending) / seconds
        for record, loss, norm in zip(self.pending, losses, norms, strict=True):
            record |= {"loss": loss, "grad_norm": norm, "tokens_per_second": speed}
            self._check_finite(record)
        self.history.records += self.pending
        if self.log is not None:
            for record in self.pending:
                self.log(record)
        self.history.seconds += seconds
        self.pending = []
        self.clock = time.perf_counter()

    def _check_finite(self, record: dict) -> None:
        # With fp16, an infinite gradient is routine: the scaler skips that update.
        norm = 0.0 if self.precision == "fp16" else record["grad_norm"]
        if math.isfinite(record["loss"]) and math.isfinite(norm):
            return
        folder = self.config.checkpoint_dir
        last_good = checkpoints.latest(Path(folder)) if folder else None
        raise NonFiniteLossError(
            f"Update {record['step']} (epoch {record['epoch']:.2f}) has the loss "
            f"{record['loss']} and a gradient of norm {record['grad_norm']}. Its batch: "
            f"{self._rows(record['step'])}. Last good checkpoint: {last_good or 'none was kept'}. "
            f"Usual causes: a learning rate too high (here {self.config.learning_rate:g}), no "
            f"clipping (max_grad_norm is {self.config.max_grad_norm}), or a NaN in the inputs."
        )

    def _rows(self, step: int) -> str:
        """The dataset's rows behind update `step`."""
        epoch, k = divmod(step - 1, self.steps_per_epoch)
        return f"rows {self.epoch_windows(epoch).plan[k].tolist()} of the dataset"

    # Evaluations, checkpoints and the end.

    def evaluation_is_due(self) -> bool:
        return self.evaluate_fn is not None and self._is_due(self.config.evaluate_every)

    def checkpoint_is_due(self) -> bool:
        return self.config.checkpoint_dir is not None and (
            self._is_due(self.config.checkpoint_every) or self.out_of_patience()
        )

    def _is_due(self, every: int | None) -> bool:
        """Every `every` updates, or at the end of each epoch; and at the end of the run."""
        return self.step % (every or self.steps_per_epoch) == 0 or self.step == self.total_steps

    def out_of_patience(self) -> bool:
        return self.config.patience is not None and self.stale_evaluations >= self.config.patience

    def evaluate(self) -> None:
        """Record what `evaluate_fn` says of the model; keep the weights if they are the best."""
        self.flush()
        # All processes must agree on what is best, even if it sees one process's data.
        result = broadcast_object_list([self.evaluate_fn(self.trained)])[0]
        sharding.drop_gathered(self.trained)
        if not isinstance(result, Mapping):
            raise TypeError(f"evaluate_fn returned {result!r}: it must return a dict of metrics.")
        self.trained.train()
        self.history.evaluations.append({"step": self.step, **result})
        if self.log is not None:
            self.log({"step": self.step} | {f"validation_{k}": v for k, v in result.items()})
        if self.config.best_metric is not None:
            self._keep_if_best(result)
        self.clock = time.perf_counter()

    def _keep_if_best(self, result: dict[str, float]) -> None:
        name = self.config.best_metric
        if name not in result:
            raise ValueError(
                f"best_metric={name!r}, but evaluate_fn returned {sorted(result)}: "
                "choose one of these."
            )
        sign = 1 if self.config.higher_is_better else -1
        best = sign * self.history.best[name] if self.history.best else -math.inf
        if sign * result[name] > best:  # which NaN never is
            self.history.best = self.history.evaluations[-1]
            self._gather()
            self.best_weights = {
                key: value.detach().to("cpu", copy=True).contiguous()  # safetensors wants it
                for key, value in self.model.state_dict().items()
            }
            self.stale_evaluations = 0
        else:
            self.stale_evaluations += 1

    def checkpoint(self) -> None:
        """Write what is needed to go on exactly from here; the first process does it."""
        self.flush()
        self._gather()
        is_main = self.group.is_main_process
        tensors = checkpoints.optimizer_tensors(self.trained, self.optimizer, keep=is_main)
        if is_main:
            checkpoints.save(
                Path(self.config.checkpoint_dir),
                {"step": self.step, "stale_evaluations": self.stale_evaluations}
                | vars(self.history),
                model=self.model,
                optimizer=tensors,
                scaler=self.scaler,
                best_weights=self.best_weights,
                fingerprint=self.fingerprint,
            )
        self.group.wait_for_everyone()
        self.clock = time.perf_counter()

    def _gather(self) -> None:
        """Bring the caller's model up to date, where a sharded copy is trained."""
        if self.trained is not self.model:
            sharding.gather(self.trained, self.model)

    def restore(self) -> None:
        """Go on from the last checkpoint, if the config says so and there is one."""
        if self.config.checkpoint_dir is None:
            return
        names = ["collate_fn", "loss_fn", "after_update"]
        if self.config.best_metric:  # the evaluation decides which weights are kept
            names.append("evaluate_fn")
        self.fingerprint = fingerprint(
            self.model,
            self.dataset,
            self.config,
            {name: getattr(self, name) for name in names},
            optimizer=type(self.optimizer).__name__,
            peaks=self.peaks,
            precision=self.precision,
            processes=self.group.num_processes,
            strategy=None if self.config.strategy == "ddp" else self.config.strategy,
            updates=self.total_steps,
            kernels=self._kernels() or None,
            left_out=self.left_out or None,
        )
        last = checkpoints.latest(Path(self.config.checkpoint_dir))
        # Nobody may write a checkpoint before everybody has looked for the last one.
        self.group.wait_for_everyone()
        if last is None:
            return
        if not self.config.resume:
            raise checkpoints.CheckpointError(
                f"{last} is there already. Set resume=True to go on from it, choose another "
                f"checkpoint_dir, or delete it. {checkpoints.ANEW}"
            )
        progress, self.best_weights = checkpoints.load(
            last,
            model=self.model,
            trained=self.trained,
            optimizer=self.optimizer,
            scaler=self.scaler,
            fingerprint=self.fingerprint,
            extend=self.config.extend,
        )
        self.step = progress.pop("step")
        self.stale_evaluations = progress.pop("stale_evaluations")
        self.history = History(**progress)

    def _kernels(self) -> list[str]:
        """The settings that change a number on this device, though not what is computed."""
        names = ["compile"] if self.config.compile else []
        if self.group.device.type == "cuda":
            names += [n for n in ("tf32", "deterministic") if getattr(self.config, n)]
        return names

    def stop_if_asked(self, signals: list[int]) -> None:
        """Write a checkpoint and stop, if a signal came; all processes at the same update."""
        asked = max(signals, default=0)
        if self.group.num_processes > 1:
            if self.step % FLUSH_EVERY and self.step < self.total_steps:
                return  # to ask each other after each update would slow them down
            asked = int(gather(torch.tensor([asked], device=self.group.device)).max())
        if asked:
            self.checkpoint()
            raise Interrupted(asked)

    def finish(self) -> History:
        """Flush, reload the best weights if they were kept, and hand over the history."""
        self.flush()
        self._gather()
        if self.trained is not self.model and isinstance(self.loss_fn, nn.Module):
            self.loss_fn.cpu()  # where the caller's model is
        if self.best_weights is not None:
            self.model.load_state_dict(self.best_weights)
        self.model.eval()
        self.model._unfinished = False
        self.history.stopped_early = self.step < self.total_steps
        self.history.peak_memory = peak_memory(self.group.device)
        return self.history

    def progress_bar(self) -> tqdm:
        """A bar on standard error; none where PLM_PROGRESS=0, as when notebooks are executed."""
        wanted = os.environ.get("PLM_PROGRESS") != "0"
        show = wanted if self.config.progress is None else self.config.progress
        return tqdm(
            desc="training",
            total=self.total_steps,
            initial=self.step,
            unit="update",
            leave=False,
            disable=not (show and self.group.is_main_process),
        )


def _check_fsdp(model: nn.Module, optimizer: torch.optim.Optimizer | None, precision: str) -> None:
    sharding.check_shardable(model, precision)
    if optimizer is not None:
        raise ValueError(
            f'strategy="fsdp" with an optimizer, {type(optimizer).__name__}: it moves the whole '
            "weights, and these are cut into shards. Leave it to the config."
        )


def _loss_fn(config: TrainingConfig, given: Loss | None) -> Loss | None:
    if not config.label_smoothing:
        return given
    if given is not None:
        raise ValueError(
            f"label_smoothing={config.label_smoothing} and a loss_fn: give one of the two. torch's "
            "CrossEntropyLoss takes label_smoothing too."
        )
    return smoothed(config.label_smoothing)
