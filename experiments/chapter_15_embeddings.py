"""Chapter 15, "A network that memorises" and what follows: 15-embeddings.safetensors.

    python -m experiments.chapter_15_embeddings

MiniLM's mean vector of each sentence of the pool, the validation and the test set, in half
precision: a rounding of at most one part in 2,000. They are stored as the networks read them, with
the pool's mean and deviation taken out: three of the 384 numbers are far too small, 1e-9 and 1e-33,
for half precision, and differ between sentences all the same. About a minute on one core.
"""

import time

import torch
from safetensors.torch import save_file

from experiments.common import RESULTS, Experiment, definitions

FILE = RESULTS / "15-embeddings.safetensors"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="the sentences of the pool, the validation and the test set",
    searched="nothing",
    selected="nothing",
    test="embedded by a model that is not trained; centre and scale are the pool's",
)


def main() -> None:
    EXPERIMENT.parser().parse_args()
    started = time.perf_counter()
    FILE.unlink(missing_ok=True)
    c = definitions("15")  # where there is no file, the chapter embeds all sentences
    stored = {name: found.to("cpu", torch.float16) for name, found in c.features.items()}
    save_file(stored | {"centre": c.centre, "scale": c.scale}, FILE)
    EXPERIMENT.record(FILE, {}, round(time.perf_counter() - started, 1))


if __name__ == "__main__":
    main()
