"""Chapter 13, "Going deeper: what helps", fig-13-ablation: 13-ablation.json.

    python -m experiments.chapter_13_ablation
    python -m experiments.chapter_13_ablation --seeds 0 1 2   # more seeds of the first four

What helps a small uncased BERT to find names? Each run trains on a quarter of the training
documents for two passes and is scored on half of the validation documents, with free and with
constrained decoding. A variant differs from another in one thing. Nine variants, then, with seed 0
alone, other learning rates: 13 runs of about 4 minutes on one core without bfloat16. A row a run.
"""

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from datasets import Dataset
from torch import nn
from transformers import AutoTokenizer, BertForTokenClassification
from transformers.modeling_outputs import TokenClassifierOutput

from experiments.common import RESULTS, Experiment
from helpers.data import assets, corpora
from helpers.data.tagging import (
    SHAPES,
    by_document,
    collate_windows,
    encode_words,
    may_follow,
    split_back,
    word_shapes,
    words_from_windows,
)
from helpers.models.tagging import ShapeTagger, constrained_viterbi
from helpers.teaching import environment
from helpers.training import metrics
from helpers.training.loop import History, TrainingConfig, predict, train

FILE = RESULTS / "13-ablation.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="the same documents, about 300 pieces in an update, as windows or sentence by sentence",
    searched="two more learning rates for the plain tagger and for the one with both changes",
    selected="nothing: all are shown, on half of the validation documents",
    test="not used",
    seeds=(0,),
)
NAMES = corpora.NER_TAGS
PIECES, OVERLAP = 128, 32  # of a window; what neighbours share when they are predicted
N_SHAPES = 2 * len(SHAPES)
TRAIN_SHARE, VALIDATION_SHARE = 4, 2  # every fourth training, every second validation document


@dataclass(frozen=True)
class Settings:
    """One variant. The defaults are the plainest tagger: sentence by sentence, lower case."""

    documents: bool = False  # windows of whole documents, not single sentences
    shapes: str = "none"  # "input": added to the piece's vector; "head": to the output's
    learning_rate: float = 2e-4
    new_rate: float = 1.0  # learning rate of the new weights, in multiples
    layer_decay: float = 1.0  # learning rate of a layer in multiples of that of the one above
    average: bool = False  # the mean of the weights over the second half of the run
    dropout: float = 0.0
    epochs: int = 2

    @property
    def batch_size(self) -> int:
        """Windows or sentences in an update: about 300 pieces either way."""
        return 3 if self.documents else 16


PLAIN = Settings()
BOTH = Settings(documents=True, shapes="input")
VARIANTS = {
    "sentences": PLAIN,
    "sentences, shapes": replace(PLAIN, shapes="input"),
    "documents": replace(PLAIN, documents=True),
    "documents, shapes": BOTH,
    "… shapes at the head": replace(BOTH, shapes="head"),
    "… new weights ten times as fast": replace(BOTH, new_rate=10.0),
    "… each layer 0.8 of the one above": replace(BOTH, layer_decay=0.8),
    "… weights averaged": replace(BOTH, average=True),
    "… dropout 0.1": replace(BOTH, dropout=0.1),
}
FOUR = ("documents, shapes", "documents", "sentences, shapes", "sentences")
RATES = {
    "sentences, rate 1e-4": replace(PLAIN, learning_rate=1e-4),
    "sentences, rate 4e-4": replace(PLAIN, learning_rate=4e-4),
    "documents, shapes, rate 1e-4": replace(BOTH, learning_rate=1e-4),
    "documents, shapes, rate 4e-4": replace(BOTH, learning_rate=4e-4),
}


class HeadShapes(ShapeTagger):
    """The tagger with the shape's vector added to the encoder's output, past all attention."""

    def forward(self, input_ids, attention_mask, shapes, labels=None) -> TokenClassifierOutput:
        hidden = self.bert(input_ids, attention_mask=attention_mask).last_hidden_state
        logits = self.classifier(hidden + self.shape_embeddings(shapes))  # (B, T, C)
        loss = None
        if labels is not None:
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
        return TokenClassifierOutput(loss=loss, logits=logits)


def rates_by_layer(model: BertForTokenClassification, settings: Settings) -> torch.optim.AdamW:
    """`train`'s AdamW with a learning rate for the new weights, and one for each layer."""
    layers, groups = model.config.num_hidden_layers, []
    for name, parameter in model.named_parameters():
        if not name.startswith("bert."):
            factor = settings.new_rate
        elif ".layer." in name:
            factor = settings.layer_decay ** (layers - 1 - int(name.split(".")[3]))
        else:
            factor = settings.layer_decay**layers  # the embeddings
        decay = TrainingConfig.weight_decay if parameter.ndim >= 2 else 0.0
        rate = factor * settings.learning_rate
        groups.append({"params": [parameter], "lr": rate, "weight_decay": decay})
    return torch.optim.AdamW(groups, fused=True)


