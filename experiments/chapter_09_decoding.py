"""Chapter 09, fig-09-human and fig-09-entropy: 09-decoding.json and 09-entropy.json.

    python -m experiments.chapter_09_decoding methods
    python -m experiments.chapter_09_decoding entropy

In `methods` the causal checkpoint goes on from the first 32 pieces of 200 test articles, 60 pieces
each, by 15 methods; the articles' own next 60 pieces stand beside them. For each text its
repetition, its mean surprise under the model and under a 5-gram (nats per piece), and the share of
its 5-grams that stand in the training articles; for each method distinct-2 of all its texts.
`entropy` asks at several temperatures what texts cost the model that has the temperature inside:
the articles' own, and those that it draws itself, whose mean cost is its entropy. All in fp32.
About four minutes and two on one core.
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

FILE, ENTROPY = RESULTS / "09-decoding.json", RESULTS / "09-entropy.json"
CHECKPOINT = CHECKPOINTS / "bbc-clm"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE, ENTROPY),
    reads="the same model and the same 200 prompts for all methods",
    searched="nothing: every value of a method is shown",
    selected="nothing",
    test="the prompts, and the continuations that people wrote",
    seeds=(0,),
)
PROMPTS, LENGTH, NEW = 200, 32, 60  # prompts, pieces of a prompt, and of its continuation
BEAMS, TOP_K = 4, (5, 40)
INSIDE = (0.8, 0.9, 1.0, 1.1, 1.2)  # temperatures of `entropy`
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
def own_nats(
    model: ModernBert, prompts: torch.Tensor, texts: torch.Tensor, temperature: float = 1.0
) -> np.ndarray:
    """The model's mean -log p of each text after its prompt: (N, 60) -> (N,)."""
    found = []
    for rows, new in zip(prompts.split(20), texts.split(20), strict=True):
        logits = model(torch.cat([rows, new], dim=1)[:, :-1]).logits[:, -NEW:]  # (B, 60, V)
        logits = logits / temperature
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


def prompts_of(tokenizer: PreTrainedTokenizerBase) -> tuple[torch.Tensor, torch.Tensor]:
    """The prompts, (N, 33), and how the articles go on, (N, 60)."""
    articles = pieces_of(tokenizer, corpora.bbc_news()["test"])
    articles = [ids for ids in articles if len(ids) >= LENGTH + NEW][:PROMPTS]
    prompts = torch.tensor([[tokenizer.cls_token_id, *ids[:LENGTH]] for ids in articles])
    return prompts, torch.tensor([ids[LENGTH : LENGTH + NEW] for ids in articles])


def everything() -> list[dict]:
    """A row a method, the articles' own texts first."""
    tokenizer = AutoTokenizer.from_pretrained(CHECKPOINT)
    separator = tokenizer.sep_token_id
    articles = pieces_of(tokenizer, corpora.bbc_news()["train"])
    stream = [separator, *(i for ids in articles for i in (*ids, separator))]
    ngram = KneserNey(np.array(stream), 5, len(tokenizer))
    prompts, own = prompts_of(tokenizer)
    model = ModernBert.from_pretrained(CHECKPOINT)
    rows = []
    for name, texts in {"the articles": own, **continuations(model, prompts)}.items():
        row = describe(ngram, prompts.numpy(), texts.numpy())
        row["own nats"] = own_nats(model, prompts, texts).tolist()
        rows.append({"method": name} | {k: np.round(v, 4).tolist() for k, v in row.items()})
        log(name, {k: round(float(np.mean(v)), 3) for k, v in row.items()})
    return rows


def entropies() -> list[dict]:
    """A row a temperature: nats per piece of each article's text, and of the model's own."""
    prompts, articles = prompts_of(AutoTokenizer.from_pretrained(CHECKPOINT))
    model = ModernBert.from_pretrained(CHECKPOINT)
    rows = []
    for tau in INSIDE:
        own = sample(
            model, prompts, NEW, temperature=tau, generator=torch.Generator().manual_seed(0)
        )
        nats = {
            name: own_nats(model, prompts, texts, tau)
            for name, texts in (("articles", articles), ("own", own))
        }
        rows.append({"temperature": tau} | {k: np.round(v, 4).tolist() for k, v in nats.items()})
        log(tau, {k: round(float(v.mean()), 3) for k, v in nats.items()})
    return rows


def main() -> None:
    parser = EXPERIMENT.parser()
    parser.add_argument("command", choices=("methods", "entropy"))
    command = parser.parse_args().command
    environment.set_up()
    if command == "methods":
        EXPERIMENT.make(FILE, everything)
    else:
        EXPERIMENT.make(ENTROPY, entropies)


if __name__ == "__main__":
    main()
