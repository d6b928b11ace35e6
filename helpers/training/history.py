"""What a training run leaves behind: losses, metrics, speed and memory."""

import sys
from dataclasses import dataclass, field

import torch


@dataclass
class History:
    """The course of a run, as returned by `train`.

    Attributes:
        records: one dict an update: `step` (from 1), `epoch` (fraction of passes done),
            `loss` (mean over the labels of the update's window, nats), `lr`, `grad_norm`
            (global L2 norm before clipping), `tokens` (without padding, over all processes),
            `tokens_per_second`.
        evaluations: one dict an evaluation: `step` and whatever `evaluate_fn` returned.
        best: the evaluation whose weights the model holds now, or None.
        stopped_early: whether patience ran out before the run's end.
        seconds: wall-clock seconds of training, evaluations and checkpoints not counted.
        peak_memory: bytes; of the GPU's allocator, or of the whole process on a CPU.
    """

    records: list[dict] = field(default_factory=list)
    evaluations: list[dict] = field(default_factory=list)
    best: dict | None = None
    stopped_early: bool = False
    seconds: float = 0.0
    peak_memory: int = 0

    @property
    def losses(self) -> list[float]:
        """The training loss of every update, in order."""
        return [record["loss"] for record in self.records]

    @property
    def tokens_per_second(self) -> float:
        """Real tokens (padding not counted) a second of training, over the whole run."""
        return sum(record["tokens"] for record in self.records) / max(self.seconds, 1e-9)


def peak_memory(device: torch.device) -> int:
    """The most memory used so far, in bytes: of `device` if it is a GPU, else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        import psutil  # noqa: PLC0415 — the only platform without the resource module

        return psutil.Process().memory_info().peak_wset
    import resource  # noqa: PLC0415 — absent on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux KiB
