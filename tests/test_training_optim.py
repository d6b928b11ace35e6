"""The learning rate against transformers' schedules; decay on matrices alone."""

import pytest
import torch
from transformers import get_scheduler

from helpers.training.optim import adamw, learning_rate_factor, parameter_groups
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
    with pytest.raises(ValueError, match="no trainable parameter"):
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
