"""Chapter 16, fig-16-scaling: 16-scaling.json.

    python -m experiments.chapter_16_scaling

Decoders of three blocks and six widths learn to predict the characters of BBC News, each from five
characters a weight. "runs" has a row a run. When the five smaller widths are done, "prediction"
says what the chapter's law expects of the sixth, and the script ends. Called again, it trains the
sixth. A quarter of an hour on one core that other programs used too.
"""

from collections import Counter
from collections.abc import Iterable
from functools import partial
from statistics import mean

import torch
from datasets import Dataset

from experiments.common import RESULTS, Experiment, Row, definitions, log, read
from helpers.data import corpora
from helpers.data.batching import collate_causal, pack
from helpers.models.modernbert import ModernBert, ModernBertConfig
from helpers.training.loop import TrainingConfig, evaluate, train

FILE = RESULTS / "16-scaling.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="each model five characters of the training articles a weight, none of them twice",
    searched="five learning rates for four sizes, two for the fifth, whose rate the sixth has; "
    "before that, with another seed, two batch sizes for the smallest",
    selected="the validation articles, whose loss is also what is predicted",
    test="not used",
    seeds=(0, 1, 2),
)
FITTED, PREDICTED = (16, 24, 32, 48, 64), 96  # widths
LAYERS, HEADS = 3, 2
PER_WEIGHT = 5  # characters to learn from
BLOCK, BATCH = 128, 2  # characters, blocks in an update
RATES = (2e-3, 4e-3, 8e-3, 16e-3, 32e-3)  # learning rates
# With each fitted width; the largest takes two, since the higher ones had lost at 48 already.
TRIED = dict.fromkeys(FITTED, RATES) | {FITTED[-1]: RATES[:2]}
RARE = 20  # a character that the training articles have less often is the unknown one, 0
SEPARATOR = 1  # between articles


def blocks() -> tuple[dict[str, torch.Tensor], int]:
    """The training and validation articles as characters, int64 (n, BLOCK), and how many kinds."""
    news = corpora.bbc_news()
    texts = {split: _texts(news[split]) for split in ("train", "validation")}
    counts = Counter("".join(texts["train"]))
    kept = sorted(character for character, count in counts.items() if count >= RARE)
    ids = {character: i for i, character in enumerate(kept, start=SEPARATOR + 1)}
    packed = {
        split: pack([[ids.get(c, 0) for c in text] for text in found], BLOCK, separator=SEPARATOR)
        for split, found in texts.items()
    }
    return packed, len(kept) + SEPARATOR + 1


def _texts(articles: Dataset) -> list[str]:
    return [f"{row['headline']}\n{row['body']}" for row in articles]


def decoder(characters: int, width: int) -> ModernBert:
    """A decoder whose size depends on its width alone; its output matrix is the embedding's."""
    return ModernBert(
        ModernBertConfig(
            characters,
            d_model=width,
            n_layers=LAYERS,
            n_heads=HEADS,
            d_ff=8 * width // 3,
            max_positions=BLOCK,
            rope_base=10_000.0,
            causal=True,
        )
    )


def weights(model: torch.nn.Module) -> int:
    """N of the scaling laws: all weights but the embedding's (Kaplan et al., 2020, section 1.3)."""
    return sum(w.numel() for name, w in model.named_parameters() if name != "embedding.weight")


def rows(ids: torch.Tensor) -> list[dict]:
    return [{"input_ids": row} for row in ids]


def run(
    packed: dict[str, torch.Tensor], characters: int, *, width: int, rate: float, seed: int
) -> Row:
    """Train one decoder; its size, what it read and its validation loss in nats a character."""
    torch.manual_seed(seed)
    model = decoder(characters, width)
    n = weights(model)
    config = TrainingConfig(
        steps=round(PER_WEIGHT * n / (BATCH * BLOCK)),
        batch_size=BATCH,
        learning_rate=rate,
        precision="fp32",
        seed=seed,
        progress=False,
    )
    history = train(model, rows(packed["train"]), config, collate_fn=collate_causal)
    # A third of the blocks: the same ones for all, so that their choice cancels.
    held_out = rows(packed["validation"][::3])
    loss = evaluate(model, held_out, collate_fn=collate_causal, batch_size=64)["loss"]
    row = {"weights": n, "characters": config.steps * BATCH * BLOCK, "loss": round(loss, 4)}
    log(width, rate, seed, row, f"{history.seconds:.0f} s")
    return row


def chosen(done: list[Row], width: int) -> float | None:
    """The rate with the lowest validation loss of the first seed; None until all are tried.

    The predicted width has the rate of the largest fitted one.
    """
    width = min(width, max(FITTED))
    tried = {
        row["rate"]: row["loss"]
        for row in done
        if row["width"] == width and row["seed"] == EXPERIMENT.seeds[0]
    }
    return min(tried, key=tried.get) if len(tried) == len(TRIED[width]) else None


def plan(done: list[Row], widths: Iterable[int], seeds: Iterable[int]) -> list[Row]:
    """The fitted widths with each rate and the first seed, then with the best and all seeds."""
    first = EXPERIMENT.seeds[0]
    planned = [
        {"width": width, "rate": rate, "seed": first} for width in FITTED for rate in TRIED[width]
    ]
    return planned + [
        {"width": width, "rate": rate, "seed": seed}
        for width in widths
        if (rate := chosen(done, width)) is not None
        for seed in seeds
    ]


def mean_losses(done: list[Row], widths: Iterable[int]) -> tuple[list[int], list[float]]:
    """Of each width the weights, and the loss at its chosen rate, the mean over the seeds."""
    kept = [[r for r in done if (r["width"], r["rate"]) == (w, chosen(done, w))] for w in widths]
    return [r[0]["weights"] for r in kept], [mean(row["loss"] for row in r) for r in kept]


def prediction(characters: int) -> Row:
    """What the chapter's law expects of the sixth width, with its 95 % interval."""
    sizes, losses = mean_losses(read(FILE, {})["runs"], FITTED)
    at = weights(decoder(characters, PREDICTED))
    expected = definitions("16").expected(sizes, losses, at)
    names = ("expected", "low", "high")
    return {"weights": at} | {n: round(float(v), 4) for n, v in zip(names, expected, strict=True)}


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    packed, characters = blocks()
    predicted = "prediction" in read(FILE, {})
    widths = (*FITTED, PREDICTED) if predicted else FITTED
    EXPERIMENT.fill(
        FILE,
        arguments,
        lambda done: plan(done, widths, arguments.seeds),
        partial(run, packed, characters),
        part="runs",
    )
    # It ends here, so that the prediction can be committed: the next call trains the sixth.
    complete = set(arguments.seeds) >= set(EXPERIMENT.seeds)
    if not predicted and complete and arguments.runs > 0:
        EXPERIMENT.make(FILE, partial(prediction, characters), part="prediction")


if __name__ == "__main__":
    main()
