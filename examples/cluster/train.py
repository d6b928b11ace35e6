"""The program that `examples/cluster/train.sbatch` starts, once for each GPU.

MiniLM learns the five classes of BBC News. An update sees `--window` articles, on however many
processes, so that a run goes on with another number of them:

    torchrun --nproc_per_node 2 -m examples.cluster.train --folder runs/first
"""

import argparse
from pathlib import Path

import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
)

from helpers.data import assets, corpora
from helpers.training.config import TrainingConfig
from helpers.training.loop import train
from helpers.training.processes import join_processes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="on storage that all share")
    parser.add_argument("--updates", type=int, default=200)
    parser.add_argument("--window", type=int, default=32, help="articles in an update")
    parser.add_argument("--accumulation", type=int, default=1)
    parser.add_argument("--pieces", type=int, default=128, help="of an article, at most")
    options = parser.parse_args()
    group = join_processes()
    together = options.accumulation * group.num_processes
    if options.window % together:
        parser.error(
            f"--window {options.window} can't be divided by {group.num_processes} processes × "
            f"--accumulation {options.accumulation}"
        )
    tokenizer = AutoTokenizer.from_pretrained(assets.path("minilm"))
    news = corpora.bbc_news()["train"]
    rows = news.map(
        lambda batch: tokenizer(batch["body"], truncation=True, max_length=options.pieces),
        batched=True,
        remove_columns=["headline", "body"],
        keep_in_memory=True,  # no process waits for another one's file
    ).rename_column("label", "labels")
    # Whole windows: a rest that goes round one process and not round eight would be left out by
    # eight, and the run couldn't go on with the other number.
    rows = rows.select(range(len(rows) // options.window * options.window))
    torch.manual_seed(0)  # the new layer must be the same in all processes
    model = AutoModelForSequenceClassification.from_pretrained(
        assets.path("minilm"), num_labels=news.features["label"].num_classes
    )
    config = TrainingConfig(
        steps=options.updates,
        batch_size=options.window // together,
        accumulation=options.accumulation,
        learning_rate=1e-4,
        checkpoint_dir=options.folder / "checkpoints",
        checkpoint_every=max(1, options.updates // 20),
        resume=True,
        num_workers=4 if group.device.type == "cuda" else 0,
    )
    history = train(model, rows, config, collate_fn=DataCollatorWithPadding(tokenizer))
    if group.is_main_process:
        model.save_pretrained(options.folder / "model")
        tokenizer.save_pretrained(options.folder / "model")
        print(f"{group.num_processes} processes, loss {history.losses[-1]:.2f}")
    group.destroy_process_group()


if __name__ == "__main__":
    main()
