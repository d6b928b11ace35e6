"""Chapter 17, "The real run", fig-17-threshold and what follows: 17-reader.json, minilm-reader.

    python -m experiments.chapter_17_reader

The chapter's recipe on all windows of its 594 training questions, with LoRA, for one pass and for
four. A row a run, with what the reader answers to validation and test questions, and by how much
it prefers that to no answer; the chapter chooses the threshold and scores. The matrices of four
passes with the first seed are kept.
"""

import json
import time

import torch
from safetensors.torch import load_file, save_file
from transformers import PrinterCallback

from experiments.common import CHECKPOINTS, RESULTS, Experiment, Row, definitions
from helpers.data import disk

FILE, READER = RESULTS / "17-reader.json", CHECKPOINTS / "minilm-reader"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE, READER),
    reads="question and passage on all sides: the reader in windows of 128 pieces that share 40, "
    "the best-sentence baselines sentence by sentence",
    searched="for the reader one pass and four, with batches of 8, LoRA of rank 16 on all linear "
    "layers inside and a learning rate of 0.001; nothing for the baselines; a threshold for each",
    selected="passes and thresholds by the mean F1 of 85 validation questions",
    test="170 questions, answered once by each finished reader",
    seeds=(0, 1),
)
PASSES = (1, 4)
SETTINGS = ("base_model_name_or_path", "inference_mode", "lora_alpha", "modules_to_save")
SETTINGS += ("peft_type", "r", "target_modules", "task_type")  # of LoRA, to be kept


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    c = definitions("17")
    windows = c.for_training(c.learned)

    def run(passes: int, seed: int) -> Row:
        started = time.perf_counter()
        trainer = c.make_trainer(
            c.with_lora(c.stock_reader(seed), seed), windows, epochs=passes, rate=1e-3, seed=seed
        )
        trainer.add_callback(PrinterCallback())
        trainer.train()
        minutes = round((time.perf_counter() - started) / 60, 1)
        losses = [round(at["loss"], 3) for at in trainer.state.log_history if "loss" in at]
        if passes == max(PASSES) and seed == EXPERIMENT.seeds[0]:
            keep(trainer.model)
        answers = {}
        for split, rows in c.asked.items():
            answers[split] = [[text, round(margin, 3)] for text, margin in c.read(trainer, rows)]
        settings = {"windows": len(windows), "minutes": minutes, "losses": losses}
        return settings | answers

    plan = [{"passes": passes, "seed": seed} for seed in arguments.seeds for passes in PASSES]
    EXPERIMENT.fill(FILE, arguments, plan, run)


def keep(model: torch.nn.Module) -> None:
    """Save the trained matrices in half precision: 1.3 MB."""
    model.save_pretrained(READER, save_embedding_layers=False)
    (READER / "README.md").unlink(missing_ok=True)
    file = READER / "adapter_model.safetensors"
    save_file({k: v.half() for k, v in load_file(file).items()}, file, {"format": "pt"})
    config = json.loads((READER / "adapter_config.json").read_text("utf-8"))
    config["base_model_name_or_path"] = "sentence-transformers/all-MiniLM-L6-v2"
    config["target_modules"].sort()
    # An older peft doesn't know every setting of a newer one; those left out have their defaults.
    config = {name: config[name] for name in SETTINGS}
    disk.write_file(READER / "adapter_config.json", json.dumps(config, indent=2) + "\n")


if __name__ == "__main__":
    main()
