"""The interactive pieces of the chapters give the package's numbers, to a mouse and a keyboard.

They are tried on a bare page with their boxes; `test_book.py` opens the chapters that have them.
"""

import itertools
import json
import random
import re
import sys
from dataclasses import asdict, dataclass

import pytest
import torch
import transformers

from helpers.data import assets, corpora
from helpers.models.attention import attention_weights, causal_mask
from helpers.models.generation import top_k_filter, top_p_filter
from helpers.training.memory import Network, largest_batch, training_memory
from tests.test_book import DESKTOP, opened
from tests.test_book import Visit as Seen
from tools import live_data
from tools.set_address import ROOT

sys.path.insert(0, str(ROOT / "book" / "_ext"))

from live import BOX

PIECES = ("attention", "decoding", "memory", "pieces")
CHAPTERS = {"attention": "03", "decoding": "09", "memory": "16", "pieces": "02"}
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Pieces</title>
<article>{boxes}</article><script src="live/live.js"></script>{scripts}"""
BOXES = """<div class="tip live-{name} admonition"><p class="admonition-title">Try it</p>
<p>Words.</p></div>"""

# One line each for what a tokenizer may do wrong.
NASTY = [
    "",
    " ",
    "\t\n\r\u00a0\u2003\u3000",
    "Low tides slide\nthrough Rhône deltas.",
    "ÀÉÎÕÜ ÿ Ångström naïve façade coöperate",
    "e\u0301 e\u0301\u0301 \u0301 a\u200d\u0301",  # accents that combine, one without a letter
    "ΟΔΥΣΣΕΥΣ Σίσυφος ΣΑΣ",  # a sigma at the end of a word
    "İstanbul DİYARBAKIR ıI",
    "Straße STRASSE ẞ",
    "注意力机制是什么？",
    "東京とソウル（서울） 한국어 각 ᄀ",
    "𠀀𠮷野家 豈 丽",  # rare and compatible characters
    "ไม่เป็นไร नमस्ते दुनिया தமிழ்",
    "مرحبا بالعالم שָׁלוֹם",
    "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 ❤️ ☕",
    "zero\u200bwidth joi\u200dner \ufeffmark soft\u00adhyphen",
    "nul\x00 bell\x07 escape\x1b delete\x7f \ufffd \x85next",
    "line\u2028paragraph\u2029end",
    "ﬁne ﬂuid Ⅷ ½ ² ℡ ㎏ ｆｕｌｌ",
    "don't — “quotes” … «guillemets» ¿qué? ‹a›",
    "$5 + 3 = 8 < 9 ^ `code` ~ | €7 £2 ¥3 ₿1",
    "a_b.c/d\\e:f;g,h!i?j(k)l[m]n{o}p@q#r%s&t*u-v",
    "[MASK] [mask] [CLS]and[SEP] [ PAD ] [UNK]nown [MASK",
    "##ing ##x # # ##",
    "supercalifragilisticexpialidocious",
    "a" * 100 + " " + "a" * 101 + " " + "é" * 100,
    "ж" * 99 + "!" + "界" * 5,
    "x\u0334\u0335\u0336\u0337 Z̸̢̛a̷l̶g̵o̴",
    "\U0001d400\U0001d41a 𝒳 🄰 \U000e0061 \ue000 \U0010fffd",
    "https://example.org/a?b=c&d=%20#e user@example.org",
    "3.14 1,000,000 2024-11-28T09:20:00Z +44 20 7946",
]


def sentences():
    """1,000 of them: news, reviews, Chinese reviews, and nasty ones, some drawn at random."""
    news = [article["body"] for article in corpora.bbc_news()["test"]]
    found = [line for body in news for line in re.split(r"(?<=[.!?])\s+", body)[:3]][:300]
    found += list(corpora.movie_reviews()["test"]["text"])[:200]
    found += list(corpora.chinese_reviews()["test"]["text"])[:200]
    found += NASTY
    draw = random.Random(0)
    # From blocks that are long assigned; the newest characters are another matter for each browser.
    blocks = [(0x20, 0x7F), (0xA0, 0x250), (0x300, 0x530), (0x590, 0x700), (0x900, 0xE80)]
    blocks += [(0x1E00, 0x2000), (0x2000, 0x2C00), (0x3000, 0x3400), (0x4E00, 0x9FA6)]
    blocks += [(0xAC00, 0xD7A4), (0xF900, 0xFFFE), (0x1F300, 0x1F650), (0x20000, 0x20100)]
    while len(found) < 1000:
        found.append("".join(chr(draw.randrange(*draw.choice(blocks))) for _ in range(30)))
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("live")
    (path / "live").symlink_to(ROOT / "book" / "_static" / "live")
    boxes = "".join(BOXES.format(name=name) for name in PIECES)
    scripts = "".join(f'<script src="live/{name}.js"></script>' for name in PIECES)
    (path / "page.html").write_text(PAGE.format(boxes=boxes, scripts=scripts), "utf-8")
    return path


@pytest.fixture(params=["served", "as a file"])
def page(request, browser, serve, folder):
    base = serve(folder) if request.param == "served" else folder.as_uri()
    page, seen = opened(browser, f"{base}/page.html", base, DESKTOP)
    yield page
    assert seen == Seen()
    page.close()


def piece(page, name):
    return page.locator(f".live-{name}")


def wait_for(line, words):
    """Until a line that a screen reader reads out holds words."""
    script = "([line, words]) => line.textContent.includes(words)"
    line.page.wait_for_function(script, arg=[line.element_handle(), words])


def test_the_pieces_of_a_thousand_sentences_are_the_librarys(browser, folder):
    from transformers import AutoTokenizer

    texts = sentences()
    assert len(texts) == 1000
    tokenizer = AutoTokenizer.from_pretrained(assets.path("minilm"))
    wanted = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    page = browser.new_page()
    page.goto(f"{folder.as_uri()}/page.html")
    found = page.evaluate(
        "async texts => { const t = await bookLive.tokenizer(); return texts.map(t.idsOf) }", texts
    )
    page.close()
    assert [t for t, a, b in zip(texts, wanted, found, strict=True) if a != b] == []
    assert sum(map(len, wanted)) > 20_000


def stored(name):
    text = (live_data.FOLDER / f"{name}.js").read_text("utf-8")
    return json.loads(re.fullmatch(r"window\.\w+ = (.*);\n", text, re.DOTALL)[1])


def test_the_stored_vocabulary_is_the_models():
    from transformers import AutoTokenizer

    ids = AutoTokenizer.from_pretrained(assets.path("minilm")).get_vocab()
    assert stored("minilm-vocabulary")["vocabulary"].split("\n") == sorted(ids, key=ids.get)


@pytest.mark.parametrize("context", live_data.CONTEXTS)
def test_the_stored_logits_are_the_models(context):
    logits = torch.tensor(stored("next-pieces")["logits"][context]).double() / 1000
    # Rounded to thousandths; a processor's rounding moves them by far less than another one.
    assert (logits - live_data.next_logits(context)).abs().max() < 0.0015


def test_ranges_hold_first_and_last():
    assert live_data.ranges("abcxz") == [97, 99, 120, 120, 122, 122]
    assert live_data.ranges("") == []


# The chapter's features and matrices.
FEATURES = {
    "the": [0, 0, 1, 0],
    "river": [2, 0, 0, 1],
    "bank": [1, 1, 0, 1],
    "was": [0, 0, 1, 0],
    "very": [0, 0, 1, 0],
    "muddy": [1, 0, 0, 0],
    "savings": [0, 2, 0, 1],
    "rich": [0, 1, 0, 0],
}
MATRICES = (
    [[1, 0], [0, 1], [0, 0], [1, 1]],
    [[1, 0], [0, 1], [-1, -1], [0, 0]],
    [[1, 0], [0, 1], [0, 0], [0, 0]],
)


def test_the_example_is_the_chapters():
    source = (ROOT / "notebooks" / "03-attention.ipynb").read_text("utf-8")
    for token, features in FEATURES.items():
        assert f'\\"{token}\\": {features}' in source
    for matrix in MATRICES:
        assert f"torch.tensor({matrix}, dtype=torch.float64)" in source


def test_attention_is_the_packages(browser, folder):
    page = browser.new_page()
    page.goto(f"{folder.as_uri()}/page.html")
    for sentence in ("the river bank was very muddy", "the savings bank was very rich"):
        words = sentence.split()
        x = torch.tensor([FEATURES[word] for word in words], dtype=torch.float64)
        q, k, v = (x @ torch.tensor(matrix, dtype=torch.float64) for matrix in MATRICES)
        for temperature in (0.1, 0.5, 1.0, 3.0, 10.0):
            for hidden in range(7):
                for causal in (False, True):
                    mask = (torch.arange(6) >= hidden).expand(6, 6)
                    mask = mask & causal_mask(6) if causal else mask
                    weights = attention_weights(q / temperature, k, mask)
                    found = page.evaluate(
                        "([words, t, n, causal]) => bookLive.attend(words, t, n, causal)",
                        [words, temperature, hidden, causal],
                    )
                    for name, wanted in (("weights", weights), ("outputs", weights @ v)):
                        difference = torch.tensor(found[name], dtype=torch.float64) - wanted
                        assert difference.abs().max() < 1e-12
    page.close()


SETTINGS = [
    (temperature, k, p)
    for temperature in (0.05, 0.5, 1.0, 2.0, 3.0)
    for k in (None, 1, 40, 1000)
    for p in (0.05, 0.5, 0.9, 1.0)
]


@pytest.mark.parametrize("context", live_data.CONTEXTS)
def test_decoding_is_the_packages(browser, folder, context):
    page = browser.new_page()
    page.goto(f"{folder.as_uri()}/page.html")
    z = torch.tensor(stored("next-pieces")["logits"][context]).double() / 1000
    for temperature, k, p in SETTINGS:
        kept = z / temperature
        kept = top_k_filter(kept, k) if k else kept
        wanted = top_p_filter(kept, p).softmax(-1)
        found = page.evaluate(
            "async ([context, t, k, p]) => bookLive.nextPieces(context, t, k, p)",
            [context, temperature, k, p],
        )
        found = torch.tensor(found, dtype=torch.float64)
        assert int((found > 0).sum()) == int((wanted > 0).sum())
        # In order: which of several that are equal stands at the edge is nobody's rule.
        assert (found.sort().values - wanted.sort().values).abs().max() < 1e-12
    page.close()


@dataclass(frozen=True)
class Shape:
    """A network of transformers, by what its memory depends on."""

    kind: str
    layers: int
    width: int
    heads: int
    inner: int
    vocabulary: int
    keys: int | None = None  # a Llama's key heads
    tied: bool = False  # whether a Llama's two tables are one

    @property
    def on_the_page(self):
        """What the page's own `network` is given."""
        more = [self.keys / self.heads, self.tied] if self.keys else []
        return [self.kind, self.layers, self.width, self.inner, self.vocabulary, *more]

    def network(self):
        """transformers' own network of these sizes, as the package reads it."""
        sizes = {
            "num_hidden_layers": self.layers,
            "hidden_size": self.width,
            "num_attention_heads": self.heads,
            "intermediate_size": self.inner,
            "vocab_size": self.vocabulary,
        }
        with torch.device("meta"):  # takes no memory
            if self.kind == "bert":
                model = transformers.BertForSequenceClassification(transformers.BertConfig(**sizes))
            else:
                sizes |= {"num_key_value_heads": self.keys, "tie_word_embeddings": self.tied}
                model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes))
        return Network.of(model)


