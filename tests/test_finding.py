"""What leads a reader on: terms linked to the glossary, and previews of what a link leads to.

A chapter of one page is built with the book's own configuration, glossary and references.
"""

import json
import shutil
import sys

import pytest
import yaml
from bs4 import BeautifulSoup
from docutils import nodes

from tests.test_book import DESKTOP, PHONE, build, look_at, opened
from tests.test_book import Visit as Seen
from tools.set_address import ROOT

sys.path.insert(0, str(ROOT / "book" / "_ext"))

from first_use import PER_CORE, PER_PARAGRAPH, Entry, Finder, forms, link_first_uses

PAGE = r"""# A chapter about perplexity

Attention reads every token, and attentions of tokens are plural; `logits`, $softmax$, **Dropout**
and [a link about gradients](#formula) stay as they are.

- An item about tokenizers, and about token-level things.

The key is here, and BERT; bert isn't.
A *key* is meant as the term, as the *vocabulary of a tokenizer* isn't.

One paragraph: the logits, the softmax, the gradient, the dropout.

Once more: the dropout.

:::{admonition} A title with perplexity
:class: note
A box about large language models and n-grams {cite:p}`hu2022lora`.
:::

| a table | of embeddings |
|---|---|
| of epochs | and overfitting |

(formula)=
$$
E = m c^2
$$ (eq-energy)

See {eq}`eq-energy`.

## Further reading

- A work about calibration.
"""
LINKS = "a.glossary-term"


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("token", {"tokens"}),
        ("vocabulary", {"vocabularies"}),
        ("key", {"keys"}),
        ("loss", {"losses"}),
        ("bias", {"biases"}),
        ("corpus", {"corpora"}),
        ("logits", {"logit"}),
        ("bag of words", {"bags of words"}),
        ("LSTM", {"LSTMs"}),
    ],
)
def test_a_name_has_a_plural(name, others):
    assert {name} | others <= forms(name)


@pytest.fixture(scope="module")
def finder():
    names = [
        ("LoRA", "low-rank adaptation"),
        ("token",),
        ("special token",),
        ("Transformer",),
        ("[CLS]",),
        ("Holm’s method",),
        ("memory",),
        ("F1", "F1 score"),
    ]
    return Finder(Entry(f"term-{first}", (first, *others)) for first, *others in names)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a token, tokens and a special token", ["token", "tokens", "special token"]),
        ("tokenizer, token-level, sub-token, tokens.json, x/token", []),
        ("Tokens are read. Tokens end. The Tokens don't", ["Tokens", "Tokens"]),
        ("LoRA, lora, LORA, Low-rank adaptation", ["LoRA"]),
        ("Transformers, a Transformer’s block; transformers", ["Transformers", "Transformer"]),
        ("[CLS] and CLS", ["[CLS]"]),
        ("Holm's method, Holm’s method, holm's method", ["Holm's method", "Holm’s method"]),
        ("an F1 score; F1; f1", ["F1 score", "F1"]),
        ("special\ntokens", ["special\ntokens"]),
        ("the memory of a machine", []),
    ],
)
def test_names_are_found_as_words(finder, text, found):
    assert [match[0] for match, _ in finder.find(text)] == found


def test_an_everyday_word_is_found_in_italics_and_as_a_whole(finder):
    assert [match[0] for match, _ in finder.find("memory", italic=True)] == ["memory"]
    assert list(finder.find("a memory", italic=True)) == []


def test_a_second_page_starts_anew(finder):
    def page():
        return nodes.section("", nodes.title("", "T"), nodes.paragraph("", "", nodes.Text("token")))

    for found in (link_first_uses(page(), finder, str) for _ in range(2)):
        assert list(found.values()) == ["token"]


