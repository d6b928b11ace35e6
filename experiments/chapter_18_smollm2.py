"""Chapter 18, "Abstraction: asked and taught": 18-smollm2.json, smollm2-summaries.

    python -m experiments.chapter_18_smollm2

SmolLM2-Instruct writes a sentence about each test article of XSum: by prompt, by the same prompt
without its chat format, and fine-tuned on training articles by LoRA and whole. A row a system with
its texts, and one with the losses of each fine-tuning; the matrices of LoRA, in half precision, go
to `smollm2-summaries`. A seed draws the matrices that LoRA begins with, the order, and the
articles: each reads 120 of its own. The whole model is fine-tuned with seed 0 alone.
"""

import tempfile
from pathlib import Path

import peft
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM

from experiments.adapters import keep
from experiments.common import CHECKPOINTS, RESULTS, Experiment, Row, definitions
from helpers.hardware import has_native_bf16

TUNED = Path(tempfile.gettempdir(), "plm-summaries-tuned")  # what isn't kept, between its two parts
FILE, FOLDER = RESULTS / "18-smollm2.json", CHECKPOINTS / "smollm2-summaries"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE, FOLDER),
    reads="the first sentences of an article, 150 words at most, on all sides",
    searched="nothing: one prompt, and for each way of fine-tuning one learning rate",
    selected="nothing: the last weights are kept",
    test="100 articles, which each finished system summarises once",
    seeds=(0,),
)
LEARNED = 120  # training articles, read once; with seed 1 the next 120, and so on
SYSTEMS = ("prompt", "no chat format", "LoRA", "whole")
RATES = {"LoRA": 1e-3, "whole": 5e-5}


def main() -> None:
    parser = EXPERIMENT.parser(rows=True)
    parser.add_argument("--learned", type=int, default=LEARNED, help="training articles")
    parser.add_argument("--asked", type=int, default=None, help="test articles; default: all")
    parser.add_argument("--systems", nargs="+", default=SYSTEMS, help="default: all")
    arguments = parser.parse_args()
    c = definitions("18")
    fast = torch.bfloat16 if has_native_bf16(c.device) else torch.float32
    articles = [" ".join(cut) for cut in c.read["test"]][: arguments.asked]
    learned = [
        c.chat_features(" ".join(cut), summary)
        for cut, summary in zip(c.read["train"], c.xsum["train"]["summary"], strict=True)
    ]

    def load(folder: str | Path, dtype: torch.dtype) -> torch.nn.Module:
        return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).to(c.device)

    def folder_of(system: str, seed: int) -> Path:
        return FOLDER if (system, seed) == ("LoRA", 0) else TUNED / f"{system}-{seed}"

    def teach(system: str, seed: int) -> Row:
        rows = learned[seed * arguments.learned :][: arguments.learned]
        torch.manual_seed(seed)
        model = load(c.lm_folder, torch.float32)
        model = c.with_lora(model) if system == "LoRA" else model
        trainer = c.tuner(model, Dataset.from_list(rows), rate=RATES[system], seed=seed)
        trainer.train()
        losses = [at["loss"] for at in trainer.state.log_history if "loss" in at]
        if system == "LoRA":
            keep(model, folder_of(system, seed), "HuggingFaceTB/SmolLM2-135M-Instruct")
        else:
            model.to(fast).save_pretrained(folder_of(system, seed))
        return {
            "articles": len(rows),
            "updates": trainer.state.global_step,
            "losses": [round(loss, 3) for loss in losses],
        }

    def run(system: str, part: str, seed: int = 0) -> Row:
        if part == "taught":
            return teach(system, seed)
        prompts = [c.prompt_of(article) for article in articles]
        if system == "no chat format":
            prompts = [c.ASK + article + "\n\n" for article in articles]
        folder = folder_of(system, seed)
        model = load(folder if system == "whole" else c.lm_folder, fast)
        if system == "LoRA":
            model = peft.PeftModel.from_pretrained(model, folder).merge_and_unload()
        return {"texts": c.write(model.eval(), prompts)}

    plan = []
    for system in arguments.systems:
        if system not in RATES:
            plan.append({"system": system, "part": "written"})
        for seed in arguments.seeds if system == "LoRA" else (0,) if system in RATES else ():
            plan += [{"system": system, "part": p, "seed": seed} for p in ("taught", "written")]
    EXPERIMENT.fill(FILE, arguments, plan, run)


if __name__ == "__main__":
    main()
