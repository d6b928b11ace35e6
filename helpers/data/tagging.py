"""Word-level tags on subword pieces: words of a text, alignment, windows, capital letters, IOB2.

An IOB2 tag is "O", or "B-" at the first word of an entity and "I-" at its others, with the
entity's type behind (Tjong Kim Sang and Veenstra, EACL 1999).
"""

import difflib
from collections.abc import Sequence
from itertools import chain, groupby, islice
from operator import itemgetter
from typing import Any, Literal

import numpy as np
import regex
import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from helpers.data.cleaning import UNSPACED
from helpers.hardware import IGNORED

Entity = tuple[str, int, int]  # type, first word, the word behind the last
Scheme = Literal["IOB2", "IOB1", "BIOES", "BILOU"]
# What stands in IOB2 for the beginnings of tags in these schemes.
SCHEMES = {
    "IOB2": {},
    "IOB1": {},
    "BIOES": {"E-": "I-", "S-": "B-"},
    "BILOU": {"L-": "I-", "U-": "B-"},
}

# What `word_shapes` tells apart; 0 is for pieces that stand for no word, such as [CLS].
SHAPES = ("none", "lower", "Capital", "UPPER", "miXed", "digits", "other")

_LETTER = rf"[[\p{{L}}\p{{M}}\p{{N}}_]--[{UNSPACED}]]"
_WORD = regex.compile(rf"(?V1)(?:\p{{Lu}}\.){{2,}}|{_LETTER}+(?:[-.'’&]{_LETTER}+)*|\X")


def word_spans(text: str) -> list[tuple[int, int]]:
    """Where the words of a text stand, in any script: (first character, the one behind the last).

    A word is a run of letters, digits and their marks, with hyphens, apostrophes, full stops or &
    inside (`don't`, `Al-Ain`, `4.5`), or initials (`U.N.`). Whatever else isn't space is a word by
    itself, as the reader sees characters: a punctuation mark, an emoji, a letter of Chinese,
    Japanese, Thai, Lao, Khmer or Burmese. A program that knows the words of such a language finds
    longer ones; use the one that made the words of the training data.
    """
    return [found.span() for found in _WORD.finditer(text) if not found[0].isspace()]


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
    shapes: Sequence[Sequence[int]] | None = None,
    max_length: int,
    overlap: int = 0,
) -> Dataset:
    """Tokenize sentences that are split into words; a long one becomes several windows.

    No word is lost. Neighbouring windows share `overlap` pieces, and a word in two of them counts
    in the one where it stands further from the edge, so where it has more context. A "sentence"
    may be a whole document: then each word is read with the sentences around it.

    Args:
        tokenizer: a fast one, which knows the word of each piece.
        sentences: words of each sentence.
        labels: a class for each word, as ints; None to predict only.
        shapes: a number for each word, such as those of `word_shapes`, that the model reads too.
        max_length: pieces in a window, special tokens included; at most what the model has
            positions for.
        overlap: pieces that neighbouring windows share.

    Returns:
        A row for each window: `input_ids`, `attention_mask`, `sentence` (index of the sentence),
        `words` (for each piece the index of the word that it stands for, `IGNORED` where it
        stands for none); with labels, `labels` (for each piece the class or `IGNORED`); with
        shapes, `shapes` (for each piece its word's, 0 for special tokens).

    Raises:
        ValueError: a slow tokenizer; a sentence without words, or a word without pieces; words
            and labels or shapes of different numbers (the message names the sentence); an
            overlap that leaves no room for new pieces.
    """
    if not tokenizer.is_fast:
        raise ValueError(
            f"{type(tokenizer).__name__} is a slow tokenizer and doesn't know which word a piece "
            "belongs to (word_ids). Load the fast one, with AutoTokenizer and a tokenizer.json."
        )
    _check_sentences(sentences, {"labels": labels, "shapes": shapes})
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
    word_ids = [encoded.word_ids(row) for row in range(len(owners))]
    columns: dict[str, list[Any]] = {
        "input_ids": encoded["input_ids"],
        "attention_mask": encoded["attention_mask"],
        "sentence": owners,
        "words": _count_once(word_ids, owners, overlap, sentences),
    }
    if labels is not None:
        columns["labels"] = [
            [IGNORED if word == IGNORED else labels[owner][word] for word in words]
            for owner, words in zip(owners, columns["words"], strict=True)
        ]
    if shapes is not None:
        columns["shapes"] = [
            [0 if word is None else shapes[owner][word] for word in words]
            for owner, words in zip(owners, word_ids, strict=True)
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


def by_document(sentences: Sequence[Sequence[Any]], documents: Sequence[int]) -> list[list[Any]]:
    """Join what belongs to the sentences of one document: words, tags, or shapes.

    Args:
        sentences: a value for each word of each sentence.
        documents: the number of each sentence's document.

    Returns:
        A list for each document, in order. `split_back` cuts them up again.

    Raises:
        ValueError: there are more or fewer numbers than sentences, or a document's sentences
            don't stand together.
    """
    if len(documents) != len(sentences):
        raise ValueError(f"{len(sentences)} sentences and documents for {len(documents)}.")
    joined: dict[int, list[Any]] = {}
    for number, rows in groupby(zip(documents, sentences, strict=True), key=itemgetter(0)):
        if number in joined:
            raise ValueError(
                f"The sentences of document {number} don't stand together: sort by document first."
            )
        joined[number] = [value for _, values in rows for value in values]
    return list(joined.values())


def split_back(values: Sequence[Sequence[Any]], lengths: Sequence[int]) -> list[list[Any]]:
    """What was found for documents, cut into their sentences again.

    Args:
        values: for each document a value for each word.
        lengths: words in each sentence, in the documents' order.

    Raises:
        ValueError: the sentences have more or fewer words than the documents.
    """
    if sum(lengths) != (n_words := sum(map(len, values))):
        raise ValueError(f"The sentences have {sum(lengths)} words, the documents {n_words}.")
    words = chain.from_iterable(values)
    return [list(islice(words, n)) for n in lengths]


def collate_windows(examples: Sequence[dict[str, Any]], pad_id: int = 0) -> dict[str, torch.Tensor]:
    """A batch of windows, each padded to the longest: int64 tensors (B, T).

    `input_ids` are padded with `pad_id`, `labels` with `IGNORED`, `attention_mask` and `shapes`
    with 0. The other columns of `encode_words` say which words the pieces stand for; they are no
    business of the model and left out.
    """
    padding = {"input_ids": pad_id, "attention_mask": 0, "shapes": 0, "labels": IGNORED}
    return {
        name: torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(example[name]) for example in examples],
            batch_first=True,
            padding_value=value,
        )  # (B, T)
        for name, value in padding.items()
        if name in examples[0]
    }


