"""The decoding experiment of chapter 09: what each way of choosing does to a text.

    python -m experiments.chapter_09_decoding

The causal checkpoint goes on from the first 32 pieces of 200 test articles, 60 pieces each, by
15 methods; the articles' own next 60 pieces stand beside them. For each text its repetition, its
mean surprise under the model and under a 5-gram (nats per piece), and the share of its 5-grams
that stand in the training articles; for each method distinct-2 of all its texts. All in fp32.
Writes notebooks/results/09-decoding.json. Takes about four minutes on one core.
"""

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from datasets import Dataset
from transformers import AutoTokenizer

from helpers.data import corpora
from helpers.models.generation import beam_search, greedy, sample
from helpers.models.modernbert import ModernBert
from helpers.models.ngrams import KneserNey, look_up, pack_ngrams

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
RESULTS = NOTEBOOKS / "results" / "09-decoding.json"
CHECKPOINT = NOTEBOOKS / "checkpoints" / "bbc-clm"
PROMPTS, LENGTH, NEW = 200, 32, 60  # prompts, pieces of a prompt, and of its continuation
BEAMS, TOP_K = 4, (5, 40)
TEMPERATURES, NUCLEI = (0.3, 0.5, 0.7, 0.85, 1.0, 1.2), (0.3, 0.6, 0.8, 0.9, 0.95)

tokenizer = AutoTokenizer.from_pretrained(CHECKPOINT)
CLS, SEP = tokenizer.cls_token_id, tokenizer.sep_token_id


def pieces_of(split: Dataset) -> list[list[int]]:
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


def main() -> None:
    news = corpora.bbc_news()
    stream = [SEP, *(i for ids in pieces_of(news["train"]) for i in (*ids, SEP))]
    ngram = KneserNey(np.array(stream), 5, len(tokenizer))
    long_enough = [ids for ids in pieces_of(news["test"]) if len(ids) >= LENGTH + NEW][:PROMPTS]
    prompts = torch.tensor([[CLS, *ids[:LENGTH]] for ids in long_enough])  # (N, 33)
    articles = torch.tensor([ids[LENGTH : LENGTH + NEW] for ids in long_enough])  # (N, 60)
    model = ModernBert.from_pretrained(CHECKPOINT)
    rows = []
    for name, texts in {"the articles": articles, **continuations(model, prompts)}.items():
        row = {"method": name, **describe(ngram, prompts.numpy(), texts.numpy())}
        row["own nats"] = own_nats(model, prompts, texts).tolist()
        rows.append({k: np.round(v, 4).tolist() if k != "method" else v for k, v in row.items()})
        print(name, {k: round(float(np.mean(v)), 3) for k, v in row.items() if k != "method"})
    lines = ",\n".join(json.dumps(row) for row in rows)
    RESULTS.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
