"""Slides of every chapter, made from the built book and opened in a browser."""

import hashlib
import re

import pytest

from tests.test_book import CHAPTERS, Visit, opened
from tools.set_address import ROOT
from tools.slides import FILES, deck, read, write

CANVAS = {"width": 1280, "height": 720}
NUMBERS = [name[10:12] for name in CHAPTERS]

# What reaches over the edge of its slide, with the slide's number.
OVERFLOW = """async () => {
  const found = [];
  for (let n = 0; n < Reveal.getTotalSlides(); n++) {
    Reveal.slide(n);
    const slide = Reveal.getCurrentSlide();
    for (const element of slide.querySelectorAll(".card, .card *")) {
      const formula = element.closest("mjx-container");
      if (formula && formula !== element) continue;  // glyphs are cut out of larger boxes
      const box = element.getBoundingClientRect();
      if (box.width && (box.right > 1281 || box.bottom > 721 || box.left < -1 || box.top < -1))
        found.push(`${n + 1}: ${element.outerHTML.slice(0, 80)}`);
    }
  }
  Reveal.slide(0);
  return found;
}"""

BAD_MATH = """() => [...document.querySelectorAll('.card .math')].filter(math =>
  !math.querySelector('mjx-container') || math.querySelector('mjx-merror')).length"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("slides")


def shown(browser, path, folder):
    """Open a deck from its file, as it will be shown."""
    page, seen = opened(browser, path.as_uri(), folder.as_uri(), CANVAS)
    page.wait_for_function("window.Reveal?.isReady()")
    return page, seen


@pytest.mark.parametrize("number", NUMBERS)
def test_every_slide_holds_what_is_on_it(browser, html, folder, number):
    path = write(number, html, folder)
    page, seen = shown(browser, path, folder)
    assert 25 <= page.locator(".card").count() <= 75
    assert page.evaluate("Reveal.getTotalSlides()") == page.locator(".card").count()
    assert page.evaluate(OVERFLOW) == []
    assert page.evaluate(BAD_MATH) == 0
    assert page.locator(".card img").evaluate_all("all => all.every(i => i.naturalWidth)")
    assert seen == Visit()
    page.close()


def shades(page):
    """Whether the paper and the ink of a deck are light or dark."""
    colours = page.evaluate(
        """() => [getComputedStyle(document.body).backgroundColor,
                  getComputedStyle(document.querySelector('.card p')).color]"""
    )
    values = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours]
    return ["light" if value > 382 else "dark" for value in values]


def test_a_deck_is_led_by_keys_and_follows_the_dark(browser, html, folder):
    page, seen = shown(browser, write("11", html, folder), folder)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("Reveal.getSlidePastCount()") == 2
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("Reveal.getSlidePastCount()") == 1
    assert shades(page) == ["light", "dark"]
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("document.documentElement.dataset.theme == 'dark'")
    page.wait_for_timeout(1000)  # colours may fade over
    assert shades(page) == ["dark", "light"]
    page.keyboard.press("ArrowRight")  # to a section that the guide's plan has
    with page.expect_popup() as popup:
        page.keyboard.press("s")
    popup.value.wait_for_selector("text=45 minutes")
    assert seen == Visit()
    page.close()


def test_the_notes_are_the_guides(html):
    name = "11-text-classification"
    cards = deck(
        read(html / "notebooks" / f"{name}.html"), read(html / "book" / "teaching" / f"{name}.html")
    )
    guide = (ROOT / "book" / "teaching" / f"{name}.md").read_text("utf-8")
    questions = [card for card in cards if card.kind == "question"]
    assert len(questions) == guide.count("\n: *")
    assert "Only in the loss" in questions[0].notes
    assert "Only in the loss" not in questions[0].body
    recipe = next(card for card in cards if card.anchor == "the-recipe")
    assert "15 min:" in recipe.notes and "20 min:" in recipe.notes
    assert "What breaks" in cards[0].notes
    assert not any("It prints 1200." in card.body for card in cards)  # a solution


def test_without_a_book_the_message_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="make book"):
        write("11", tmp_path, tmp_path / "slides")
    with pytest.raises(ValueError, match="no chapter '99'"):
        write("99", tmp_path, tmp_path / "slides")


def test_reveal_is_what_its_page_says():
    told = (FILES / "reveal" / "README.md").read_text("utf-8")
    for digest, name in re.findall(r"^    ([0-9a-f]{64})  (\S+)$", told, re.M):
        content = (FILES / "reveal" / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest
