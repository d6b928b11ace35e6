"""Conversations: exact counts, no conversation twice, nothing that leads to a person."""

import json
import re

import pytest

from helpers.data import assets, dialogues

COUNTS = {"train": 2266, "validation": 324, "test": 648}


@pytest.fixture(scope="module")
def chitchat():
    return dialogues.chitchat()


def test_a_conversation_has_four_turns_that_say_something(chitchat):
    for split in chitchat.values():
        assert split.column_names == ["topic", "turns"]
        for turns in split["turns"]:
            assert len(turns) >= dialogues.SHORTEST
            for turn in turns:
                assert turn == " ".join(turn.split())
                assert re.search(r"\w", turn)


def test_no_conversation_is_in_two_splits(chitchat):
    whole = ["\n".join(turns).lower() for split in chitchat.values() for turns in split["turns"]]
    assert len(set(whole)) == len(whole)


def test_the_split_is_the_same_on_every_machine(chitchat):
    assert {name: len(split) for name, split in chitchat.items()} == COUNTS


def test_contact_details_are_masked(chitchat):
    texts = [turn for split in chitchat.values() for turns in split["turns"] for turn in turns]
    assert not any(re.search(r"\w@\w+\.\w|https?://|\b\d{3}[-. ]\d{4}\b", text) for text in texts)
    assert sum("[link]" in text for text in texts) > 10


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("write to a.b@example.org  please", "write to [email] please"),
        ("see https://example.org/x?y=1 !", "see [link] !"),
        ("call (808) 555-0157 now", "call [number] now"),
        ("i'm @someone_01", "i'm [name]"),
        ("My name is Jo, and yours?", "My name is [name], and yours?"),
        ("in 2018 or 3 6 9", "in 2018 or 3 6 9"),
        ("cya@ !", "cya@ !"),
    ],
)
def test_what_is_masked(text, cleaned):
    assert dialogues._clean(text) == cleaned


def conversation(*turns):
    messages = [[{"text": text, "sender": "x"} for text in turn] for turn in turns]
    return {"messages": messages, "start": "2018", "ratings": {}}


def test_messages_in_a_row_are_one_turn(tmp_path, monkeypatch):
    read = {
        "a": conversation(["hi", " there"], ["hello"], ["what's up?"], ["not much", "you?"]),
        "b": conversation(["hi"], ["hello"], ["..."], ["?"], ["anyone here"]),
        "c": conversation(["1"], ["2"], ["3"], ["4"], [" "], ["6"]) | {"prompt": "Count."},
    }
    (tmp_path / "dataset.json").write_text(json.dumps(read), "utf-8")
    monkeypatch.setattr(assets, "path", lambda name: str(tmp_path))
    rows = [row for split in dialogues.chitchat().values() for row in split]
    assert sorted(rows, key=lambda row: row["topic"]) == [
        {"topic": "", "turns": ["hi there", "hello", "what's up?", "not much you?"]},
        {"topic": "Count.", "turns": ["1", "2", "3", "4"]},
    ]
