"""Chapter 05, fig-05-warm-up: 05-norm-and-warm-up.json.

    python -m experiments.chapter_05_norm_and_warm_up

An encoder of 12 blocks learns to tell the first 12 pieces of a BBC News sentence from the same
pieces shuffled: pre- and post-norm, with and without warm-up. A row a run, which takes about half a
minute on one idle core.
"""

import re
from pathlib import Path

import torch
import torch.nn.functional as F
from datasets import Dataset
from safetensors.torch import load_file
from torch import nn
from transformers import AutoTokenizer

from experiments.common import RESULTS, Experiment
from helpers.data import assets, corpora
from helpers.models.positions import sinusoidal_positions
from helpers.models.transformer import Encoder
from helpers.teaching import environment

FILE = RESULTS / "05-norm-and-warm-up.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="the same sentences and shuffles for all four, with the same seed",
    searched="nothing: one learning rate for all four",
    selected="nothing",
    test="accuracy on 1,000 sentences and their shuffled copies after the last update",
    seeds=(0, 1, 2),
)
DEPTH, WIDTH, HEADS, PIECES = 12, 64, 4, 12
STEPS, WARM_UP, BATCH_SIZE = 300, 100, 32
LEARNING_RATES = (3e-4,)


def sentences(split: Dataset) -> torch.Tensor:
    """The first pieces of each sentence that has enough of them, without repeats: (N, 12)."""
    tokenizer = AutoTokenizer.from_pretrained(assets.path("minilm"))
    texts = [s for row in split for s in re.split(r"(?<=[.!?])\s+", row["body"])]
    ids = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    return torch.tensor(sorted({tuple(row[:PIECES]) for row in ids if len(row) >= PIECES}))


def shuffled(ids: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Each row in an order of its own: (B, T) -> (B, T)."""
    return ids.gather(1, torch.rand(ids.shape, generator=generator).argsort(dim=1))


class OrderClassifier(nn.Module):
    """Says of each sentence whether it stands in its own order: ids (B, T) -> logits (B,)."""

    def __init__(self, vectors: torch.Tensor, *, norm_first: bool):
        super().__init__()
        self.register_buffer("vectors", vectors)
        self.register_buffer("positions", sinusoidal_positions(PIECES, WIDTH))
        self.enter = nn.Linear(vectors.size(1), WIDTH)
        self.encoder = Encoder(DEPTH, WIDTH, HEADS, 4 * WIDTH, norm_first=norm_first)
        self.leave = nn.Linear(WIDTH, 1)
        for weight in self.encoder.parameters():
            if weight.ndim == 2:
                nn.init.xavier_uniform_(weight)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.enter(self.vectors[ids]) + self.positions  # (B, T, d)
        return self.leave(self.encoder(x).mean(1))[:, 0]


def batch(rows: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows in their own order, then the same rows shuffled: ids (2n, T), labels (2n,)."""
    labels = torch.tensor([1.0, 0.0]).repeat_interleave(len(rows))
    return torch.cat([rows, shuffled(rows, generator)]), labels


def run(
    vectors: torch.Tensor,
    train: torch.Tensor,
    test: torch.Tensor,
    *,
    norm: str,
    warm_up: int,
    learning_rate: float,
    seed: int,
) -> dict:
    """Train one model; its losses (nats, each the mean of 10 steps) and its test accuracy."""
    torch.manual_seed(seed)
    model = OrderClassifier(vectors, norm_first=norm == "pre")
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / warm_up) if warm_up else 1.0
    )
    generator = torch.Generator().manual_seed(seed)
    losses = []
    for _ in range(STEPS):
        picked = torch.randint(len(train), (BATCH_SIZE // 2,), generator=generator)
        ids, labels = batch(train[picked], generator)
        loss = F.binary_cross_entropy_with_logits(model(ids), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    ids, labels = batch(test[:1000], torch.Generator().manual_seed(0))
    with torch.inference_mode():
        right = (model(ids) > 0) == labels.bool()
    return {
        "losses": [round(sum(losses[i : i + 10]) / 10, 4) for i in range(0, STEPS, 10)],
        "accuracy": round(right.float().mean().item(), 4),
    }


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    environment.set_up()
    vectors = load_file(Path(assets.path("minilm")) / "model.safetensors")
    vectors = vectors["embeddings.word_embeddings.weight"]
    vectors = vectors / vectors.std()
    news = corpora.bbc_news()
    train, test = sentences(news["train"]), sentences(news["test"])
    # The rows of the test split are sorted: an even pick instead of the first letters.
    test = test[:: len(test) // 1000]
    plan = [
        {"norm": norm, "warm_up": warm_up, "learning_rate": rate, "seed": seed}
        for seed in arguments.seeds
        for norm in ("pre", "post")
        for warm_up in (0, WARM_UP)
        for rate in LEARNING_RATES
    ]
    EXPERIMENT.fill(FILE, arguments, plan, lambda **settings: run(vectors, train, test, **settings))


if __name__ == "__main__":
    main()
