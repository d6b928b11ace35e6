"""Chapter 20, "What DPO moves, and what it breaks": 20-dpo.json, smollm2-asks.

    python -m experiments.chapter_20_dpo

The fine-tuned model of chapter_20_sft writes four answers to each of 128 openings; where one asks
something back and another doesn't, they are a pair. DPO learns from these pairs at three values
of β, and as a baseline the better answers alone are learned. A row a run: what it writes to 64
test openings, how likely that is to it and to the model it started from, and what the people's own
answers cost. The matrices for the middle β are kept. On one core with bfloat16 about four
minutes a run, and as much for the pairs.
"""

import time

import peft
import torch

from experiments.chapter_20_sft import ADAPTER, keep
from experiments.common import CHECKPOINTS, RESULTS, Experiment, Row, definitions, read

FILE = RESULTS / "20-dpo.json"
ASKING = CHECKPOINTS / "smollm2-asks"
BETAS, RATE = (0.03, 0.1, 0.5), 5e-4
OPENINGS, DRAWN, AT_MOST, BATCH, TEST = 128, 4, 64, 4, 64
FIRST = 400  # training conversations from here on; those before it taught the model to chat
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE, ASKING),
    reads="the same pairs in the same order, one pass; the baseline their better halves alone",
    searched="three values of β, all of them shown; one learning rate",
    selected="nothing",
    test="answers to 64 test openings, and what people answered there",
    seeds=(0,),
)


def main() -> None:
    parser = EXPERIMENT.parser(rows=True)
    parser.add_argument("--small", action="store_true", help="try the script on very little")
    arguments = parser.parse_args()
    c = definitions("20")
    runs = Runs(c, *((8, 4) if arguments.small else (OPENINGS, TEST)))
    if "drawn" not in read(FILE, {}):
        EXPERIMENT.make(FILE, runs.draw, "drawn")
    plan = [{"method": "none", "beta": None, "seed": 0}, {"method": "dpo", "beta": 0.1, "seed": 0}]
    plan += [{"method": "dpo", "beta": beta, "seed": 0} for beta in BETAS if beta != 0.1]
    plan += [{"method": "better answers alone", "beta": None, "seed": 0}]
    EXPERIMENT.fill(FILE, arguments, plan, runs.run, part="runs")


class Runs:
    def __init__(self, c, n_openings: int, n_test: int):
        self.c = c
        turns = c.chats["train"]["turns"][FIRST:]
        self.prompts = [messages for messages, _ in c.openings(turns, n_openings)]
        self.test = c.openings(c.chats["test"]["turns"], n_test)
        self.before: list = []  # log p of the pairs in the model that all runs start from

    def start(self) -> torch.nn.Module:
        """The fine-tuned model, its matrices added to the weights: the reference."""
        model = peft.PeftModel.from_pretrained(self.c.smollm2(), ADAPTER).merge_and_unload()
        # Autocast keeps its bfloat16 copies of weights that could be trained, and no others.
        return model.eval().requires_grad_(True)

    def draw(self) -> list[Row]:
        """The place of each opening, and the ids of its answers."""
        c, model = self.c, self.start()
        with self.autocast():
            drawn = [
                c.answers_to(model, self.prompts, seed=seed, **c.AS_IT_IS) for seed in range(DRAWN)
            ]
        return [
            {"opening": i, "written": list(row)} for i, row in enumerate(zip(*drawn, strict=True))
        ]

    def run(self, method: str, beta: float | None, seed: int) -> Row:
        c = self.c
        drawn = read(FILE, {})["drawn"]
        prompts = [self.prompts[row["opening"]] for row in drawn]
        stored = c.pairs_of(prompts, [row["written"] for row in drawn])[:AT_MOST]
        parts = [stored[i : i + BATCH] for i in range(0, len(stored), BATCH)]
        c.set_seed(seed)
        model = self.start()
        if not self.before:
            self.before = [self.log_probs(model, part) for part in parts]
        if method != "none":
            model = peft.get_peft_model(model, c.lora_config())
        started, losses = time.perf_counter(), []
        if method == "dpo":
            batches = list(zip(parts, self.before, strict=True))
            losses = c.fit(
                model,
                batches,
                lambda m, b: c.dpo_loss(c.log_probs_of_pair(m, b[0]), b[1], beta),
                RATE,
            )
        elif method != "none":
            rows = [[c.with_answer(p["prompt"], p["chosen"]) for p in part] for part in parts]
            losses = c.fit(model, [c.as_batch(part) for part in rows], c.sft_loss, RATE)
        row = {"minutes": round((time.perf_counter() - started) / 60, 2)}
        row["losses"] = [round(loss, 4) for loss in losses]
        after = self.before if method == "none" else [self.log_probs(model, part) for part in parts]
        for name, found in (("before", self.before), ("after", after)):
            for i, side in enumerate(c.SIDES):
                row[f"{side} {name}"] = [round(x, 2) for part in found for x in part[i].tolist()]
        if beta == 0.1:
            keep(model, ASKING)
        return row | self.measured(model)

    @torch.inference_mode()
    def measured(self, model: torch.nn.Module) -> Row:
        """What it writes, how likely that is to it and to the reference, and people's answers."""
        c = self.c
        prompts = [messages for messages, _ in self.test]
        network = model.merge_and_unload() if isinstance(model, peft.PeftModel) else model
        network.requires_grad_(True)
        with self.autocast():
            written = c.answers_to(network, prompts, seed=1, **c.AS_IT_IS)
        own = list(zip(prompts, written, strict=True))
        human = [(m, c.plain(f"{answer}<|im_end|>")) for m, answer in self.test]
        row = {"written": written, "own": self.sums(network, own)}
        row |= {"human": self.sums(network, human), "human tokens": [len(ids) for _, ids in human]}
        same = network is model  # nothing was trained: it is the reference
        return row | {"own by the reference": row["own"] if same else self.sums(self.start(), own)}

    def sums(self, model: torch.nn.Module, answered: list) -> list[float]:
        """log p of each answer."""
        c, found = self.c, []
        for start in range(0, len(answered), BATCH):
            batch = c.as_batch([c.with_answer(*pair) for pair in answered[start : start + BATCH]])
            with self.autocast():
                found += c.answer_log_probs(model, batch).tolist()
        return [round(x, 3) for x in found]

    def log_probs(self, model: torch.nn.Module, part: list[Row]) -> tuple[torch.Tensor, ...]:
        with torch.no_grad(), self.autocast():
            return self.c.log_probs_of_pair(model, part)

    def autocast(self):
        bf16 = self.c.has_native_bf16(self.c.device)
        return torch.autocast(self.c.device.type, torch.bfloat16, enabled=bf16)


if __name__ == "__main__":
    main()
