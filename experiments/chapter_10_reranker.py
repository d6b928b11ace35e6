"""Chapter 10, "Going deeper: a cross-encoder reads both texts": 10-reranker.json.

    python -m experiments.chapter_10_reranker

MiniLM with one output reads a headline and a body together. Its upper half is trained on training
headlines: of the right body and a wrong one, drawn from the ten wrong ones that the chapter's
retriever (MiniLM and words, two trained weights) ranks highest, which one is right? Then it scores
the ten bodies that the retriever puts first, of each validation and each test article.

Written are the candidates and a row for each run with the scores. The two runs take about five and
ten minutes of processor time on one core; `--seeds 1 2` makes more.
"""

from functools import cache
from types import SimpleNamespace

import torch

from experiments.common import RESULTS, Experiment, definitions, log, read

FILE = RESULTS / "10-reranker.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="a headline and the text of a body's first 96 pieces, as for the retriever",
    searched="cross-encoder: two trainings, 88 updates at a rate of 1e-4 and 354 at 3e-4, and the "
    "weight of its score beside the retriever's, nine values; retriever: nothing",
    selected="MRR on the validation articles",
    test="each article's ten candidates, scored once by each cross-encoder",
    seeds=(0,),
)
# Half of the headlines once, at the rate of chapters 11 and 14 for MiniLM; then all of them twice.
SETTINGS = (
    {"rate": 1e-4, "headlines": 704, "passes": 1},
    {"rate": 3e-4, "headlines": 1409, "passes": 2},
)


@cache
def chapter() -> SimpleNamespace:
    """The chapter's functions, the texts that are read, and the retriever's scores."""
    c = definitions("10")
    c.read = {split: c.read_part(texts) for split, texts in c.bodies.items()}
    vectors = c.minilm_vectors()
    cosines = {split: c.cosine_similarities(*pair) for split, pair in vectors.items()}
    words = {split: c.tfidf_scores(c.headlines[split], c.read[split]).float() for split in vectors}
    w1, w2 = c.train_sum(cosines["train"], words["train"])
    c.retriever = {split: w1 * cosines[split] + w2 * words[split] for split in vectors}
    return c


def candidates() -> dict[str, list]:
    """The bodies that the retriever puts first, and its scores of them."""
    c, found = chapter(), {}
    for split in ("validation", "test"):
        scores, bodies = c.retriever[split].topk(c.CANDIDATES)
        found[split] = bodies.tolist()
        found[f"{split} scores"] = rounded(scores)
    return found


def rounded(scores: torch.Tensor) -> list:
    return [[round(score, 3) for score in row] for row in scores.tolist()]


def run(seed: int, rate: float, headlines: int, passes: int) -> dict:
    """Train one, and score the candidates of the validation and test articles."""
    c = chapter()
    others = c.retriever["train"].clone().fill_diagonal_(-torch.inf)
    wrong = others.topk(c.CANDIDATES).indices  # (1409, 10)
    model = c.cross_encoder(seed)
    queries, rows = c.headlines["train"][:headlines], wrong[:headlines]
    how = {"learning_rate": rate, "passes": passes, "seed": seed}
    losses = c.train_reader(model, queries, c.read["train"], rows, **how)
    log(f"last losses {sum(losses[-20:]) / 20:.3f}")
    row = {"losses": [round(loss, 3) for loss in losses]}
    for split in ("validation", "test"):
        first = c.retriever[split].topk(c.CANDIDATES).indices
        row[split] = rounded(c.read_again(model, c.headlines[split], c.read[split], first))
    return row


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    if "candidates" not in read(FILE, {}):
        EXPERIMENT.make(FILE, candidates, part="candidates")
    plan = [settings | {"seed": seed} for seed in arguments.seeds for settings in SETTINGS]
    EXPERIMENT.fill(FILE, arguments, plan, run, part="runs")


if __name__ == "__main__":
    main()
