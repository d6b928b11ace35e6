"""Folders that chapters save, opened by stock code in another process, without this package.

What a stock class can hold gives there the predictions that it gives here. What none can hold is
refused there: loaded by a class that lacks a part of it, it would predict something else.
"""

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertForSequenceClassification,
    BertForTokenClassification,
    DataCollatorWithPadding,
    PreTrainedTokenizerFast,
)

from helpers.data import assets, corpora
from helpers.data.tagging import (
    collate_windows,
    encode_words,
    entities,
    word_shapes,
    words_from_windows,
)
from helpers.models.classification import MeanPoolClassifier, MeanPoolConfig
from helpers.models.tagging import ShapeTagger, ShapeTaggerConfig
from helpers.training.loop import TrainingConfig, predict, train
from tests.stranger import elsewhere
from tests.tiny import bert_config

TEXTS = ["a goal in the match", "shares fell", "the shares of a club", "a late match"]
LABELS = {"business": 0, "sport": 1}
SENTENCES = [["franz", "fischler", "met", "ada"], ["ada", "fell", "late"], ["fischler", "met"]]
TAGS = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG"]
SENTENCE_TAGS = [[1, 2, 0, 1], [3, 0, 0], [1, 0]]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "goal", "in", "the", "match"]
VOCABULARY += ["shares", "fell", "of", "club", "late", "met", "franz"]
VOCABULARY += ["fis", "##ch", "##ler", "ad", "##a"]

# What a reader runs who has transformers and a folder: an answer or an error for each.
STRANGER = """
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification
from transformers import pipeline

result = {}
for name, (folder, task, inputs) in asked.items():
    classes = {
        "text-classification": AutoModelForSequenceClassification,
        "token-classification": AutoModelForTokenClassification,
    }
    options = {
        "text-classification": {"top_k": None},
        "token-classification": {"aggregation_strategy": "first"},
    }
    result[name] = {}
    for way, call in {
        "Auto class": lambda: type(classes[task].from_pretrained(folder)).__name__,
        "pipeline": lambda: pipeline(task, folder, device="cpu", **options[task])(
            inputs, **({} if isinstance(inputs[0], str) else {"is_split_into_words": True})
        ),
    }.items():
        try:
            result[name][way] = call()
        except Exception as error:
            result[name][way] = f"{type(error).__name__}: {error}"
"""


