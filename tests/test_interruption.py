"""Ctrl-C and SIGTERM in a run: a checkpoint at the update's end, or at once without checkpoints."""

import os
import signal
import threading

import pytest
import torch

from helpers.training import checkpoints
from helpers.training.interruption import SIGNALS, Interrupted, noted
from helpers.training.loop import TrainingConfig, train
from tests.pretraining_process import signalling
from tests.tiny import classification_data, classifier, collate


def run(folder=None, **options):
    torch.manual_seed(0)
    model = classifier()
    keeping = {"checkpoint_dir": folder, "checkpoint_every": 100} if folder else {}
    config = TrainingConfig(steps=6, batch_size=4, progress=False, **keeping, **options)
    history = train(model, classification_data(), config, collate_fn=collate)
    return history.losses


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_run_with_checkpoints_stops_at_the_end_of_an_update(tmp_path, name):
    before = [signal.getsignal(number) for number in SIGNALS]
    with signalling(3, name), pytest.raises(KeyboardInterrupt) as stopped:
        run(tmp_path)
    assert stopped.value.signal == signal.Signals[name]
    assert checkpoints.latest(tmp_path).name == "step-00000003"
    assert [signal.getsignal(number) for number in SIGNALS] == before
    assert run(tmp_path, resume=True) == run()


def test_a_run_without_checkpoints_stops_at_once():
    seen = []

    class Stopped(Exception):
        pass

    def stop(number, _frame):
        seen.append(number)
        raise Stopped

    before = signal.signal(signal.SIGTERM, stop)
    try:
        with signalling(3, "SIGTERM"), pytest.raises(Stopped):
            run()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == [signal.SIGTERM]


def test_a_second_signal_stops_at_once():
    with pytest.raises(Interrupted), noted() as signals:
        os.kill(os.getpid(), signal.SIGINT)
        assert signals == [signal.SIGINT]
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("the second one was ignored")


def test_in_another_thread_a_run_leaves_signals_alone(tmp_path):
    losses = []
    thread = threading.Thread(target=lambda: losses.append(run(tmp_path)))
    thread.start()
    thread.join()
    assert losses == [run()]
