"""The built book, opened in a real browser, and the data page's numbers.

The book is built with every warning as an error.
"""

import copy
import functools
import gzip
import itertools
import re
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from bs4 import BeautifulSoup

from tests.accessible import LEAVE_OUT, violations
from tests.conftest import build
from tools.editions import read_book
from tools.set_address import ROOT, configured_url

sys.path.insert(0, str(ROOT / "book" / "_ext"))

from first_use import PER_CORE, PER_PARAGRAPH, Entry, Finder

CONTENTS = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))


def files_of(entries):
    """The files in a list of the contents, and below it."""
    for entry in entries:
        yield entry["file"]
        yield from files_of(entry.get("sections", ()))


FILES = [name for part in CONTENTS["parts"] for name in files_of(part["chapters"])]
PAGES = [CONTENTS["root"], *FILES]
NOTEBOOKS = [name for name in PAGES if name.startswith("notebooks/")]
CHAPTERS = [name for name in NOTEBOOKS if name[10:12].isdigit()]  # those with a number
DESKTOP = {"width": 1280, "height": 900}
LAPTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
TABLET = {"width": 768, "height": 1024}
PAPER = {"width": 657, "height": 980}  # A4 between the margins of print.css
# What reaches over the right edge and stands in nothing that scrolls. MathJax hides a copy of
# each formula for screen readers, which takes no room.
TOO_WIDE = """() => [...document.querySelectorAll('article *')].filter(element => {
  if (element.closest('mjx-assistive-mml')) return false;
  if (element.getBoundingClientRect().right <= innerWidth + 1) return false;
  for (let e = element.parentElement; e && e.tagName != 'ARTICLE'; e = e.parentElement)
    if (['auto', 'scroll'].includes(getComputedStyle(e).overflowX)) return false;
  return true;
}).map(element => element.outerHTML.slice(0, 80))"""
SCROLLS = """elements => elements.filter(element => element.scrollWidth > element.clientWidth + 1)
  .map(element => element.innerText.slice(0, 80))"""

BAD_IMAGES = """() => [...document.querySelectorAll('article img')].filter(image =>
  !image.complete || image.naturalWidth == 0 || !image.alt.trim() || image.alt.includes('_images/')
).map(image => image.outerHTML.slice(0, 120))"""

BAD_MATH = """() => [...document.querySelectorAll('article .math')].filter(math =>
  !math.querySelector('mjx-container') || math.querySelector('mjx-merror')
).map(math => math.textContent.slice(0, 80))"""

# Markup that was meant to be rendered, such as a directive whose title broke its fence.
RAW_MARKUP = r"""() => [...document.querySelectorAll('article p')].map(p => p.textContent)
  .filter(text => /(`{3,}|:{3,})\s*\{|\{(cite|eq|ref|numref|term)(:\w)?\}|^:class:/m.test(text))
  .map(text => text.slice(0, 80))"""

# What is folded has to be looked at, too.
OPEN_DEEPER = """() => document.querySelectorAll('.deeper-toggle[aria-expanded=false]')
  .forEach(button => button.click())"""

OPEN_CELLS = """() => document.querySelectorAll('article details')
  .forEach(element => element.open = true)"""

OPEN_SOLUTIONS = """() => document.querySelectorAll('article .toggle-hidden')
  .forEach(element => element.querySelector('.toggle-button').click())"""

PAGE_WIDTH = "() => document.documentElement.scrollWidth - innerWidth"


@pytest.fixture(scope="session")
def site(html, serve):
    """The address of the pages, in a folder: what a page asks of the server's root isn't there."""
    return f"{serve(html.parent)}/{html.name}"


@dataclass
class Visit:
    """What a browser saw on one page; every list is empty when all is well."""

    errors: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    too_wide: list[str] = field(default_factory=list)
    bad_images: list[str] = field(default_factory=list)
    bad_math: list[str] = field(default_factory=list)
    raw_markup: list[str] = field(default_factory=list)


def opened(browser, url, base, viewport):
    """Open a page under `base` and wait until it is quiet: the page, and what went wrong."""
    seen = Visit()
    page = browser.new_page(viewport=viewport)

    def on_request(route):
        if route.request.url.startswith((base, "data:", "blob:")):
            route.continue_()
        else:
            seen.outside.append(route.request.url)
            route.abort()

    page.route("**/*", on_request)
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.on("console", lambda m: m.type == "error" and seen.errors.append(m.text))
    page.on("requestfailed", lambda request: seen.failed.append(request.url))
    page.on("response", lambda r: r.status >= 400 and seen.failed.append(f"{r.status} {r.url}"))
    page.goto(url, wait_until="networkidle")
    page.wait_for_function("!window.MathJax || !!MathJax.startup?.promise")
    page.evaluate("async () => { await window.MathJax?.startup?.promise }")
    return page, seen


