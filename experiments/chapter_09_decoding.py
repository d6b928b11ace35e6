"""Chapter 09, "What each does to the text", fig-09-human: 09-decoding.json.

    python -m experiments.chapter_09_decoding

The causal checkpoint goes on from the first 32 pieces of 200 test articles, 60 pieces each, by
15 methods; the articles' own next 60 pieces stand beside them. For each text its repetition, its
mean surprise under the model and under a 5-gram (nats per piece), and the share of its 5-grams
that stand in the training articles; for each method distinct-2 of all its texts. All in fp32.
Takes about four minutes on one core.
"""

import numpy as np
import torch
import torch.nn.functional as F
from datasets import Dataset
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from experiments.common import CHECKPOINTS, RESULTS, Experiment, log
from helpers.data import corpora
from helpers.models.generation import beam_search, greedy, sample
from helpers.models.modernbert import ModernBert
from helpers.models.ngrams import KneserNey, look_up, pack_ngrams
from helpers.teaching import environment

FILE = RESULTS / "09-decoding.json"
CHECKPOINT = CHECKPOINTS / "bbc-clm"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="the same model and the same 200 prompts for all methods",
    searched="nothing: every value of a method is shown",
    selected="nothing",
    test="the prompts, and the continuations that people wrote",
    seeds=(0,),
)
PROMPTS, LENGTH, NEW = 200, 32, 60  # prompts, pieces of a prompt, and of its continuation
BEAMS, TOP_K = 4, (5, 40)
TEMPERATURES, NUCLEI = (0.3, 0.5, 0.7, 0.85, 1.0, 1.2), (0.3, 0.6, 0.8, 0.9, 0.95)


def pieces_of(tokenizer: PreTrainedTokenizerBase, split: Dataset) -> list[list[int]]:
    texts = [f"{article['headline']}\n{article['body']}" for article in split]
    return tokenizer(texts, add_special_tokens=False)["input_ids"]


def continuations(model: ModernBert, prompts: torch.Tensor) -> dict[str, torch.Tensor]:
    """What each method writes after the prompts (N, 33): (N, 60)."""

    def draw(**settings) -> torch.Tensor:
        return sample(model, prompts, NEW, generator=torch.Generator().manual_seed(0), **settings)

    rows = [beam_search(model, row[None], NEW, n_beams=BEAMS)[0] for row in prompts]
    written = {"greedy": greedy(model, prompts, NEW), f"beam search, K = {BEAMS}": torch.cat(rows)}
    written |= {f"top-k, k = {k}": draw(top_k=k) for k in TOP_K}
    written |= {f"top-p, p = {p:g}": draw(top_p=p) for p in NUCLEI}
    written |= {f"temperature {tau:g}": draw(temperature=tau) for tau in TEMPERATURES}
    return written


@torch.inference_mode()
def own_nats(model: ModernBert, prompts: torch.Tensor, texts: torch.Tensor) -> np.ndarray:
    """The model's mean -log p of each text after its prompt: (N, 60) -> (N,)."""
    found = []
    for rows, new in zip(prompts.split(20), texts.split(20), strict=True):
        logits = model(torch.cat([rows, new], dim=1)[:, :-1]).logits[:, -NEW:]  # (B, 60, V)
        found.append(F.cross_entropy(logits.mT, new, reduction="none").mean(1))
    return torch.cat(found).numpy()


def describe(ngram: KneserNey, prompts: np.ndarray, texts: np.ndarray) -> dict:
    """The measurements that don't need the model; one number a text, and distinct-2 of all."""
    repetition, judge, copied = [], [], []
    for prompt, ids in zip(prompts, texts, strict=True):
        grams = pack_ngrams(ids, 4, ngram.bits)
        repetition.append(1 - len(np.unique(grams)) / len(grams))
        surprise = -ngram.log_probabilities(np.concatenate([prompt[-4:], ids]))[3:]
        judge.append(surprise.mean())
        counts = look_up(*ngram.levels[-1][1:3], pack_ngrams(ids, 5, ngram.bits))
        copied.append((counts > 0).mean())
    pairs = np.concatenate([pack_ngrams(ids, 2, ngram.bits) for ids in texts])
    return {
        "distinct-2": len(np.unique(pairs)) / len(pairs),
        "repetition": repetition,
        "judge nats": judge,
        "copied": copied,
    }


def everything() -> list[dict]:
    """A row a method, the articles' own texts first."""
    news, tokenizer = corpora.bbc_news(), AutoTokenizer.from_pretrained(CHECKPOINT)
    start, separator = tokenizer.cls_token_id, tokenizer.sep_token_id
    articles = pieces_of(tokenizer, news["train"])
    stream = [separator, *(i for ids in articles for i in (*ids, separator))]
    ngram = KneserNey(np.array(stream), 5, len(tokenizer))
    long_enough = [ids for ids in pieces_of(tokenizer, news["test"]) if len(ids) >= LENGTH + NEW][
        :PROMPTS
    ]
    prompts = torch.tensor([[start, *ids[:LENGTH]] for ids in long_enough])  # (N, 33)
    own = torch.tensor([ids[LENGTH : LENGTH + NEW] for ids in long_enough])  # (N, 60)
    model = ModernBert.from_pretrained(CHECKPOINT)
    rows = []
    for name, texts in {"the articles": own, **continuations(model, prompts)}.items():
        row = describe(ngram, prompts.numpy(), texts.numpy())
        row["own nats"] = own_nats(model, prompts, texts).tolist()
        rows.append({"method": name} | {k: np.round(v, 4).tolist() for k, v in row.items()})
        log(name, {k: round(float(np.mean(v)), 3) for k, v in row.items()})
    return rows


def main() -> None:
    EXPERIMENT.parser().parse_args()
    environment.set_up()
    EXPERIMENT.make(FILE, everything)


if __name__ == "__main__":
    main()
