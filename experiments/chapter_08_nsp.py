"""Chapter 08, "Next-sentence prediction": 08-nsp.json.

    python -m experiments.chapter_08_nsp

What next-sentence prediction adds to masked language modelling, and what it asks.

Articles are cut at ends of sentences into segments of at most 62 pieces, and two neighbours make a
pair: [CLS] A [SEP] B [SEP]. "MLM + NSP" sees half of the pairs with B from another article, drawn
anew each time, and a linear layer on the vector at [CLS] says which (Devlin et al., NAACL 2019,
section 3.1; their segment embeddings are left out). "MLM" sees true pairs alone. Both go on from
the checkpoint bbc-mlm with half its learning rate, see the same pairs in the same order, and hide
30 % of the pieces. From random weights, where the third contender begins, so few updates don't
teach the test at all.

Measured on the validation articles: the masked loss at 15 %, on true pairs; the next-sentence test
with an interval over articles, and the shares of four kinds of pair that are called neighbours; and
linear probes of 20 labels a class on frozen vectors of first blocks. "untrained" has these probes
on random weights. "words in common" solves the test by them alone: the cosine of TF-IDF vectors,
with the threshold that is best on the training pairs. A row a contender and seed.
"""

import re
from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from experiments.chapter_08_few_labels import encoded
from experiments.chapter_11_few_labels import choose
from experiments.common import CHECKPOINTS, RESULTS, Experiment, definitions
from helpers.data.masking import IGNORED, FixedMasks
from helpers.models.contrastive import mean_pool
from helpers.models.modernbert import LanguageModelOutput, ModernBert
from helpers.training.loop import TrainingConfig, evaluate, train

FILE = RESULTS / "08-nsp.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="the same pairs in the same order; half of the second segments exchanged for NSP",
    searched="nothing for the networks; a threshold for the words in common",
    selected="the training pairs, for the threshold",
    test="not used: everything is measured on the validation articles",
    seeds=(0,),
)
CHECKPOINT = CHECKPOINTS / "bbc-mlm"
RANDOM = "MLM + NSP, random weights"
NEXT_WEIGHT = {"MLM": 0.0, "MLM + NSP": 1.0, RANDOM: 1.0}  # of the next-sentence loss
LEARNING_RATE = 5e-4  # half of what random weights bear
SEGMENT = 62  # pieces at most; two, [CLS] and two [SEP] fit into a block
UPDATES = 1500
PER_CLASS, DRAWS = 20, 20  # of the probes
RESAMPLES = 2000
SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n")  # a headline ends with its line


@dataclass(frozen=True)
class Pair:
    """Neighbouring segments of an article, as ids."""

    first: list[int]
    second: list[int]
    article: int
    label: int  # the article's class


def segments(c: SimpleNamespace, document: str) -> list[list[int]]:
    """As many whole sentences as fit into SEGMENT pieces; a longer sentence is cut off."""
    found = [[]]
    for sentence in SENTENCE_END.split(document):
        ids = c.tokenizer(sentence, add_special_tokens=False)["input_ids"][:SEGMENT]
        if len(found[-1]) + len(ids) > SEGMENT:
            found.append([])
        found[-1] += ids
    return found


def pairs_of(c: SimpleNamespace, split: str) -> list[Pair]:
    """All pairs of a split; no segment is in two."""
    found = []
    for article, document in enumerate(c.documents[split]):
        parts, label = segments(c, document), c.news[split][article]["label"]
        found += [
            Pair(first, second, article, label)
            for first, second in zip(parts[::2], parts[1::2], strict=False)
        ]
    return found


def block(c: SimpleNamespace, first: list[int], second: list[int]) -> list[int]:
    """[CLS] A [SEP] B [SEP], padded to a block's length."""
    ids = [c.CLS, *first, c.SEP, *second, c.SEP]
    return ids + [c.tokenizer.pad_token_id] * (c.BLOCK - len(ids))


def another(
    pairs: list[Pair], pair: Pair, generator: torch.Generator, *, same_class: bool = False
) -> list[int]:
    """The second segment of a random pair of another article, if asked of the same class."""
    while True:
        drawn = pairs[int(torch.randint(len(pairs), (), generator=generator))]
        if drawn.article != pair.article and (drawn.label == pair.label or not same_class):
            return drawn.second