def look_at(page, seen):
    """Note what is wrong with an open page as it stands in its window."""
    seen.too_wide = page.evaluate(TOO_WIDE)
    if (excess := page.evaluate(PAGE_WIDTH)) > 0:
        seen.too_wide.append(f"the page is {excess} pixels wider than the window")
    seen.bad_images = page.evaluate(BAD_IMAGES)
    seen.bad_math = page.evaluate(BAD_MATH)
    seen.raw_markup = page.evaluate(RAW_MARKUP)
    return seen


def visit(browser, url, base, viewport):
    """Open a page under `base` and return what is wrong with it."""
    page, seen = opened(browser, url, base, viewport)
    look_at(page, seen)
    page.close()
    return seen


TAB_STOPS = """() => [...document.querySelectorAll(
  'a[href], button, input, select, textarea, summary, [tabindex]')].filter(element =>
  element.tabIndex >= 0 && !element.disabled && element.checkVisibility({visibilityProperty: true})
).length"""


# The slowest part of a visit is to typeset the formulas, so a page is opened once for all that is
# asked of it. Three are opened once more, from a file, where a script may load nothing by itself,
# and by a phone from the beginning.
@pytest.mark.parametrize("name", PAGES)
def test_page_is_whole_in_a_browser(browser, site, html, name):
    page, seen = opened(browser, f"{site}/{name}.html", site, DESKTOP)
    if name in NOTEBOOKS:
        assert page.evaluate(TAB_STOPS) <= 210
    page.evaluate(OPEN_DEEPER)
    assert look_at(page, seen) == Visit()
    if name in NOTEBOOKS:
        leads_to_its_colab_edition(page, html, name)
        hides_its_solutions(page, name)
    for size in (PHONE, TABLET):
        page.set_viewport_size(size)
        assert look_at(page, seen) == Visit()
    if name in NOTEBOOKS:
        fits_paper(page)
    page.set_viewport_size(DESKTOP)
    is_accessible(page)
    page.close()


def fits_paper(page):
    """No line of code or output is cut, by the style alone, without what `make pdf` adds."""
    page.set_viewport_size(PAPER)
    page.emulate_media(media="print")
    assert page.locator("article pre").evaluate_all(SCROLLS) == []
    page.emulate_media(media="screen")


@pytest.mark.parametrize("name", [CONTENTS["root"], CHAPTERS[1], NOTEBOOKS[-1]])
def test_page_is_whole_when_opened_as_a_file(browser, html, name):
    page = html / f"{name}.html"
    assert visit(browser, page.as_uri(), html.as_uri(), PHONE) == Visit()


def is_accessible(page):
    """What is folded has to be right, too."""
    for fold in (OPEN_DEEPER, OPEN_CELLS, OPEN_SOLUTIONS):
        page.evaluate(fold)
    assert violations(page) == []


@pytest.mark.parametrize(
    ("name", "label", "rows"),
    [
        ("notebooks/02-subword-tokenization", "A sentence", 3),
        ("notebooks/03-attention", "Sentence", 7),
        ("notebooks/09-causal-language-modelling", "Text so far", 14),
        ("notebooks/16-training-on-gpus", "Model", 7),
    ],
)
def test_an_interactive_piece_stands_in_its_chapter(browser, html, name, label, rows):
    page, seen = opened(browser, (html / f"{name}.html").as_uri(), html.as_uri(), PHONE)
    live = page.locator("article .live")
    assert live.count() == 1
    assert not page.locator(".live-words").first.is_visible()
    page.get_by_label(label, exact=True).focus()
    live.locator("tr").nth(rows - 1).wait_for()
    assert live.locator("tr").count() == rows
    assert look_at(page, seen) == Visit()
    assert violations(page, ".live") == []
    page.emulate_media(media="print")
    assert page.locator(".live-words").first.is_visible()
    assert not live.is_visible()
    page.close()
    scripts = [
        name for name in PAGES if "live/live.js" in (html / f"{name}.html").read_text("utf-8")
    ]
    assert [name[10:12] for name in scripts] == ["02", "03", "09", "16"]


