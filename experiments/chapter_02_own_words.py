"""Chapter 02, "Your own words": 02-own-words.json.

    python -m experiments.chapter_02_own_words

How well the 401 headlines of the test articles find their articles, with MiniLM's own vocabulary
and with a swapped one; and what becomes of 200 sentences' vectors when 200 words are added to the
vocabulary, for three ways to fill the new rows. About a minute on one core. Nothing is trained: the
notebook repeats a part, and must find the same numbers.
"""

from types import SimpleNamespace

import torch

from experiments.common import RESULTS, Experiment, definitions

FILE = RESULTS / "02-own-words.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="the same headlines and articles for both vocabularies, the same sentences for all rows",
    searched="nothing",
    selected="nothing",
    test="headlines find articles with a model that is not trained",
)


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


def everything(c: SimpleNamespace) -> dict:
    return {
        "pretrained": retrieval(c, c.minilm),
        "swapped": retrieval(c, c.mistaken),
        "added words": added_words(c),
    }


def main() -> None:
    EXPERIMENT.parser().parse_args()
    c = definitions("02")
    EXPERIMENT.make(FILE, lambda: everything(c))


if __name__ == "__main__":
    main()
