"""Chapter 20, "Decoding for dialogue", "Judges and biases", "Injection and refusal": 20-*.json.

    python -m experiments.chapter_20_answers

The fine-tuned model answers 48 test openings by seven ways of decoding; a row a way. SmolLM2 as it
was judges pairs of answers in both orders: people's own against those of another conversation,
answers against themselves with a polite sentence more, and DPO's answers against those of the
model it started from. Three models answer the chapter's lists of requests. On one core with
bfloat16 about twelve minutes.
"""

import peft
import torch
from sentence_transformers import SentenceTransformer

from experiments.chapter_20_dpo import ASKING
from experiments.chapter_20_dpo import FILE as DPO
from experiments.chapter_20_sft import ADAPTER
from experiments.common import RESULTS, Experiment, Row, definitions, read
from helpers.data import assets

DECODING, JUDGE = RESULTS / "20-decoding.json", RESULTS / "20-judge.json"
BEHAVIOUR = RESULTS / "20-behaviour.json"
OPENINGS, JUDGED, BATCH = 48, 48, 8
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(DECODING, JUDGE, BEHAVIOUR),
    reads="the same openings for all ways of decoding; the same pairs in both orders for a judge",
    searched="nothing: ways of decoding and prompts were fixed beforehand, and all are shown",
    selected="nothing",
    test="openings and answers of test conversations",
    seeds=(0,),
)
SAMPLED = {"do_sample": True, "top_k": 0, "top_p": 1.0}
WAYS = {
    "greedy": {"do_sample": False},
    "greedy, repetition penalty 1.3": {"do_sample": False, "repetition_penalty": 1.3},
    "temperature 0.5": SAMPLED | {"temperature": 0.5},
    "temperature 1": SAMPLED | {"temperature": 1.0},
    "temperature 1.5": SAMPLED | {"temperature": 1.5},
    "top-p 0.9": SAMPLED | {"temperature": 1.0, "top_p": 0.9},
    "generate's own top-k 50": {"do_sample": True, "temperature": 1.0},
}
PADDING = " That is a really great point, and I am so happy that you told me about it."


def main() -> None:
    parser = EXPERIMENT.parser(rows=True)
    parser.add_argument("--small", action="store_true", help="try the script on very little")
    arguments = parser.parse_args()
    c = definitions("20")
    runs = Runs(c, *((4, 4) if arguments.small else (OPENINGS, JUDGED)))
    plan = [{"way": way, "seed": 0} for way in ["people", *WAYS]]
    EXPERIMENT.fill(DECODING, arguments, plan, runs.decode)
    models = ("instruct", "chats", "asks")
    plan = [{"model": model, "trial": trial} for model in models for trial in c.TRIALS]
    EXPERIMENT.fill(BEHAVIOUR, arguments, plan, runs.behave)
    plan = [{"pairs": pairs} for pairs in ("person or another", "padded or not", "DPO or not")]
    EXPERIMENT.fill(JUDGE, arguments, plan, runs.judge)


class Runs:
    def __init__(self, c, n_openings: int, n_judged: int):
        self.c, self.n_judged = c, n_judged
        self.openings = c.openings(c.chats["test"]["turns"], max(n_openings, n_judged))
        self.n_openings = n_openings
        self.minilm = SentenceTransformer(assets.path("minilm"), device="cpu")
        self.loaded: dict[str, torch.nn.Module] = {}

    def model(self, name: str) -> torch.nn.Module:
        """SmolLM2 as it was, after chapter_20_sft, or after DPO on top of that."""
        if name not in self.loaded:
            model = self.c.smollm2()
            for folder in {"instruct": (), "chats": (ADAPTER,), "asks": (ADAPTER, ASKING)}[name]:
                model = peft.PeftModel.from_pretrained(model, folder).merge_and_unload()
            # Autocast keeps its bfloat16 copies of weights that could be trained, and no others.
            self.loaded = {name: model.eval().requires_grad_(True)}
        return self.loaded[name]

    def autocast(self):
        bf16 = self.c.has_native_bf16(self.c.device)
        return torch.autocast(self.c.device.type, torch.bfloat16, enabled=bf16)

    def likeness(self, ones: list[str], others: list[str]) -> list[float]:
        """The cosine of MiniLM's vectors of each pair of texts."""
        left, right = (
            self.minilm.encode(texts, normalize_embeddings=True) for texts in (ones, others)
        )
        return [round(float(x), 4) for x in (left * right).sum(1)]

    @torch.inference_mode()
    def decode(self, way: str, seed: int) -> Row:
        """What it writes, how likely that is at temperature 1, how like it is to what was said."""
        c, model = self.c, self.model("chats")
        openings = self.openings[: self.n_openings]
        prompts, human = [m for m, _ in openings], [answer for _, answer in openings]
        with self.autocast():
            if way == "people":
                written = [c.plain(f"{answer}<|im_end|>") for answer in human]
            else:
                written = c.answers_to(model, prompts, seed=seed, **WAYS[way])
            log_p = []
            for start in range(0, len(prompts), BATCH):
                part = slice(start, start + BATCH)
                rows = [
                    c.with_answer(*pair) for pair in zip(prompts[part], written[part], strict=True)
                ]
                log_p += c.answer_log_probs(model, c.as_batch(rows)).tolist()
        texts = [c.text_of(ids) for ids in written]
        said = [" ".join(message["content"] for message in prompt) for prompt in prompts]
        row = {"written": written, "log p": [round(x, 3) for x in log_p]}
        return row | {"like the opening": self.likeness(texts, said)}

    def behave(self, model: str, trial: str) -> Row:
        c = self.c
        with self.autocast():
            written = c.answers_to(self.model(model), c.TRIALS[trial], do_sample=False)
        return {"written": [c.text_of(ids) for ids in written]}

    def judge(self, pairs: str) -> Row:
        """How the judge leans to the first answer when it stands first, and when it's second."""
        c, n = self.c, self.n_judged
        prompts, human = [m for m, _ in self.openings[:n]], [a for _, a in self.openings[:n]]
        if pairs == "person or another":
            ones, others = human, human[1:] + human[:1]
        elif pairs == "padded or not":
            ones, others = [answer + PADDING for answer in human], human
        else:
            runs = {(r["method"], r["beta"]): r["written"] for r in read(DPO, {})["runs"]}
            ones, others = (
                [c.text_of(ids) for ids in runs[key][:n]] for key in (("dpo", 0.1), ("none", None))
            )
        model = self.model("instruct")
        with self.autocast():
            first, second = (
                c.lean(model, [c.judge_prompt(p, a, b) for p, a, b in asked], "A", "B")
                for asked in (
                    list(zip(prompts, ones, others, strict=True)),
                    list(zip(prompts, others, ones, strict=True)),
                )
            )
        said = [" ".join(message["content"] for message in prompt) for prompt in prompts]
        row = {"leans when first": [round(x, 4) for x in first]}
        row |= {"leans when second": [round(-x, 4) for x in second]}
        for name, texts in (("one", ones), ("other", others)):
            row[f"MiniLM, {name}"] = self.likeness(texts, said)
        return row


if __name__ == "__main__":
    main()