# The theme's own pages, and three that show the code of modules.
@pytest.mark.parametrize(
    "name",
    [
        "404",
        "genindex",
        "py-modindex",
        "search",
        "_modules/index",
        "_modules/helpers/data/subwords",
        "_modules/helpers/training/loop",
        "_modules/helpers/teaching/diagrams",
    ],
)
def test_a_page_that_sphinx_adds_is_accessible(browser, html, serve, tmp_path, name):
    # The page for a wrong address takes its style from the place where the host has the book.
    (tmp_path / "pretrained-language-models").symlink_to(html)
    site = f"{serve(tmp_path)}/pretrained-language-models"
    page, seen = opened(browser, f"{site}/{name}.html", site, DESKTOP)
    assert seen == Visit()
    is_accessible(page)
    page.close()


BROKEN_FOR_SOME = """<!doctype html><html lang="en"><title>Broken</title><style>
html[data-theme=dark] {background: #222; color: #444}
a {display: inline-block; width: 9px; height: 9px; overflow: hidden}</style>
<p>Grey on black in the dark.</p><input type="text"><img src="data:image/gif;base64,
R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==">
<p><a href="#a">one</a><a href="#b">two</a></p><button aria-label="Go">Search</button></html>"""


def test_axe_sees_what_is_wrong_with_a_page(browser, serve, tmp_path):
    (tmp_path / "broken.html").write_text(BROKEN_FOR_SOME, "utf-8")
    page = browser.new_page()
    page.goto(f"{serve(tmp_path)}/broken.html")
    found = violations(page)
    for rule in ("label", "image-alt", "target-size", "label-content-name-mismatch"):
        assert any(line.startswith(f"light: {rule} ") for line in found), rule
    contrast = [line for line in found if "color-contrast" in line]
    assert {line.split(":")[0] for line in contrast} == {"dark"}
    page.close()


GREY = "<div class=highlight><pre><span class=k>for</span> x <span class={}>name</span></pre></div>"
PIECES = """<!doctype html><html lang="en"><title>Pieces</title><style>
body {background: #fff; color: #000} .n {color: #ddd} .pale {background: #222}
html[data-theme=dark] body {background: #000; color: #fff}
html[data-theme=dark] .c {color: #333}</style><main>PIECES</main></html>"""


@pytest.mark.parametrize(
    ("last", "theme"),
    [
        (GREY.format("n"), "light"),  # a class that the others don't have
        (GREY.format("c"), "dark"),
        (f"<div class=pale>{GREY.format('k')}</div>", "light"),  # on another background
        (GREY.format("k").replace("<span", "<span style='color: #eee'", 1), "light"),
        ("<mjx-container role=button></mjx-container>", "light"),
        ("<div class=pale><mjx-container>formula</mjx-container></div>", "light"),
    ],
    ids=["class", "class in the dark", "surroundings", "colour", "attribute", "formula around"],
)
def test_axe_looks_at_each_kind_of_code_and_formula(browser, serve, tmp_path, last, theme):
    pieces = GREY.format("k") * 30 + "<mjx-container>formula</mjx-container>" * 30
    page = browser.new_page()
    for name, content in (("right", pieces), ("wrong", pieces + last)):
        (tmp_path / f"{name}.html").write_text(PIECES.replace("PIECES", content), "utf-8")
    page.goto(f"{serve(tmp_path)}/right.html")
    before = page.inner_html("main")
    assert violations(page) == []
    assert page.inner_html("main") == before
    assert page.evaluate(LEAVE_OUT, "html") == 58
    page.goto(f"{serve(tmp_path)}/wrong.html")
    found = violations(page)
    assert found
    assert {line.split(":")[0] for line in found} == {theme}
    page.close()


BROKEN_PAGE = """<!doctype html><title>Broken</title><article>
<img src="missing.png" alt="A line"><img src="data:image/gif;base64,
R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==" alt="../_images/a.png">
<p>````{note} of `code`</p><p>see {eq}`x`</p>
<div style="width: 3000px">wide</div><div class="math">\\[x\\]</div></article>
<script src="https://example.org/x.js"></script><script>undefinedName()</script>"""


def test_a_visit_sees_what_is_wrong_with_a_page(browser, serve, tmp_path):
    (tmp_path / "broken.html").write_text(BROKEN_PAGE, "utf-8")
    base = serve(tmp_path)
    seen = visit(browser, f"{base}/broken.html", base, PHONE)
    assert seen.outside == ["https://example.org/x.js"]
    assert any("undefinedName" in error for error in seen.errors)
    assert f"404 {base}/missing.png" in seen.failed
    assert any("wide" in element for element in seen.too_wide)
    assert any("pixels wider" in text for text in seen.too_wide)
    assert len(seen.bad_images) == 2
    assert seen.bad_math == ["\\[x\\]"]
    assert seen.raw_markup == ["````{note} of `code`", "see {eq}`x`"]


def edition(kind, name):
    """The path of a page's edition under the root."""
    return f"editions/{kind}/{Path(name).name}.ipynb"


