"""The experiment of chapter 05 on the parts of a block, with the definitions of the chapter itself.

    python -m experiments.chapter_05_parts

A block of each kind of position, and blocks with a part taken out, learn to tell the first 12
pieces of a BBC News sentence from the same pieces shuffled: eight variants, three seeds each. A
row a run, with its accuracy on 1,000 test sentences and their shuffled copies, is added to
notebooks/results/05-parts.json, and one that stands there isn't repeated, so the script can be
stopped and started again. A run takes about three seconds on one core.

The cells of the notebook that are tagged `definitions` are run here, so that the chapter and this
script can't drift apart.
"""

import json

from tools.chapter_definitions import NOTEBOOKS, RESULTS, definitions

CHAPTER = NOTEBOOKS / "05-transformer-block.ipynb"
FILE = RESULTS / "05-parts.json"


def main() -> None:
    c = definitions(CHAPTER)
    rows = json.loads(FILE.read_text("utf-8")) if FILE.exists() else []
    done = {(row["variant"], row["seed"]) for row in rows}
    for variant in c.variants:
        for seed in range(c.SEEDS):
            if (variant, seed) in done:
                continue
            accuracy = round(c.accuracy_of(variant, seed), 4)
            rows.append({"variant": variant, "seed": seed, "accuracy": accuracy})
            FILE.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
            print(rows[-1], flush=True)


if __name__ == "__main__":
    main()
