"""Subword vocabularies by merging: byte-pair encoding and WordPiece, and text as bytes.

Training takes a mapping from words to how often each occurs, so how a text is cut into words is
the caller's choice. A piece is a string; ids are an affair of the vocabulary's order. The third
method, the unigram language model, is in ``helpers.data.unigram``.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Mapping
from itertools import pairwise

Pair = tuple[str, str]

CONTINUES = "##"  # BERT's mark of a piece that doesn't begin a word


def train_bpe(word_counts: Mapping[str, int], vocab_size: int) -> list[Pair]:
    """Learn merges by byte-pair encoding (Sennrich et al. 2016, algorithm 1).

    Each step merges the most frequent pair of neighbours. A tie goes to the pair whose left
    piece, then right piece, has been in the vocabulary longest; letters count as added in the
    order of their code points. This is the rule of ``tokenizers.trainers.BpeTrainer``, so the
    merges are the same.

    Args:
        word_counts: how often each word occurs.
        vocab_size: letters and merged pieces together. Fewer come back if every word has
            become one piece.

    Returns:
        The merges in the order in which they were learned.

    Raises:
        ValueError: there is no word, a count isn't a positive integer, or ``vocab_size`` is
            smaller than the alphabet.
    """
    alphabet = alphabet_of(word_counts)
    words = [list(word) for word in word_counts]
    merges, _ = learn_merges(words, [*word_counts.values()], alphabet, vocab_size)
    return merges


def bpe_segment(word: str, ranks: Mapping[Pair, int]) -> list[str]:
    """Cut a word into pieces by applying merges, earliest learned first.

    Args:
        word: any string; a letter that training never saw stays a piece of its own.
        ranks: a merge's place in the order of learning; `rank` makes it.
    """
    pieces = list(word)
    while len(pieces) > 1:
        pair = min(pairwise(pieces), key=lambda pair: ranks.get(pair, len(ranks)))
        if pair not in ranks:
            break
        pieces = merge(pieces, pair, "".join(pair))
    return pieces


def rank(merges: list[Pair]) -> dict[Pair, int]:
    """Each merge's place in the order of learning, for a quick look-up."""
    return {pair: place for place, pair in enumerate(merges)}


def merge(pieces: list[str], pair: Pair, merged: str) -> list[str]:
    """Replace each occurrence of ``pair`` by ``merged``, from left to right."""
    result, i = [], 0
    while i < len(pieces):
        if i + 1 < len(pieces) and (pieces[i], pieces[i + 1]) == pair:
            result.append(merged)
            i += 2
        else:
            result.append(pieces[i])
            i += 1
    return result


def train_wordpiece(word_counts: Mapping[str, int], vocab_size: int) -> list[str]:
    """Learn a WordPiece vocabulary as ``tokenizers.trainers.WordPieceTrainer`` does: by counts.

    That trainer is byte-pair encoding over letters of which all but a word's first carry
    ``##``. The criterion of Schuster and Nakajima (2012), the gain in likelihood, is not used;
    chapter 02 compares the two. Ties are resolved as in `train_bpe`, the marked letters coming
    after the plain ones.

    Args:
        word_counts: how often each word occurs.
        vocab_size: letters, marked letters and merged pieces together, without special tokens.

    Returns:
        The vocabulary: letters, marked letters, then merged pieces in the order of learning.

    Raises:
        ValueError: as `train_bpe` does.
    """
    plain = alphabet_of(word_counts)
    marked = {CONTINUES + letter for word in word_counts for letter in word[1:]}
    alphabet = [*plain, *sorted(marked)]
    words = [[word[0], *(CONTINUES + letter for letter in word[1:])] for word in word_counts]
    counts = [*word_counts.values()]
    _, vocabulary = learn_merges(words, counts, alphabet, vocab_size, mark=CONTINUES)
    return vocabulary


def wordpiece_segment(
    word: str, vocabulary: Mapping[str, int] | set[str], *, unknown: str = "[UNK]"
) -> list[str]:
    """Cut a word greedily: the longest piece that fits, then on from its end.

    The whole word becomes ``unknown`` if at some place no piece fits, or if it has more than
    100 characters, as in BERT (Devlin et al. 2019 and its code).

    Args:
        word: one word, without spaces.
        vocabulary: pieces; those that continue a word begin with ``##``.
        unknown: the piece for a word that can't be cut.
    """
    if len(word) > 100:
        return [unknown]
    pieces, start = [], 0
    while start < len(word):
        mark = CONTINUES if start else ""
        fits = (end for end in range(len(word), start, -1) if mark + word[start:end] in vocabulary)
        end = next(fits, None)
        if end is None:
            return [unknown]
        pieces.append(mark + word[start:end])
        start = end
    return pieces


