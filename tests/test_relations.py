"""The relations and events labelled for chapter 21: joined with the corpus, complete, agreed on."""

import json
import re
from collections import Counter
from itertools import combinations

import pytest

from experiments import events as event_steps
from experiments import relations as steps
from helpers.data import cleaning, corpora, disk, events, relations

FILES = sorted(path.name for path in steps.FOLDER.glob("labels*.jsonl"))
EVENT_FILES = sorted(path.name for path in event_steps.FOLDER.glob("labels*.jsonl"))


@pytest.fixture(scope="module", params=FILES)
def labelled(request):
    return relations.conll_relations(steps.FOLDER, request.param)


def test_each_candidate_is_a_row_in_each_labelling(labelled):
    rows = steps.read("candidates.jsonl")
    assert Counter(row["split"] for row in rows) == steps.SENTENCES
    for split, dataset in labelled.items():
        assert len(dataset) == sum(len(row["pairs"]) for row in rows if row["split"] == split)


def test_spans_are_gold_entities_of_the_corpus(labelled):
    corpus = corpora.conll2003()
    for split, dataset in labelled.items():
        for row in dataset:
            sentence = corpus[split][row["sentence"]]
            spans = relations.entities(sentence["ner_tags"])
            assert (*row["first"], row["first_type"]) in spans
            assert (*row["second"], row["second_type"]) in spans
            assert row["first"] < row["second"]
            assert row["document"] == sentence["document"]


def test_relations_without_direction_are_never_reversed(labelled):
    for dataset in labelled.values():
        names = dataset.features["label"].names
        for row in dataset:
            if names[row["label"]] in (relations.NONE, *relations.SYMMETRIC):
                assert not row["reverse"]


def test_no_document_gives_many_sentences_and_no_sentence_repeats_another():
    rows, corpus = steps.read("candidates.jsonl"), corpora.conll2003()
    per_document = Counter((row["split"], row["document"]) for row in rows)
    assert max(per_document.values()) == steps.PER_DOCUMENT
    texts = [" ".join(corpus[row["split"]][row["sentence"]]["tokens"]) for row in rows]
    assert cleaning.near_copies(texts) == {}


def test_the_draw_gives_the_candidates_that_are_stored():
    assert json.loads(json.dumps(steps.draw())) == steps.read("candidates.jsonl")
    assert json.loads(json.dumps(event_steps.draw())) == event_steps.read("candidates.jsonl")


def test_another_text_than_the_labelled_one_is_refused(tmp_path):
    for name in ("candidates.jsonl", FILES[-1]):
        disk.write_file(tmp_path / name, (steps.FOLDER / name).read_text("utf-8"))
    assert relations.conll_relations(tmp_path, FILES[-1])
    lines = (tmp_path / "candidates.jsonl").read_text("utf-8").splitlines()
    lines[0] = re.sub('"sha256": "[0-9a-f]{16}"', '"sha256": "0000000000000000"', lines[0])
    disk.write_file(tmp_path / "candidates.jsonl", "\n".join(lines))
    with pytest.raises(ValueError, match=r"Sentence train-37 has the digest [0-9a-f]{16}"):
        relations.conll_relations(tmp_path, FILES[-1])


def test_a_label_outside_the_schema_is_refused(tmp_path):
    row = steps.read("candidates.jsonl")[0]  # two places
    disk.write_file(tmp_path / "candidates.jsonl", json.dumps(row))
    for found, message in (
        ([[0, "visits", 1]], "LOC visits LOC isn't of the schema"),
        ([[0, "beat", 2]], r"has labels for \{\(0, 2\)\}"),
    ):
        disk.write_file(tmp_path / "x.jsonl", json.dumps({"id": row["id"], "relations": found}))
        with pytest.raises(ValueError, match=message):
            relations.conll_relations(tmp_path, "x.jsonl")


ROW = {
    "id": "train-1",
    "entities": [[0, 1, "PER"], [2, 3, "ORG"], [4, 5, "LOC"]],
    "pairs": [[0, 1], [0, 2], [1, 2]],
}


def test_a_sentence_without_a_row_of_labels_is_named(tmp_path):
    for name in ("candidates.jsonl", "labels.jsonl"):
        disk.write_file(tmp_path / name, (steps.FOLDER / name).read_text("utf-8"))
    first, *others = (tmp_path / "labels.jsonl").read_text("utf-8").splitlines(keepends=True)
    disk.write_file(tmp_path / "labels.jsonl", "".join(others))
    gone = json.loads(first)["id"]
    with pytest.raises(ValueError, match=f"no row for the sentence {gone}"):
        relations.conll_relations(tmp_path)


