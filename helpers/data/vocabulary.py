"""A WordPiece tokenizer learned from text with the tokenizers library, the same on each run.

How its vocabulary comes about is shown from scratch in `helpers.data.subwords`.
"""

import copy
import re
from collections import Counter
from collections.abc import Iterable, Iterator

from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from helpers.data.subwords import CONTINUES

SPECIAL_TOKENS = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
INPUTS = ["input_ids", "attention_mask"]  # BERT's third one isn't ModernBERT's
COVERAGE = 0.9995  # of all letters; SentencePiece's advice for large alphabets
LETTERS = 0.75  # share of the vocabulary that they may take, unless coverage needs more
LONGEST = 100  # letters; Thai and Khmer write sentences without a space, WordPiece refuses longer
# Control characters and U+FFFD, as BERT has it; but not the joiners, which are part of the spelling
# in Persian and in scripts of India.
NOISE = r"[\p{C}\x{FFFD}&&[^\s\x{200C}\x{200D}]]"
DECOMPOSED = normalizers.NFD()
WITHOUT_MARKS = normalizers.Replace(Regex(r"[\p{M}\x{200C}\x{200D}]"), "")


def learn_wordpiece(
    texts: Iterable[str], vocab_size: int, *, lowercase: bool = True
) -> PreTrainedTokenizerFast:
    """Learn a tokenizer like BERT's (Devlin et al., NAACL 2019): [CLS] text [SEP], and a [MASK].

    The special tokens have the ids 0 to 4. The rest is what `subwords.train_wordpiece` gives,
    letters, marked letters and merged pieces, but that it takes a letter's marked twin always.
    Text is brought to Unicode's NFC. Unlike BERT's own, it keeps accents and all other marks, so
    that vowels of Hindi or Thai stay, and it cuts words of more than 100 letters.

    A letter is left out, and a word with it becomes [UNK], only if it is among the rarest, which
    make up 0.05 % of the text, and if the letters would take three quarters of the vocabulary.

    Args:
        texts: gone through twice, so a list or `TextFiles` but no generator.
        vocab_size: with special tokens. Fewer come back if every word has become one piece.
        lowercase: whether case is dropped.

    Raises:
        TypeError: `texts` can be gone through only once.
        ValueError: there is no text, or `vocab_size` doesn't hold its letters.
    """
    if isinstance(texts, Iterator):
        raise TypeError(
            f"texts is a {type(texts).__name__}, gone after one pass; two are needed. Give a list "
            "or TextFiles."
        )
    normalizer = normalizers.Sequence(
        [
            normalizers.NFC(),
            normalizers.Replace(Regex(NOISE), ""),
            normalizers.BertNormalizer(clean_text=False, strip_accents=False, lowercase=lowercase),
        ]
    )
    pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.BertPreTokenizer(),
            pre_tokenizers.Split(Regex(f".{{1,{LONGEST}}}"), "isolated"),
        ]
    )
    letters, marked = _alphabet(texts, normalizer, pre_tokenizer, vocab_size)
    first = [*SPECIAL_TOKENS.values(), *letters, *marked]
    if vocab_size < len(first):
        raise ValueError(
            f"vocab_size is {vocab_size}, but special tokens and the letters of the texts, plain "
            f"and marked with {CONTINUES}, are {len(first)}: choose a larger one, or take a "
            "tokenizer that falls back to bytes."
        )
    # Left to itself, the trainer numbers marked letters in a random order, and that decides
    # between pairs of equal count. As "special" tokens they keep the order they are given in.
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        special_tokens=first,
        initial_alphabet=letters,
        limit_alphabet=len(letters),
        show_progress=False,
    )
    learner = Tokenizer(models.WordPiece())
    learner.normalizer, learner.pre_tokenizer = normalizer, pre_tokenizer
    learner.train_from_iterator(texts, trainer)
    tokenizer = Tokenizer(models.WordPiece(learner.get_vocab(), unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre_tokenizer
    tokenizer.decoder = decoders.WordPiece(prefix=CONTINUES)
    ends = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_input_names=INPUTS, **SPECIAL_TOKENS
    )


def count_marks(text: str, tokenizer: PreTrainedTokenizerBase) -> tuple[int, int]:
    """How many marks stand in a text, and how many of them a fast tokenizer's normaliser drops.

    A mark is written with a letter: an accent, a vowel of Hindi or Thai, a tone, the voicing of
    Japanese, a point of Arabic or Hebrew; the joiners count too. NFD shows marks as characters.
    """
    normalizer = tokenizer.backend_tokenizer.normalizer
    if text.isascii():
        return 0, 0
    marks = _marks(text)
    kept = marks if normalizer is None else _marks(normalizer.normalize_str(text))
    return marks, max(0, marks - kept)


def _marks(text: str) -> int:
    decomposed = DECOMPOSED.normalize_str(text)
    return len(decomposed) - len(WITHOUT_MARKS.normalize_str(decomposed))


def as_it_stands(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """A copy of no class of its own, so that a saved one is what its tokenizer.json says.

    transformers' class for BERT, for one, puts [SEP] behind each text again when it is loaded,
    and gives token types, which a ModernBERT doesn't take. A slow tokenizer comes back as it is.
    """
    if not tokenizer.is_fast:
        return tokenizer
    return PreTrainedTokenizerFast(
        tokenizer_object=copy.deepcopy(tokenizer.backend_tokenizer),
        model_input_names=INPUTS,
        model_max_length=tokenizer.model_max_length,
        padding_side=tokenizer.padding_side,
        truncation_side=tokenizer.truncation_side,
        **tokenizer.special_tokens_map,
    )


def leave_prompts_open(
    tokenizer: PreTrainedTokenizerBase, start: int | None, end: int
) -> PreTrainedTokenizerBase:
    """A copy for a decoder: `start` comes before a text, and nothing behind it.

    A decoder that was trained on documents with `end` behind each takes a prompt that is closed
    for a whole document, and goes on with another one. WordPieces are decoded with a space before
    each word, the first one too: transformers' pipeline writes what is new right behind the prompt.

    Args:
        tokenizer: a fast one; it isn't changed.
        start: id of the token that a block begins with, which becomes the copy's bos_token; None
            for none.
        end: id of the token that ends a document, the copy's eos_token.
    """
    opened = as_it_stands(tokenizer)
    before = [] if start is None else [tokenizer.convert_ids_to_tokens(start)]
    rust = opened.backend_tokenizer
    if isinstance(rust.decoder, decoders.WordPiece):
        rust.decoder = _spaces_before_words(re.escape(rust.decoder.prefix))
    rust.post_processor = processors.TemplateProcessing(
        single=[*before, "$A"],
        pair=[*before, "$A", "$B:1"],
        special_tokens=[(token, start) for token in before],
    )
    opened.eos_token = tokenizer.convert_ids_to_tokens(end)
    if before:
        (opened.bos_token,) = before
    return opened


def _spaces_before_words(prefix: str) -> decoders.Decoder:
    """The decoder of WordPieces, with a space before the first word as well."""
    return decoders.Sequence(
        [
            decoders.Replace(Regex(f"^(?!{prefix})"), " "),
            decoders.Replace(Regex(f"^{prefix}"), ""),
            decoders.Replace(Regex("^ (?=[.,?!]$)"), ""),
            decoders.Fuse(),
        ]
    )


def _alphabet(
    texts: Iterable[str],
    normalizer: normalizers.Normalizer,
    pre_tokenizer: pre_tokenizers.PreTokenizer,
    vocab_size: int,
) -> tuple[list[str], list[str]]:
    """The letters to keep, in the order of their code points, and their marked twins."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(normalizer.normalize_str(text))
    letters = sorted((c for c in counts if not c.isspace()), key=lambda c: (-counts[c], c))
    if not letters:
        raise ValueError("There is no text to learn a vocabulary from: all texts are empty.")

    def goes_on(letter: str) -> bool:
        """Chinese characters and punctuation are words of their own, so they never do."""
        return len(pre_tokenizer.pre_tokenize_str(normalizer.normalize_str(f"a{letter}"))) == 1

    left = COVERAGE * sum(counts[letter] for letter in letters)
    plain: list[str] = []
    marked: list[str] = []
    for letter in letters:
        if left <= 0 and len(plain) + len(marked) > LETTERS * vocab_size:
            break
        left -= counts[letter]
        plain.append(letter)
        if goes_on(letter):
            marked.append(CONTINUES + letter)
    return sorted(plain), sorted(marked)