def in_colab(path):
    slug = configured_url().removeprefix("https://github.com/")
    return f"https://colab.research.google.com/github/{slug}/blob/main/{path}"


def leads_to_its_colab_edition(page, html, name):
    assert page.locator(f"a[href='{in_colab(edition('colab', name))}']").count() == 1
    assert page.locator("a[href*='colab.research']").count() == 1
    download = page.locator("a.btn-download-source-button").get_attribute("href")
    content = (html / name).parent.joinpath(download).read_bytes()
    assert content == (ROOT / edition("colab", name)).read_bytes()


def hides_its_solutions(page, name):
    solutions = page.locator("article div.solution").count()
    assert solutions == page.locator("article div.exercise").count()
    if name in CHAPTERS:
        assert solutions > 0
        assert page.locator("article mjx-container").count() > 0
    assert page.locator("article div.solution.toggle-hidden").count() == solutions


@pytest.fixture(scope="session")
def numbers():
    """{page: {label: number}} of all figures, formulas and exercises, as the editions say it."""
    pages = {name: {} for name in CHAPTERS}
    for key, label in read_book()[0].labels.items():
        if label.number:
            pages[f"notebooks/{label.chapter}"][key] = label.number
    return pages


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_page_and_its_editions_number_alike(html, numbers, name):
    page = BeautifulSoup((html / f"{name}.html").read_text("utf-8"), "html.parser").article
    shown = {
        element["id"]: element.find(class_="caption-number").text.strip()
        for element in page.select("figure[id], div.exercise[id]")
    }
    for formula in page.select("div.math[id]"):
        shown[formula["id"].removeprefix("equation-")] = formula.find(class_="eqno").contents[0]
    assert shown == numbers[name]
    assert page.h1.text.startswith(f"{int(Path(name).name[:2])}. ")


def test_pages_without_solutions_lead_to_the_student_edition(tmp_path):
    source, name, told = tmp_path / "source", "notebooks/11-text-classification", "It prints 1200."
    for folder in ("book", "editions"):
        shutil.copytree(ROOT / folder, source / folder)
    (source / "notebooks").mkdir()
    shutil.copy(ROOT / f"{name}.ipynb", source / "notebooks")
    config = (ROOT / "_config.yml").read_text("utf-8")
    hidden = config.replace(
        "\n    numfig: true\n", "\n    numfig: true\n    hide_solutions: true\n"
    )
    assert hidden != config
    (source / "_config.yml").write_text(hidden, "utf-8")
    contents = {"format": "jb-book", "root": name, "chapters": [{"file": "book/references"}]}
    (source / "_toc.yml").write_text(yaml.safe_dump(contents), "utf-8")
    pages = build(source, tmp_path)  # other chapters are missing, so it warns
    page = (pages / f"{name}.html").read_text("utf-8")
    assert in_colab(edition("student", name)) in page
    assert in_colab(edition("colab", name)) not in page
    student = (ROOT / edition("student", name)).read_bytes()
    assert (pages / "_sources" / f"{name}.ipynb").read_bytes() == student
    assert told in (ROOT / f"{name}.ipynb").read_text("utf-8")
    texts = [path for path in pages.rglob("*") if path.suffix in (".html", ".ipynb", ".js")]
    assert [path.name for path in texts if told in path.read_text("utf-8", "replace")] == []


@pytest.mark.parametrize("viewport", [DESKTOP, LAPTOP], ids=["1280", "1440"])
def test_code_fits_its_column(browser, site, viewport):
    # The style is one for all chapters, and so is the formatter's limit of 100 characters.
    page = browser.new_page(viewport=viewport)
    page.goto(f"{site}/{CHAPTERS[1]}.html")  # with lines of 100 characters in folded cells
    page.evaluate(OPEN_DEEPER)
    page.evaluate(OPEN_CELLS)
    cells = page.locator("article .cell_input pre")
    assert cells.count() > 10
    assert cells.evaluate_all(SCROLLS) == []
    size = cells.first.evaluate("element => parseFloat(getComputedStyle(element).fontSize)")
    assert size >= 14
    page.close()


def test_the_contents_of_a_page_are_beside_it_or_behind_a_button(browser, site):
    page = browser.new_page(viewport=LAPTOP)
    page.goto(f"{site}/{CHAPTERS[1]}.html")
    contents, button = page.locator("nav.page-toc"), page.locator("button.secondary-toggle")
    assert contents.is_visible() and not button.is_visible()
    page.set_viewport_size(DESKTOP)
    assert not contents.is_visible()
    button.click()
    assert contents.is_visible()
    contents.locator("a").nth(1).click()  # leads there, and shuts the sheet over it
    assert not contents.is_visible()
    button.click()
    page.keyboard.press("Escape")
    assert not contents.is_visible()
    page.close()