# The chapter's networks, and two odd ones.
SHAPES = [
    Shape("bert", 6, 384, 12, 1536, 30_522),
    Shape("bert", 12, 768, 12, 3072, 30_522),
    Shape("bert", 24, 1024, 16, 4096, 30_522),
    Shape("llama", 30, 576, 9, 1536, 49_152, 3, tied=True),
    Shape("llama", 24, 2048, 16, 5504, 32_000, 16),
    Shape("llama", 32, 4096, 32, 11_008, 32_000, 32),
    Shape("bert", 1, 90, 9, 77, 101),
    Shape("llama", 3, 72, 6, 50, 999, 2),
]
SETTINGS_OF_MEMORY = list(
    itertools.product(
        ((1, 1), (3, 17), (8, 512), (1024, 8192)),  # sequences, and pieces in each
        ("bf16", "fp16", "fp32"),
        (0.0, 0.15, 1.0),  # of the pieces scored
        (False, True),  # checkpointing
        (False, True),  # accumulated
        (1.0, 0.01),  # of the weights trained
    )
)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_memory_of_a_training_is_the_packages(browser, folder, shape):
    page = browser.new_page()
    page.goto(f"{folder.as_uri()}/page.html")
    network = shape.network()
    found = page.evaluate("sizes => bookLive.network(...sizes)", shape.on_the_page)
    names = {"gated": "gated", "key_share": "keyShare"}
    sizes = asdict(network)
    assert sizes.pop("by_muon") == 0  # the page's optimizer is AdamW
    for name, value in sizes.items():
        assert found[names.get(name, name)] == pytest.approx(value, rel=1e-12), name
    wanted, asked = [], []
    for (n, length), precision, scored, checkpointing, accumulated, share in SETTINGS_OF_MEMORY:
        settings = {
            "precision": precision,
            "scored": scored,
            "checkpointing": checkpointing,
            "accumulated": accumulated,
            "trained": round(share * network.parameters),
        }
        memory = training_memory(network, n, length, **settings)
        wanted.append([*list(asdict(memory).values())[:5], memory.peak])
        asked.append([n, length, settings])
    script = """([sizes, asked]) => asked.map(([n, length, settings]) => {
      const m = bookLive.trainingMemory(bookLive.network(...sizes), n, length, settings);
      return [m.weights, m.optimizer, m.gradients, m.copies, m.activations, m.peak];
    })"""
    assert page.evaluate(script, [shape.on_the_page, asked]) == wanted
    for room, length, scored in itertools.product((2, 14, 78), (32, 512), (0.0, 1.0)):
        most = largest_batch(network, room * 2**30, length, scored=scored)
        settings = {"precision": "bf16", "scored": scored}
        script = "([sizes, ...rest]) => bookLive.largestBatch(bookLive.network(...sizes), ...rest)"
        asked = [shape.on_the_page, room * 2**30, length, settings]
        assert page.evaluate(script, asked) == most
    page.close()


