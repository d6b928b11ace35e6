"""Chapter 10, fig-10-losses, fig-10-temperature, "The test": 10-*.json and bbc-headlines.

    python -m experiments.chapter_10_contrastive encoders
    python -m experiments.chapter_10_contrastive rivals
    python -m experiments.chapter_10_contrastive sweep

`encoders` makes the chapter's two models, from headlines with their bodies and with dropout alone.
The first one is saved for sentence-transformers, in half precision, as the checkpoint. Losses, what
the validation articles say and the ranks of the test articles are written to 10-encoders.json.

`rivals` writes the ranks of the test articles by the networks of this size that saw no pair, the
masked language model and five draws of random weights, to 10-test-ranks.json, in half a minute.

Each run of the sweep trains chapter 08's network on pairs of texts with InfoNCE and measures it on
the validation articles: five temperatures, three learning rates for dropout, and random weights to
start from; and three times the updates. A row a run and checkpoint of chapter 08 goes to
10-contrastive.json. A run takes about 50 seconds on one core, a long one 150.
"""

import hashlib
import sys
from pathlib import Path
from types import SimpleNamespace

from safetensors.torch import load_file, save_file

from experiments.common import CHECKPOINTS, RESULTS, Experiment, definitions, log, read

SWEEP, ENCODERS = RESULTS / "10-contrastive.json", RESULTS / "10-encoders.json"
TEST_RANKS = RESULTS / "10-test-ranks.json"
FOLDER = CHECKPOINTS / "bbc-headlines"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(SWEEP, ENCODERS, TEST_RANKS, FOLDER),
    reads="24 pieces of a headline and 96 of a body for all networks",
    searched="five temperatures at one rate; three learning rates for dropout, one for pairs",
    selected="nothing: all are shown, on the validation articles",
    test="ranks of the articles by the finished models",
    seeds=(0, 1),
)
PAIRS, DROPOUT = "headline and body", "dropout"
TEMPERATURES = (0.05, 0.01, 0.5, 0.02, 0.2)
RUNS = (  # kind, pretrained, temperature, updates, learning rate
    *((PAIRS, True, temperature, 60, 1e-3) for temperature in TEMPERATURES),
    *((PAIRS, pretrained, 0.05, steps, 1e-3) for pretrained, steps in ((False, 60), (True, 180))),
    *((DROPOUT, True, 0.05, 60, rate) for rate in (1e-3, 3e-5)),
)
ONCE = ((DROPOUT, True, 0.05, 60, 3e-4),)  # with the first seed alone


def rounded(measured: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in measured.items()}


def run(c: SimpleNamespace, **settings) -> dict[str, float]:
    """Train a model of the sweep; how its headlines find their bodies, and how its vectors lie."""
    model, history = c.contrastive(**settings)
    queries, keys = c.text_vectors(model, "validation")
    return rounded(
        c.measures(c.cosine_similarities(queries, keys))
        | {
            "alignment": c.alignment(queries, keys).item(),
            "uniformity": c.uniformity(keys).item(),
            "last loss": sum(history.losses[-10:]) / 10,
        }
    )


def halve(file: Path) -> None:
    """Store the weights in half precision; config.json has them computed with in fp32."""
    weights = {name: weight.half() for name, weight in load_file(file).items()}
    save_file(weights, file, metadata={"format": "pt"})
    file.chmod(0o644)


def encoders(c: SimpleNamespace) -> dict:
    """The two models of the chapter."""
    results = {}
    for kind in (PAIRS, DROPOUT):
        model, history = c.contrastive(kind)
        if kind == PAIRS:
            model.save_pretrained(FOLDER, tokenizer=c.tokenizer, max_length=c.READ)
            halve(FOLDER / "model.safetensors")
            encoder = c.ModernBert.from_pretrained(FOLDER, head=False).to(c.device)
            model = c.PairEncoder(encoder).eval()
        row = c.record(model, history)
        row["losses"] = [round(loss, 4) for loss in row["losses"]]
        row["validation"] = rounded(row["validation"])
        results[kind] = row | {"minutes": round(history.seconds / 60, 1)}
        log(kind, results[kind]["validation"])
    return results


def main() -> None:
    parser = EXPERIMENT.parser(rows=True)
    parser.add_argument("what", choices=("encoders", "rivals", "sweep"))
    arguments = parser.parse_args()
    c = definitions("10")
    if arguments.what == "encoders":
        EXPERIMENT.make(ENCODERS, lambda: encoders(c))
    elif arguments.what == "rivals":
        EXPERIMENT.make(TEST_RANKS, c.rival_ranks)
    else:
        weights = (c.CHECKPOINT / "model.safetensors").read_bytes()
        digest = hashlib.sha256(weights).hexdigest()[:12]
        if any(row["checkpoint"] != digest for row in read(SWEEP, [])):
            sys.exit(f"{SWEEP.name} has rows of another checkpoint: take them out, then try again.")
        names = ("kind", "pretrained", "temperature", "steps", "learning_rate")
        plan = [
            dict(zip(names, values, strict=True)) | {"seed": seed, "checkpoint": digest}
            for seed in arguments.seeds
            for values in (*RUNS, *(ONCE if seed == 0 else ()))
        ]
        EXPERIMENT.fill(SWEEP, arguments, plan, lambda checkpoint, **settings: run(c, **settings))


if __name__ == "__main__":
    main()
