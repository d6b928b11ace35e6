"""Texts and their summaries: exact counts, nothing empty, no text in two splits or two corpora."""

import json
from itertools import combinations

import pytest

from helpers.data import assets, cleaning, corpora, summaries


@pytest.fixture(scope="module", params=["xsum", "multi_lex_sum"])
def corpus(request):
    return getattr(summaries, request.param)()


def test_the_columns_and_counts(corpus):
    counts = [len(corpus[split]) for split in ("train", "validation", "test")]
    assert counts in ([698, 100, 200], [590, 84, 169])
    for split in corpus.values():
        assert split.column_names == ["id", "document", "summary"]
        assert all(split["document"]) and all(split["summary"])
        assert len(set(split["id"])) == len(split)


def test_no_text_is_in_two_splits(corpus):
    for one, other in combinations(corpus.values(), 2):
        assert not set(one["document"]) & set(other["document"])


def test_the_same_rows_each_time(corpus):
    again = summaries.xsum() if len(corpus["test"]) == 200 else summaries.multi_lex_sum()
    assert all(again[name]["id"] == corpus[name]["id"] for name in corpus)


def test_no_article_of_xsum_repeats_one_of_bbc_news():
    articles = [text for split in summaries.xsum().values() for text in split["document"]]
    rows = [row for split in corpora.bbc_news().values() for row in split]
    older = [f"{row['headline']}\n{row['body']}" for row in rows]
    assert cleaning.near_copies(articles + older) == {}


def test_the_pairs_of_a_true_and_a_false_summary():
    pairs = summaries.factual_pairs()
    assert pairs.column_names == ["sentence", "true", "false"]
    assert len(pairs) == 368 and len(set(pairs["sentence"])) == 209
    assert all(row["true"] != row["false"] and all(row.values()) for row in pairs)


def test_copies_and_empty_rows_are_dropped_and_lines_are_mended(tmp_path, monkeypatch):
    monkeypatch.setattr(assets, "path", lambda _: str(tmp_path))
    words = [f"word{i}" for i in range(20)]
    texts = [" ".join([*words, str(i), f"end{i}"]) for i in range(2)]  # two that share 20 words
    texts += [f"  Text number {i}.  \n\n\n Second line of {i}. " for i in range(10)]
    rows = [{"document": text, "summary": "A  summary\nof it. "} for text in texts]
    rows += [{"document": " \n ", "summary": "of nothing"}, {"document": "text", "summary": ""}]
    (tmp_path / "XSum").mkdir()
    lines = "\n".join(json.dumps(row) for row in rows)
    (tmp_path / "XSum" / "test.jsonl").write_text(lines, encoding="utf-8")
    kept = [row for split in summaries.xsum().values() for row in split]
    assert len(kept) == 11
    assert {row["summary"] for row in kept} == {"A summary of it."}
    mended = {row["document"] for row in kept if row["document"].startswith("Text")}
    assert mended == {f"Text number {i}.\nSecond line of {i}." for i in range(10)}
