"""Chapter 20, "Going deeper: judges that read probabilities" and one more: 20-*.json.

    python -m experiments.chapter_20_answers

20-judges.json holds what five judges say of pairs of replies to validation openings, of which we
know who should win: a row a judge and trial. 20-decoding.json holds what the chapter's fine-tuned
SmolLM2 answers to test openings in nine ways of decoding, and what people answered, with what a
judge needs: a row a way. On one core with bfloat16 about ten minutes.
"""

from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from transformers import AutoModel, AutoTokenizer

from experiments.chapter_20_dpo import ADAPTER
from experiments.common import RESULTS, Experiment, Row, definitions
from helpers.data import assets
from helpers.models.contrastive import mean_pool

JUDGED, DECODED = RESULTS / "20-judges.json", RESULTS / "20-decoding.json"
OPENINGS = 64
LONGEST = 24  # tokens of an answer
JUDGES = ("log p", "log p per token", "gain", "cosine", "asked")
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(JUDGED, DECODED),
    reads="all judges the same pairs of replies, all ways of decoding the same 64 openings",
    searched="nothing: settings as tutorials have them",
    selected="64 validation openings, for the judge of the ways of decoding",
    test="one answer to each of 64 test openings by each way of decoding; what people answered",
    seeds=(0,),
)


def main() -> None:
    parser = EXPERIMENT.parser(rows=True)
    parser.add_argument("--small", action="store_true", help="try the script on very little")
    arguments = parser.parse_args()
    c = definitions("20")
    runs = Runs(c, 6 if arguments.small else OPENINGS)
    plan = [{"trial": trial, "judge": judge} for judge in JUDGES for trial in runs.trials]
    EXPERIMENT.fill(JUDGED, arguments, plan, runs.judged)
    plan = [{"way": way} for way in ("people", *c.DECODING)]
    EXPERIMENT.fill(DECODED, arguments, plan, runs.decoded)


class Runs:
    """The rows of the two files; a model is loaded when it is needed."""

    def __init__(self, c, n: int):
        self.c, chats = c, c.chats
        validation = c.openings(chats["validation"]["turns"], n)
        self.shown = [messages for messages, _ in validation]
        own = [answer for _, answer in validation]
        echoes = [messages[-1]["content"] for messages in self.shown]
        self.trials = c.trials_of(own) | {"a person's own, or an echo": (own, echoes)}
        self.test = c.openings(chats["test"]["turns"], n)
        self.prompts = [messages for messages, _ in self.test]
        self.loaded: dict[str, torch.nn.Module] = {}

    def autocast(self):
        bf16 = self.c.has_native_bf16(self.c.device)
        return torch.autocast(self.c.device.type, torch.bfloat16, enabled=bf16)

    def network(self, name: str) -> torch.nn.Module:
        if name not in self.loaded:
            model = self.c.smollm2()
            if name == "fine-tuned":
                model = self.c.peft.PeftModel.from_pretrained(model, ADAPTER).merge_and_unload()
            # Autocast keeps its bfloat16 copies of weights that could be trained, and no others.
            self.loaded[name] = model.eval().requires_grad_(True)
        return self.loaded[name]

    def judged(self, trial: str, judge: str) -> Row:
        """By how much the judge prefers the first-named reply of each pair, in its own units."""
        c, (ones, others) = self.c, self.trials[trial]
        if judge == "asked":  # log p(A) − log p(B), with the first-named as A, and as B
            model, found = self.network("as it comes"), {}
            for order, (a, b) in {"first": (ones, others), "second": (others, ones)}.items():
                asked = [c.judge_prompt(*row) for row in zip(self.shown, a, b, strict=True)]
                with self.autocast():
                    found[order] = as_list(c.lean(model, asked, "A", "B", at_once=8))
            return found
        one, other = self.of_trial(trial)
        return {"more": as_list(one[judge] - other[judge])}

    @cache  # noqa: B019, one object, which lives as long as the process
    def of_trial(self, trial: str) -> list[dict[str, np.ndarray]]:
        return [self.scores(self.shown, self.ended(side)) for side in self.trials[trial]]

    def ended(self, texts: list[str]) -> list[list[int]]:
        return [self.c.plain(f"{text}<|im_end|>") for text in texts]

    def scores(self, prompts: list, replies: list[list[int]]) -> dict[str, np.ndarray]:
        """Each judge's score of each reply (ids), but that of the one that is asked."""
        c = self.c
        with self.autocast():
            found = c.scores_of(self.network("as it comes"), prompts, replies)
        last = [messages[-1]["content"] for messages in prompts]
        near = self.vectors(last) * self.vectors([c.text_of(ids) for ids in replies])
        return found | {"cosine": near.sum(1).numpy()}

    @torch.inference_mode()
    def vectors(self, texts: list[str]) -> torch.Tensor:
        """MiniLM's sentence vectors, of length 1: (n, 384)."""
        path = assets.path("minilm")
        batch = AutoTokenizer.from_pretrained(path)(texts, padding=True, return_tensors="pt")
        hidden = AutoModel.from_pretrained(path).eval()(**batch).last_hidden_state
        return F.normalize(mean_pool(hidden, batch["attention_mask"]), dim=-1)

    def decoded(self, way: str) -> Row:
        c = self.c
        if way == "people":
            written = self.ended([answer for _, answer in self.test])
        else:
            settings = {"longest": LONGEST, "at_once": 64} | c.DECODING[way]
            with self.autocast():
                written = c.answers_to(self.network("fine-tuned"), self.prompts, **settings)
        scores = {name: as_list(x) for name, x in self.scores(self.prompts, written).items()}
        answers = [
            [c.text_of(ids), len(ids), ids[-1] == c.tokenizer.eos_token_id] for ids in written
        ]
        return {"answers": answers} | scores


def as_list(values) -> list[float]:
    return [round(float(x), 3) for x in values]


if __name__ == "__main__":
    main()
