"""Chapter 24, "Going deeper: texts longer than the model", fig-24-speed: 24-service.json.

    python -m experiments.chapter_24_service

The news classifier of `examples/service/train.py`, as PyTorch runs it and in three other forms:
int8 by PyTorch, ONNX Runtime, and int8 by ONNX Runtime. Three parts of the file:

- latency: milliseconds of a call, batch by length; in each round every form is called once, so
  that what else the machine does hits all alike. Weights of seed 0.
- quality: right answers and agreement with the first form on all test articles, 64 pieces.
- long: every fourth test article, read in four ways.

Twenty minutes on one core. The machine is in `experiments/log.jsonl`; other work ran on it, so
only ratios within a round mean anything.
"""

import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from examples.service.train import ARTICLES, fine_tune
from experiments.common import RESULTS, Experiment, Row, definitions
from helpers.data import corpora

FILE = RESULTS / "24-service.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="the same pieces of the same texts for all forms, and the same weights",
    searched="nothing",
    selected="nothing",
    test="outputs of the finished models",
    seeds=(0, 1, 2),
)
FORMS = ("PyTorch", "PyTorch int8", "ONNX Runtime", "ONNX Runtime int8")
ROUNDS = 21
SHAPES = ((1, 16), (1, 64), (1, 256), (8, 64), (32, 64))  # (texts, pieces of each)
PIECES, BATCH = 64, 16
Forms = dict[str, Callable[[dict[str, torch.Tensor]], np.ndarray]]


def build(c: SimpleNamespace) -> tuple[Callable, Callable]:
    """The trained model of a seed, and its four forms."""
    news = corpora.bbc_news()

    @cache
    def trained(seed: int):
        return fine_tune(news["train"].select(range(ARTICLES)), seed)

    @cache
    def forms(seed: int) -> Forms:
        model, _ = trained(seed)
        folder = Path(tempfile.mkdtemp())
        c.export(model, folder / "model.onnx")
        c.onnx_int8(folder / "model.onnx", folder / "int8.onnx")
        return {
            "PyTorch": c.torch_logits(model),
            "PyTorch int8": c.torch_logits(c.as_int8(model)),
            "ONNX Runtime": c.onnx_logits(folder / "model.onnx"),
            "ONNX Runtime int8": c.onnx_logits(folder / "int8.onnx"),
        }

    return trained, forms


def latency(forms: Forms, texts: int, pieces: int) -> Row:
    """Milliseconds of each call of each form, in rounds."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1000, 30_000, (texts, pieces), generator=generator)
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    batch["token_type_ids"] = torch.zeros_like(ids)
    times: dict[str, list[float]] = {name: [] for name in FORMS}
    for turn in range(ROUNDS + 2):
        for name in FORMS:
            started = time.perf_counter()
            forms[name](batch)
            if turn > 1:  # memory is allocated in the first ones
                times[name].append(round(1000 * (time.perf_counter() - started), 2))
    return {"ms": times}


def quality(c: SimpleNamespace, forms: Forms, tokenizer) -> Row:
    """Which articles each form gets right, as 0/1, and its agreement with PyTorch."""
    labels = np.array(c.news["test"]["label"])
    logits = {}
    for name in FORMS:
        rows = []
        for start in range(0, len(labels), BATCH):
            chunk = c.texts["test"][start : start + BATCH]
            rows.append(
                forms[name](
                    tokenizer(
                        chunk,
                        truncation=True,
                        max_length=PIECES,
                        padding=True,
                        return_tensors="pt",
                    )
                )
            )
        logits[name] = np.concatenate(rows)  # (401, 5)
    reference = logits["PyTorch"]
    return {
        "right": {
            name: "".join(map(str, (found.argmax(-1) == labels).astype(int)))
            for name, found in logits.items()
        },
        "agree": {
            name: round(float(np.mean(found.argmax(-1) == reference.argmax(-1))), 4)
            for name, found in logits.items()
        },
        "largest difference": {
            name: round(float(np.abs(found - reference).max()), 6) for name, found in logits.items()
        },
    }


def long(c: SimpleNamespace, model, tokenizer) -> Row:
    """Right answers on every fourth test article, 0/1, by how it is read; and pieces computed."""
    articles = range(0, len(c.texts["test"]), 4)
    ways = {
        "first 48": (48, 1),
        "first 128": (128, 1),
        "first 512": (512, 1),
        "windows of 128": (128, None),
    }
    right, pieces = {}, {}
    for name, (size, count) in ways.items():
        found = [
            c.window_logits(model, tokenizer, c.texts["test"][i], size, count) for i in articles
        ]
        predicted = [logits.mean(0).argmax().item() for logits, _ in found]
        labels = [c.news["test"]["label"][i] for i in articles]
        right[name] = "".join(str(int(a == b)) for a, b in zip(predicted, labels, strict=True))
        pieces[name] = sum(n for _, n in found)
    return {"right": right, "pieces": pieces}


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    c = definitions("24")
    trained, forms = build(c)
    shapes = [{"texts": texts, "pieces": pieces} for texts, pieces in SHAPES]
    EXPERIMENT.fill(
        FILE,
        arguments,
        shapes,
        lambda texts, pieces: latency(forms(0), texts, pieces),
        part="latency",
    )
    for seed in arguments.seeds:
        EXPERIMENT.fill(
            FILE,
            arguments,
            [{"seed": seed}],
            lambda seed: long(c, *trained(seed)),
            part="long",
        )
        EXPERIMENT.fill(
            FILE,
            arguments,
            [{"seed": seed}],
            lambda seed: quality(c, forms(seed), trained(seed)[1]),
            part="quality",
        )


if __name__ == "__main__":
    main()
