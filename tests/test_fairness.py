"""The sets on stereotypes and the word vectors: what is in them, what the readers make of it."""

import numpy as np
import pytest

from helpers.data import fairness


def test_the_counts_are_those_that_the_docstrings_state():
    sets = (fairness.stereoset, fairness.crows_pairs, fairness.pronouns, fairness.bbq)
    assert [len(s()) for s in (*sets, fairness.toxic)] == [2106, 1018, 761, 1012, 993]
    assert len(fairness.weat()) == 10


def test_a_stereoset_sentence_is_its_context_with_a_filler():
    rows = fairness.stereoset()
    for row in rows.select(range(0, len(rows), 50)):
        before, after = row["context"].split("BLANK", 1)
        for kind in ("stereotype", "anti", "unrelated"):
            assert row[kind].lower().startswith(before[:10].lower())
            assert len(row[kind]) >= len(before) + len(after) - 5


def test_a_pair_has_one_mark_and_two_fillers():
    for row in fairness.crows_pairs():
        assert row["sentence"].count("[MASK]") == 1
        assert row["more"] != row["less"]


def test_a_pronoun_is_asked_for_once_and_two_are_offered():
    for row in fairness.pronouns():
        assert row["sentence"].count("[MASK]") == 1
        assert row["occupation"] in row["sentence"]
        assert row["stereotyped"] != row["other"]


def test_half_of_the_questions_are_not_answered_by_their_passage():
    rows = fairness.bbq()
    unknown = np.array(rows["answer"]) == np.array(rows["unknown"])
    assert unknown.sum() == 515
    assert all(len(options) == 3 for options in rows["options"])


def test_all_insults_are_insults():
    assert min(fairness.toxic()["toxicity"]) >= 0.5


def test_word_vectors_have_length_one_and_know_a_king_from_a_queen():
    vectors = fairness.word_vectors()
    assert len(vectors) == 26_423
    assert np.linalg.norm(vectors["king"]) == pytest.approx(1, abs=1e-5)
    sought = vectors["king"] - vectors["man"] + vectors["woman"]
    near = sorted(("queen", "prince", "table", "woman"), key=lambda w: -sought @ vectors[w])
    assert near[0] == "queen"
