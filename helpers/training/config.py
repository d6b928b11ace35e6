"""What a training run is told: one flat dataclass, checked before any work is done."""

from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Literal, get_args

Precision = Literal["auto", "fp32", "bf16", "fp16"]
Schedule = Literal["linear", "cosine", "constant"]
Optimizer = Literal["adamw", "muon"]
Strategy = Literal["ddp", "fsdp"]


def _whole(value: object, least: int) -> bool:
    return isinstance(value, Integral) and value >= least


_RANGES = (
    (
        "epochs steps evaluate_every patience checkpoint_every",
        lambda v: v is None or _whole(v, 1),
        "a whole number, 1 or more, or None",
    ),
    ("batch_size accumulation", lambda v: _whole(v, 1), "a whole number, 1 or more"),
    ("seed", lambda v: _whole(v, 0), "a whole number, 0 or more"),
    ("learning_rate", lambda v: v > 0, "greater than 0"),
    ("max_grad_norm", lambda v: v is None or v > 0, "greater than 0, or None"),
    (
        "warmup_ratio",
        lambda v: 0 <= v <= 1,
        "a share of the run, from 0 to 1; divide a number of steps by the run's steps",
    ),
    ("label_smoothing beta2", lambda v: 0 <= v < 1, "0 or more and below 1"),
    ("weight_decay", lambda v: v >= 0, "0 or more"),
    ("precision", get_args(Precision).__contains__, f"one of {get_args(Precision)}"),
    ("schedule", get_args(Schedule).__contains__, f"one of {get_args(Schedule)}"),
    ("optimizer", get_args(Optimizer).__contains__, f"one of {get_args(Optimizer)}"),
    ("strategy", get_args(Strategy).__contains__, f"one of {get_args(Strategy)}"),
)


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Settings of one call of `train`. Give `epochs` or `steps`; the rest has a default.

    A *step* is one update of the weights. It sees
    `batch_size` × `accumulation` × (number of processes) sequences.

    Raises:
        ValueError: if a value is out of range, or two settings contradict each other.
    """

    epochs: int | None = None  # passes over the training set
    steps: int | None = None  # or the number of updates, however many passes that takes
    learning_rate: float = 5e-5  # the peak, reached at the end of warm-up
    batch_size: int = 16  # sequences in one forward pass of one process
    accumulation: int = 1  # forward passes per update: a larger batch in the same memory
    warmup_ratio: float = 0.1  # share of the run, so warm-up can't outlast a short run
    schedule: Schedule = "linear"  # decay after warm-up, down to 0 (or none: "constant")
    optimizer: Optimizer = "adamw"  # "muon" is meant for pretraining; see helpers.training.optim
    beta2: float = 0.999  # AdamW's memory of squared gradients; pretraining often takes 0.98
    weight_decay: float = 0.01  # on matrices alone; biases and norms are left in peace
    max_grad_norm: float | None = 1.0  # clip the gradient's global L2 norm; None: never
    label_smoothing: float = 0.0  # share of the target spread evenly over all classes
    group_by_length: bool = True  # batch sequences of similar length: less padding
    precision: Precision = "auto"  # "auto" takes what the hardware is fast at
    tf32: bool = False  # fp32 products on a GPU keep 10 bits of their inputs, and are fast
    compile: bool = False  # torch.compile the model: minutes first, then fewer, larger kernels
    deterministic: bool = False  # the same bits again on a GPU, by kernels that may be slower
    strategy: Strategy = "ddp"  # "fsdp": each process keeps a share of the model, not all of it
    seed: int = 0  # order of the data, dropout and any randomness of collate_fn

    evaluate_every: int | None = None  # steps; None: at the end of each epoch
    best_metric: str | None = None  # reload the weights of the best evaluation by this metric
    higher_is_better: bool = True  # False for a loss or a perplexity
    patience: int | None = None  # stop after this many evaluations without a new best

    checkpoint_dir: str | Path | None = None  # None: keep no checkpoints
    checkpoint_every: int | None = None  # steps; None: at the end of each epoch
    resume: bool = False  # go on from the last checkpoint in checkpoint_dir, if there is one
    extend: bool = False  # then to more epochs or steps; the rate takes the longer run's schedule

    num_workers: int = 0  # processes that collate ahead; 2 to 8 keep a GPU fed
    progress: bool | None = None  # None: show a bar unless PLM_PROGRESS=0 is set

    def __post_init__(self):
        for names, is_right, expected in _RANGES:
            for name in names.split():
                if not is_right(value := getattr(self, name)):
                    raise ValueError(f"{name}={value!r}: it must be {expected}")
        self._check_contradictions()

    def _check_contradictions(self):
        if (self.epochs is None) == (self.steps is None):
            raise ValueError(
                f"epochs={self.epochs} and steps={self.steps}: give exactly one of the two"
            )
        if self.patience is not None and self.best_metric is None:
            raise ValueError(
                f"patience={self.patience} needs a metric to watch: set best_metric, "
                'for example best_metric="accuracy"'
            )
        if self.best_metric == "loss" and self.higher_is_better:
            raise ValueError(
                "best_metric='loss' with higher_is_better=True would keep the worst weights: "
                "set higher_is_better=False"
            )
        if self.strategy == "fsdp" and (self.compile or self.optimizer == "muon"):
            raise ValueError(
                f'strategy="fsdp" with compile={self.compile}, optimizer={self.optimizer!r}: '
                'shards are trained without compile, and by "adamw": Muon needs whole matrices'
            )
        if self.extend and not self.resume:
            raise ValueError("extend=True needs resume=True: it makes a run longer that is there")
        if self.checkpoint_dir is None and (self.checkpoint_every or self.resume):
            raise ValueError(
                f"checkpoint_every={self.checkpoint_every}, resume={self.resume}: "
                "both need checkpoint_dir, the folder that holds the checkpoints"
            )