def test_the_models_of_the_calculator_are_the_chapters(browser, folder):
    page = browser.new_page()
    page.goto(f"{folder.as_uri()}/page.html")
    found = page.evaluate("() => bookLive.memoryModels")
    page.close()
    for sizes, shape in zip(found.values(), SHAPES[:6], strict=True):
        wanted = shape.on_the_page
        assert [*sizes, 1, False][:7] == [*wanted, 1, False][:7]
    source = (ROOT / "notebooks" / "16-training-on-gpus.ipynb").read_text("utf-8")
    for name in found:
        assert f'\\"{name}\\": ' in source


def test_a_sentence_is_cut_as_it_is_typed(page):
    assert page.evaluate("window.bookVocabulary === undefined")  # until it is needed
    field = page.get_by_label("A sentence")
    page.keyboard.press("Tab")  # attention's first control
    for _ in range(20):
        if field.evaluate("e => e === document.activeElement"):
            break
        page.keyboard.press("Tab")
    box = piece(page, "pieces")
    box.locator("tbody tr, tr").first.wait_for()
    assert box.locator("tr").first.inner_text().split("\t")[1].startswith("low tides slide")
    assert box.locator("li code").all_inner_texts()[:4] == ["low", "tides", "slide", "through"]
    field.fill("unhappiness")
    said = box.get_by_role("status")
    wait_for(said, "1 word, ")
    pieces = box.locator("li code").all_inner_texts()
    assert "".join(pieces).replace("##", "") == "unhappiness"
    assert said.inner_text() == f"1 word, {len(pieces)} pieces: {' '.join(pieces)}"
    assert box.locator(".live-words").inner_text() == "Words."


