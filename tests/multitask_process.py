"""Two tasks in mixed batches, as a program of its own, for a test that starts it twice.

    python -m tests.multitask_process FILE

Makes three updates, of two batches each: of one process, or of one batch for each of two. Writes
the losses and the weights' sums to FILE as JSON.
"""

import json
import sys
from pathlib import Path

import torch

from helpers.training.loop import TrainingConfig, train
from helpers.training.processes import join_processes
from tests.test_multitask import mixed, model


def main():
    torch.set_num_threads(1)  # two processes on two cores
    group = join_processes()
    net, data = model(), mixed(steps=6)
    assert set(data.tasks.tolist()) == {0, 1}
    config = TrainingConfig(
        steps=3,
        batch_size=1,
        accumulation=2 // group.num_processes,
        group_by_length=False,
        learning_rate=1e-2,
        precision="fp32",
        progress=False,
    )
    history = train(net, data, config, collate_fn=data.collate)
    if group.is_main_process:
        sums = {name: p.double().abs().sum().item() for name, p in net.named_parameters()}
        Path(sys.argv[1]).write_text(json.dumps({"losses": history.losses, "weights": sums}))
    group.destroy_process_group()


if __name__ == "__main__":
    main()
