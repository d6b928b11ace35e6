"""The learning rate against transformers' schedules; AdamW by hand; Muon against torch's."""

import pytest
import torch
from transformers import get_scheduler

from helpers.training.optim import (
    Muon,
    adamw,
    learning_rate_factor,
    orthogonalize,
    parameter_groups,
)
from tests.tiny import classifier


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize(("steps", "warmup"), [(50, 10), (20, 0)])
def test_schedule_equals_transformers(schedule, steps, warmup):
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    theirs = get_scheduler(schedule, optimizer, warmup, steps)
    for step in range(steps):
        factor = learning_rate_factor(step, steps, warmup / steps, schedule)
        if step < warmup:
            # Theirs starts at 0 and so wastes the first update; ours is one update ahead.
            assert factor == pytest.approx(theirs.get_last_lr()[0] + 1 / warmup)
        else:
            assert factor == pytest.approx(theirs.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        theirs.step()


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_a_run_leaves_warm_up_however_short_it_is(schedule):
    for steps in (1, 2, 5, 100):
        factors = [learning_rate_factor(i, steps, 0.1, schedule) for i in range(steps)]
        assert max(factors) == 1.0
        assert min(factors) > 0


def test_decay_is_on_matrices_alone():
    model = classifier()
    decayed, spared = parameter_groups(model, 0.1)
    assert decayed["weight_decay"] == 0.1
    assert spared["weight_decay"] == 0
    assert {p.ndim for p in decayed["params"]} == {2}
    assert {p.ndim for p in spared["params"]} == {1}
    assert len(decayed["params"]) + len(spared["params"]) == len(list(model.parameters()))


def test_frozen_parameters_are_left_out():
    model = classifier()
    model.bert.requires_grad_(False)
    groups = parameter_groups(model, 0.1)
    assert sum(len(group["params"]) for group in groups) == 2
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="requires_grad"):
        parameter_groups(model, 0.1)


def test_one_update_equals_algorithm_2():
    """Loshchilov & Hutter's update by hand, in float64, for a matrix and a vector."""
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2).double()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = adamw(model, learning_rate=0.01, weight_decay=0.1)
    model(torch.randn(4, 3, dtype=torch.float64)).pow(2).sum().backward()
    optimizer.step()
    for name, p in model.named_parameters():
        decay = 0.1 if p.ndim == 2 else 0.0
        # After one step m-hat = g and v-hat = g², whatever the betas.
        expected = before[name] * (1 - 0.01 * decay) - 0.01 * p.grad / (p.grad.abs() + 1e-8)
        torch.testing.assert_close(p.detach(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(8, 24), (24, 8), (16, 16)])
def test_orthogonalize_keeps_the_directions_and_levels_the_stretch(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    left, stretch, right = torch.linalg.svd(matrix, full_matrices=False)
    turned = left.mT @ orthogonalize(matrix) @ right.mT  # diagonal if the directions are kept
    assert (turned - turned.diagonal().diag()).abs().max() < 1e-4
    assert turned.diagonal().min() > 0.6
    assert turned.diagonal().max() < 1.3
    assert stretch.max() / stretch.min() > 2  # as it wasn't before


class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(11, 16)
        self.inner = torch.nn.Linear(16, 32)
        self.back = torch.nn.Linear(32, 16, bias=False)

    def forward(self, ids):
        return self.back(self.inner(self.embedding(ids)).tanh()) @ self.embedding.weight.T


def test_muon_equals_torchs_on_matrices_and_adamw_elsewhere():
    torch.manual_seed(0)
    ours, theirs = Small(), Small()
    theirs.load_state_dict(ours.state_dict())
    optimizer = Muon(ours, learning_rate=0.01, weight_decay=0.1, beta2=0.98)
    matrices = [theirs.inner.weight, theirs.back.weight]
    muon = torch.optim.Muon(matrices, lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    rest = [
        {"params": [theirs.embedding.weight], "weight_decay": 0.1},
        {"params": [theirs.inner.bias], "weight_decay": 0.0},
    ]
    adam = torch.optim.AdamW(rest, lr=0.01, betas=(0.9, 0.98))
    before = {name: p.detach().clone() for name, p in ours.named_parameters()}
    for _ in range(3):
        for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
            p.grad = torch.randn_like(p)
            q.grad = p.grad.clone()
        for each in (optimizer, muon, adam):
            each.step()
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        # Torch's iterates in bfloat16: its steps are 1 to 2 % off. AdamW's are the same.
        inner = ("inner.weight", "back.weight")
        moved = (p - before[name]).norm()
        assert moved > 0
        assert (p - q).norm() < (0.04 if name in inner else 1e-5) * moved, name


def test_muon_leaves_a_step_with_infinite_gradients_to_the_scaler():
    model = Small()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer, scaler = Muon(model, 0.01, 0.0), torch.amp.GradScaler("cpu", init_scale=2.0)
    loss = model(torch.arange(3)).sum() * float("inf")
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    for name, p in model.named_parameters():
        assert torch.equal(p, before[name]), name
