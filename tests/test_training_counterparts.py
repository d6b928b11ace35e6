"""The table of settings names each of ours, and nothing that transformers doesn't have."""

from dataclasses import fields

import pytest

from helpers.training import counterparts as module
from helpers.training.config import TrainingConfig
from helpers.training.counterparts import COUNTERPARTS, counterparts


def test_every_setting_has_its_row_in_the_order_of_the_class():
    assert [row["TrainingConfig"] for row in counterparts()] == [
        field.name for field in fields(TrainingConfig)
    ]
    assert COUNTERPARTS.keys() == {field.name for field in fields(TrainingConfig)}


def test_defaults_are_read_from_the_classes():
    rows = {row["TrainingConfig"]: row for row in counterparts()}
    assert (rows["weight_decay"]["default"], rows["weight_decay"]["its default"]) == ("0.01", "0.0")
    assert rows["schedule"]["its default"] == "'linear'"
    assert rows["precision"]["its default"] == "False, False"
    assert rows["patience"]["its default"] == ""  # a callback, no field


def test_a_setting_without_a_row_is_an_error(monkeypatch):
    monkeypatch.delitem(module.COUNTERPARTS, "patience")
    with pytest.raises(KeyError, match="patience"):
        counterparts()


def test_a_name_that_transformers_does_not_have_is_an_error(monkeypatch):
    monkeypatch.setitem(module.COUNTERPARTS, "seed", (("sead",), "torch.manual_seed(…)"))
    with pytest.raises(KeyError, match="sead"):
        counterparts()