def test_a_visit_sees_a_path_from_the_servers_root(browser, serve, tmp_path):
    (tmp_path / "html").mkdir()
    (tmp_path / "html" / "page.html").write_text('<script src="/_static/a.js"></script>', "utf-8")
    base = serve(tmp_path)
    seen = visit(browser, f"{base}/html/page.html", f"{base}/html", PHONE)
    assert seen.outside == [f"{base}/_static/a.js"]


def test_first_page_leads_to_the_book(browser, site):
    page = browser.new_page(viewport=DESKTOP)
    page.goto(f"{site}/index.html")
    page.wait_for_url(f"{site}/{CONTENTS['root']}.html")
    assert page.locator("article h1").inner_text().startswith("Pretrained Language Models")
    page.close()


LIGHT = 250_000  # bytes on the wire; 160,000 when this was written
PACKED = (".png", ".woff2")  # a host sends them as they are


def test_the_first_page_is_light(browser, site):
    page, sizes = browser.new_page(viewport=DESKTOP), {}

    def weigh(response):
        address, body = response.url.partition("?")[0], response.body()
        if address.startswith(site):
            sizes[address] = len(body if address.endswith(PACKED) else gzip.compress(body, 6))

    page.on("requestfinished", lambda request: weigh(request.response()))
    page.goto(f"{site}/{CONTENTS['root']}.html", wait_until="networkidle")
    page.close()
    assert f"{site}/_static/book.css" in sizes
    assert sum(sizes.values()) <= LIGHT, sorted(sizes.items(), key=lambda item: -item[1])[:5]
    asked = " ".join(sizes)
    assert not re.search("mathjax|fontawesome|searchindex", asked)


def test_mathjax_is_loaded_where_formulas_are(html):
    for name in (*PAGES, "genindex", "search", "404"):
        text = (html / f"{name}.html").read_text("utf-8")
        formula = re.search(r'class="(?:[^"]* )?math[ "]', text)
        assert bool(formula) == ("mathjax/tex-chtml-full.js" in text), name


# An icon without a picture has no letter, or one that its font lacks: that looks like any other
# letter which no font has.
ICONS_WITHOUT_PICTURE = r"""async () => {
  await document.fonts.ready;
  const canvas = document.createElement("canvas").getContext("2d");
  const drawn = (letter, style) => {
    canvas.canvas.width += 0; // empty again
    canvas.font = `${style.fontWeight} 20px ${style.fontFamily}`;
    canvas.fillText(letter, 10, 40);
    return canvas.canvas.toDataURL();
  };
  const places = [...document.querySelectorAll("[class*='fa-']")].map((e) => [e, "::before"]);
  for (const e of document.querySelectorAll("article .admonition-title"))
    if (e.parentElement.checkVisibility() && getComputedStyle(e, "::after").content != "none")
      places.push([e, "::after"]);
  return places.map(([e, part]) => [e, getComputedStyle(e, part)]).filter(([, style]) => {
    const letter = style.content.replaceAll('"', "");
    return [...letter].length != 1 || !style.fontFamily.includes("Awesome")
      || drawn(letter, style) == drawn("\u{e0ff}", style);
  }).map(([e]) => e.outerHTML.slice(0, 80));
}"""


@pytest.mark.parametrize("name", [CONTENTS["root"], CHAPTERS[10], "book/faq", "search"])
def test_every_icon_has_its_picture(browser, html, name):
    page = browser.new_page(viewport=DESKTOP)
    page.goto((html / f"{name}.html").as_uri())
    assert page.locator("[class*='fa-']").count() > 5
    assert page.evaluate(ICONS_WITHOUT_PICTURE) == []
    place = page.locator("article, .bd-header-article").first
    place.evaluate("e => e.insertAdjacentHTML('beforeend', '<i class=\"fa-solid fa-otter\"></i>')")
    (left,) = page.evaluate(ICONS_WITHOUT_PICTURE)  # an icon that no page uses is left out
    assert "fa-otter" in left
    page.close()


def test_every_icon_of_the_pages_is_in_the_style_sheet(html):
    style = (html / "_static/styles/pydata-sphinx-theme.css").read_text("utf-8")
    named = {
        name
        for path in html.rglob("*.html")
        for classes in re.findall(r'<(?:i|span) class="([^"]*\bfa[^"]*)"', path.read_text("utf-8"))
        for name in re.findall(r"\bfa-[a-z-]+", classes)
    }
    assert len(named) > 10
    ways = {"fa-solid", "fa-brands", "fa-regular", "fa-lg"}
    assert {name for name in named - ways if f".{name}:before" not in style} == set()
    assert "/webfonts/" not in style