def tiny_tokenizer():
    pieces = {piece: i for i, piece in enumerate(VOCABULARY)}
    backend = Tokenizer(models.WordPiece(pieces, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=32,
        **{f"{n}_token": f"[{n.upper()}]" for n in ("pad", "unk", "cls", "sep", "mask")},
    )


def settings(names, **more):
    config = bert_config(dropout=0.0).to_dict() | {
        "vocab_size": len(VOCABULARY),
        "id2label": dict(enumerate(names)),
        "label2id": {name: i for i, name in enumerate(names)},
    }
    config.pop("model_type")
    return config | more


def trained(model, rows, collate_fn):
    torch.manual_seed(0)
    config = TrainingConfig(
        epochs=60, batch_size=4, learning_rate=1e-2, precision="fp32", progress=False
    )
    train(model, rows, config, collate_fn=collate_fn)
    return model


def saved(model, tokenizer, folder):
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def classification_rows(tokenizer, texts, labels):
    return [tokenizer(text) | {"labels": y} for text, y in zip(texts, labels, strict=True)]


def probabilities(model, rows, collate_fn):
    """What the package's `predict` says of each text: {name of the class: probability}."""
    logits = predict(model, rows, collate_fn=collate_fn, precision="fp32").logits
    shares = torch.tensor(logits).softmax(-1).tolist()
    names = model.config.id2label
    return [{names[c]: p for c, p in enumerate(row)} for row in shares]


def tiny_classifier(kind, config, folder):
    tokenizer = tiny_tokenizer()
    rows = classification_rows(tokenizer, TEXTS, [1, 0, 0, 1])
    collate = DataCollatorWithPadding(tokenizer)
    torch.manual_seed(0)
    model = trained(kind(config), rows, collate)
    return saved(model, tokenizer, folder), probabilities(model, rows, collate)


def minilm_classifier(folder):
    """A few updates of chapter 11's recipe."""
    tokenizer = AutoTokenizer.from_pretrained(assets.path("minilm"))
    news = corpora.bbc_news()["train"].select(range(24))
    names = news.features["label"].names
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(
        assets.path("minilm"), num_labels=5, id2label=dict(enumerate(names))
    )
    rows = classification_rows(tokenizer, news["headline"], news["label"])
    collate = DataCollatorWithPadding(tokenizer)
    config = TrainingConfig(
        epochs=2, batch_size=8, learning_rate=1e-3, precision="fp32", progress=False
    )
    train(model, rows, config, collate_fn=collate)
    answer = probabilities(model, rows, collate)
    return saved(model, tokenizer, folder), news["headline"][:], answer


def tiny_tagger(kind, config, folder, *, shapes):
    tokenizer = tiny_tokenizer()
    windows = encode_words(
        tokenizer,
        SENTENCES,
        SENTENCE_TAGS,
        shapes=[word_shapes(row) for row in SENTENCES] if shapes else None,
        max_length=16,
    )
    torch.manual_seed(0)
    model = trained(kind(config), windows, collate_windows)
    logits = predict(model, windows, collate_fn=collate_windows, precision="fp32").logits
    by_word = words_from_windows(windows, logits)
    answer = [entities([TAGS[np.argmax(z)] for z in row]) for row in by_word]
    return saved(model, tokenizer, folder), answer


@pytest.fixture(scope="module")
def here_and_there(tmp_path_factory):
    """Each folder's answer in this process, and what another process says of it."""
    root = tmp_path_factory.mktemp("folders")
    texts, tags = settings(LABELS), settings(TAGS)
    asked, here = {}, {}

    def ask(name, task, inputs, folder, answer):
        asked[name], here[name] = (folder, task, inputs), answer

    for name, kind, config in (
        ("classifier", BertForSequenceClassification, bert_config().__class__(**texts)),
        ("mean pooling", MeanPoolClassifier, MeanPoolConfig(**texts)),
    ):
        ask(name, "text-classification", TEXTS, *tiny_classifier(kind, config, root / name))
    folder, headlines, answer = minilm_classifier(root / "minilm")
    ask("MiniLM", "text-classification", headlines, folder, answer)
    for name, kind, config in (
        ("tagger", BertForTokenClassification, bert_config().__class__(**tags)),
        ("shapes", ShapeTagger, ShapeTaggerConfig(**tags, num_shapes=14)),
    ):
        task = "token-classification"
        answer = tiny_tagger(kind, config, root / name, shapes=name == "shapes")
        ask(name, task, SENTENCES, *answer)
    return here, elsewhere([(root, STRANGER)], asked=asked)[0]


@pytest.mark.parametrize("name", ["classifier", "MiniLM"])
def test_a_saved_classifier_says_the_same_in_a_pipeline(here_and_there, name):
    here, there = (answers[name] for answers in here_and_there)
    assert there["Auto class"] == "BertForSequenceClassification"
    found = [{row["label"]: row["score"] for row in rows} for rows in there["pipeline"]]
    assert len(found) == len(here)
    for row, expected in zip(found, here, strict=True):
        assert row == pytest.approx(expected, abs=1e-4)
    best = {max(row, key=row.get) for row in here}
    assert len(best) > 1, "a model that says the same of all texts proves little"


def test_a_saved_tagger_says_the_same_in_a_pipeline(here_and_there):
    here, there = (answers["tagger"] for answers in here_and_there)
    assert there["Auto class"] == "BertForTokenClassification"
    for words, expected, found in zip(SENTENCES, here, there["pipeline"], strict=True):
        starts = np.cumsum([0] + [len(word) + 1 for word in words]).tolist()
        as_characters = [(kind, starts[a], starts[b] - 1) for kind, a, b in expected]
        assert [(e["entity_group"], e["start"], e["end"]) for e in found] == as_characters
    assert here == [entities([TAGS[t] for t in row]) for row in SENTENCE_TAGS]  # it has learned


@pytest.mark.parametrize(
    ("name", "model_type"), [("mean pooling", "mean-pool-bert"), ("shapes", "shape-tagger-bert")]
)
@pytest.mark.parametrize("way", ["Auto class", "pipeline"])
def test_what_no_stock_class_can_hold_is_refused(here_and_there, name, model_type, way):
    answer = here_and_there[1][name][way]
    assert isinstance(answer, str), f"opened: {answer}"
    assert answer.startswith("ValueError"), answer
    assert model_type in answer
