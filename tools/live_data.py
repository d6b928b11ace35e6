"""Write what the interactive pieces of chapters 02 and 09 read: `make pictures`.

Two scripts in `book/_static/live`, which a page loads when a reader first uses the piece:

- `minilm-vocabulary.js`: MiniLM's vocabulary, and which characters its tokenizer drops, takes for
  a space, sets apart, takes for an accent or for punctuation, asked of the library itself;
- `next-pieces.js`: the logits of chapter 09's model after some contexts, in thousandths.
"""

import json
from collections.abc import Callable, Iterable
from itertools import pairwise

import torch
from tokenizers import normalizers, pre_tokenizers
from transformers import AutoTokenizer

from helpers.data import assets
from helpers.models.modernbert import ModernBert
from tools.set_address import ROOT

FOLDER = ROOT / "book" / "_static" / "live"
MODEL = ROOT / "notebooks" / "checkpoints" / "bbc-clm"
CONTEXTS = ("prime minister tony", "the company said it had", "england won the")


def ranges(characters: Iterable[str]) -> list[int]:
    """The first and the last of each run of neighbours, in one list."""
    codes = [ord(character) for character in characters]
    if not codes:
        return []
    breaks = [edge for pair in pairwise(codes) if pair[1] > pair[0] + 1 for edge in pair]
    return [codes[0], *breaks, codes[-1]]


def where(is_so: Callable[[str], bool]) -> list[int]:
    """The characters for which something is so, without those that stand for halves of others."""
    characters = (chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)
    return ranges(filter(is_so, characters))


def classes() -> dict[str, list[int]]:
    """The characters that BERT's normaliser and its cuts treat apart, as ranges."""
    off = {"clean_text": False, "handle_chinese_chars": False, "lowercase": False}
    off |= {"strip_accents": False}
    clean = normalizers.BertNormalizer(**off | {"clean_text": True})
    chinese = normalizers.BertNormalizer(**off | {"handle_chinese_chars": True})
    accents = normalizers.BertNormalizer(**off | {"strip_accents": True})
    cut = pre_tokenizers.BertPreTokenizer()

    def parts(character: str) -> int:
        return len(cut.pre_tokenize_str(f"a{character}a"))

    return {
        "dropped": where(lambda c: clean.normalize_str(c) == ""),
        "spaces": where(lambda c: parts(c) == 2),
        "apart": where(lambda c: chinese.normalize_str(c) == f" {c} "),
        "accents": where(lambda c: accents.normalize_str(c) == ""),
        "punctuation": where(lambda c: parts(c) == 3),
    }


def vocabulary() -> str:
    """The script with MiniLM's pieces, in the order of their ids."""
    ids = AutoTokenizer.from_pretrained(assets.path("minilm")).get_vocab()
    data = {"vocabulary": "\n".join(sorted(ids, key=ids.get)), **classes()}
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"window.bookVocabulary = {text};\n"


@torch.inference_mode()
def next_logits(context: str) -> torch.Tensor:
    """The model's logits (V,) of the piece after a context, in double precision."""
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    model = ModernBert.from_pretrained(MODEL)
    ids = [tokenizer.cls_token_id, *tokenizer(context, add_special_tokens=False)["input_ids"]]
    return model(torch.tensor([ids])).logits[0, -1].double()


def next_pieces() -> str:
    """The script with the logits after each context."""
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    names = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    logits = {
        context: (1000 * next_logits(context)).round().long().tolist() for context in CONTEXTS
    }
    data = {"pieces": "\n".join(names), "logits": logits}
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"window.bookNextPieces = {text};\n"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, text in (("minilm-vocabulary", vocabulary()), ("next-pieces", next_pieces())):
        (FOLDER / f"{name}.js").write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
