"""Chapter 06, fig-06-probes: 06-probes.json.

    python -m experiments.chapter_06_probes

What a linear classifier reads from each layer of MiniLM: topic and word order of BBC headlines,
from each of the seven stages, at [CLS] and as a mean, and from the pooler; for MiniLM and for a
BERT of its shape with random weights. For each probe its validation accuracy, and of each test
answer whether it is right (a 1 or a 0). In fp32. Takes about half a minute on one core.
"""

from types import SimpleNamespace

from experiments.common import RESULTS, Experiment, definitions

FILE = RESULTS / "06-probes.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="the same headlines for all probes",
    searched="nothing: every probe has the same penalty",
    selected="nothing: all probes are shown, with their validation accuracy",
    test="which answers of each probe are right",
    seeds=(0,),
)


def probes(c: SimpleNamespace) -> list[dict]:
    bert = c.Bert.from_pretrained(c.folder).eval().to(c.device)
    columns = ("question", "weights", "pooling", "layer", "validation", "right")
    rows = [dict(zip(columns, probe, strict=True)) for probe in c.probes_of_both(bert)]
    for row in rows:
        row["validation"] = round(float(row["validation"]), 4)
        row["right"] = "".join("1" if answer else "0" for answer in row["right"])
    return rows


def main() -> None:
    EXPERIMENT.parser().parse_args()
    c = definitions("06")
    EXPERIMENT.make(FILE, lambda: probes(c))


if __name__ == "__main__":
    main()
