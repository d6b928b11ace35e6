"""Chapter 00, "Going deeper: is the difference real?": its run with three seeds, 00-seeds.json.

    python -m experiments.chapter_00_seeds

Runs the cells that train and score, with another seed for the new layer, for dropout and for the
order of the sentences. A minute for each seed on one core.
"""

import contextlib
import io

import nbformat
from transformers import set_seed

from experiments.common import NOTEBOOKS, RESULTS, Experiment, Row, definitions

FILE = RESULTS / "00-seeds.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="640 whole sentences of at most 15 words on both sides",
    searched="MiniLM: learning rates 1e-4 and 2e-4 (seed 0); TF-IDF: penalties C of 1, 10, 100",
    selected="100 validation sentences",
    test="500 sentences, scored once for each seed",
    seeds=(0, 1, 2),
)


def cells() -> dict[str, str]:
    """The chapter's cells by their ids."""
    [path] = NOTEBOOKS.glob("00-*.ipynb")
    return {cell.id: cell.source for cell in nbformat.read(path, as_version=4).cells}


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    chapter, names = cells(), vars(definitions("00"))

    def run(seed: int) -> Row:
        set_seed(seed)
        training = chapter["c00-train"].replace("seed=0,", f"seed={seed},")
        assert training != chapter["c00-train"] or seed == 0
        with contextlib.redirect_stdout(io.StringIO()):
            exec(training, names)
            exec(chapter["c00-score-code"], names)
            exec(chapter["c00-mcnemar"], names)
        return {
            "MiniLM": float(names["right"].mean()),
            "TF-IDF": float(names["linear_right"].mean()),
            "only MiniLM": names["only_ours"],
            "only TF-IDF": names["only_theirs"],
            "p": float(names["chance"]),
        }

    EXPERIMENT.fill(FILE, arguments, [{"seed": seed} for seed in arguments.seeds], run)


if __name__ == "__main__":
    main()
