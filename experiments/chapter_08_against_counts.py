"""Chapter 08, "Going deeper: against counting": 08-against-counts.json.

    python -m experiments.chapter_08_against_counts

The network of experiments/chapter_08_pretrain.py fills the gaps of 800 test blocks, and 1,000 of
these gaps one at a time; trigrams fill the 1,000 from both sides. The loss of each answer in nats,
and the rank of each right piece. About a minute on one core.
"""

from types import SimpleNamespace

from experiments.common import CHECKPOINTS, RESULTS, Experiment, definitions, log

FILE = RESULTS / "08-against-counts.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="the same gaps; the counts see the true neighbours, the network also with one gap alone",
    searched="nothing",
    selected="nothing",
    test="the gaps of 800 blocks, asked of finished models",
    seeds=(0,),
)


def everything(c: SimpleNamespace) -> dict:
    model = c.ModernBert.from_pretrained(CHECKPOINTS / "bbc-mlm").to(c.device)
    masked, truth, place = c.asked(c.TEST_BLOCKS)
    some = c.spread(len(place))
    nats, rank = c.masked_nats(model, masked)
    log(len(nats), "gaps, mean loss", nats.mean())
    alone, _ = c.masked_nats(model, c.one_gap(masked, some))
    log(len(alone), "gaps, one at a time, mean loss", alone.mean())
    both = c.two_sided_nats(c.n_gram_counts(), truth, place[some])
    found = {
        "masked model": nats,
        "trigrams, both sides": both,
        "masked model, one gap at a time": alone,
    }
    return {
        "nats": {name: values.round(3).tolist() for name, values in found.items()},
        "rank": rank.tolist(),
    }


def main() -> None:
    EXPERIMENT.parser().parse_args()
    c = definitions("08")
    EXPERIMENT.make(FILE, lambda: everything(c))


if __name__ == "__main__":
    main()
