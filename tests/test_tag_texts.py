"""Raw texts in, spans of characters out: offsets in any script, windows, valid sequences."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertForTokenClassification, PreTrainedTokenizerFast

from helpers.data.tagging import word_shapes, word_spans
from helpers.models.tagging import ShapeTagger, ShapeTaggerConfig
from helpers.training.tagging import tag_texts

NAMES = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
# What the network below takes each word for. Every other word is O.
TAGS = {"jo": 1, "müller": 2, "köln": 3, "北": 3, "京": 4, "ก": 3, "รุ": 4, "👩👧": 1, "paris": 3}
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *TAGS, *"abcdefghijklmnopqrstuvwxyz,.!", "##s"]


@pytest.fixture(scope="module")
def tokenizer():
    vocabulary = {piece: i for i, piece in enumerate(PIECES)}
    backend = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = BertNormalizer(strip_accents=False, handle_chinese_chars=False)
    backend.pre_tokenizer = BertPreTokenizer()
    backend.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]")


class LookUp(torch.nn.Module):
    """A tagger that knows a piece's tag by heart, with a probability of about 0.98."""

    def __init__(self):
        super().__init__()
        table = torch.zeros(len(PIECES), len(NAMES))
        table[:, 0] = 5.0
        for word, tag in TAGS.items():
            table[PIECES.index(word)] = 5.0 * torch.eye(len(NAMES))[tag]
        table[PIECES.index("##s")] = 5.0 * torch.eye(len(NAMES))[4]  # a later piece: never read
        self.table = torch.nn.Parameter(table)
        self.config = SimpleNamespace(id2label=dict(enumerate(NAMES)))
        self.longest = 0

    def forward(self, input_ids, attention_mask, labels=None):
        self.longest = max(self.longest, input_ids.shape[1])
        return SimpleNamespace(logits=self.table[input_ids], loss=torch.tensor(0.0))


def found(texts, tokenizer, **options):
    rows = tag_texts(LookUp(), tokenizer, texts, **options)
    for text, row in zip(texts, rows, strict=True):
        assert all(span["text"] == text[span["start"] : span["end"]] for span in row)
        assert all(set(span) == {"start", "end", "label", "text", "score"} for span in row)
    return [[(span["text"], span["label"]) for span in row] for row in rows]


def test_spans_of_characters_in_any_script(tokenizer):
    texts = [
        "  Jo\tMüller (Köln) ran.",
        "我爱北京！",
        "ไปกรุงเทพ",
        "👩‍👧 in Paris, Paris.",
        "Paris\u200b\r\nJo",
        "",
        " \n",
    ]
    assert found(texts, tokenizer) == [
        [("Jo\tMüller", "PER"), ("Köln", "LOC")],
        [("北京", "LOC")],
        [("กรุ", "LOC")],
        [("👩‍👧", "PER"), ("Paris", "LOC"), ("Paris", "LOC")],
        [("Paris", "LOC"), ("Jo", "PER")],
        [],
        [],
    ]
    assert tag_texts(LookUp(), tokenizer, ["", " "]) == [[], []]


def test_the_first_piece_of_a_word_decides_and_a_sequence_is_valid(tokenizer):
    assert found(["Jos Köln Müller"], tokenizer) == [[("Jos", "PER"), ("Köln", "LOC")]]
    # Alone, Müller would be I-PER behind O: the best valid sequence leaves it out or begins it.
    (row,) = found(["a Müller a"], tokenizer)
    assert row in ([], [("Müller", "PER")])
    (span,) = tag_texts(LookUp(), tokenizer, ["Paris"])[0]
    assert span["score"] == pytest.approx(np.exp(5) / (np.exp(5) + 4), abs=1e-6)


@settings(deadline=None, max_examples=25)
@given(n=st.lists(st.integers(0, 40), min_size=1, max_size=4), overlap=st.integers(0, 5))
def test_long_texts_are_read_in_windows_and_found_as_short_ones(tokenizer, n, overlap):
    texts = [" ".join(["a", "b", "Jo", "Müller", "c"] * times) + " Paris" for times in n]
    model = LookUp()
    rows = tag_texts(model, tokenizer, texts, max_length=8, overlap=overlap)
    assert model.longest <= 8
    for text, row, times in zip(texts, rows, n, strict=True):
        assert [span["text"] for span in row] == ["Jo Müller"] * times + ["Paris"]
        assert row[-1]["end"] == len(text)


def test_words_by_a_rule_of_ones_own(tokenizer):
    text = "Jo Müller, Köln"
    assert found([text], tokenizer, words=lambda text: [(0, 2), (11, 15)]) == [
        [("Jo", "PER"), ("Köln", "LOC")]
    ]


def test_a_shape_tagger_is_told_the_shapes(tokenizer):
    config = ShapeTaggerConfig(
        vocab_size=len(PIECES),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        num_shapes=14,
        id2label=dict(enumerate(NAMES)),
    )
    model = ShapeTagger(config)
    seen = []
    model.shape_embeddings.register_forward_hook(lambda _, given, __: seen.append(given[0]))
    tag_texts(model, tokenizer, ["Jo ran. I ran"])
    shapes = [*word_shapes(["Jo", "ran", "."]), *word_shapes(["I", "ran"])]
    assert seen[0][0].tolist() == [0, *shapes, 0]


def test_what_it_cannot_use_is_refused(tokenizer):
    with pytest.raises(ValueError, match="list"):
        tag_texts(LookUp(), tokenizer, "Jo ran.")
    config = BertConfig(
        vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, num_labels=5
    )
    with pytest.raises(ValueError, match="id2label"):
        tag_texts(BertForTokenClassification(config), tokenizer, ["Jo ran."])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Dr. Müller's U.N.-Büro, 4.5 (AT&T)", "Dr|.|Müller's|U.N.|-|Büro|,|4.5|(|AT&T|)"),
        ("我爱New York！", "我|爱|New|York|！"),
        ("हिन्दी में", "हिन्दी|में"),
        ("เมือง", "เ|มื|อ|ง"),
        ("na\u0308ive👩‍👩‍👧\u00a01️⃣", "na\u0308ive|👩‍👩‍👧|1️⃣"),
    ],
)
def test_the_words_of_a_text(text, words):
    assert [text[a:b] for a, b in word_spans(text)] == words.split("|")


@given(st.text())
def test_words_leave_out_nothing_but_space(text):
    spans = word_spans(text)
    assert all(a < b for a, b in spans)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    inside = {i for a, b in spans for i in range(a, b)}
    assert all(text[i].isspace() for i in range(len(text)) if i not in inside)