def bytes_to_letters(text: str) -> str:
    """Write the UTF-8 bytes of a text as letters, one visible character for each of 256 bytes.

    GPT-2's table (Radford et al. 2019 and its code): printable bytes of Latin-1 stand for
    themselves, the others for U+0100 and on, so a space is Ġ.
    """
    return "".join(_LETTER_OF_BYTE[byte] for byte in text.encode("utf-8"))


def letters_to_bytes(letters: str) -> bytes:
    """The bytes behind letters that `bytes_to_letters` wrote; any piece of them will do.

    Raises:
        ValueError: a character is not one of the 256.
    """
    strange = [letter for letter in letters if letter not in _BYTE_OF_LETTER]
    if strange:
        raise ValueError(
            f"{strange[0]!r} stands for no byte: give a piece of a byte-level vocabulary, or turn "
            "text into letters with bytes_to_letters."
        )
    return bytes(_BYTE_OF_LETTER[letter] for letter in letters)


def _byte_table() -> list[str]:
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = (chr(code) for code in range(0x100, 0x200))
    return [chr(byte) if byte in printable else next(others) for byte in range(256)]


_LETTER_OF_BYTE = _byte_table()
_BYTE_OF_LETTER = {letter: byte for byte, letter in enumerate(_LETTER_OF_BYTE)}


def learn_merges(
    words: list[list[str]],
    counts: list[int],
    alphabet: list[str],
    vocab_size: int,
    *,
    mark: str = "",
) -> tuple[list[Pair], list[str]]:
    """Merge the most frequent pair of neighbours, again and again: the heart of both trainings.

    Args:
        words: each word as its letters; changed in place into its pieces.
        counts: how often each word occurs, as long as ``words``.
        alphabet: the letters in the order of their ids.
        vocab_size: where to stop; earlier if no pair is left.
        mark: what the right piece of a pair leaves behind when the two become one.

    Returns:
        The merges, and the vocabulary, both in the order of learning.

    Raises:
        ValueError: ``vocab_size`` is smaller than the alphabet.
    """
    if vocab_size < len(alphabet):
        raise ValueError(
            f"vocab_size is {vocab_size}, but the alphabet alone has {len(alphabet)} entries: give "
            f"at least {len(alphabet)}, or train on bytes, of which there are 256."
        )
    ids = {piece: i for i, piece in enumerate(alphabet)}
    pair_counts: Counter[Pair] = Counter()
    holders: dict[Pair, set[int]] = defaultdict(set)  # pair -> words that hold it

    def count(word: int, sign: int) -> None:
        for pair in pairwise(words[word]):
            pair_counts[pair] += sign * counts[word]
            if sign > 0:
                holders[pair].add(word)

    def candidate(pair: Pair) -> tuple[int, int, int, Pair]:
        return -pair_counts[pair], ids[pair[0]], ids[pair[1]], pair

    for word in range(len(words)):
        count(word, +1)
    queue = [candidate(pair) for pair in pair_counts]
    heapq.heapify(queue)
    merges = []
    while len(ids) < vocab_size and queue:
        negative, *_, pair = heapq.heappop(queue)
        if -negative != pair_counts[pair]:
            # Earlier merges took some of its occurrences: back into the queue with what is left.
            if pair_counts[pair]:
                heapq.heappush(queue, candidate(pair))
            continue
        merges.append(pair)
        merged = pair[0] + pair[1].removeprefix(mark)
        ids.setdefault(merged, len(ids))
        grown = set()
        # Only the words that hold the pair are touched: this is what makes training fast.
        for word in holders.pop(pair):
            before = set(pairwise(words[word]))
            if pair in before:
                count(word, -1)
                words[word] = merge(words[word], pair, merged)
                count(word, +1)
                grown |= set(pairwise(words[word])) - before
        for new in grown:
            heapq.heappush(queue, candidate(new))
    return merges, list(ids)


def alphabet_of(word_counts: Mapping[str, int]) -> list[str]:
    """The letters of all words in the order of their code points.

    Raises:
        ValueError: there is no word, a word is empty, or a count isn't a positive integer.
    """
    if not isinstance(word_counts, Mapping) or not word_counts:
        what = "is empty" if isinstance(word_counts, Mapping) else f"is {type(word_counts)}"
        raise ValueError(
            f"word_counts {what}: expected a mapping from words to counts, at least one, such as "
            "Counter(text.split())."
        )
    for word, count in word_counts.items():
        if not isinstance(word, str) or not word:
            raise ValueError(f"{word!r} is not a word: expected a string of at least one letter.")
        if not isinstance(count, int) or count < 1:
            raise ValueError(f"the count of {word!r} is {count!r}: expected a positive integer.")
    return sorted({letter for word in word_counts for letter in word})