@dataclass(frozen=True)
class PairCollator:
    """Pairs as masked blocks, a share of them with another B, from torch's default generator.

    Attributes:
        c: the chapter's definitions.
        pairs: where another B comes from.
        replaced: share of the pairs whose B is replaced.
    """

    c: SimpleNamespace
    pairs: list[Pair]
    replaced: float

    def __call__(self, examples: list[dict]) -> dict[str, torch.Tensor]:
        """`input_ids` and `labels`, int64 (B, T), and `is_next`, int64 (B,), 1 for neighbours."""
        generator = torch.default_generator
        is_next = (torch.rand(len(examples), generator=generator) >= self.replaced).long()
        blocks = []
        for example, true in zip(examples, is_next, strict=True):
            pair = example["pair"]
            second = pair.second if true else another(self.pairs, pair, generator)
            blocks.append(block(self.c, pair.first, second))
        return self.c.collator.mask(torch.tensor(blocks), generator) | {"is_next": is_next}


class PairModel(nn.Module):
    """The chapter's network with a linear layer at [CLS]; the two losses are added."""

    def __init__(self, encoder: ModernBert, *, padding: int, next_weight: float):
        super().__init__()
        self.encoder, self.padding, self.next_weight = encoder, padding, next_weight
        self.next = nn.Linear(encoder.config.d_model, 2)

    def hidden(self, input_ids: torch.Tensor) -> torch.Tensor:
        """(B, T) -> (B, T, d)."""
        return self.encoder.hidden(input_ids, (input_ids != self.padding).long())

    def forward(
        self,
        input_ids: torch.Tensor,
        labels: torch.Tensor,
        is_next: torch.Tensor | None = None,
    ) -> LanguageModelOutput:
        """The masked loss, and with `is_next` the weighted next-sentence loss added to it."""
        hidden = self.hidden(input_ids)  # (B, T, d)
        chosen = labels != IGNORED  # (B, T), n of them
        loss = F.cross_entropy(self.encoder.logits(hidden[chosen]), labels[chosen])  # of (n, V)
        if is_next is not None:
            logits = self.next(hidden[:, 0])  # (B, 2)
            loss = loss + self.next_weight * F.cross_entropy(logits, is_next)
        return LanguageModelOutput(loss, partial(self.encoder.logits, hidden))


def masked_loss(c: SimpleNamespace, model: PairModel, pairs: list[Pair]) -> float:
    """Nats at 15 % of the pieces of true pairs, the same pieces for all models."""
    blocks = [{"input_ids": block(c, pair.first, pair.second)} for pair in pairs]
    fixed = FixedMasks(blocks, replace(c.collator, rate=0.15))
    return evaluate(model, fixed, collate_fn=fixed.collate)["loss"]


def kinds(pairs: list[Pair]) -> dict[str, list[tuple[list[int], list[int]]]]:
    """Pairs to judge: the true ones, and for each of them three false ones."""
    generator = torch.Generator().manual_seed(0)
    return {
        "neighbours": [(p.first, p.second) for p in pairs],
        "another article": [(p.first, another(pairs, p, generator)) for p in pairs],
        "another of the class": [
            (p.first, another(pairs, p, generator, same_class=True)) for p in pairs
        ],
        "neighbours swapped": [(p.second, p.first) for p in pairs],
    }


def verdicts(called: dict[str, np.ndarray], pairs: list[Pair]) -> dict:
    """Accuracy on neighbours against another article, its 95 % interval, and all shares.

    `called` says by kind which pairs are called neighbours, bool (n,). The interval is a bootstrap
    over articles, since pairs of one article are alike.
    """
    right = (called["neighbours"].astype(float) + ~called["another article"]) / 2  # (n,)
    article = np.array([pair.article for pair in pairs])
    sums = np.bincount(article, weights=right)  # (articles,)
    counts = np.bincount(article)
    drawn = np.random.default_rng(0).integers(len(sums), size=(RESAMPLES, len(sums)))
    resampled = sums[drawn].sum(1) / counts[drawn].sum(1)  # (RESAMPLES,)
    return {
        "accuracy": round(float(right.mean()), 4),
        "interval": [round(float(q), 4) for q in np.quantile(resampled, (0.025, 0.975))],
        "called neighbours": {kind: round(float(v.mean()), 4) for kind, v in called.items()},
    }


@torch.inference_mode()
def next_sentence(c: SimpleNamespace, model: PairModel, pairs: list[Pair]) -> dict:
    """How the model's second head judges pairs with nothing hidden."""
    called = {}
    for kind, members in kinds(pairs).items():
        blocks = torch.tensor([block(c, first, second) for first, second in members])  # (n, T)
        logits = [model.next(model.hidden(part)[:, 0]) for part in blocks.split(64)]  # (64, 2)
        called[kind] = torch.cat(logits).argmax(-1).bool().numpy()
    return verdicts(called, pairs)


