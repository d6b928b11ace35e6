"""Chapter 11, "Going deeper: should the head read the mean?": 11-heads.json.

    python -m experiments.chapter_11_heads

Two heads: transformers' own, on [CLS], and one on the mean of all vectors. Each starts from a
linear classifier fitted to what it will read: the frozen encoder's pooler output, or the mean of
its vectors, of 50 articles of each class. Then the chapter's fine-tuning: all training articles
once, the first 48 pieces of each, and 128 in tests. A row a run, with the accuracy on validation
and test articles.
"""

import numpy as np
from transformers import AutoModelForSequenceClassification

from experiments import minilm
from experiments.chapter_11_few_labels import (
    PIECES,
    PIECES_READ,
    encoded,
    fine_tuned,
    linear,
    news,
    vectors,
)
from experiments.common import RESULTS, Experiment
from helpers.models.classification import MeanPoolClassifier
from helpers.teaching import environment

FILE = RESULTS / "11-heads.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="the same for both heads: 48 pieces of all training articles, once, and 128 in "
    "validation and test",
    searched="nothing: batches of 8 and a learning rate of 0.0001 for both, tuned for neither",
    selected="nothing",
    test="read by every run; the validation articles answer the question",
    seeds=(0, 1, 2),
)
HEADS = {"[CLS]": AutoModelForSequenceClassification, "mean": MeanPoolClassifier}
PROBE_ROWS = 50  # of each class


def features(head: str, rows: np.ndarray) -> np.ndarray:
    """What the head of the untrained model reads of training articles, (n, 384)."""
    model = minilm.classifier(HEADS[head], 5)
    embed = model.embed if head == "mean" else lambda **batch: model.bert(**batch).pooler_output
    return vectors(embed, encoded("train", PIECES).select(rows))


def run(head: str, seed: int) -> dict[str, float]:
    y = np.array(news()["train"]["label"])
    few = np.concatenate([np.flatnonzero(y == c)[:PROBE_ROWS] for c in range(5)])
    probe = linear(features(head, few), y[few])
    model = fine_tuned(HEADS[head], probe, encoded("train", PIECES), epochs=1, seed=seed)
    return {
        split: minilm.accuracy(model, encoded(split, PIECES_READ))
        for split in ("validation", "test")
    }


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    environment.set_up()
    plan = [{"head": head, "seed": seed} for head in HEADS for seed in arguments.seeds]
    EXPERIMENT.fill(FILE, arguments, plan, run)


if __name__ == "__main__":
    main()
