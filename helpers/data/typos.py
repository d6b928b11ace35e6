"""Typing errors made on purpose, to see what a model makes of them."""

import re

import numpy as np

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
