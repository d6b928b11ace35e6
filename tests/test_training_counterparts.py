"""The table of settings names each of ours, and nothing that transformers doesn't have."""

from dataclasses import fields

import pytest

from helpers.training import counterparts as module
from helpers.training.config import TrainingConfig
from helpers.training.counterparts import COUNTERPARTS, counterparts


def test_every_setting_has_its_row_in_the_order_of_the_class():
    names = [field.name for field in fields(TrainingConfig)]
    assert [row["TrainingConfig"].split("=")[0] for row in counterparts()] == names
    assert COUNTERPARTS.keys() == set(names)


def test_defaults_are_read_from_the_classes():
    rows = {row["TrainingConfig"]: row["TrainingArguments"] for row in counterparts()}
    assert rows["weight_decay=0.01"] == "weight_decay=0.0"
    assert rows["schedule='linear'"] == "lr_scheduler_type='linear'"
    assert rows["precision='auto'"] == "bf16=False, fp16=False"
    assert rows["patience=None"] == "EarlyStoppingCallback"  # no field


def test_a_setting_without_a_row_is_an_error(monkeypatch):
    monkeypatch.delitem(module.COUNTERPARTS, "patience")
    with pytest.raises(KeyError, match="patience"):
        counterparts()


def test_a_name_that_transformers_does_not_have_is_an_error(monkeypatch):
    monkeypatch.setitem(module.COUNTERPARTS, "seed", (("sead",), "torch.manual_seed(…)"))
    with pytest.raises(KeyError, match="sead"):
        counterparts()