def test_attention_follows_its_sliders(page):
    box = piece(page, "attention")
    assert box.locator("tbody tr").nth(2).inner_text().split("\t") == (
        ["bank", "0.00", "0.44", "0.44", "0.00", "0.00", "0.11", "(1.44, 0.44)"]
    )
    slider = page.get_by_label("Tokens hidden as padding")
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") == "the first 2"
    row = box.locator("tbody tr").nth(2).inner_text().split("\t")
    assert row[1:3] == ["–", "–"]
    page.get_by_label("No token sees the future").check()
    row = box.locator("tbody tr").nth(2).inner_text().split("\t")
    assert row[1:7] == ["–", "–", "1.00", "–", "–", "–"]
    wait_for(box.get_by_role("status"), "bank takes 1.00")
    page.get_by_label("Sentence", exact=True).select_option(label="the savings bank was very rich")
    assert "savings" in box.locator("thead").inner_text()


def test_decoding_follows_its_sliders(page):
    assert page.evaluate("window.bookNextPieces === undefined")
    box = piece(page, "decoding")
    page.get_by_label("Top-k").focus()
    rows = box.locator("tbody tr")
    rows.first.wait_for()
    assert rows.first.locator("th").inner_text() == "blair"
    assert rows.count() == 13
    page.get_by_label("Text so far").select_option(label="the company said it had …")
    assert rows.first.locator("th").inner_text() == "been"
    page.get_by_label("Top-k").press("Home")
    assert page.get_by_label("Top-k").get_attribute("aria-valuetext") == "1"
    assert rows.nth(1).locator("td").nth(1).inner_text() == "cut off"
    wait_for(box.get_by_role("status"), "1 of 4,096")


