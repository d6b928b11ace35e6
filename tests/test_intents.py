"""Commands from sentence grammars: the notation is read right, and no template is in two splits."""

import random

import pytest

from helpers.data import intents

GRAMMAR = {
    "expansion_rules": {"the": "(the|my)", "turn": "(turn|switch)"},
    "lists": {
        "colour": {"values": [{"in": "red[dish]", "out": "red"}]},
        "percent": {"range": {"from": 10, "to": 12}},
        "free": {"wildcard": True},
    },
}


def everything(template, values=None, draws=300):
    generator = random.Random(0)
    tree = intents.parse(template)
    drawn = (intents.sample(tree, GRAMMAR, values or {}, generator) for _ in range(draws))
    return {" ".join("".join(text for text, _ in pieces).split()) for pieces in drawn}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("light[s] on", {"light on", "lights on"}),
        ("(a|b c) d", {"a d", "b c d"}),
        ("[a|b] d", {"d", "a d", "b d"}),
        ("(on;lights) now", {"on lights now", "lights on now"}),
        (
            "<turn> on [<the>] fan",
            {f"{t} on {w}fan" for t in ("turn", "switch") for w in ("", "the ", "my ")},
        ),
        ("{percent}[%]", {f"{n}{sign}" for n in (10, 11, 12) for sign in ("", "%")}),
        ("{colour:tone}", {"red", "reddish"}),
        ("{area}", {"attic", "hall"}),
    ],
)
def test_a_template_gives_all_its_sentences_and_no_other(template, expected):
    assert everything(template, {"area": ["attic", "hall"]}) == expected


def test_a_slot_has_the_name_behind_the_colon():
    tree = intents.parse("in {colour:tone}")
    pieces = intents.sample(tree, GRAMMAR, {}, random.Random(0))
    assert [slot for _, slot in pieces] == ["", "tone"]


@pytest.mark.parametrize("template", ["a (b", "a [b|c", "a) b", "a <b", "{b", "(a]"])
def test_a_bracket_that_is_not_closed_is_named(template):
    with pytest.raises(ValueError, match=r"closed|missing|closes nothing"):
        intents.parse(template)


def test_free_text_has_no_values():
    with pytest.raises(LookupError):
        intents.sample(intents.parse("say {free}"), GRAMMAR, {}, random.Random(0))


@pytest.fixture(scope="module", params=intents.LANGUAGES)
def commands(request):
    return request.param, intents.home_commands(request.param)


def test_splits_share_no_template_no_text_and_no_name(commands):
    _, data = commands
    for what in ("template", "text"):
        sets = [set(data[part][what]) for part in intents.PARTS]
        assert sum(map(len, sets)) == len(set.union(*sets))
    names = [
        {
            row["text"][s["start"] : s["end"]].lower()
            for row in data[part]
            for s in row["slots"]
            if s["name"] == "area"
        }
        for part in intents.PARTS
    ]
    assert names[0]
    assert not names[0] & names[2]


def test_slots_are_words_of_the_text(commands):
    _, data = commands
    for row in data["test"]:
        for slot in row["slots"]:
            value = row["text"][slot["start"] : slot["end"]]
            assert value
            assert value == value.strip()


def test_each_intent_is_in_each_split(commands):
    _, data = commands
    for part in intents.PARTS:
        assert set(data[part]["intent"]) == set(intents.intent_names())


def test_the_draw_is_the_seeds():
    first = intents.home_commands("en", seed=1)["train"]["text"]
    assert first == intents.home_commands("en", seed=1)["train"]["text"]
    assert first != intents.home_commands("en", seed=2)["train"]["text"]


def test_a_language_without_a_grammar_is_named():
    with pytest.raises(ValueError, match="'pt'; expected one of en, de, fr, zh-CN"):
        intents.home_commands("pt")
