"""The long run of chapter 04: MiniLM without some of its heads.

    python -m experiments.chapter_04_without_heads

Each of the 72 heads is removed in turn, and the change of 32 sentences' vectors measured. Then
heads are removed 12 by 12, in the order of that change, in the opposite order and in ten random
ones, and a linear classifier that was trained on the intact model sorts the test headlines. Takes
under three minutes on one CPU core. Writes notebooks/results/04-without-heads.json.

The cells of the notebook that are tagged `definitions` are run here, so that the chapter and this
script can't drift apart.
"""

import json
import time
from types import SimpleNamespace

import numpy as np

from tools.chapter_definitions import NOTEBOOKS, RESULTS, definitions

CHAPTER = NOTEBOOKS / "04-multi-head-attention.ipynb"
FILE = RESULTS / "04-without-heads.json"
STEP, RANDOM_ORDERS = 12, 10


def turns(c: SimpleNamespace) -> np.ndarray:
    """1 − cosine similarity of the sentences' vectors with and without each head, (L, h)."""
    whole = c.embed(c.sentences[: c.TURNED])
    return np.array(
        [[c.turn([(layer, head)], whole) for head in range(c.HEADS)] for layer in range(c.LAYERS)]
    )


def orders(changes: np.ndarray) -> dict[str, list[tuple[int, int]]]:
    """In which order heads are removed: pairs (layer, head), counted from 0."""
    least_first = [divmod(int(i), changes.shape[1]) for i in changes.flatten().argsort()]
    found = {"least change first": least_first, "most change first": least_first[::-1]}
    rng = np.random.default_rng(0)
    for seed in range(RANDOM_ORDERS):
        found[f"random {seed}"] = [least_first[i] for i in rng.permutation(len(least_first))]
    return found


def wrong(c: SimpleNamespace, probe, heads: list[tuple[int, int]]) -> list[int]:
    """The test headlines that go to the wrong desk without these heads."""
    with c.without(heads):
        predicted = probe.predict(c.embed(c.headlines["test"]))
    return np.flatnonzero(predicted != c.labels["test"]).tolist()


def main() -> None:
    started = time.perf_counter()
    c = definitions(CHAPTER)
    changes = turns(c)
    print(f"each head removed, {time.perf_counter() - started:.0f} s", flush=True)
    probe = c.linear_probe()
    in_order, mistakes = orders(changes), {}
    none, every = (wrong(c, probe, heads) for heads in ([], in_order["least change first"]))
    for name, heads in in_order.items():
        mistakes[name] = {0: none, len(heads): every}  # nothing or everything: any order
        for n in range(STEP, len(heads), STEP):
            mistakes[name][n] = wrong(c, probe, heads[:n])
        print(f"{name}, {time.perf_counter() - started:.0f} s", flush=True)
    result = {
        "1 - cosine": changes.round(6).tolist(),
        "orders": in_order,
        "wrong test headlines": mistakes,
    }
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in result.items()]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
