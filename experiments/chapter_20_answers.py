"""Chapter 20, "Going deeper: judges that read probabilities" and two more: 20-*.json.

    python -m experiments.chapter_20_answers

20-judges.json holds what five judges say of pairs of replies to validation openings, of which we
know who should win: a row a judge and trial. 20-decoding.json holds what the chapter's fine-tuned
SmolLM2 answers to test openings in nine ways of decoding, and what people answered, with what a
judge needs: a row a way. 20-speed.json holds the seconds that ways of running the model take, in
rounds that alternate between them, a row a round, and what each form of the weights makes of
people's answers. On one core with bfloat16 about ten minutes.
"""

import time
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

from experiments.chapter_20_dpo import ADAPTER
from experiments.common import RESULTS, Experiment, Row, definitions
from helpers.data import assets
from helpers.models.contrastive import mean_pool
from helpers.models.generation import greedy
from helpers.models.llama import Llama

JUDGED, DECODED = RESULTS / "20-judges.json", RESULTS / "20-decoding.json"
SPEED = RESULTS / "20-speed.json"
OPENINGS = 64
LONGEST = 24  # tokens of an answer
ROUNDS, SIDE_BY_SIDE, TIMED = 7, 8, 32  # the last: tokens written after each prompt
JUDGES = ("log p", "log p per token", "gain", "cosine", "asked")
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(JUDGED, DECODED, SPEED),
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
    n = 1 if arguments.small else ROUNDS
    EXPERIMENT.fill(SPEED, arguments, [{"round": i} for i in range(n)], runs.timed, part="rounds")
    EXPERIMENT.fill(SPEED, arguments, [{"form": form} for form in FORMS], runs.form, part="forms")


FORMS = ("float32", "bfloat16", "int8")


class Runs:
    """The rows of the three files; a model is loaded when it is needed."""

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

    def timed(self, **at: int) -> Row:
        """Seconds for so many tokens after each prompt, none of which may end the answer."""
        ways = self.ways()
        order = list(ways)
        if at["round"] == 0:
            for write in ways.values():
                write()  # to warm up
        # Whoever goes second finds the caches as the other left them: take turns at that, too.
        seconds = {}
        for way in order[:: -1 if at["round"] % 2 else 1]:
            started = time.perf_counter()
            ways[way]()
            seconds[way] = round(time.perf_counter() - started, 4)
        return {way: seconds[way] for way in order}

    def ways(self) -> dict[str, Callable[[], torch.Tensor]]:
        tokenizer = self.c.tokenizer
        tokenizer.padding_side = "left"
        eight, one = (
            dict(
                tokenizer.apply_chat_template(
                    self.prompts[:n],
                    add_generation_prompt=True,
                    padding=True,
                    return_tensors="pt",
                    return_dict=True,
                )
            )
            for n in (SIDE_BY_SIDE, 1)
        )

        def theirs(form: str, batch: dict, **settings):
            fixed = {"max_new_tokens": TIMED, "min_new_tokens": TIMED, "do_sample": False}
            return lambda: self.form_of(form).generate(**batch, **fixed, **settings)

        def ours(batch: dict):
            mask = batch["attention_mask"]
            return lambda: greedy(
                self.form_of("ours"), batch["input_ids"], TIMED, attention_mask=mask
            )

        return {
            "one, no cache": theirs("float32", one, use_cache=False),
            "one": theirs("float32", one),
            "eight": theirs("float32", eight),
            "one, ours": ours(one),
            "eight, ours": ours(eight),
            "one, bfloat16": theirs("bfloat16", one),
            "eight, bfloat16": theirs("bfloat16", eight),
            "one, int8": theirs("int8", one),
            "eight, int8": theirs("int8", eight),
        }

    def form_of(self, form: str) -> torch.nn.Module:
        """SmolLM2 as it comes with its weights in another form, or in the book's own class."""
        if form not in self.loaded:
            path = assets.path("smollm2")
            if form == "ours":
                self.loaded[form] = Llama.from_pretrained(path).eval()
            else:
                dtype = torch.bfloat16 if form == "bfloat16" else torch.float32
                model = AutoModelForCausalLM.from_pretrained(path, dtype=dtype).eval()
                self.loaded[form] = self.c.as_int8(model) if form == "int8" else model
        return self.loaded[form]

    def form(self, form: str) -> Row:
        """What a form of the weights makes of people's answers, and what it writes itself."""
        c, model = self.c, self.form_of(form)
        ids = self.ended([answer for _, answer in self.test])
        nats = -c.reply_log_probs(model, self.prompts, ids)
        with torch.inference_mode():
            written = c.answers_to(model, self.prompts[:SIDE_BY_SIDE], longest=24, do_sample=False)
        return {
            "nats": as_list(nats),
            "tokens": [*map(len, ids)],
            "megabytes": round(c.megabytes_of(model), 1),
            "answers": [c.text_of(row) for row in written],
        }


def as_list(values) -> list[float]:
    return [round(float(x), 3) for x in values]


if __name__ == "__main__":
    main()
