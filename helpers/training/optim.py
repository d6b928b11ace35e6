"""AdamW with weight decay on matrices alone, Muon, and the learning rate of each step."""

import math
from collections import defaultdict

import torch
from torch import nn

from helpers.training.config import Schedule

BETA1 = 0.9  # AdamW's momentum
MUON_MOMENTUM = 0.95


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Trainable parameters in two groups: matrices, which decay, and vectors, which don't.

    Biases and the gains of normalisation layers are vectors. Pulling them towards 0 does
    not make the function simpler, so they are left alone.

    Raises:
        ValueError: if every parameter is frozen.
    """
    trainable = [p for p in model.parameters() if p.requires_grad]
    if not trainable:
        raise ValueError(
            "The model has no trainable parameter: requires_grad is False for all of them."
        )
    groups = [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def check_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer):
    """Refuse an optimizer that moves other weights than the model's.

    Raises:
        ValueError: naming how many of its tensors are the model's.
    """
    own = set(model.parameters())
    given = [p for group in optimizer.param_groups for p in group["params"]]
    if not own.issuperset(given):
        raise ValueError(
            f"{sum(p in own for p in given)} of the {len(given)} tensors of the optimizer are "
            f"parameters of the {type(model).__name__}: make it from the model that is trained."
        )


def adamw(
    model: nn.Module, learning_rate: float, weight_decay: float, beta2: float = 0.999
) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter, ICLR 2019, algorithm 2), one fused kernel per update."""
    return torch.optim.AdamW(
        parameter_groups(model, weight_decay), lr=learning_rate, betas=(BETA1, beta2), fused=True
    )


def inner_matrices(model: nn.Module) -> set[nn.Parameter]:
    """The trainable matrices inside a network, which Muon moves.

    An `nn.Embedding` is no inner matrix, and what scores the vocabulary isn't one either.
    """
    vocabulary = getattr(getattr(model, "config", None), "vocab_size", None)
    outer = {m.weight for m in model.modules() if isinstance(m, nn.Embedding)}
    if vocabulary is not None:
        # The last one: a vocabulary of bytes may be as large as the network is wide.
        heads = [m for m in model.modules() if getattr(m, "out_features", None) == vocabulary]
        outer |= {head.weight for head in heads[-1:]}
    return {p for p in model.parameters() if p.requires_grad and p.ndim == 2} - outer


class Muon(torch.optim.AdamW):
    """Muon for the matrices inside a network, AdamW for embeddings and vectors.

    A step of AdamW is of about the same size for each number of a matrix. A step of Muon is of
    about the same size in each of the matrix's directions: the momentum's singular values all
    become about 1 (Jordan et al., 2024). Scaled by 0.2 √max(n, m), it has the size of an AdamW
    step, so that one learning rate serves both (Liu et al., arXiv:2502.16982, section 2.2).

    On a GPU it iterates in bfloat16, as torch.optim.Muon does, and else in the precision of the
    weights: a processor without bfloat16 takes many times as long in it. Matrices of one shape are
    iterated together, which torch's doesn't do.
    """

    def __init__(
        self, model: nn.Module, learning_rate: float, weight_decay: float, beta2: float = 0.999
    ):
        """For all trainable parameters of `model`; of them Muon moves its `inner_matrices`.

        Raises:
            ValueError: if every parameter is frozen.
        """
        matrices, groups = inner_matrices(model), []
        for group in parameter_groups(model, weight_decay):
            for inner in (True, False):
                chosen = [p for p in group["params"] if inner == (p in matrices)]
                if chosen:
                    groups.append(group | {"params": chosen, "orthogonalize": inner})
        super().__init__(groups, lr=learning_rate, betas=(BETA1, beta2), fused=True)
        # AdamW's fused kernel skips a step with infinite gradients itself; Muon leaves that to
        # the gradient scaler.
        self._step_supports_amp_scaling = False

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One update from the gradients."""
        for group in self.param_groups:
            if group["orthogonalize"]:
                alike = defaultdict(list)
                for p in group["params"]:
                    if p.grad is not None:
                        alike[p.shape].append(p)
                for matrices in alike.values():
                    self._step_matrices(matrices, group["lr"], group["weight_decay"])
        super().step(closure)

    def _step_matrices(
        self, matrices: list[torch.Tensor], learning_rate: float, weight_decay: float
    ) -> None:
        for p in matrices:
            if "momentum" not in self.state[p]:
                self.state[p]["momentum"] = torch.zeros_like(p)
        momenta = [self.state[p]["momentum"] for p in matrices]
        gradients = [p.grad for p in matrices]
        torch._foreach_lerp_(momenta, gradients, 1 - MUON_MOMENTUM)
        ahead = torch._foreach_lerp(gradients, momenta, MUON_MOMENTUM)  # Nesterov's look ahead
        directions = orthogonalize(torch.stack(ahead)).unbind()
        torch._foreach_mul_(matrices, 1 - learning_rate * weight_decay)
        size = 0.2 * max(matrices[0].shape) ** 0.5
        torch._foreach_add_(matrices, directions, alpha=-learning_rate * size)
        for p in matrices:
            p.grad = None  # so that AdamW leaves it alone


def orthogonalize(matrix: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Matrices (..., n, m) with the same singular vectors and singular values of about 1.

    Newton–Schulz iteration with a quintic polynomial that is steep at 0, so that small singular
    values grow fast: five steps bring them to between 0.7 and 1.2, unless they were tiny (Jordan
    et al., 2024, https://kellerjordan.github.io/posts/muon/). On a GPU in bfloat16.
    """
    tall = matrix.size(-2) > matrix.size(-1)
    x = matrix.mT if tall else matrix  # wide, so that x xᵀ is the smaller product
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)  # no singular value is above 1
    x = x.flatten(0, -3) if x.ndim > 2 else x[None]
    x = x.bfloat16() if x.is_cuda else x
    a, b, c = 3.4445, -4.7750, 2.0315
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    x = x.to(matrix.dtype)
    return (x.mT if tall else x).reshape(matrix.shape)


def learning_rate_factor(step: int, steps: int, warmup_ratio: float, schedule: Schedule) -> float:
    """The share of the peak learning rate in update `step`, counted from 0 to `steps` − 1.

    It climbs in a straight line over the first `warmup_ratio` × `steps` updates, then
    stays ("constant"), falls in a straight line ("linear") or along half a cosine
    ("cosine") to 0 at the end of the run.
    """
    warmup = round(warmup_ratio * steps)
    if step < warmup:
        # step + 1: an update with a learning rate of 0 would be a wasted one.
        return (step + 1) / warmup
    if schedule == "constant":
        return 1.0
    progress = (step - warmup) / max(1, steps - warmup)
    if schedule == "linear":
        return 1.0 - progress
    return 0.5 * (1.0 + math.cos(math.pi * progress))
