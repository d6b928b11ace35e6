"""The vectors of chapter 15's review sentences, with the definitions of the chapter itself.

    python -m experiments.chapter_15_embeddings

MiniLM's mean vector of each sentence of the pool, the validation and the test set, in half
precision: a rounding of at most one part in 2,000. They are stored as the networks read them, with
the pool's mean and deviation taken out: three of the 384 numbers are far too small, 1e-9 and 1e-33,
for half precision, and differ between sentences all the same. About a minute on one core. Writes
notebooks/results/15-embeddings.safetensors.
"""

import torch
from safetensors.torch import save_file

from tools.chapter_definitions import NOTEBOOKS, RESULTS, definitions

CHAPTER = NOTEBOOKS / "15-generalisation.ipynb"
FILE = RESULTS / "15-embeddings.safetensors"


def main() -> None:
    FILE.unlink(missing_ok=True)
    c = definitions(CHAPTER)  # where there is no file, the chapter embeds all sentences
    stored = {name: found.to("cpu", torch.float16) for name, found in c.features.items()}
    save_file(stored | {"centre": c.centre, "scale": c.scale}, FILE)


if __name__ == "__main__":
    main()
