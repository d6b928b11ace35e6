"""The page of questions: short answers, each with a link, and numbers that chapters measured."""

import json
import re

import pytest

from tools.set_address import ROOT

PAGE = (ROOT / "book" / "faq.md").read_text("utf-8")
ANSWERS = dict(re.findall(r"^### (.+)\n\n((?:(?!#).+\n|\n)+)", PAGE, re.MULTILINE))
CHOICE = {
    (row["task"], row["method"]): row
    for row in json.loads((ROOT / "notebooks/results/15-model-choice.json").read_text("utf-8"))[
        "rows"
    ]
}


def accuracy(task, method):
    row = CHOICE[task, method]
    return row["right"] / row["test_texts"]


def test_every_question_is_read():
    assert len(ANSWERS) == PAGE.count("\n### ") >= 32


@pytest.mark.parametrize("question", ANSWERS)
def test_an_answer_is_short_and_leads_on(question):
    answer = ANSWERS[question]
    assert re.search(r"\]\((#[\w-]+|[\w-]+\.md(#[\w-]+)?)\)", answer)
    sentences = re.findall(r"[.!?](?=\s)", answer)
    assert 1 <= len(sentences) <= 3
    assert len(answer.split()) <= 100


def test_the_numbers_are_those_of_the_chapters():
    small, large = (
        CHOICE["sentiment", "MiniLM, fine-tuned"],
        CHOICE["sentiment", "SmolLM2, prompted"],
    )
    assert (round(small["parameters"] / 1e6), round(large["parameters"] / 1e6)) == (23, 135)
    ahead = accuracy("sentiment", "MiniLM, fine-tuned") - accuracy("sentiment", "SmolLM2, prompted")
    assert round(100 * ahead) == 6
    assert round(large["ms_per_text"] / small["ms_per_text"]) == 10
    assert round(small["ms_per_text"]) == 24
    assert round(CHOICE["topics", "MiniLM, fine-tuned"]["ms_per_text"]) == 53
    words, network = CHOICE["topics", "TF-IDF"], CHOICE["topics", "SmolLM2, frozen"]
    assert accuracy("topics", "TF-IDF") > accuracy("topics", "SmolLM2, frozen")
    assert network["parameters"] / words["parameters"] > 1000
    assert round(110e6 * 16 / 1e9, 1) == 1.8
