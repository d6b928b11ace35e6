"""Typing errors made on purpose, to see what a model makes of them."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np

from helpers.data import assets

SHORTEST = 4  # letters: a shorter word has no two inner letters to swap
_WORD = re.compile(r"[^\W\d_]+")


def swap_letters(text: str, rate: float, generator: np.random.Generator) -> str:
    """Swap two neighbouring inner letters in some of a text's words: `great` -> `graet`.

    Each word of at least `SHORTEST` letters is hit with the probability `rate`; the place is
    drawn evenly among its pairs of neighbouring inner letters that differ. The first and the last
    letter stay, which keeps such words easy for people (Pruthi et al., ACL 2019, section 2).
    Everything that isn't a letter stays as it is, and so does the text's length.

    Args:
        text: any text.
        rate: from 0 to 1.
        generator: the source of randomness; the same state gives the same typos.

    Raises:
        ValueError: if `rate` is not from 0 to 1.
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"rate={rate}: it is the share of words to hit, from 0 to 1.")

    def hit(match: re.Match) -> str:
        word = match[0]
        # Drawn for each word, hit or not, so that raising the rate only adds typos.
        chance, place = generator.random(2)
        pairs = [i for i in range(1, len(word) - 2) if word[i] != word[i + 1]]
        if len(word) < SHORTEST or chance >= rate or not pairs:
            return word
        i = pairs[int(place * len(pairs))]
        return word[:i] + word[i + 1] + word[i] + word[i + 2 :]

    return _WORD.sub(hit, text)


@cache
def known_typos() -> Mapping[str, tuple[str, ...]]:
    """The ways in which people misspell a word: codespell's list of corrections, reversed.

    Of its 64,980 typos those stay that have one correction, of one word of at least `SHORTEST`
    letters, and that are letters only. The list is CC BY-SA 3.0.

    Returns:
        word -> its typos in the list's order, all in lower case: `"really" -> ("raelly", ...)`.

    Raises:
        AssetError: the list isn't cached whole and cannot be fetched.
    """
    file = Path(assets.path("typo-list"), "dictionary.txt")
    found: dict[str, list[str]] = {}
    for line in file.read_text("utf-8").splitlines():
        typo, _, word = line.lower().partition("->")
        if _WORD.fullmatch(typo) and _WORD.fullmatch(word) and len(word) >= SHORTEST:
            found.setdefault(word, []).append(typo)
    return {word: tuple(typos) for word, typos in found.items()}


def misspell(
    text: str,
    rate: float,
    generator: np.random.Generator,
    typos: Mapping[str, tuple[str, ...]] | None = None,
) -> str:
    """Replace some of a text's words by typos that people make: `really` -> `realy`.

    Each word that has typos is hit with the probability `rate`; one of its typos is drawn evenly.
    Words without any stay, so the share of all words that change is lower. A capital first letter
    stays one.

    Args:
        text: any text.
        rate: from 0 to 1.
        generator: the source of randomness; the same state gives the same typos.
        typos: word -> its typos, both in lower case; `known_typos()` if left out.

    Raises:
        ValueError: if `rate` is not from 0 to 1.
        AssetError: `typos` is left out, and the list cannot be fetched.
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"rate={rate}: it is the share of words to hit, from 0 to 1.")
    listed = known_typos() if typos is None else typos

    def hit(match: re.Match) -> str:
        chance, place = generator.random(2)  # for each word, so that a higher rate only adds
        ways = listed.get(match[0].lower(), ())
        if not ways or chance >= rate:
            return match[0]
        way = ways[int(place * len(ways))]
        return way.capitalize() if match[0][0].isupper() else way

    return _WORD.sub(hit, text)
