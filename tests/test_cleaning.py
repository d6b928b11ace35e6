"""Rows that are dropped, each with its reason, and splits that no text and no group crosses."""

from collections import Counter
from itertools import pairwise

import pytest
from datasets import ClassLabel, Dataset, Features, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.data import corpora
from helpers.data.cleaning import near_copies, words

STORY = " ".join(f"word{i}" for i in range(40))


def dataset(texts, labels=None, **columns):
    labels = labels or ["a"] * len(texts)
    names = sorted(set(labels))
    features = Features(
        text=Value("string"), label=ClassLabel(names=names), **{c: Value("string") for c in columns}
    )
    given = {"text": texts, "label": [names.index(label) for label in labels], **columns}
    return Dataset.from_dict(given, features=features)


def reasons(rows, **options):
    kept, report = corpora.clean(rows, **options)
    found = {row["text"]: row["reason"] for row in report.dropped}
    assert report.n_read == len(rows) == len(kept) + len(report.dropped)
    assert kept.features == rows.features
    return list(kept["text"]), found, report


def test_each_row_that_is_dropped_has_its_reason():
    copy, other = f"{STORY} and more words", STORY.replace("word39", "end")
    texts = ["Fine.", " …!", "fine", "Bad?", "bad", copy, STORY, other, "great 👍", "great 👎"]
    labels = ["a", "a", "a", "a", "b", "a", "a", "b", "a", "b"]
    kept, found, report = reasons(
        dataset(texts, labels, source=[f"t.csv, line {i}" for i in range(10)])
    )
    assert kept == ["Fine.", copy, "great 👍", "great 👎"]
    assert found == {
        " …!": "empty",
        "fine": "duplicate",
        "Bad?": "conflicting labels",
        "bad": "conflicting labels",
        STORY: "near-duplicate",
        other: "near-duplicate with another label",
    }
    assert {row["text"]: row["of"] for row in report.dropped}["fine"] == "t.csv, line 0"
    printed = str(report)
    assert "10 rows read, 4 kept" in printed
    assert all(f"1 {reason}: t.csv, line" in printed for reason in ("empty", "duplicate"))


@pytest.mark.parametrize(
    ("long", "copy", "other"),
    [
        (
            "这家酒店的房间很大也很干净服务员很热情下次还会再来住",
            "这家酒店的房间很大也很干净服务员很热情",
            "早餐一般但是价格便宜位置也很方便",
        ),
        (
            "โรงแรมนี้ห้องใหญ่และสะอาดมากพนักงานใจดีจะกลับมาอีก",
            "โรงแรมนี้ห้องใหญ่และสะอาดมากพนักงานใจดี",
            "อาหารเช้าธรรมดาแต่ราคาถูกและเดินทางสะดวก",
        ),
    ],
)
def test_copies_are_found_where_no_spaces_are_written(long, copy, other):
    kept, found, _ = reasons(dataset([copy, other, long]))
    assert kept == [other, long]
    assert found == {copy: "near-duplicate"}


def test_vowel_signs_make_another_word():
    assert words("हिन्दी भाषा") == ("हिन्दी", "भाषा")
    assert len(words("ภาษาไทย")) == 1
    texts = ["कि", "की", "किताब पढ़ी", "कताब पढ़ी"]
    assert reasons(dataset(texts, list("abab")))[0] == texts


def test_the_share_of_what_is_copied_decides():
    edited = STORY.replace("word20", "new")  # of 36 sequences of five, 31 stand in the story
    assert near_copies([edited, STORY + " on"]) == {0: 1}
    assert len(reasons(dataset([edited, STORY + " on"]), share=0.8)[0]) == 1
    assert len(reasons(dataset([edited, STORY + " on"]), share=0.9)[0]) == 2
    # One of four sequences is a quarter, which is enough.
    assert near_copies(["a b c d e f g h", "a b c d e, and from here on another"]) == {0: 1}


def test_sentences_of_words_are_cleaned_too():
    rows = Dataset.from_dict(
        {
            "tokens": [["Jo", "ran"], ["Jo", "ran"], ["..."], ["UN"], ["UN"]],
            "ner_tags": [[1, 0], [1, 0], [0], [3], [1]],
        }
    )
    kept, report = corpora.clean(rows)
    assert list(kept["tokens"]) == [["Jo", "ran"]]
    assert Counter(row["reason"] for row in report.dropped) == {
        "duplicate": 1,
        "empty": 1,
        "conflicting labels": 2,
    }


def test_an_empty_cell_is_an_empty_text():
    rows = Dataset.from_dict({"text": ["a b", None]})
    assert corpora.clean(rows)[1].dropped[0]["reason"] == "empty"


@pytest.mark.parametrize("use", [corpora.clean, lambda rows: corpora.split(rows, seed=0)])
def test_a_row_without_a_label_is_named(use):
    rows = Dataset.from_dict({"text": ["a b", "c d", "e f"], "label": [0, None, 1]})
    with pytest.raises(ValueError) as caught:
        use(rows)
    assert "Row 1" in str(caught.value)