def test_what_is_not_folded_has_few_links_to_what_a_reader_knows_least():
    numbers = range(2 * PER_CORE)
    explained = {0: (4,), 1: (2,), 2: (3,), 3: (9,), 4: ()}
    entries = [Entry(f"term-{n}", (f"word{n}",), explained.get(n, (1,))) for n in numbers]

    def paragraphs():
        return [nodes.paragraph("", "", nodes.Text(f"A word{n}.")) for n in numbers]

    deeper = nodes.section("", nodes.title("", "Going deeper: more"), *paragraphs())
    page = nodes.section("", nodes.title("", "T"), *paragraphs(), deeper)
    link_first_uses(page, Finder(entries), lambda entry: entry.anchor)
    folded = {link["refuri"] for link in deeper.findall(nodes.reference)}
    core = {entry.anchor for entry in entries} - folded
    assert len(core) == PER_CORE
    assert core >= set(map("term-{}".format, explained))  # explained later than others, or nowhere
    assert f"term-{numbers[-1]}" in folded


def test_where_a_paragraph_has_no_room_another_term_is_linked():
    crowd = [Entry(f"term-a{n}", (f"aword{n}",)) for n in range(PER_PARAGRAPH + 2)]
    others = [Entry(f"term-b{n}", (f"bword{n}",)) for n in range(PER_CORE - PER_PARAGRAPH - 2)]
    known = [Entry(f"term-c{n}", (f"cword{n}",), (1,)) for n in range(4)]
    texts = [" ".join(entry.names[0] for entry in crowd)]
    texts += [entry.names[0] for entry in (*others, *known)]
    page = nodes.section("", nodes.title("", "T"))
    page += [nodes.paragraph("", "", nodes.Text(text)) for text in texts]
    # Two of the crowd find no room, so two that are known take their links.
    linked = link_first_uses(page, Finder([*crowd, *others, *known]), str)
    assert list(linked) == [*crowd[:PER_PARAGRAPH], *others, *known[:2]]


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    source = tmp_path_factory.mktemp("finding")
    for folder in ("book", "editions"):
        shutil.copytree(ROOT / folder, source / folder)
    shutil.copy(ROOT / "_config.yml", source)
    (source / "notebooks").mkdir()
    (source / "notebooks" / "01-small.md").write_text(PAGE, "utf-8")
    files = ["book/glossary", "book/references"]
    contents = {"format": "jb-book", "root": "notebooks/01-small"}
    contents["chapters"] = [{"file": file} for file in files]
    (source / "_toc.yml").write_text(yaml.safe_dump(contents), "utf-8")
    return build(source, source / "built")  # other chapters are missing, so it warns


@pytest.fixture(scope="module")
def chapter(html):
    return BeautifulSoup((html / "notebooks/01-small.html").read_text("utf-8"), "html.parser")


def test_the_first_use_in_running_text_is_linked(html, chapter):
    links = chapter.article.select(LINKS)
    assert [link.text for link in links] == [
        "Attention",
        "token",
        "tokenizers",
        "BERT",
        "key",
        "logits",
        "softmax",
        "gradient",
        "dropout",
        "large language models",
        "n-grams",
    ]
    glossary = BeautifulSoup((html / "book/glossary.html").read_text("utf-8"), "html.parser")
    for link in links:
        page, _, anchor = link["href"].partition("#")
        assert page == "../book/glossary.html"
        assert glossary.find("dt", id=anchor)
    assert links[0]["href"].endswith("#term-attention")
    assert links[4].parent.name == "em"


def test_a_paragraph_has_few_links(chapter):
    counts = [len(paragraph.select(LINKS)) for paragraph in chapter.article.select("p")]
    assert max(counts) == PER_PARAGRAPH == 3


def test_links_to_the_glossary_are_quiet_and_plain_on_paper(browser, site):
    page = browser.new_page(viewport=DESKTOP)
    page.goto(f"{site}/notebooks/01-small.html")
    link, text = page.locator(LINKS).first, page.locator("article p").first

    def style(locator, name):
        return locator.evaluate(f"e => getComputedStyle(e)['{name}']")

    assert style(link, "color") == style(text, "color")
    assert style(link, "textDecorationLine") == "underline"
    assert style(link, "textDecorationStyle") == "dotted"
    page.emulate_media(media="print")
    assert style(link, "color") == style(text, "color")
    assert style(link, "textDecorationLine") == "none"
    page.close()


@pytest.fixture(scope="module")
def site(html, serve):
    return f"{serve(html.parent)}/{html.name}"


