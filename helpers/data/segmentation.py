"""Words of a text without spaces, as a tag for each character, and back; the same for names.

A character begins a word (B), is in the middle of one (M), ends one (E), or is one (S): Xue (2003),
Chinese Word Segmentation as Character Tagging. Then what tags the words of English tags the
characters of Chinese.
"""

from collections.abc import Sequence

__all__ = ["BMES", "ENTITY_TYPES", "bmes", "entities", "spans", "words_of"]

BMES = ("B", "M", "E", "S")
# Peking University's tags for names, and the types that the book has for them.
ENTITY_TYPES = {"nr": "PER", "ns": "LOC", "nt": "ORG"}


def bmes(words: Sequence[str]) -> list[str]:
    """One tag for each character of the words: 江 泽民 becomes S B E.

    Raises:
        ValueError: a word is empty.
    """
    if not all(words):
        raise ValueError(f"Word {list(words).index('')} is empty; leave it out.")
    return [
        tag
        for word in words
        for tag in ("S" if len(word) == 1 else "B" + "M" * (len(word) - 2) + "E")
    ]


def words_of(characters: Sequence[str], tags: Sequence[str]) -> list[str]:
    """The words that the tags say; tags that contradict each other begin a new word.

    A word begins at B and S, at the first character, and behind E and S. So any row of tags gives
    words that make up the text.

    Raises:
        ValueError: not one tag for each character.
    """
    if len(characters) != len(tags):
        raise ValueError(f"There are {len(characters)} characters and {len(tags)} tags.")
    words: list[str] = []
    before = "S"
    for character, tag in zip(characters, tags, strict=True):
        if tag in "BS" or before in "ES":
            words.append(character)
        else:
            words[-1] += character
        before = tag
    return words


def spans(words: Sequence[str]) -> set[tuple[int, int]]:
    """Where each word stands: (its first character, the one behind its last)."""
    found, start = set(), 0
    for word in words:
        found.add((start, start + len(word)))
        start += len(word)
    return found


def entities(words: Sequence[str], pos: Sequence[str]) -> list[str]:
    """IOB2 tags of the characters, from the parts of speech of Peking University.

    Family and given name, ``nr`` twice, are one person; a longer row of ``nr`` is cut in pairs.

    Raises:
        ValueError: not one part of speech for each word.
    """
    if len(words) != len(pos):
        raise ValueError(f"There are {len(words)} words and {len(pos)} parts of speech.")
    tags: list[str] = []
    half = False  # the word before was a family name
    for word, part in zip(words, pos, strict=True):
        name = ENTITY_TYPES.get(part)
        goes_on = part == "nr" and half
        half = part == "nr" and not half
        if name is None:
            tags += ["O"] * len(word)
        else:
            tags += ["I-" + name if goes_on else "B-" + name] + ["I-" + name] * (len(word) - 1)
    return tags