def test_the_calculator_follows_its_controls(page):
    box = piece(page, "memory")
    rows = box.locator("tbody tr")
    assert rows.count() == 6
    page.get_by_label("Model").select_option(label="BERT-base, classifier")
    assert page.get_by_label("Width").input_value() == "768"
    page.get_by_label("Pieces in each").focus()
    for _ in range(2):
        page.keyboard.press("ArrowLeft")  # 512, 256, 128
    page.get_by_label("Sequences at once").focus()
    for _ in range(7):
        page.keyboard.press("ArrowRight")  # 8, 12, 16, 24, 32, 48, 64, 96
    page.keyboard.press("ArrowLeft")
    # As the chapter prints it.
    assert rows.nth(5).inner_text().split("\t")[:2] == ["peak", "4.09"]
    page.get_by_label("Precision").select_option(label="fp32")
    assert rows.nth(5).inner_text().split("\t")[1] == "5.91"
    said = box.get_by_role("status")
    wait_for(said, "5.91 GiB at the peak, when the backward pass begins. On 16 GB,")
    caption = box.locator("caption")
    assert caption.inner_text().endswith("the peak is less than the sum.")
    page.get_by_label("Several forward passes an update").check()
    amounts = [float(row.split("\t")[1]) for row in rows.all_inner_texts()]
    assert amounts[5] == pytest.approx(sum(amounts[:5]), abs=0.03)
    assert caption.inner_text().endswith("the peak is the sum.")
    page.get_by_label("Several forward passes an update").uncheck()
    page.get_by_label("Activation checkpointing").check()
    assert float(rows.nth(5).inner_text().split("\t")[1]) < 5.91
    page.get_by_label("Layers").fill("")
    wait_for(said, "Layers: a whole number from 1 to 200.")
    assert page.get_by_label("Layers").get_attribute("aria-invalid") == "true"
    page.get_by_label("Layers").fill("12")
    assert page.get_by_label("Layers").get_attribute("aria-invalid") is None


def test_every_box_of_the_chapters_has_its_piece():
    for name, number in CHAPTERS.items():
        (path,) = (ROOT / "notebooks").glob(f"{number}-*.ipynb")
        assert f":class: tip live-{name}" in path.read_text("utf-8")
    assert BOX.findall('<div class="live-pieces tip admonition">') == ["pieces"]
    assert BOX.findall('<div class="tip live-decoding admonition"><p class="x">') == ["decoding"]
    assert BOX.findall('<p>class="live"</p>') == []
