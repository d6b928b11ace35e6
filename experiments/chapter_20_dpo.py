"""Chapter 20, "What the choices move", fig-20-beta: 20-dpo.json.

    python -m experiments.chapter_20_dpo

The chapter's fine-tuned SmolLM2 answers openings four times each, and a rule chooses: an answer of
at most 12 words that ends a sentence is better than one that isn't. The model is then trained on
these pairs with DPO. The part "pairs" holds what the rule chose, "runs" a row a run, for each seed
one of the model as it was: what each model says to test openings, how far that is from the model it
started from, what it gives to pairs of test openings, and what people's answers cost it. β is 0.1
with each seed, and with the first seed two others too. On one core with bfloat16 about two minutes
for the pairs and three for a training.
"""

import json
import time
from functools import cache

import numpy as np
import peft
import torch

from experiments.common import CHECKPOINTS, RESULTS, Experiment, Row, definitions, read

FILE, ADAPTER = RESULTS / "20-dpo.json", CHECKPOINTS / "smollm2-chitchat"
BETA, OTHER_BETAS = 0.1, (0.03, 0.5)
RATE = 1e-3  # the fine-tuning's
OPENINGS, TEST = 64, 48  # of training and of test conversations
ASKED = 64  # tokens of an opening, at most
DRAWN = 4  # answers to each, for the pairs
LONGEST = 24  # tokens of an answer; twelve words have fewer
BATCH, PASSES = 8, 2
AT_ONCE = 64  # answers that are written side by side
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="the same openings before and after; twelve updates of eight pairs each, in two passes",
    searched="nothing: one learning rate; three values of β, all of them shown",
    selected="nothing",
    test="answers to 48 test openings, and the people's own answers to them",
    seeds=(0, 1, 2),
)


def main() -> None:
    parser = EXPERIMENT.parser(rows=True)
    parser.add_argument("--small", action="store_true", help="try the script on very little")
    arguments = parser.parse_args()
    n = (8, 6) if arguments.small else (OPENINGS, TEST)
    runs = Runs(definitions("20"), *n)
    if "pairs" not in read(FILE, {}):
        EXPERIMENT.make(FILE, runs.pairs, part="pairs")
    plan = []
    for seed in arguments.seeds:
        plan += [{"method": "none", "beta": None, "seed": seed}]
        plan += [{"method": "dpo", "beta": BETA, "seed": seed}]
    plan += [{"method": "dpo", "beta": beta, "seed": EXPERIMENT.seeds[0]} for beta in OTHER_BETAS]
    EXPERIMENT.fill(FILE, arguments, plan, runs.run, part="runs")


