"""Word-level tags on subword pieces: alignment, long sentences in windows, and IOB2.

An IOB2 tag is "O", or "B-" at the first word of an entity and "I-" at its others, with the
entity's type behind (Tjong Kim Sang and Veenstra, EACL 1999).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from helpers.data.masking import IGNORED

__all__ = ["align_labels", "check_iob2", "encode_words", "may_follow", "words_from_windows"]


def align_labels(word_ids: Sequence[int | None], labels: Sequence[int]) -> list[int]:
    """One label for each piece: a word's label at its first piece, `IGNORED` elsewhere.

    The loss and the prediction then count each word once, however many pieces it has (Devlin et
    al., NAACL 2019, section 5.3).

    Args:
        word_ids: the index of the word that each piece belongs to, None for special tokens and
            padding; what `tokenizer(words, is_split_into_words=True).word_ids()` gives.
        labels: one for each word.

    Raises:
        ValueError: a piece belongs to a word that has no label.
    """
    last = max((word for word in word_ids if word is not None), default=-1)
    if last >= len(labels):
        raise ValueError(
            f"The pieces belong to {last + 1} words and there are {len(labels)} labels: give one "
            "label for each word, of the same sentence."
        )
    aligned, previous = [], None
    for word in word_ids:
        first = word is not None and word != previous
        aligned.append(labels[word] if first else IGNORED)
        previous = word
    return aligned


def encode_words(
    tokenizer: PreTrainedTokenizerBase,
    sentences: Sequence[Sequence[str]],
    labels: Sequence[Sequence[int]] | None = None,
    *,
    max_length: int,
    overlap: int = 0,
) -> Dataset:
    """Tokenize sentences that are split into words; a long one becomes several windows.

    No word is lost. Neighbouring windows share `overlap` pieces, and a word in two of them counts
    in the one where it stands further from the edge, so where it has more context.

    Args:
        tokenizer: a fast one, which knows the word of each piece.
        sentences: words of each sentence.
        labels: a class for each word, as ints; None to predict only.
        max_length: pieces in a window, special tokens included; at most what the model has
            positions for.
        overlap: pieces that neighbouring windows share.

    Returns:
        A row for each window: `input_ids`, `attention_mask`, `sentence` (index of the sentence),
        `words` (for each piece the index of the word that it stands for, `IGNORED` where it
        stands for none) and, with labels, `labels` (for each piece the class or `IGNORED`).

    Raises:
        ValueError: a slow tokenizer; a sentence without words, or a word without pieces; words
            and labels of different numbers (the message names the sentence); an overlap that
            leaves no room for new pieces.
    """
    _check_sentences(tokenizer, sentences, labels)
    content = max_length - tokenizer.num_special_tokens_to_add()
    if not 0 <= overlap < content:
        raise ValueError(
            f"overlap is {overlap}; windows of {max_length} pieces hold {content} of the text, so "
            f"expected 0 to {content - 1}."
        )
    encoded = tokenizer(
        [list(words) for words in sentences],
        is_split_into_words=True,
        truncation=True,
        max_length=max_length,
        stride=overlap,
        return_overflowing_tokens=True,
        return_token_type_ids=False,
    )
    owners = encoded["overflow_to_sample_mapping"]
    columns: dict[str, list[Any]] = {
        "input_ids": encoded["input_ids"],
        "attention_mask": encoded["attention_mask"],
        "sentence": owners,
        "words": _count_once(
            [encoded.word_ids(row) for row in range(len(owners))], owners, overlap
        ),
    }
    _check_covered(columns, sentences)
    if labels is not None:
        columns["labels"] = [
            [IGNORED if word == IGNORED else labels[owner][word] for word in words]
            for owner, words in zip(owners, columns["words"], strict=True)
        ]
    return Dataset.from_dict(columns)


def words_from_windows(windows: Dataset, values: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """What was predicted for pieces, gathered for words: the inverse of `encode_words`.

    Args:
        windows: from `encode_words`.
        values: for each window a value for each piece; padding behind may have values too.

    Returns:
        For each sentence a value for each word.

    Raises:
        ValueError: there are more or fewer windows than rows of values.
    """
    if len(values) != len(windows):
        raise ValueError(f"{len(windows)} windows and values for {len(values)}; expected as many.")
    found: list[dict[int, Any]] = [{} for _ in range(max(windows["sentence"], default=-1) + 1)]
    for sentence, words, row in zip(windows["sentence"], windows["words"], values, strict=True):
        found[sentence] |= {w: row[piece] for piece, w in enumerate(words) if w != IGNORED}
    return [[words[w] for w in range(len(words))] for words in found]


def may_follow(names: Sequence[str]) -> np.ndarray:
    """Which tag may stand behind which: bool (tags + 1, tags), the last row for the start.

    I-X may only follow B-X or I-X; every other tag may stand anywhere.

    Args:
        names: the tags, in the order of their classes.

    Raises:
        ValueError: a name is no IOB2 tag.
    """
    for name in names:
        if name != "O" and (name[:2] not in ("B-", "I-") or len(name) < 3):
            raise ValueError(f"{name!r} is no IOB2 tag; expected O, B-TYPE or I-TYPE.")
    allowed = np.ones((len(names) + 1, len(names)), dtype=bool)
    for column, name in enumerate(names):
        if name.startswith("I-"):
            allowed[:-1, column] = [before[1:] == name[1:] for before in names]
            allowed[-1, column] = False
    return allowed


def check_iob2(sentences: Sequence[Sequence[str]]) -> None:
    """Refuse tags that aren't IOB2, above all those of a file in IOB1.

    IOB1 begins an entity with I-, and with B- only where another one of its type ends just
    before; read as IOB2 it would lose most entities.

    Args:
        sentences: the tags of each, as names.

    Raises:
        ValueError: the message names the sentence and the word, counted from 0.
    """
    for number, tags in enumerate(sentences):
        for word, (before, tag) in enumerate(zip(["O", *tags[:-1]], tags, strict=True)):
            if tag != "O" and (tag[:2] not in ("B-", "I-") or len(tag) < 3):
                raise ValueError(
                    f"Sentence {number}, word {word}: {tag!r} is no IOB2 tag; expected O, B-TYPE "
                    "or I-TYPE."
                )
            if tag.startswith("I-") and before[1:] != tag[1:]:
                raise ValueError(
                    f"Sentence {number}, word {word}: {tag!r} follows {before!r}, and an entity "
                    "begins with B- in IOB2. Is the file in IOB1? Convert it: write B- at the "
                    "first word of each entity."
                )


def _check_sentences(
    tokenizer: PreTrainedTokenizerBase,
    sentences: Sequence[Sequence[str]],
    labels: Sequence[Sequence[int]] | None,
) -> None:
    if not tokenizer.is_fast:
        raise ValueError(
            f"{type(tokenizer).__name__} is a slow tokenizer and doesn't know which word a piece "
            "belongs to (word_ids). Load the fast one, with AutoTokenizer and a tokenizer.json."
        )
    if labels is not None and len(labels) != len(sentences):
        raise ValueError(f"{len(sentences)} sentences and labels for {len(labels)}.")
    for number, words in enumerate(sentences):
        if isinstance(words, str) or not len(words):
            raise ValueError(
                f"Sentence {number} is {words!r}; expected a list of at least one word."
            )
        if labels is not None and len(labels[number]) != len(words):
            raise ValueError(
                f"Sentence {number} has {len(words)} words and {len(labels[number])} labels: "
                f"{' '.join(words)[:60]!r}."
            )


def _count_once(
    word_ids: Sequence[Sequence[int | None]], owners: Sequence[int], overlap: int
) -> list[list[int]]:
    """For each piece of each window the word that it stands for, each word once."""
    firsts: dict[tuple[int, int], int] = {}  # (sentence, word) -> its first piece's place
    best: dict[tuple[int, int], tuple[int, int, int]] = {}  # -> (margin, window, piece)
    start, length, previous = 0, 0, None
    for window, (owner, row) in enumerate(zip(owners, word_ids, strict=True)):
        real = [piece for piece, word in enumerate(row) if word is not None]
        # A window may begin inside a word, so count places from the sentence's beginning.
        start = start + length - overlap if owner == previous else 0
        for place, piece in enumerate(real, start=start):
            key = owner, row[piece]
            margin = min(piece, len(row) - 1 - piece)
            if firsts.setdefault(key, place) == place and margin > best.get(key, (-1,))[0]:
                best[key] = margin, window, piece
        previous, length = owner, len(real)
    counted = [[IGNORED] * len(row) for row in word_ids]
    for (_, word), (_, window, piece) in best.items():
        counted[window][piece] = word
    return counted


def _check_covered(columns: dict[str, list[Any]], sentences: Sequence[Sequence[str]]) -> None:
    found: list[set[int]] = [set() for _ in sentences]
    for sentence, words in zip(columns["sentence"], columns["words"], strict=True):
        found[sentence] |= set(words)
    for number, words in enumerate(sentences):
        lost = [word for word in range(len(words)) if word not in found[number]]
        if lost:
            raise ValueError(
                f"Sentence {number}: the tokenizer gives no piece for word {lost[0]}, "
                f"{words[lost[0]]!r}. Leave the word out, or put the unknown token in its place."
            )
