"""Words as tags and back: any row of tags gives words that make up the text, and names are IOB2."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.data.segmentation import BMES, bmes, entities, spans, words_of

WORDS = st.lists(st.text("中国人民日报", min_size=1, max_size=5), max_size=8)


def test_a_sentence_by_hand():
    words = ["江", "泽民", "会见", "代表团"]
    assert bmes(words) == ["S", "B", "E", "B", "E", "B", "M", "E"]
    assert spans(words) == {(0, 1), (1, 3), (3, 5), (5, 8)}


@given(WORDS)
def test_tags_give_the_words_back(words):
    assert words_of("".join(words), bmes(words)) == words


@given(st.lists(st.sampled_from(BMES), max_size=12))
def test_any_tags_give_words_that_make_up_the_text(tags):
    text = "天地玄黄宇宙洪荒日月盈昃"[: len(tags)]
    words = words_of(text, tags)
    assert "".join(words) == text
    assert all(words)


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ("MME", ["天地玄"]),
        ("BBE", ["天", "地玄"]),
        ("SME", ["天", "地玄"]),
        ("EMM", ["天", "地玄"]),
    ],
)
def test_tags_that_contradict_each_other(tags, words):
    assert words_of("天地玄", [*tags]) == words


def test_family_and_given_name_are_one_person_and_two_people_are_two():
    words = ["江", "泽民", "李", "鹏", "在", "北京", "，", "新华社"]
    pos = ["nr", "nr", "nr", "nr", "p", "ns", "w", "nt"]
    names = "B-PER I-PER I-PER B-PER I-PER O B-LOC I-LOC O B-ORG I-ORG I-ORG"
    assert entities(words, pos) == names.split()


def test_a_single_name_and_names_of_places_side_by_side():
    words = ["克林顿", "中国", "北京"]
    assert entities(words, ["nr", "ns", "ns"]) == (
        ["B-PER", "I-PER", "I-PER", "B-LOC", "I-LOC", "B-LOC", "I-LOC"]
    )


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="Word 1 is empty"):
        bmes(["天", ""])
    with pytest.raises(ValueError, match="2 characters and 1 tags"):
        words_of("天地", ["B"])
    with pytest.raises(ValueError, match="1 words and 2 parts"):
        entities(["天"], ["n", "n"])
