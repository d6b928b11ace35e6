"""Chapter 20, "To the letter", "What fine-tuning changes": 20-*.json, smollm2-chitchat.

    python -m experiments.chapter_20_sft

The first file holds what human answers cost SmolLM2 behind its own chat template and behind wrong
ones, before and after fine-tuning with LoRA; the second what each token of the answers of test
conversations costs before and after, and how the models lean, yes or no, on questions of BoolQ. A
row a run: LoRA and all weights, with a few learning rates each. LoRA's matrices of the rate that
the chapter uses are kept, in half precision: 2.4 MB. On one core with bfloat16 two to four minutes
a run.
"""

import time

import peft
import torch

from experiments.adapters import keep
from experiments.common import CHECKPOINTS, RESULTS, Experiment, Row, definitions
from helpers.data import questions

TEMPLATE, SFT = RESULTS / "20-template.json", RESULTS / "20-sft.json"
ADAPTER = CHECKPOINTS / "smollm2-chitchat"
RATE = 1e-3  # of the matrices that are kept; it was set before any other was tried
# A factor of three apart; to each side until the best isn't the last.
RATES = {"lora": (RATE, 3e-4, 3e-3, 1e-2), "all weights": (1e-4, 3e-4, 3e-5)}
UPDATES, BATCH = 24, 8
VALIDATION, TEST, ASKED = 40, 80, 100  # conversations, conversations, questions of BoolQ
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(TEMPLATE, SFT, ADAPTER),
    reads="the same 192 beginnings of conversations in the same order, at most 128 tokens each",
    searched="four learning rates for LoRA, three for all weights: the best is the last of neither",
    selected="the answers of 40 validation conversations; the kept matrices on nothing",
    test="the answers of 80 test conversations, and 100 validation questions of BoolQ",
    seeds=(0,),
)


def main() -> None:
    parser = EXPERIMENT.parser(rows=True)
    parser.add_argument("--small", action="store_true", help="try the script on very little")
    arguments = parser.parse_args()
    c = definitions("20")
    n = (2, 2, 4, 4) if arguments.small else (UPDATES, VALIDATION, TEST, ASKED)
    runs = Runs(c, *n)
    templates = [{"template": name} for name in c.TEMPLATES]

    plan = [{"method": "none", "learned from": "nothing", "rate": 0.0, "seed": 0}]
    for method, rates in RATES.items():
        run = {"method": method, "learned from": "answers"}
        plan += [run | {"rate": rate, "seed": 0} for rate in rates]
    EXPERIMENT.fill(SFT, arguments, plan, runs.sft)
    for model in ("instruct", "fine-tuned"):
        plan = [{"model": model} | row for row in templates]
        EXPERIMENT.fill(TEMPLATE, arguments, plan, runs.template)


class Runs:
    """The rows of both files; the models are loaded when they are needed."""

    def __init__(self, c, updates: int, n_validation: int, n_test: int, n_asked: int):
        self.c, chats = c, c.chats
        chosen = c.beginnings(chats["train"]["turns"], updates * BATCH)
        self.train = [chosen[i : i + BATCH] for i in range(0, len(chosen), BATCH)]
        self.validation = c.beginnings(chats["validation"]["turns"], n_validation)
        self.test = c.beginnings(chats["test"]["turns"], n_test)
        self.openings = c.openings(chats["test"]["turns"], n_test)
        self.asked = questions.boolq()["validation"].select(range(n_asked))
        self.loaded: dict[str, torch.nn.Module] = {}

    def sft(self, **settings) -> Row:
        c, method = self.c, settings["method"]
        c.set_seed(settings["seed"])
        model = c.smollm2()
        if method == "lora":
            model = peft.get_peft_model(model, c.lora_config())
        started, losses = time.perf_counter(), []
        if method != "none":
            batches = [c.as_batch([c.encode(m) for m in messages]) for messages in self.train]
            losses = c.fit(model, batches, c.sft_loss, settings["rate"])
        minutes = (time.perf_counter() - started) / 60
        nats = self.nats(model, self.validation)
        row = {"minutes": round(minutes, 2), "losses": [round(x, 4) for x in losses]}
        row |= {"validation": round(sum(map(sum, nats)) / sum(map(len, nats)), 4)}
        row |= {"test": self.nats(model, self.test), "boolq": self.boolq(model)}
        if method == "lora" and settings["rate"] == RATE:
            keep(model, ADAPTER, "HuggingFaceTB/SmolLM2-135M-Instruct")
        return row

    @torch.inference_mode()
    def nats(self, model: torch.nn.Module, conversations: list) -> list[list[float]]:
        """What each token of the answers costs, a list a conversation."""
        c, found = self.c, []
        for start in range(0, len(conversations), BATCH):
            batch = c.as_batch([c.encode(m) for m in conversations[start : start + BATCH]])
            with self.autocast():
                log_p, rows = c.token_log_probs(model, batch)
            size = len(batch["input_ids"])
            found += [[round(-x, 3) for x in log_p[rows == i].tolist()] for i in range(size)]
        return found

    def boolq(self, model: torch.nn.Module) -> list[float]:
        """log p(Yes) − log p(No) as the first token of the answer, without a passage."""
        c = self.c
        network = model.get_base_model() if isinstance(model, peft.PeftModel) else model
        asked = [c.user(f"Answer yes or no: {text}?") for text in self.asked["question"]]
        with self.autocast():
            return [round(x, 4) for x in c.lean(network, asked, "Yes", "No")]

    @torch.inference_mode()
    def template(self, model: str, template: str) -> Row:
        """What each human answer costs behind a template: its sum of nats; its tokens."""
        c = self.c
        network = self.network(model)
        nats, sizes = [], []
        for start in range(0, len(self.openings), BATCH):
            rows = []
            for messages, answer in self.openings[start : start + BATCH]:
                before, ids = c.TEMPLATES[template](messages), c.plain(answer)
                rows.append((before + ids, [c.IGNORED] * len(before) + ids))
                sizes.append(len(ids))
            with self.autocast():
                nats += (-c.answer_log_probs(network, c.as_batch(rows))).tolist()
        return {"nats": [round(x, 3) for x in nats], "tokens": sizes}

    def network(self, name: str) -> torch.nn.Module:
        if name not in self.loaded:
            model = self.c.smollm2()
            if name == "fine-tuned":
                model = peft.PeftModel.from_pretrained(model, ADAPTER).merge_and_unload().eval()
            # Autocast keeps its bfloat16 copies of weights that could be trained, and no others.
            self.loaded = {name: model.requires_grad_(True)}
        return self.loaded[name]

    def autocast(self):
        bf16 = self.c.has_native_bf16(self.c.device)
        return torch.autocast(self.c.device.type, torch.bfloat16, enabled=bf16)


if __name__ == "__main__":
    main()
