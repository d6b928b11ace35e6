"""What chapter 02 measures with MiniLM's vectors, with the definitions of the chapter itself.

    python -m experiments.chapter_02_own_words

How well the 401 headlines of the test articles find their articles, with MiniLM's own vocabulary
and with a swapped one; and what becomes of 200 sentences' vectors when 200 words are added to the
vocabulary, for three ways to fill the new rows. Writes notebooks/results/02-own-words.json, in
about a minute on one core. Nothing is trained: the notebook repeats a part, and must find the same
numbers.

The cells of the notebook that are tagged `definitions` are run here, so that the chapter and this
script can't drift apart.
"""

import json
from types import SimpleNamespace

import torch

from tools.chapter_definitions import NOTEBOOKS, RESULTS, definitions

CHAPTER = NOTEBOOKS / "02-subword-tokenization.ipynb"
FILE = RESULTS / "02-own-words.json"


def rounded(values: torch.Tensor) -> list[float]:
    return [round(value, 5) for value in values.tolist()]


def retrieval(c: SimpleNamespace, tokenizer) -> dict:
    """Which article is the nearest to each headline, and how near its own and the others are."""
    similarity = c.similarities(tokenizer, len(c.news["test"]))  # (401, 401)
    own = similarity.diagonal()
    others = (similarity.sum() - own.sum()) / (similarity.numel() - len(own))
    nearest = similarity.argmax(1).tolist()
    return {"nearest": nearest, "own": rounded(own), "others": round(others.item(), 5)}


def added_words(c: SimpleNamespace) -> dict:
    """Each sentence's cosine to its vector before, and the share of neighbours that it keeps."""
    vectors = c.treatments(c.sentences)
    before = vectors.pop("before")
    return {
        name: {
            "cosine": rounded((after * before).sum(1)),
            "neighbours kept": rounded(c.neighbours_kept(after, before)),
        }
        for name, after in vectors.items()
    }


def main() -> None:
    c = definitions(CHAPTER)
    result = {
        "pretrained": retrieval(c, c.minilm),
        "swapped": retrieval(c, c.mistaken),
        "added words": added_words(c),
    }
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in result.items()]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
