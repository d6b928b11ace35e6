"""Conversations between two people, as ``datasets.DatasetDict``, turn by turn.

Who wrote a turn is never read: the file's pseudonymous sender ids and times stay in it. Only the
order of the turns tells the two speakers apart, who take turns.
"""

import json
import re
from pathlib import Path

from datasets import Dataset, DatasetDict

from helpers.data import assets, cleaning

__all__ = ["chitchat"]

SHORTEST = 4  # turns: two of each speaker
# What could lead to a person, and what stands there instead.
MASKED = (
    (re.compile(r"\S+@\S+\.\w+"), "[email]"),
    (re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE), "[link]"),
    (re.compile(r"(?<!\w)@[\w.]{2,}"), "[name]"),
    (re.compile(r"(?<!\w)\+?\(?\d[\d\s().-]{5,}\d(?!\w)"), "[number]"),
    (re.compile(r"(?<=\bmy name is )\w+|(?<=\bmy name's )\w+", re.IGNORECASE), "[name]"),
)


def chitchat() -> DatasetDict:
    """3,238 conversations of four turns or more, from a competition in small talk.

    Students of a university and their friends chatted in pairs in 2018; a question on the screen
    suggested what to talk about. Messages that one person sent in a row are one turn. Addresses,
    links, long numbers and names after "my name is" are masked; other names of people stay, as
    in any chat, so don't publish what a model writes after it. A turn with no letter or digit
    ends its conversation.

    A conversation is in one split; a person can be in several, since who spoke isn't read.

    Hub twin: none known; ``HuggingFaceTB/smoltalk`` holds conversations in the same roles, in a
    column ``messages``: those that SmolLM2 was tuned on.
    Licence: MIT. Myers, Etchart and Fulda (2020), Conversational Scaffolding: An Analogy-Based
    Approach to Response Prioritization in Open-Domain Dialogs, ICAART.

    Returns:
        Columns ``topic`` (str, the question on the screen, "" where none is recorded) and
        ``turns`` (a list of str, the first speaker's at even places).

    Raises:
        AssetError: the file is not cached whole and cannot be fetched.
    """
    file = Path(assets.path("chitchat"), "dataset.json")
    rows = []
    for conversation in json.loads(file.read_text("utf-8")).values():
        turns = _turns(conversation["messages"])
        if len(turns) >= SHORTEST:
            rows.append({"topic": conversation.get("prompt") or "", "turns": turns})
    parts = cleaning.split_rows(["\n".join(row["turns"]) for row in rows], [0] * len(rows))
    return DatasetDict(
        {part: Dataset.from_list([rows[i] for i in chosen]) for part, chosen in parts.items()}
    )


def _turns(messages: list[list[dict[str, str]]]) -> list[str]:
    """One text a turn, up to the first that says nothing."""
    turns = []
    for turn in messages:
        text = _clean(" ".join(message["text"] for message in turn))
        if not re.search(r"\w", text):
            break
        turns.append(text)
    return turns


def _clean(text: str) -> str:
    """A text in one line, with what could lead to a person masked."""
    for pattern, instead in MASKED:
        text = pattern.sub(instead, text)
    return " ".join(text.split())