class Runs:
    """Both parts of the file, and the model that everything starts from."""

    def __init__(self, c, n_openings: int, n_test: int):
        self.c = c
        self.prompts = [messages for messages, _ in self.short("train", n_openings)]
        self.test = self.short("test", n_test)
        self.reference = self.start()

    def short(self, split: str, n: int) -> list:
        """Of n conversations an opening that isn't long, and what a person answered."""
        c = self.c
        found = c.openings(c.chats[split]["turns"], 10 * n)
        return [row for row in found if len(c.plain(c.rendered(row[0]))) <= ASKED][:n]

    def start(self) -> torch.nn.Module:
        """SmolLM2 after the chapter's fine-tuning."""
        model = peft.PeftModel.from_pretrained(self.c.smollm2(), ADAPTER).merge_and_unload()
        # Autocast keeps its bfloat16 copies of weights that could be trained, and no others.
        return model.eval().requires_grad_(True)

    def autocast(self):
        bf16 = self.c.has_native_bf16(self.c.device)
        return torch.autocast(self.c.device.type, torch.bfloat16, enabled=bf16)

    def answers(self, model, prompts: list, times: int, seed: int) -> list[list[list[int]]]:
        """For each prompt so many answers, as ids, from the model's own distribution."""
        c = self.c
        with self.autocast():
            settings = {"longest": LONGEST, "seed": seed, "at_once": AT_ONCE} | c.AS_IT_IS
            ids = c.answers_to(model, prompts * times, **settings)
        return [ids[i :: len(prompts)] for i in range(len(prompts))]

    @torch.inference_mode()
    def log_probs(self, model, rows: list) -> np.ndarray:
        """log p of answers (ids) to prompts (messages), given as pairs."""
        c, found = self.c, []
        for start in range(0, len(rows), 2 * BATCH):
            batch = c.as_batch([c.with_answer(*row) for row in rows[start : start + 2 * BATCH]])
            with self.autocast():
                found += c.answer_log_probs(model, batch).tolist()
        return np.array(found)

    def pairs(self) -> list[Row]:
        """What the rule chose: for training openings, and for test openings to be scored on.

        A row an opening: how many of its answers keep the rule and, where some do and some don't,
        the pair.
        """
        c, found = self.c, []
        for split, prompts in (("train", self.prompts), ("test", [m for m, _ in self.test])):
            drawn = self.answers(self.reference, prompts, DRAWN, seed=0)
            for opening, answers in enumerate(drawn):
                keep = sum(c.keeps_rule(ids) for ids in answers)
                row = {"split": split, "opening": opening, "keep": keep}
                chosen = c.choose(answers)
                found.append(row | dict(zip(c.SIDES, chosen, strict=True)) if chosen else row)
        return found

    def of(self, split: str) -> list[Row]:
        """The pairs of a split, with their prompts."""
        prompts = self.prompts if split == "train" else [m for m, _ in self.test]
        rows = json.loads(FILE.read_text("utf-8"))["pairs"]
        rows = [row for row in rows if row["split"] == split and "chosen" in row]
        return [row | {"prompt": prompts[row["opening"]]} for row in rows]

    def sides(self, model, pairs: list[Row]) -> np.ndarray:
        """log p of the better and of the worse answers, (2, pairs)."""
        rows = [[(pair["prompt"], pair[side]) for pair in pairs] for side in self.c.SIDES]
        return np.stack([self.log_probs(model, row) for row in rows])

    @cache  # noqa: B019, one object, which lives as long as the process
    def fixed(self, split: str) -> np.ndarray:
        """The same for the pairs of a split, by the model that everything starts from."""
        return self.sides(self.reference, self.of(split))

    def run(self, method: str, beta: float | None, seed: int) -> Row:
        c = self.c
        started = time.perf_counter()
        model, row = self.reference, {}
        if method != "none":
            model, row = self.train(beta, seed)
        row |= {"minutes": round((time.perf_counter() - started) / 60, 2)}

        prompts = [messages for messages, _ in self.test]
        drawn = [ids for (ids,) in self.answers(model, prompts, 1, seed=1 + seed)]
        asked = list(zip(prompts, drawn, strict=True))
        if method == "none":
            ratios = np.zeros(len(asked))
        else:
            ratios = self.log_probs(model, asked) - self.log_probs(self.reference, asked)
        row["answers"] = [
            [c.text_of(ids), len(ids), c.keeps_rule(ids), round(ratio, 3)]
            for ids, ratio in zip(drawn, ratios.tolist(), strict=True)
        ]
        people = [(messages, c.plain(f"{text}<|im_end|>")) for messages, text in self.test]
        row["people"] = [
            [round(-log_p, 3), len(ids)]
            for log_p, (_, ids) in zip(self.log_probs(model, people), people, strict=True)
        ]
        if method != "none":
            ratios = self.sides(model, self.of("test")) - self.fixed("test")
            row["test pairs"] = ratios.T.round(3).tolist()
        return row

    def train(self, beta: float, seed: int) -> tuple[torch.nn.Module, Row]:
        """DPO with LoRA on the pairs; with the row, the log-ratios of each update's pairs."""
        c, pairs, ratios = self.c, self.of("train"), []
        fixed = torch.tensor(self.fixed("train")).float().to(c.device)  # (2, pairs)
        rng = np.random.default_rng(seed)
        order = [rng.permutation(len(pairs)) for _ in range(PASSES)]
        batches = [o[i : i + BATCH] for o in order for i in range(0, len(o) - BATCH + 1, BATCH)]
        c.set_seed(seed)
        model = peft.get_peft_model(self.start(), c.lora_config())

        def dpo(model, which):
            policy = c.log_probs_of_pair(model, [pairs[i] for i in which])
            of_batch = [(p - f[which]).mean() for p, f in zip(policy, fixed, strict=True)]
            ratios.append([round(x.item(), 3) for x in of_batch])
            return c.dpo_loss(policy, fixed[:, which], beta)

        losses = c.fit(model, batches, dpo, RATE)
        trained = {"losses": [round(x, 4) for x in losses], "ratios": ratios}
        return model.merge_and_unload().eval().requires_grad_(True), trained


if __name__ == "__main__":
    main()
