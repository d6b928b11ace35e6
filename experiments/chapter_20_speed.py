"""Chapter 20, "Going deeper: what a token costs": 20-speed.json.

    python -m experiments.chapter_20_speed

The chapter's fine-tuned SmolLM2 writes 32 tokens behind 64, in seven ways. Two parts of the file:

- seconds: of each call, in rounds that call every way once, forwards and backwards in turn, so that
  what else the machine does hits all alike.
- answers: what people's answers in test conversations cost, in nats, with weights and inputs of
  fewer bits; a row a form of the model.

Five minutes on one thread. The machine is in `experiments/log.jsonl`; other work ran on it, so only
ratios within a round mean anything.
"""

import time

import peft
import torch

from experiments.chapter_20_dpo import ADAPTER
from experiments.common import RESULTS, Experiment, Row, definitions, read

FILE = RESULTS / "20-speed.json"
ROUNDS = 9
PROMPT, NEW = 64, 32  # tokens
MANY = 8  # prompts side by side
TEST, BATCH = 80, 8  # conversations; at once
# By name: the form of the model, the prompts, and whether keys and values are kept.
WAYS = {
    "fp32": ("fp32", 1, True),
    "fp32, no cache": ("fp32", 1, False),
    "fp32, batch": ("fp32", MANY, True),
    "bf16": ("bf16", 1, True),
    "bf16, batch": ("bf16", MANY, True),
    "int8": ("int8", 1, True),
    "int8, batch": ("int8", MANY, True),
}
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="the same weights and the same eight prompts, of which a batch of one has the first",
    searched="nothing",
    selected="nothing",
    test="the answers of 80 test conversations; the prompts that are timed",
    seeds=(),
)


def main() -> None:
    parser = EXPERIMENT.parser(rows=True)
    parser.add_argument("--small", action="store_true", help="try the script on very little")
    arguments = parser.parse_args()
    runs = Runs(definitions("20"), *((8, 1) if arguments.small else (TEST, ROUNDS)))
    if "seconds" not in read(FILE, {}):
        EXPERIMENT.make(FILE, runs.seconds, part="seconds")
    plan = [{"form": form} for form in runs.c.FORMS]
    EXPERIMENT.fill(FILE, arguments, plan, runs.answers, part="answers")


class Runs:
    """Both parts of the file; all forms are made of one fine-tuned model."""

    def __init__(self, c, n_test: int, rounds: int):
        self.c, self.rounds = c, rounds
        self.model = peft.PeftModel.from_pretrained(c.smollm2(), ADAPTER).merge_and_unload().eval()
        self.test = c.beginnings(c.chats["test"]["turns"], n_test)

    def seconds(self) -> Row:
        """Of each call, by way: the first round isn't kept."""
        c = self.c
        forms = {form: c.FORMS[form](self.model) for form, *_ in WAYS.values()}
        prompts = c.timed_prompts(MANY, PROMPT)
        kept: dict[str, list[float]] = {name: [] for name in WAYS}
        for turn in range(self.rounds + 1):
            # Whoever comes later finds the processor's caches as the others left them.
            for name in sorted(WAYS, reverse=bool(turn % 2)):
                form, n, cache = WAYS[name]
                started = time.perf_counter()
                c.write_on(forms[form], prompts[:n], NEW, use_cache=cache)
                if turn:
                    kept[name].append(round(time.perf_counter() - started, 4))
        return kept

    @torch.inference_mode()
    def answers(self, form: str) -> Row:
        """What each conversation's answers cost, in nats, and how many tokens they have."""
        c, nats, sizes = self.c, [], []
        model = c.FORMS[form](self.model)
        for start in range(0, len(self.test), BATCH):
            batch = c.as_batch([c.encode(m) for m in self.test[start : start + BATCH]])
            nats += (-c.answer_log_probs(model, batch)).tolist()
            sizes += (batch["labels"] != c.IGNORED).sum(1).tolist()
        return {"nats": [round(x, 3) for x in nats], "tokens": sizes}


if __name__ == "__main__":
    main()