@pytest.fixture
def page(browser, site):
    page, seen = opened(browser, f"{site}/notebooks/01-small.html", site, DESKTOP)
    yield page
    assert look_at(page, seen) == Seen()
    page.close()


def preview(page):
    return page.locator("#preview")


def work(page):
    return page.locator("article a[href*='references.html#']").first


def test_the_mouse_opens_a_preview_and_may_go_into_it(page):
    link = page.locator(LINKS).first
    link.hover()
    preview(page).wait_for()
    text = preview(page).inner_text()
    assert text.startswith("attention 注意力")
    assert "A weighted mean of vectors" in text
    assert preview(page).locator("[lang=zh-Hans]").count() > 0
    assert preview(page).locator("a").count() == 0
    assert link.get_attribute("aria-describedby") == "preview"
    preview(page).hover()
    page.wait_for_timeout(700)
    assert preview(page).is_visible()
    page.mouse.move(5, 5)
    preview(page).wait_for(state="detached")
    assert link.get_attribute("aria-describedby") is None


def test_the_focus_opens_a_preview_and_escape_closes_it(page):
    link = page.locator(LINKS).nth(1)
    page.locator(LINKS).first.focus()
    page.keyboard.press("Tab")
    preview(page).wait_for()
    assert preview(page).get_attribute("role") == "tooltip"
    assert "token" in preview(page).inner_text()
    assert link.evaluate("e => e === document.activeElement")
    page.keyboard.press("Escape")
    preview(page).wait_for(state="detached")
    assert link.evaluate("e => e === document.activeElement")
    page.keyboard.press("Shift+Tab")
    preview(page).wait_for()
    page.keyboard.press("Enter")
    page.wait_for_url("**/book/glossary.html#term-attention")


def test_a_cited_work_and_a_formula_have_previews(page):
    work(page).hover()
    preview(page).wait_for()
    assert "low-rank adaptation" in preview(page).inner_text()
    page.locator("article a.reference[href$='#equation-eq-energy']").hover()
    page.wait_for_selector("#preview mjx-container")
    ids = page.evaluate("() => [...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))


def test_a_preview_fits_a_phone_and_isnt_printed(page):
    page.set_viewport_size(PHONE)
    link = page.locator(LINKS).last
    link.hover()
    preview(page).wait_for()
    box = preview(page).bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= PHONE["width"]
    page.emulate_media(media="print")
    assert not preview(page).is_visible()
    page.emulate_media(media="screen")


def test_previews_need_no_server(browser, html):
    address = (html / "notebooks/01-small.html").as_uri()
    page, seen = opened(browser, address, html.as_uri(), DESKTOP)
    page.locator(LINKS).first.hover()
    preview(page).wait_for()
    assert seen == Seen()
    page.close()


def test_a_page_loads_the_previews_when_it_needs_them(page):
    script = "() => document.querySelectorAll('script[src*=previews-data]').length"
    work(page).hover()
    preview(page).wait_for()
    assert page.evaluate(script) == 0
    page.locator(LINKS).first.hover()
    page.wait_for_selector("#preview:has-text('weighted mean')")
    assert page.evaluate(script) == 1


def test_a_page_without_formulas_typesets_those_of_its_previews(browser, html, site):
    page, seen = opened(browser, f"{site}/book/references.html", site, DESKTOP)
    assert page.evaluate("() => !window.MathJax")
    address = "notebooks/01-small.html#equation-eq-energy"
    shown = {address: r'<div class="math">\[E = m c^2\]</div>'}
    data = f"window.bookPreviews = {json.dumps(shown)};"
    page.route("**/previews-data.js", lambda route: route.fulfill(body=data))
    link = f"<a class='reference' href='../{address}'>energy</a>"
    add = "(e, link) => e.insertAdjacentHTML('afterbegin', link)"
    page.locator("article h1").evaluate(add, link)
    page.locator(f"article a[href='../{address}']").hover()
    page.wait_for_selector("#preview mjx-container")
    assert page.locator("#preview mjx-merror").count() == 0
    assert seen == Seen()
    page.close()
