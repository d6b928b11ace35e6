"""Chapter 16, fig-16-scaling: 16-scaling.json.

    python -m experiments.chapter_16_scaling

Six causal networks of two layers learn the next character of BBC News, each with eight characters
for each of its weights: five to fit a scaling law to, and a sixth, with five times the compute of
the largest of these, to hold it against. A row a run: the rates of the four small ones, then the
larger ones, then more seeds. About four minutes on one idle core.
"""

import numpy as np
import torch
from datasets import Dataset

from experiments.common import RESULTS, Experiment
from helpers.data import corpora
from helpers.data.batching import collate_causal, pack
from helpers.models.modernbert import ModernBert, ModernBertConfig
from helpers.teaching import environment
from helpers.training.config import TrainingConfig
from helpers.training.loop import evaluate, train

FILE = RESULTS / "16-scaling.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="blocks of 64 characters from the same articles, no block twice; a larger network more",
    searched="three learning rates for each of the four small networks",
    selected="the loss on validation articles; the larger two take the fourth one's rate",
    test="the loss on test articles, to which the law is fitted and with which it is compared",
    seeds=(0, 1, 2),
)
SEARCHED, LARGER = (16, 24, 32, 48), (64, 96)  # widths
RATES = (4e-3, 8e-3, 16e-3)
BLOCK, BATCH, CHARACTERS_A_WEIGHT = 64, 16, 8


def blocks(split: Dataset, codes: dict[str, int]) -> Dataset:
    """The articles' characters end to end; 0 ends an article, 1 stands for what is unknown."""
    ids = ([codes.get(character, 1) for character in body] for body in split["body"])
    rows = pack(ids, BLOCK, separator=0)
    return Dataset.from_dict({"input_ids": rows.numpy()}).with_format("numpy")


def network(width: int, vocabulary: int) -> ModernBert:
    shape = {"d_model": width, "n_layers": 2, "n_heads": width // 8, "d_ff": 8 * width // 3}
    return ModernBert(
        ModernBertConfig(vocab_size=vocabulary, max_positions=BLOCK, causal=True, **shape)
    )


def run(
    data: dict[str, Dataset], vocabulary: int, *, width: int, learning_rate: float, seed: int
) -> dict:
    """Train one network; its weights and characters, and the losses in nats a character."""
    torch.manual_seed(seed)
    model = network(width, vocabulary)
    weights = sum(p.numel() for p in model.blocks.parameters())
    steps = round(weights * CHARACTERS_A_WEIGHT / (BLOCK * BATCH))
    config = TrainingConfig(
        steps=steps,
        batch_size=BATCH,
        learning_rate=learning_rate,
        schedule="cosine",
        weight_decay=0.1,
        beta2=0.98,
        precision="fp32",
        seed=seed,
    )
    history = train(model, data["train"], config, collate_fn=collate_causal)
    losses = {
        name: evaluate(model, data[name], collate_fn=collate_causal)["loss"]
        for name in ("validation", "test")
    }
    return {
        "weights": weights,
        "characters": steps * BLOCK * BATCH,
        **{name: round(loss, 4) for name, loss in losses.items()},
        "seconds": round(history.seconds, 1),
    }


def best_rate(rows: list[dict], width: int) -> float:
    own = [row for row in rows if row["width"] == width and row["seed"] == 0]
    return min(own, key=lambda row: row["validation"])["learning_rate"]


def plan(rows: list[dict]) -> list[dict]:
    """The runs so far known: the later ones take the rates that the earlier ones chose."""
    runs = [
        {"width": width, "learning_rate": rate, "seed": 0} for width in SEARCHED for rate in RATES
    ]
    if len(rows) < len(runs):
        return runs
    chosen = {width: best_rate(rows, width) for width in SEARCHED}
    chosen |= dict.fromkeys(LARGER, chosen[SEARCHED[-1]])
    return runs + [
        {"width": width, "learning_rate": rate, "seed": seed}
        for seed in EXPERIMENT.seeds
        for width, rate in chosen.items()
        if seed == 0 or width in SEARCHED
    ]


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    environment.set_up()
    news = corpora.bbc_news()
    counts: dict[str, int] = {}
    for body in news["train"]["body"]:
        for character in body:
            counts[character] = counts.get(character, 0) + 1
    known = sorted(character for character, n in counts.items() if n >= 20)
    codes = {character: i for i, character in enumerate(known, start=2)}
    data = {name: blocks(news[name], codes) for name in ("train", "validation", "test")}
    for name in ("validation", "test"):  # an even pick: the rows are sorted
        rows = np.linspace(0, len(data[name]) - 1, 2000).astype(int)
        data[name] = data[name].select(rows)
    EXPERIMENT.fill(FILE, arguments, plan, lambda **settings: run(data, len(codes) + 2, **settings))


if __name__ == "__main__":
    main()
