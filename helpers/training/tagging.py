"""From a text as it stands to the names in it: spans of characters, each with type and score."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np
from scipy.special import softmax
from torch import nn
from transformers import PreTrainedTokenizerBase

from helpers.data.tagging import (
    collate_windows,
    encode_words,
    entities,
    may_follow,
    word_shapes,
    word_spans,
    words_from_windows,
)
from helpers.models.tagging import constrained_viterbi
from helpers.training.evaluation import predict

Spans = list[tuple[int, int]]


def tag_texts(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    max_length: int = 128,
    overlap: int = 32,
    batch_size: int = 32,
    words: Callable[[str], Spans] = word_spans,
) -> list[list[dict[str, Any]]]:
    """The entities of each text, by a tagger that was trained on the first piece of each word.

    A text of any length is read in windows, as `encode_words` makes them; the tags are the most
    probable sequence that is valid IOB2. transformers' `pipeline("token-classification",
    aggregation_strategy="first")` also reads first pieces, but takes the best tag of each word by
    itself, and its own rule for what a word is.

    Args:
        model: gives logits (B, T, C); its `config.id2label` names the C tags. A `ShapeTagger` is
            told how the words are written.
        tokenizer: a fast one, the model's own.
        texts: as they stand.
        max_length, overlap: pieces in a window and shared by neighbours, as in training.
        batch_size: windows at once.
        words: where the words of a text stand, (first character, the one behind the last). Give
            your own if the training data's words were made by another rule.

    Returns:
        For each text its entities in order: `start` and `end` (characters, as in
        `text[start:end]`), `label` (the type), `text` (these characters) and `score` (the mean
        probability of its words' tags, from 0 to 1).

    Raises:
        ValueError: a string in place of a list, a tokenizer without word_ids, tags without names
            or not in IOB2, an overlap that leaves no room in a window.
    """
    if isinstance(texts, str):
        raise ValueError("tag_texts takes a list of texts; put the one text in a list.")
    names = _tag_names(model)
    spans = [_with_pieces(tokenizer, text, words(text)) for text in texts]
    filled = [i for i, found in enumerate(spans) if found]
    if not filled:
        return [[] for _ in texts]
    documents = [[texts[i][a:b] for a, b in spans[i]] for i in filled]
    reads_shapes = getattr(model.config, "num_shapes", 0) > 0
    windows = encode_words(
        tokenizer,
        documents,
        shapes=[_shapes(document) for document in documents] if reads_shapes else None,
        max_length=max_length,
        overlap=overlap,
    )
    logits = predict(
        model, windows, collate_fn=collate_windows, batch_size=batch_size, precision="fp32"
    ).logits
    found: list[list[dict[str, Any]]] = [[] for _ in texts]
    for i, rows in zip(filled, words_from_windows(windows, logits), strict=True):
        found[i] = _entities(texts[i], spans[i], np.stack(rows), names)
    return found


def _tag_names(model: nn.Module) -> list[str]:
    names = [name for _, name in sorted(model.config.id2label.items())]
    if "LABEL_0" in names:
        raise ValueError(
            "The model's configuration doesn't say what its tags are called. Say it when you make "
            "the model: from_pretrained(…, id2label=dict(enumerate(names))), or set "
            "model.config.id2label."
        )
    return names


def _with_pieces(tokenizer: PreTrainedTokenizerBase, text: str, spans: Spans) -> Spans:
    """Without the words that the tokenizer takes for nothing, such as a zero-width space."""
    if not spans:
        return []
    pieces = tokenizer([text[a:b] for a, b in spans], add_special_tokens=False)["input_ids"]
    return [span for span, ids in zip(spans, pieces, strict=True) if ids]


def _shapes(document: list[str]) -> list[int]:
    """The words' shapes; behind ".", "!" or "?" a sentence begins."""
    sentences: list[list[str]] = [[]]
    for word in document:
        sentences[-1].append(word)
        if word in (".", "!", "?"):
            sentences.append([])
    return list(chain.from_iterable(map(word_shapes, sentences)))


def _entities(
    text: str, spans: Spans, logits: np.ndarray, names: list[str]
) -> list[dict[str, Any]]:
    probabilities = softmax(logits, axis=-1)  # (words, C)
    tags = constrained_viterbi(logits, may_follow(names))
    found = []
    for kind, first, end in entities([names[tag] for tag in tags]):
        start, stop = spans[first][0], spans[end - 1][1]
        score = np.mean([probabilities[word, tags[word]] for word in range(first, end)])
        span = {"start": start, "end": stop, "label": kind, "text": text[start:stop]}
        found.append(span | {"score": float(score)})
    return found
