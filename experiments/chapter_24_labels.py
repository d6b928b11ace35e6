"""Chapter 24, "Going deeper: several labels for one text": 24-several-labels.json.

    python -m experiments.chapter_24_labels

MiniLM with a sigmoid for each kind of name, fine-tuned as in the chapter: two passes over 480
sentences of CoNLL-2003. A row a seed, with the probabilities of the four kinds for each of the
validation and of the test sentences. The chapter chooses the thresholds and counts. Half a minute
for a seed on two cores.
"""

from types import SimpleNamespace

from experiments.common import RESULTS, Experiment, Row, definitions
from helpers.data import corpora

FILE = RESULTS / "24-several-labels.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="the same 480 sentences of 8 to 20 words, whole",
    searched="19 thresholds a label on both sides; three penalties of the baseline; nothing else",
    selected="F1 on 200 validation sentences",
    test="400 sentences, scored once by each finished model",
    seeds=(0, 1, 2),
)


def fine_tuned(c: SimpleNamespace, seed: int) -> Row:
    """What a model says of each sentence: four probabilities."""
    conll = corpora.conll2003()
    data = {split: c.several_labels(conll[split], size) for split, size in c.SIZES.items()}
    trainer = c.label_trainer(*data["train"], seed=seed)
    trainer.train()
    return {
        split: c.probabilities(trainer, *data[split]).astype(float).round(4).tolist()
        for split in ("validation", "test")
    }


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    c = definitions("24")
    plan = [{"seed": seed} for seed in arguments.seeds]
    EXPERIMENT.fill(FILE, arguments, plan, lambda seed: fine_tuned(c, seed))


if __name__ == "__main__":
    main()