def found(browser, site, query):
    """The addresses that the search gives, best first."""
    page, seen = opened(browser, f"{site}/search.html?q={query}", site, DESKTOP)
    page.wait_for_function("document.querySelector('.search-summary')?.innerText.includes('found')")
    links = page.locator("#search-results li > a")
    addresses = [link.get_attribute("href") for link in links.all()]
    assert seen == Visit()
    page.close()
    return addresses


@pytest.mark.parametrize(
    ("query", "address"),
    [
        ("注意力", "book/glossary.html#term-attention"),
        ("微调", "book/glossary.html#term-fine-tuning"),
        ("多头", "book/glossary.html"),  # a part of a word
        ("tokeniser", "book/glossary.html#term-tokenizer"),
        ("tokenizer", "book/glossary.html#term-tokenizer"),
    ],
)
def test_the_search_leads_to_the_glossary(browser, site, query, address):
    assert found(browser, site, query)[0] == address
    page = browser.new_page(viewport=DESKTOP)
    page.goto(f"{site}/{address}")
    if term := address.partition("#")[2]:
        assert 0 <= page.locator(f"dt#{term}").bounding_box()["y"] < DESKTOP["height"]
    page.close()


def test_the_search_takes_both_spellings_for_one(browser, site):
    british, american = (
        {address for address in found(browser, site, query) if "#" not in address}
        for query in ("normalisation", "normalization")
    )
    assert british == american
    assert "notebooks/05-transformer-block.html" in british


@pytest.mark.parametrize(
    ("query", "address"),
    [
        ("class imbalance", "book/glossary.html#term-class-imbalance"),
        ("rare classes", "notebooks/24-from-notebook-to-service.html#rare-classes"),
        ("deployment", "book/glossary.html#term-deployment"),
        ("deploy", "book/faq.html#how-do-i-deploy-server-browser-phone-how-fast-is-it-on-a-cpu"),
        ("exact match", "book/glossary.html#term-exact-match"),
        ("named entity", "book/glossary.html#term-entity"),
        ("named entity recognition", "book/glossary.html#term-named-entity-recognition"),
        ("causal_mask", "book/package/models.html#helpers.models.attention.causal_mask"),
    ],
)
def test_the_search_shows_terms_then_titles_then_texts(browser, site, query, address):
    assert found(browser, site, query)[0] == address


def test_titles_stand_before_texts_and_the_package_stands_last(browser, site):
    def kind(address):
        anchor = address.partition("#")[2]
        return "name" if anchor.startswith("helpers.") else "section" if anchor else "text"

    addresses = found(browser, site, "tokenizer")
    kinds = [kind(address) for address in addresses]
    assert addresses[1] == "notebooks/old-tutorials.html#tokenizers"
    assert "notebooks/02-subword-tokenization.html#the-four-steps-of-a-tokenizer" in addresses[:8]
    assert not any("#solution-" in address for address in addresses)
    assert list(dict.fromkeys(kinds)) == ["section", "text", "name"]


def test_the_letters_of_the_glossary_need_no_script(browser, site):
    page = browser.new_page(viewport=PHONE, java_script_enabled=False)
    page.goto(f"{site}/book/glossary.html")
    letters = page.locator(".letters a")
    assert letters.count() > 20
    letters.get_by_text("T", exact=True).click()
    top = page.locator("h2", has_text=re.compile("^T")).bounding_box()["y"]
    assert 0 <= top < PHONE["height"] / 2
    page.close()


@functools.cache
def article(html, name):
    """A page's article, read once; whoever changes it takes a copy."""
    return BeautifulSoup((html / f"{name}.html").read_text("utf-8"), "html.parser").article


@functools.cache
def anchors(html, name):
    """The anchors on a page."""
    return set(re.findall(r' id="([^"]+)"', (html / f"{name}.html").read_text("utf-8")))


@pytest.fixture(scope="session")
def term_links(html):
    """{page: links to the glossary, made when the pages are written}."""
    return {name: article(html, name).select("a.glossary-term") for name in NOTEBOOKS}


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_leads_to_the_glossary_once_for_each_term(html, term_links, name):
    addresses = [link["href"] for link in term_links[name]]
    assert len(addresses) >= 25
    assert len(set(addresses)) == len(addresses)
    assert {address.partition("#")[2] for address in addresses} <= anchors(html, "book/glossary")