def test_notes_become_labels():
    assert steps.from_notes(["train-1 0W1 2A1"], [ROW]) == [
        {"id": "train-1", "relations": [[0, "works_for", 1], [1, "alias", 2]]}
    ]
    assert steps.from_notes(["train-1"], [ROW]) == [{"id": "train-1", "relations": []}]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "train-1: no note"),
        (["train-1", "train-1"], "train-1: twice"),
        (["train-1", "train-2"], "train-2: no such sentence"),
        (["train-1 0Q1"], "0Q1 isn't a note"),
        (["train-1 0X3"], "0X3 isn't of a pair"),
        (["train-1 0X1 1P0"], "1P0 is a second label"),
        (["train-1 1W0"], "1W0 isn't of the schema's types"),
    ],
)
def test_wrong_notes_are_named(lines, message):
    with pytest.raises(ValueError, match=message):
        steps.from_notes(lines, [ROW])


def test_pairs_are_the_closest_with_different_words():
    words = ["A", "x", "B", "x", "A", "x", "C", "x", "D", "x", "E"]
    spans = [(i, i + 1, "PER") for i in range(0, len(words), 2)]
    found = steps.pairs(words, spans)
    assert len(found) == steps.PAIRS
    assert [0, 2] not in found  # A and A
    far = [pair for pair in combinations(range(len(spans)), 2) if list(pair) not in found]
    assert all(j - i >= 2 for i, j in far)


def test_kappa_of_a_table_by_hand():
    # Seen alike 5 of 8; by chance (4 × 5 + 4 × 3) / 64 = 1/2: (5/8 − 1/2) / (1 − 1/2) = 1/4.
    a = ["beat"] * 4 + ["none"] * 4
    b = ["beat"] * 3 + ["none"] + ["beat"] * 2 + ["none"] * 2
    found = steps.kappas(a, b, range(8), draws=200)
    for name in ("all", "any", "beat"):
        assert found[name]["kappa"] == 0.25
        assert found[name]["agree"] == 5
        low, high = found[name]["interval"]
        assert -1 <= low < 0.25 < high <= 1
    assert (found["beat"]["a"], found["beat"]["b"], found["beat"]["both"]) == (4, 5, 3)
    assert found.keys() == {"all", "any", "beat"}
    # Directions count for all labels, and for none of the single ones.
    turned = steps.kappas(["beat", "none"], ["beat <", "none"], range(2), draws=20)
    assert (turned["all"]["agree"], turned["beat"]["agree"]) == (1, 2)


def test_the_agreement_on_events_is_what_is_stored():
    stored = json.loads((event_steps.FOLDER / "agreement.json").read_text("utf-8"))
    assert event_steps.agreement() == stored


@pytest.mark.parametrize("name", EVENT_FILES)
def test_slots_stand_in_the_sentence_and_fit_the_event(name):
    for dataset in events.conll_events(event_steps.FOLDER, name).values():
        for row in dataset:
            for event, slots in events.SLOTS.items():
                for span in (row[slot] for slot in slots):
                    assert not span or row["event"] == event
                    assert not span or 0 <= span[0] < span[1] <= len(row["tokens"])
            first = {"win": ("winner", "loser"), "purchase": ("buyer", "target"), "none": ()}
            filled = [row[slot] for slot in first[row["event"]] if row[slot]]
            assert filled or row["event"] == "none"


def test_notes_of_events_become_spans():
    tokens = {"train-1": ["A", "beat", "B", "6-2", "6-1", "in", "C", "."]}
    row = {"id": "train-1", "entities": [[0, 1, "PER"], [2, 3, "PER"], [6, 7, "LOC"]]}
    [found] = event_steps.from_notes(["train-1 win winner=0 score=6-2_6-1"], [row], tokens)
    assert found["slots"] == {"winner": [0, 1], "score": [3, 5]}
    for note in ("train-1 win price=6-2", "train-1 win score=7-5", "train-1 draw", "train-1"):
        with pytest.raises(ValueError, match="train-1"):
            event_steps.from_notes([note], [row], tokens)
