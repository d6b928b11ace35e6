"""Questions about passages: exact counts, answers where they are said to be, no passage twice."""

import json
from itertools import combinations
from pathlib import Path

import pytest

from helpers.data import assets, questions


@pytest.fixture(scope="module")
def extractive():
    return questions.extractive()


@pytest.fixture(scope="module")
def boolq():
    return questions.boolq()


def test_an_answer_stands_where_it_is_said_to(extractive):
    for split in extractive.values():
        for context, answers in zip(split["context"], split["answers"], strict=True):
            assert len(answers["text"]) == len(answers["answer_start"])
            for text, start in zip(answers["text"], answers["answer_start"], strict=True):
                assert text == text.strip() != ""
                assert context[start : start + len(text)] == text


def test_how_many_questions_have_no_answer(extractive):
    empty = dict.fromkeys(questions.SOURCES, 0)
    for split in extractive.values():
        for source, answers in zip(split["source"], split["answers"], strict=True):
            empty[questions.SOURCES[source]] += not answers["text"]
    assert empty == {"quac": 451, "disfl_qa": 245, "narrative_qa": 0}


@pytest.mark.parametrize("name", ["extractive", "boolq"])
def test_no_passage_is_in_two_splits(name, request):
    splits = request.getfixturevalue(name)
    column = "context" if name == "extractive" else "title"
    for one, other in combinations(splits.values(), 2):
        assert not set(one[column]) & set(other[column])


def test_ids_are_unique_and_name_the_passage(extractive):
    rows = [row for split in extractive.values() for row in split]
    assert len({row["id"] for row in rows}) == len(rows) == 5674
    assert all(row["id"].startswith(row["title"]) for row in rows)
    assert len({row["title"] for row in rows}) == len({row["context"] for row in rows})


def test_the_columns_are_those_of_squad(extractive, boolq):
    columns = ["id", "title", "context", "question", "answers", "source"]
    assert extractive["train"].column_names == columns
    assert extractive["train"].features["source"].names == [*questions.SOURCES]
    assert boolq["train"].column_names == ["title", "question", "passage", "label"]
    assert not any(" -- " in title for title in boolq["train"]["title"])


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The files of the asset, empty until a test writes one."""
    for name in ("Quac/test", "Bigbench/DisflQA/test", "NarrativeQA/test", "BoolQ/combined"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / f"{name}.jsonl").touch()
    monkeypatch.setattr(assets, "path", lambda _: str(tmp_path))

    def write(name, *rows):
        lines = "\n".join(json.dumps(row) for row in rows)
        Path(tmp_path, f"{name}.jsonl").write_text(lines, encoding="utf-8")

    return write


def read():
    return {row["question"]: row["answers"] for s in questions.extractive().values() for row in s}


def test_spans_that_were_joined_come_apart(files):
    passage = "She sang in Rome. In 1975 she left for Oslo, alone."
    asked = "question1: Where?\nquestion2: When?\nquestion3: Why?"
    answered = (
        "possible answers for question1:\nsang in Rome. Rome. In 1975 she left\n"
        "possible answers for question2:\nIn 1975 1975\n"
        "possible answers for question3:\nCANNOTANSWER CANNOTANSWER"
    )
    files("Quac/test", *[{"passage": passage, "question": asked, "answer": answered}] * 1)
    files(
        "NarrativeQA/test",
        *(
            {"passage": f"Ann met Bob {i}.", "question": f"Who {i}?", "answer": ["bob."]}
            for i in range(9)
        ),
    )
    found = read()
    assert found["Where?"]["text"] == ["sang in Rome. ".strip(), "Rome. In 1975 she left"]
    assert found["When?"] == {"text": ["In 1975", "1975"], "answer_start": [18, 21]}
    assert found["Why?"] == {"text": [], "answer_start": []}
    assert found["Who 3?"] == {"text": ["Bob"], "answer_start": [8]}


def test_an_answer_that_is_no_whole_word_of_the_passage_is_dropped(files):
    rows = [
        {"passage": f"The bobcat {i} saw Bob.", "question": f"Q{i}?", "answer": [answer, "nobody"]}
        for i, answer in enumerate(["cat", "", "bob", "saw bob", "BOB.", " Bob", "The"])
    ]
    files("NarrativeQA/test", *rows)
    found = [(name, answers["text"]) for name, answers in sorted(read().items())]
    spans = ["Bob", "saw Bob", "Bob", "Bob", "The"]
    assert found == [(f"Q{i}?", [span]) for i, span in enumerate(spans, start=2)]


def test_dashes_read_as_latin_1_are_mended(files):
    broken = "He left—at last—for Rome.".encode().decode("latin-1")
    files(
        "NarrativeQA/test",
        *(
            {"passage": f"{broken} {i}", "question": f"Q{i}?", "answer": ["at last"]}
            for i in range(4)
        ),
    )
    contexts = {row["context"] for split in questions.extractive().values() for row in split}
    assert "He left—at last—for Rome. 0" in contexts