def word_shapes(words: Sequence[str]) -> list[int]:
    """How each word of one sentence is written: what an uncased tokenizer takes away.

    Returns:
        An index into `SHAPES` for each word, plus `len(SHAPES)` for the first one: a capital
        letter there says little, and in a document that is joined from sentences it says where
        one begins. So a model needs 2 × `len(SHAPES)` of them.
    """
    shapes = [SHAPES.index(_shape(word)) for word in words]
    return [shape + len(SHAPES) * (i == 0) for i, shape in enumerate(shapes)]


def _shape(word: str) -> str:
    cases = {"U" if c.isupper() else "l" for c in word if c.isupper() or c.islower()}
    if not cases:
        return "digits" if any(c.isdigit() for c in word) else "other"
    if cases == {"l"}:
        return "lower"
    if cases == {"U"}:
        # One letter alone, as in an initial, is a capital.
        return "UPPER" if sum(c.isupper() for c in word) > 1 else "Capital"
    rest = word[1:]
    return "Capital" if word[0].isupper() and not any(c.isupper() for c in rest) else "miXed"


def tag_ids(sentences: Sequence[Sequence[str]], names: Sequence[str]) -> list[list[int]]:
    """Tags as classes: the place of each in `names`.

    Raises:
        ValueError: a tag isn't among the names; the message says where it stands, and which name
            is near.
    """
    classes = {name: i for i, name in enumerate(names)}
    for number, tags in enumerate(sentences):
        for word, tag in enumerate(tags):
            if tag not in classes:
                near = difflib.get_close_matches(str(tag), names, n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise ValueError(
                    f"Sentence {number}, word {word}: there is no tag {tag!r}.{hint} "
                    f"Expected one of {', '.join(names)}."
                )
    return [[classes[tag] for tag in tags] for tags in sentences]


def entities(tags: Sequence[str]) -> list[Entity]:
    """The entities of one sentence's tags, counted as the shared task's `conlleval` does.

    An entity begins at B- or S-, or at another tag that doesn't continue one of its own type: so
    every sequence of tags has a reading, an invalid one too (Tjong Kim Sang and De Meulder, CoNLL
    2003, section 2.3 for the measure). It ends behind E- or S-.

    Args:
        tags: IOB2, IOB1, IOBES or BILOU (which writes L- for E- and U- for S-), as names.

    Returns:
        (type, first word, the word behind the last) of each, in order.

    Raises:
        ValueError: a tag of none of these schemes; names the word.
    """
    found: list[Entity] = []
    current = None  # the type of the entity that the word before may go on with
    for word, tag in enumerate(tags):
        prefix, _, kind = tag.partition("-")
        if tag != "O" and (prefix not in set("BIESLU") or not kind):
            raise ValueError(
                f"Word {word} has the tag {tag!r}; expected O, or a type behind B-, I-, E-, S-, L- "
                "or U-. Convert other schemes, or mend the file."
            )
        if prefix in set("IEL") and kind == current:
            found[-1] = kind, found[-1][1], word + 1
        elif tag != "O":
            found.append((kind, word, word + 1))
        current = kind if prefix in set("BI") else None
    return found


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
        to_iob2(tags, "IOB2", [f"Sentence {number}, word {word}" for word in range(len(tags))])


def to_iob2(tags: Sequence[str], scheme: Scheme, places: Sequence[str]) -> list[str]:
    """The tags of a sentence in another scheme, in IOB2.

    Args:
        tags: of this scheme.
        scheme: IOB1 begins an entity with I-; BIOES ends it with E- and has S- for one word;
            BILOU has L- and U- in their place.
        places: where each tag stands, for the message.

    Raises:
        ValueError: a tag isn't of the scheme.
    """
    converted, before = [], "O"
    for place, tag in zip(places, tags, strict=True):
        new = SCHEMES[scheme].get(tag[:2], tag[:2]) + tag[2:]
        goes_on = new.startswith("I-") and before[1:] == new[1:]
        if scheme == "IOB1" and new.startswith("I-") and not goes_on:
            new = f"B{new[1:]}"
        if not (new == "O" or (new.startswith("B-") and new[2:]) or goes_on):
            raise ValueError(
                f"{place}: {tag!r} follows {before!r}, which {scheme} does not allow. Correct the "
                "tag, or convert the file if it is in another scheme (IOB1, BIOES, BILOU): "
                "read_conll(…, scheme=…) does."
            )
        converted.append(new)
        before = new
    return converted


def _check_sentences(
    sentences: Sequence[Sequence[str]], values: dict[str, Sequence[Sequence[int]] | None]
) -> None:
    """Each sentence has words, and as many labels and shapes as words."""
    given = {name: rows for name, rows in values.items() if rows is not None}
    for name, rows in given.items():
        if len(rows) != len(sentences):
            raise ValueError(f"{len(sentences)} sentences and {name} for {len(rows)}.")
    for number, words in enumerate(sentences):
        if isinstance(words, str) or not len(words):
            raise ValueError(
                f"Sentence {number} is {words!r}; expected a list of at least one word."
            )
        for name, rows in given.items():
            if len(rows[number]) != len(words):
                raise ValueError(
                    f"Sentence {number} has {len(words)} words and {len(rows[number])} {name}: "
                    f"{' '.join(words)[:60]!r}."
                )


def _count_once(
    word_ids: Sequence[Sequence[int | None]],
    owners: Sequence[int],
    overlap: int,
    sentences: Sequence[Sequence[str]],
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
    for number, words in enumerate(sentences):
        for word, text in enumerate(words):
            if (number, word) not in best:
                raise ValueError(
                    f"Sentence {number}: the tokenizer gives no piece for word {word}, {text!r}. "
                    "Leave the word out, or put the unknown token in its place."
                )
    counted = [[IGNORED] * len(row) for row in word_ids]
    for (_, word), (_, window, piece) in best.items():
        counted[window][piece] = word
    return counted
