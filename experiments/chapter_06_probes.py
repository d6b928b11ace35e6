"""The probes of chapter 06: what a linear classifier reads from each layer of MiniLM.

    python -m experiments.chapter_06_probes

Topic and word order of BBC headlines, from each of the seven stages, at [CLS] and as a mean, and
from the pooler; for MiniLM and for a BERT of its shape with random weights. For each probe its
validation accuracy, and of each test answer whether it is right (a 1 or a 0). In fp32, seed 0.
Writes notebooks/results/06-probes.json. Takes about half a minute on one core.

The cells of the notebook that are tagged `definitions` are run here, so that the chapter and this
script can't drift apart.
"""

import json

from tools.chapter_definitions import NOTEBOOKS, RESULTS, definitions

CHAPTER = NOTEBOOKS / "06-bert-from-scratch.ipynb"
FILE = RESULTS / "06-probes.json"


def main() -> None:
    c = definitions(CHAPTER)
    bert = c.Bert.from_pretrained(c.folder).eval().to(c.device)
    lines = []
    for question, weights, pooling, layer, validation, right in c.probes_of_both(bert):
        row = {"question": question, "weights": weights, "pooling": pooling, "layer": layer}
        row |= {"validation": round(float(validation), 4)}
        row |= {"right": "".join("1" if answer else "0" for answer in right)}
        print(*row.values(), flush=True)
        lines.append(json.dumps(row))
    FILE.write_text("[\n" + ",\n".join(lines) + "\n]\n", "utf-8")


if __name__ == "__main__":
    main()