class AveragedWeights:
    """The mean of the weights in a run's second half, every 20 updates (Izmailov et al., 2018).

    The last update counts too.
    """

    def __init__(self, steps: int):
        self.steps, self.calls, self.mean = steps, 0, None

    @torch.no_grad()
    def __call__(self, model: nn.Module, step: int) -> None:
        if step % 20 and step != self.steps:
            return
        self.calls += 1
        n = self.calls - self.steps // 40
        if n == 1:
            self.mean = copy.deepcopy(model)
        elif n > 1:
            for mean, parameter in zip(self.mean.parameters(), model.parameters(), strict=True):
                mean.lerp_(parameter, 1 / n)


def part(split: Dataset, every: int) -> Dataset:
    """The sentences of every `every`-th document."""
    return split.select(np.flatnonzero(np.array(split["document"]) % every == 0))


def windows_of(tokenizer, split: Dataset, settings: Settings, overlap: int) -> Dataset:
    """What the model reads of `split`: whole documents, or sentences one by one."""
    tokens = list(split["tokens"])
    columns = [tokens, list(split["ner_tags"]), [word_shapes(words) for words in tokens]]
    if settings.documents:
        columns = [by_document(column, split["document"][:]) for column in columns]
    words, tags, shapes = columns
    return encode_words(
        tokenizer,
        words,
        tags,
        shapes=shapes if settings.shapes != "none" else None,
        max_length=PIECES if settings.documents else 512,
        overlap=overlap if settings.documents else 0,
    )


def make_tagger(settings: Settings, seed: int) -> BertForTokenClassification:
    torch.manual_seed(seed)  # the head's random weights
    options = {
        "num_labels": len(NAMES),
        "id2label": dict(enumerate(NAMES)),
        "label2id": {name: i for i, name in enumerate(NAMES)},
        "hidden_dropout_prob": settings.dropout,
        "attention_probs_dropout_prob": settings.dropout,
        "classifier_dropout": 0.0,
    }
    if settings.shapes == "none":
        return BertForTokenClassification.from_pretrained(assets.path("minilm"), **options)
    kind = HeadShapes if settings.shapes == "head" else ShapeTagger
    return kind.from_pretrained(assets.path("minilm"), num_shapes=N_SHAPES, **options)


def fine_tune(
    windows: Dataset, settings: Settings, seed: int, **config
) -> tuple[BertForTokenClassification, History]:
    """A tagger trained on `windows`; `config` goes to `TrainingConfig`."""
    model = make_tagger(settings, seed)
    steps = settings.epochs * -(-len(windows) // settings.batch_size)
    average = AveragedWeights(steps) if settings.average else None
    config = TrainingConfig(
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        seed=seed,
        **config,
    )
    same = settings.new_rate == settings.layer_decay == 1
    history = train(
        model,
        windows,
        config,
        collate_fn=collate_windows,
        optimizer=None if same else rates_by_layer(model, settings),
        after_update=average,
    )
    if average is not None:
        model.load_state_dict(average.mean.state_dict())
    return model, history


def tag_sentences(
    model: BertForTokenClassification, windows: Dataset, split: Dataset, settings: Settings
) -> dict[str, list[list[int]]]:
    """The tags of each sentence of `split`, decoded freely and under IOB2's constraints."""
    found = predict(model, windows, collate_fn=collate_windows)
    scores = words_from_windows(windows, found.logits)
    if settings.documents:
        scores = split_back(scores, [len(words) for words in split["tokens"]])
    allowed = may_follow(NAMES)
    return {
        "free": [np.argmax(rows, axis=-1).tolist() for rows in scores],
        "constrained": [constrained_viterbi(np.stack(rows), allowed) for rows in scores],
    }


def entity_f1(tags: Sequence[Sequence[int]], split: Dataset) -> float:
    named, true = (
        [[NAMES[tag] for tag in row] for row in rows] for rows in (tags, split["ner_tags"])
    )
    result = metrics.load("seqeval").compute(predictions=named, references=true, zero_division=0)
    return round(float(result["overall_f1"]), 4)


def run(variant: str, seed: int) -> dict:
    settings = (VARIANTS | RATES)[variant]
    conll = corpora.conll2003()
    tokenizer = AutoTokenizer.from_pretrained(assets.path("minilm"))
    training = part(conll["train"], TRAIN_SHARE)
    validation = part(conll["validation"], VALIDATION_SHARE)
    model, history = fine_tune(windows_of(tokenizer, training, settings, 0), settings, seed)
    windows = windows_of(tokenizer, validation, settings, OVERLAP)
    tags = tag_sentences(model, windows, validation, settings)
    return {
        **asdict(settings),
        "f1": entity_f1(tags["constrained"], validation),
        "f1_free": entity_f1(tags["free"], validation),
        "seconds": round(history.seconds, 1),
        "pieces_per_second": round(history.tokens_per_second),
    }


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    environment.set_up()
    plan = [
        {"variant": name, "seed": seed}
        for seed in arguments.seeds
        for name in (VARIANTS | RATES if seed == 0 else FOUR)
    ]
    EXPERIMENT.fill(FILE, arguments, plan, run)


if __name__ == "__main__":
    main()