# Terms that chapters use and none links, and why. What isn't folded has 33 links a chapter, so that
# the keyboard gets through a page; a paragraph has three.
UNLINKED = {
    "[UNK]": "in running text once, in 09; elsewhere it is code, and 02 says what it is",
    "autoregressive": "in running text once, in 09, whose core is full; 07 has a box about it",
    "instruction tuning": "in running text once, in 18, whose core is full",
    "Cohen's κ": "in 21, where it is a formula",
    "Kneser–Ney smoothing": "in 01, which derives it, and in 09; both cores are full",
    "neural network": "once, in 19, in a paragraph that is full",
    "NLP": "once, in 00, in the name of a library",
}
NOT_RUNNING = (
    ".cell_output, .solution, .admonition-title, [class*=live-], table, figure, .math, pre, "
    "section[id^=further-reading]"
)


@pytest.fixture(scope="session")
def finder(html):
    """What finds the names of the glossary's terms in a text."""
    entries = []
    for definition in copy.copy(article(html, "book/glossary")).select("dl.glossary dd"):
        siblings = definition.find_previous_siblings(["dt", "dd"])
        terms = list(itertools.takewhile(lambda node: node.name == "dt", siblings))[::-1]
        for term in terms:
            for mark in term.select(".headerlink, sup"):
                mark.decompose()
        names = tuple(term.text.strip() for term in terms if not term.get("lang"))
        entries.append(Entry(terms[0]["id"], names))
    return Finder(entries)


@dataclass
class Paragraph:
    """The terms that a paragraph names beside its links, and how many links it has."""

    terms: dict[str, str]  # anchor: the words
    links: int


@functools.cache
def paragraphs(html, name, finder):
    """The paragraphs of a chapter's running text, as `first_use` reads them."""
    page = copy.copy(article(html, name))
    for element in page.select(NOT_RUNNING):
        element.decompose()
    found = []
    for paragraph in page.select("p"):
        pieces = [
            (piece, piece.name == "em")
            for piece in paragraph.children
            if piece.name in (None, "em")
        ]
        terms = {
            entry.anchor: match[0]
            for piece, italic in pieces
            for match, entry in finder.find(piece.text, italic=italic)
        }
        found.append(Paragraph(terms, len(paragraph.select("a.glossary-term"))))
    return found


def anchors_of(links):
    return {link["href"].partition("#")[2] for link in links}


def is_folded(link):
    """Whether a link stands in a section that goes deeper."""
    headings = (section.find(re.compile("^h[1-6]$")) for section in link.find_parents("section"))
    return any(heading and "Going deeper" in heading.text for heading in headings)


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_term_without_a_link_has_found_no_room(html, term_links, finder, name):
    linked = anchors_of(term_links[name])
    core_is_full = sum(not is_folded(link) for link in term_links[name]) == PER_CORE
    for paragraph in paragraphs(html, name, finder):
        left = {words for anchor, words in paragraph.terms.items() if anchor not in linked}
        assert core_is_full or paragraph.links == PER_PARAGRAPH or not left, left


def test_a_term_that_no_chapter_links_is_an_exception_with_a_reason(html, term_links, finder):
    linked = anchors_of(itertools.chain(*term_links.values()))
    named = {
        anchor: words
        for name in NOTEBOOKS
        for paragraph in paragraphs(html, name, finder)
        for anchor, words in paragraph.terms.items()
    }
    listed = {finder.entry[term].anchor for term in UNLINKED}
    assert {words for anchor, words in named.items() if anchor not in linked | listed} == set()


WRITTEN = re.compile(r'= """\n.*?"""', re.DOTALL)  # a program that a cell writes isn't linked
IMPORTED = re.compile(r"^from (helpers[\w.]*) import (?:\(([^)]*)\)|(.*))$", re.MULTILINE)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_what_a_cell_imports_leads_to_the_page_of_the_package(html, name):
    page = article(html, name)
    cells = [pre.text for pre in page.select(".cell_input pre")]
    wanted = [
        item.split()[0]
        for cell in cells
        for _, several, one in IMPORTED.findall(WRITTEN.sub("", cell))
        for item in (several or one).split(",")
        if item.strip()
    ]
    links = page.select("a.imported")
    assert [link.text for link in links] == wanted
    for address in {link["href"] for link in links}:
        file, _, anchor = address.removeprefix("../").partition("#")
        assert anchor in anchors(html, file.removesuffix(".html"))


def test_every_module_of_the_package_has_its_place(html):
    pages = [name for name in FILES if name.startswith("book/package/")]
    described = {
        anchor.removeprefix("module-")
        for name in pages
        for anchor in anchors(html, name)
        if anchor.startswith("module-helpers")
    }
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "helpers").rglob("[!_]*.py")
    }
    assert described == modules - {"helpers.training.pretrain"}  # an old name


