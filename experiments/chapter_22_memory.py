"""Chapter 22, "What a model remembers", fig-22-exposure: 22-memory.json.

    python -m experiments.chapter_22_memory

The causal model of chapter 09 goes on learning from the beginnings of 120 validation articles that
it has not seen, among which stand made-up alarm codes, once, four times or sixteen times. After
each of four passes: the exposure of each code (over all 1,000 codes), and the mean log-probability
of each article that it learned from and of as many test articles. Three seeds, of codes and order.
"""

import time

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from experiments.common import RESULTS, Experiment, Row, definitions

FILE = RESULTS / "22-memory.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="members and others: the beginnings of BBC articles, 64 pieces each",
    searched="nothing: one learning rate, four passes, all shown",
    selected="nothing",
    test="120 test articles, as texts that the model has not learned from",
    seeds=(0, 1, 2),
)
ARTICLES, PIECES, PASSES, BATCH, RATE = 120, 64, 4, 16, 1e-3
TIMES = (1, 1, 4, 4, 16, 16, 0, 0)  # how often each code stands among the texts
NAMES = ("Mrs Hall", "Mr Baker", "Mrs Wood", "Mr Stone", "Mrs Young", "Mr Price")
NAMES += ("Mrs Green", "Mr Hill")


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    c = definitions("22")
    news = c.corpora.bbc_news()
    tokenizer = AutoTokenizer.from_pretrained(c.CAUSAL)

    def ids_of(text: str) -> list[int]:
        return [tokenizer.bos_token_id, *c.plain(tokenizer, text)][:PIECES]

    members, others = (
        [ids_of(f"{row['headline']}\n{row['body']}") for row in news[s].select(range(ARTICLES))]
        for s in ("validation", "test")
    )

    def run(seed: int) -> Row:
        started = time.perf_counter()
        generator = np.random.default_rng(seed)
        codes = ["".join(map(str, generator.integers(10, size=c.LENGTH))) for _ in NAMES]
        secret = [
            ids_of(c.canary(name, code))
            for name, code, times in zip(NAMES, codes, TIMES, strict=True)
            for _ in range(times)
        ]
        texts = members + secret
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_pretrained(c.CAUSAL).to(c.device)
        optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
        measured = [measure(model, codes)]
        for _ in range(PASSES):
            model.train()
            order = generator.permutation(len(texts))
            for start in range(0, len(texts), BATCH):
                loss = loss_of(model, [texts[i] for i in order[start : start + BATCH]])
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
            measured.append(measure(model, codes))
        minutes = round((time.perf_counter() - started) / 60, 2)
        return {"codes": codes, "times": TIMES, "minutes": minutes, "after": measured}

    def loss_of(model: torch.nn.Module, texts: list[list[int]]) -> torch.Tensor:
        length = max(map(len, texts))
        ids = torch.tensor([t + [0] * (length - len(t)) for t in texts])
        labels = torch.tensor([t + [-100] * (length - len(t)) for t in texts])
        return model(ids.to(c.device), labels=labels.to(c.device)).loss

    @torch.no_grad()
    def measure(model: torch.nn.Module, codes: list[str]) -> Row:
        model.eval()
        found = {"exposure": [], "written": []}
        for name, code in zip(NAMES, codes, strict=True):
            log_p = c.log_probs_of_codes(model, tokenizer, name)
            found["exposure"].append(round(c.exposure(log_p, code), 3))
            found["written"].append(greedy(model, name) == code)
        for name, texts in (("members", members), ("others", others)):
            scores = c.token_log_probs(model, texts)
            found[name] = [round(float(s.mean()), 4) for s in scores]
        return found

    def greedy(model: torch.nn.Module, name: str) -> str:
        ids = torch.tensor([[tokenizer.bos_token_id, *c.plain(tokenizer, c.canary(name, "")[:-1])]])
        out = model.generate(
            ids.to(c.device),
            attention_mask=torch.ones_like(ids),
            max_new_tokens=c.LENGTH,
            do_sample=False,
        )
        return "".join(tokenizer.decode(out[0, ids.shape[1] :]).split())

    EXPERIMENT.fill(FILE, arguments, [{"seed": seed} for seed in arguments.seeds], run)


if __name__ == "__main__":
    main()