def test_no_rows_are_no_split():
    with pytest.raises(ValueError) as caught:
        corpora.split(dataset(["a"]).select([]), seed=0)
    assert "0 rows" in str(caught.value)


def test_rows_without_a_text_are_told_how_to_name_it():
    for function in (corpora.clean, lambda rows: corpora.split(rows, seed=0)):
        with pytest.raises(ValueError, match="rename_column"):
            function(Dataset.from_dict({"message": ["a"]}))


# Splits


def shares(rows):
    parts = corpora.split(rows, seed=1)
    return {name: Counter(part["label"]) for name, part in parts.items()}


def test_every_class_has_its_share_whatever_the_order():
    rows = dataset([f"text {i}" for i in range(100)], ["a"] * 80 + ["b"] * 17 + ["c"] * 3)
    assert shares(rows) == {
        "train": {0: 56, 1: 12, 2: 1},
        "validation": {0: 8, 1: 2, 2: 1},
        "test": {0: 16, 1: 3, 2: 1},
    }
    backwards = rows.select(range(99, -1, -1))
    for seed in (0, 1):
        one, two = (corpora.split(r, seed=seed) for r in (rows, backwards))
        assert {k: v.to_dict() for k, v in one.items()} == {k: v.to_dict() for k, v in two.items()}
    labels = one["test"]["label"][:]
    assert sum(a != b for a, b in pairwise(labels)) > 2  # shuffled


def test_a_class_has_its_share_at_both_ends_of_a_split_too():
    labels = ["common"] * 1_800 + ["rare"] * 200
    rows = dataset([f"text {i}" for i in range(2_000)], labels)
    ends = Counter()
    for seed in range(20):  # a tenth of the validation rows, from either end
        order = corpora.split(rows, seed=seed)["validation"]["label"][:]
        tenth = len(order) // 10
        ends["first"] += sum(order[:tenth])
        ends["last"] += sum(order[-tenth:])
    expected = 0.1 * 20 * tenth
    for end, found in ends.items():  # four standard deviations
        assert abs(found - expected) < 4 * (0.9 * expected) ** 0.5, (end, found, expected)


def test_the_seed_decides():
    rows = dataset([f"text {i}" for i in range(100)])
    tests = [set(corpora.split(rows, seed=seed)["test"]["text"]) for seed in (0, 0, 1)]
    assert tests[0] == tests[1] != tests[2]


def test_a_text_that_stands_twice_is_in_one_split():
    rows = dataset([f"text {i // 2}" + "!" * (i % 2) for i in range(60)])
    parts = [
        {words(text) for text in part["text"]} for part in corpora.split(rows, seed=0).values()
    ]
    assert not parts[0] & parts[1] and not parts[1] & parts[2] and not parts[0] & parts[2]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 12), min_size=30, max_size=60), st.integers(0, 9))
def test_no_group_crosses_a_split(sizes, seed):
    groups = [group for group, size in enumerate(sizes) for _ in range(size)]
    labels = ["ab"[group % 3 == 0] for group in groups]
    rows = dataset([f"text {i}" for i in range(len(groups))], labels, author=list(map(str, groups)))
    parts = corpora.split(rows, seed=seed, group="author")
    authors = [set(part["author"]) for part in parts.values()]
    assert sum(map(len, authors)) == len(set.union(*authors)) == len(sizes)
    assert sum(len(part) for part in parts.values()) == len(rows)
    assert 0.1 <= len(parts["test"]) / len(rows) <= 0.3


def test_one_large_group_does_not_make_the_test_set():
    groups = ["big"] * 60 + [f"g{i}" for i in range(40)]
    rows = dataset([f"text {i}" for i in range(100)], author=groups)
    for seed in range(20):
        assert len(corpora.split(rows, seed=seed, group="author")["train"]) >= 60


@pytest.mark.parametrize(
    ("labels", "options", "parts"),
    [
        (["a"] * 8 + ["b"] * 2, {}, ["'b'", "2 rows", "t.csv, line 8"]),
        (["a"] * 5 + ["b"] * 5, {"group": "author"}, ["'b'", "5 rows", "in 1 groups"]),
        (["a"] * 5 + ["b"] * 5, {"group": "writer"}, ["'writer'", "author", "keep=['writer']"]),
        (["a"] * 10, {"test": -0.1}, ["-0.1", "from 0"]),
        (["a"] * 10, {"test": 0.9, "validation": 0.1}, ["0.9", "a rest for training"]),
    ],
)
def test_a_split_that_cannot_be_made_is_refused(labels, options, parts):
    rows = dataset(
        [f"text {i}" for i in range(10)],
        labels,
        author=[f"{i // 5 or i}" for i in range(10)],
        source=[f"t.csv, line {i}" for i in range(10)],
    )
    with pytest.raises(ValueError) as caught:
        corpora.split(rows, seed=0, **options)
    assert all(part in str(caught.value) for part in parts), str(caught.value)


def test_without_a_validation_set():
    rows = dataset([f"text {i}" for i in range(10)])
    parts = corpora.split(rows, seed=0, validation=0)
    assert {name: len(part) for name, part in parts.items()} == {"train": 8, "test": 2}