def test_the_index_is_in_the_contents(html):
    for name in ("genindex", *CHAPTERS[:2]):
        page = BeautifulSoup((html / f"{name}.html").read_text("utf-8"), "html.parser")
        (link,) = page.select(".bd-sidebar-primary nav a[href$='genindex.html'], nav .current > a")[
            -1:
        ]
        assert link.text.strip() == "Index"


def split_counts():
    """The rows of the data page's table of splits: {(function, class): counts}."""
    text = (ROOT / "book" / "data-and-licences.md").read_text("utf-8")
    row = re.compile(
        r"^\| `([\w.]+\(.*?\))` \| ([\w ]+) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|$", re.M
    )
    return {
        (match[1], match[2]): [int(count.replace(",", "")) for count in match.groups()[2:]]
        for match in row.finditer(text)
    }


def corpus_counts():
    """The same, counted in the corpora themselves."""
    from experiments.events import FOLDER as events_folder
    from experiments.relations import FOLDER as relations_folder
    from experiments.roles import FOLDER as roles_folder
    from helpers.data import (
        corpora,
        dialogues,
        events,
        intents,
        parallel,
        questions,
        relations,
        roles,
        summaries,
        trees,
    )

    counts = {}
    splits = ("train", "validation", "test")
    for language in parallel.LANGUAGES:
        pairs = parallel.interface_pairs(language)
        counts[f'interface_pairs("{language}")', "pairs"] = [len(pairs[s]) for s in splits]
    for function, what in (("interface_languages", "messages"), ("peoples_daily", "sentences")):
        corpus = getattr(parallel if what == "messages" else corpora, function)()
        counts[f"{function}()", what] = [len(corpus[split]) for split in splits]
    chats = dialogues.chitchat()
    counts["dialogues.chitchat()", "conversations"] = [len(chats[split]) for split in splits]
    for function, arguments in (
        ("bbc_news()", {}),
        ("movie_reviews()", {}),
        ("movie_reviews(binary=True)", {"binary": True}),
        ("chinese_reviews()", {}),
    ):
        corpus = getattr(corpora, function.partition("(")[0])(**arguments)
        counts[function, "all"] = [len(corpus[split]) for split in splits]
        for number, name in enumerate(corpus["train"].features["label"].names):
            counts[function, name] = [list(corpus[s]["label"]).count(number) for s in splits]
    for function, column in (("extractive", "source"), ("boolq", "label")):
        corpus = getattr(questions, function)()
        counts[f"questions.{function}()", "all"] = [len(corpus[split]) for split in splits]
        for number, name in enumerate(corpus["train"].features[column].names):
            row = f"questions.{function}()", name.replace("_", " ")
            counts[row] = [list(corpus[s][column]).count(number) for s in splits]
    corpus = relations.conll_relations(relations_folder)
    counts["conll_relations()", "pairs"] = [len(corpus[split]) for split in splits]
    counts["conll_relations()", "a relation"] = [
        sum(label != 0 for label in corpus[split]["label"]) for split in splits
    ]
    corpus = events.conll_events(events_folder)
    counts["conll_events()", "sentences"] = [len(corpus[split]) for split in splits]
    for event in events.SLOTS:
        counts["conll_events()", event] = [list(corpus[s]["event"]).count(event) for s in splits]
    corpus = roles.conll_roles(roles_folder)
    counts["conll_roles()", "verbs"] = [len(corpus.get(split, ())) for split in splits]
    for language in intents.LANGUAGES:
        corpus = intents.home_commands(language)
        row = f'intents.home_commands("{language}")', "commands"
        counts[row] = [len(corpus[split]) for split in splits]
    corpus = trees.petrogold()
    counts["trees.petrogold()", "sentences"] = [len(corpus[split]) for split in splits]
    for function, rows in (("xsum", "articles"), ("multi_lex_sum", "lawsuits")):
        corpus = getattr(summaries, function)()
        counts[f"summaries.{function}()", rows] = [len(corpus[split]) for split in splits]
    corpus = corpora.conll2003()
    counts["conll2003()", "all sentences"] = [len(corpus[split]) for split in splits]
    tags = corpus["train"].features["ner_tags"].feature
    for kind in ("PER", "ORG", "LOC", "MISC"):
        start = tags.str2int(f"B-{kind}")
        counts["conll2003()", f"{kind} entities"] = [
            sum(list(sentence).count(start) for sentence in corpus[split]["ner_tags"])
            for split in splits
        ]
    return counts


def test_data_page_states_the_exact_counts():
    assert split_counts() == corpus_counts()