@torch.inference_mode()
def vectors(c: SimpleNamespace, model: PairModel, split: str) -> dict[str, np.ndarray]:
    """The mean and the [CLS] vector of each article's first block, (n, d) each."""
    padding, found = c.tokenizer.pad_token_id, {"mean": [], "[CLS]": []}
    rows = [torch.tensor(example["input_ids"]) for example in encoded(c, split)]
    for i in range(0, len(rows), 64):
        ids = nn.utils.rnn.pad_sequence(rows[i : i + 64], True, padding)  # (64, T)
        hidden = model.hidden(ids)  # (64, T, d)
        found["mean"].append(mean_pool(hidden, (ids != padding).long()))
        found["[CLS]"].append(hidden[:, 0])
    return {name: torch.cat(parts).numpy() for name, parts in found.items()}


def probes(c: SimpleNamespace, model: PairModel) -> dict[str, dict[str, float]]:
    """Accuracy of linear classifiers of frozen vectors: mean and standard deviation over draws."""
    y, y_validation = (np.array(c.news[split]["label"]) for split in ("train", "validation"))
    x, x_validation = vectors(c, model, "train"), vectors(c, model, "validation")
    found = {}
    for name in x:
        accuracies = []
        for draw in range(DRAWS):
            rows = choose(y, PER_CLASS, draw)
            probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
            probe.fit(x[name][rows], y[rows])
            accuracies.append(probe.score(x_validation[name], y_validation))
        found[name] = {
            "accuracy": round(float(np.mean(accuracies)), 4),
            "deviation": round(float(np.std(accuracies, ddof=1)), 4),
        }
    return found


def new_model(
    c: SimpleNamespace, seed: int, *, pretrained: bool, next_weight: float = 0.0
) -> PairModel:
    torch.manual_seed(seed)
    encoder = ModernBert.from_pretrained(CHECKPOINT) if pretrained else ModernBert(c.CONFIG)
    padding = c.tokenizer.pad_token_id
    return PairModel(encoder, padding=padding, next_weight=next_weight).eval()


def trained(c: SimpleNamespace, name: str, seed: int) -> dict:
    """Train one contender and measure it."""
    weight, pairs, held_out = NEXT_WEIGHT[name], pairs_of(c, "train"), pairs_of(c, "validation")
    model = new_model(c, seed, pretrained=name != RANDOM, next_weight=weight)
    examples = [{"input_ids": block(c, p.first, p.second), "pair": p} for p in pairs]
    settings = c.RECIPE if name == RANDOM else c.RECIPE | {"learning_rate": LEARNING_RATE}
    config = TrainingConfig(**settings, steps=UPDATES, seed=seed, progress=False)
    collate = PairCollator(c, pairs, replaced=0.5 if weight else 0.0)
    train(model, examples, config, collate_fn=collate)
    model.eval()
    return {
        "updates": UPDATES,
        "training pairs": len(pairs),
        "validation pairs": len(held_out),
        "masked loss": round(masked_loss(c, model, held_out), 4),
        # Without a weight the second head stays as it was drawn.
        "next sentence": next_sentence(c, model, held_out) if weight else None,
        "probes": probes(c, model),
    }


def topic(c: SimpleNamespace) -> dict:
    """The same test by the cosine of the segments' TF-IDF vectors, pieces as terms."""
    training, held_out = kinds(pairs_of(c, "train")), pairs_of(c, "validation")
    terms = TfidfVectorizer(analyzer=lambda ids: ids, sublinear_tf=True)
    terms.fit(segment for pair in training["neighbours"] for segment in pair)

    def cosines(members: list[tuple[list[int], list[int]]]) -> np.ndarray:
        first, second = (terms.transform(side) for side in zip(*members, strict=True))
        return np.asarray(first.multiply(second).sum(1)).ravel()  # (n,)

    true, false = cosines(training["neighbours"]), cosines(training["another article"])
    candidates = np.quantile(np.concatenate([true, false]), np.linspace(0, 1, 201))
    threshold = max(candidates, key=lambda t: np.mean(true >= t) + np.mean(false < t))
    called = {kind: cosines(members) >= threshold for kind, members in kinds(held_out).items()}
    return {"validation pairs": len(held_out), "next sentence": verdicts(called, held_out)}


def run(c: SimpleNamespace, contender: str, seed: int) -> dict:
    if contender == "words in common":
        return topic(c)
    if contender == "untrained":
        return {"probes": probes(c, new_model(c, seed, pretrained=False))}
    return trained(c, contender, seed)


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    c = definitions("08")
    plan = [{"contender": name, "seed": seed} for seed in arguments.seeds for name in NEXT_WEIGHT]
    plan += [{"contender": name, "seed": 0} for name in ("untrained", "words in common")]
    EXPERIMENT.fill(FILE, arguments, plan, lambda **settings: run(c, **settings))


if __name__ == "__main__":
    main()
