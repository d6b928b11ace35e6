"""The semantic roles labelled for chapter 21: joined with the corpus, complete, agreed on."""

import json
import re

import pytest

from experiments import roles as steps
from experiments.relations import FOLDER as RELATIONS
from helpers.data import disk, relations, roles


def test_each_candidate_is_labelled_and_a_hundred_twice():
    rows = steps.read("candidates.jsonl")
    assert len(rows) == sum(steps.NUMBERS.values()) == 200
    labelled = [row["id"] for row in relations.read_rows(RELATIONS / "candidates.jsonl")]
    assert {row["id"] for row in rows} <= set(labelled)
    for name in ("labels-a.jsonl", "labels.jsonl"):
        assert [row["id"] for row in steps.read(name)] == [row["id"] for row in rows]
    twice = [row["id"] for row in steps.of_labelling("b", rows)]
    assert [row["id"] for row in steps.read("labels-b.jsonl")] == twice
    assert len(twice) == steps.TWICE


def test_each_verb_is_a_row_whose_words_are_of_the_sentence():
    data = roles.conll_roles(steps.FOLDER)
    marked = sum(len(row["verbs"]) for row in steps.read("candidates.jsonl"))
    unused = sum(not v["way"] for row in steps.read("labels.jsonl") for v in row["verbs"])
    assert sum(map(len, data.values())) == marked - unused
    for rows in data.values():
        for row in rows:
            filled = [row[name] for name in (*roles.ROLES, *roles.TREE)]
            assert all(-1 <= place < len(row["tokens"]) for place in filled)
            assert row["verb"] not in filled
            assert row["way"] in roles.WAYS
            assert row["passive"] or row["by"] < 0
            if row["way"] in ("coordinated", "infinitive", "participle"):
                assert row["subject"] < 0  # as the guideline has it


def test_no_document_is_in_two_splits():
    data = roles.conll_roles(steps.FOLDER)
    assert {split: len({*rows["sentence"]}) for split, rows in data.items()}["test"] <= 80
    assert [*data] == [*roles.SPLITS]  # which are the corpus's, whose documents are apart


def test_the_steps_give_the_committed_files():
    assert json.loads(json.dumps(steps.draw())) == steps.read("candidates.jsonl")
    assert json.loads((steps.FOLDER / "agreement.json").read_text()) == steps.agreement()
    differ = len(steps.disagreements())
    assert len(steps.read("adjudication.jsonl")) == differ
    assert steps.agreement()["verbs alike in all"] == steps.agreement()["way"]["verbs"] - differ


def test_a_decision_stands_in_the_final_labels():
    final = {row["id"]: row["verbs"] for row in steps.read("labels.jsonl")}
    for decided in steps.read("adjudication.jsonl"):
        assert decided["final"] in final[decided["id"]]
        assert decided["why"]


def test_another_text_than_the_labelled_one_is_refused(tmp_path):
    for name in ("candidates.jsonl", "labels.jsonl"):
        disk.write_file(tmp_path / name, (steps.FOLDER / name).read_text("utf-8"))
    text = (tmp_path / "candidates.jsonl").read_text("utf-8")
    changed = re.sub('"sha256": "[0-9a-f]{16}"', '"sha256": "0000000000000000"', text, count=1)
    disk.write_file(tmp_path / "candidates.jsonl", changed)
    with pytest.raises(ValueError, match=r"Sentence train-222 has the digest [0-9a-f]{16}"):
        roles.conll_roles(tmp_path)


def test_a_verb_without_labels_is_named(tmp_path):
    disk.write_file(
        tmp_path / "candidates.jsonl", (steps.FOLDER / "candidates.jsonl").read_text("utf-8")
    )
    first, *others = steps.read("labels.jsonl")
    lines = [first | {"verbs": []}, *others]
    disk.write_file(tmp_path / "labels.jsonl", "".join(json.dumps(x) + "\n" for x in lines))
    with pytest.raises(ValueError, match=r"Sentence train-222: expected labels for the verbs \[4"):
        roles.conll_roles(tmp_path)


ROW = steps.read("candidates.jsonl")[0]  # one verb, at 4, in fourteen words


def test_a_note_becomes_labels():
    [row] = steps.from_notes(["train-222 4 r+ p3 t11 | s4 b7"], [ROW])
    words = {"patient": 3, "when": 11, "subject": 4, "by": 7}
    assert row["verbs"] == [{"verb": 4, "way": "relative", "passive": True, "words": words}]
    [row] = steps.from_notes(["train-222 4 x"], [ROW])
    assert row["verbs"][0]["way"] == ""


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "train-222 4: '' isn't a way"),
        (["train-222 4 m", "train-222 4 m"], "train-222 4: twice"),
        (["train-222 4 q"], "'q' isn't a way"),
        (["train-222 4 x a3"], "'x' isn't a way"),
        (["train-222 4 m z3"], "z3 isn't a note"),
        (["train-222 4 m a14"], "a14 isn't a note"),
        (["train-222 4 m a3 a5"], "a5 is a second one"),
        (["train-222 4 m", "train-222 5 m"], "train-222 5: nothing to label"),
    ],
)
def test_wrong_notes_are_named(lines, message):
    with pytest.raises(ValueError, match=message):
        steps.from_notes(lines, [ROW])


def test_words_of_one_group_are_the_same_word():
    row = {"groups": [[1, 4]]}
    assert [steps.word(place, row) for place in range(5)] == [0, 3, 3, 3, 4]
