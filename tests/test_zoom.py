"""Figures open over the page by mouse, touch and keyboard; captions, copy buttons and wide tables.

A page with the output of two cells is built with the book's own configuration.
"""

import base64
import re
import shutil

import nbformat
import numpy as np
import pytest
import yaml
from nbformat import v4
from PIL import Image

from tests.accessible import violations
from tests.test_book import DESKTOP, PHONE, build, look_at, opened
from tests.test_book import Visit as Seen
from tools.set_address import ROOT

ALT = "A grey square"
WIDTH, HEIGHT = 800, 500
FIGURE = {"image": {"alt": ALT}, "figure": {"caption": "A square in grey.", "name": "fig-square"}}
TABLE = "<table{}><tr>" + "<td>incomprehensibilities</td>" * 12 + "</tr></table>"
WEIGHT = "e => getComputedStyle(e).fontWeight"
SHEET = "dialog.zoom"
# Whether the middle of an element is what one sees, and touches, there.
ON_TOP = """e => {
  const {x, y, width, height} = e.getBoundingClientRect();
  return e.contains(document.elementFromPoint(x + width / 2, y + height / 2));
}"""


def picture(path):
    """At twice the pixels of its shown width, as notebooks keep their figures."""
    Image.fromarray(np.full((2 * HEIGHT, 2 * WIDTH, 3), 200, "uint8")).save(path)
    return path.read_bytes()


def cell(source, data, metadata=None):
    shown = {"image/png": {"width": WIDTH}} if "image/png" in data else {}
    outputs = [v4.new_output("display_data", data, metadata=shown)]
    return v4.new_code_cell(source, outputs=outputs, metadata=metadata or {}, execution_count=1)


@pytest.fixture(scope="module")
def html_of_page(tmp_path_factory):
    source = tmp_path_factory.mktemp("zoom")
    for folder in ("book", "editions"):
        shutil.copytree(ROOT / folder, source / folder)
    # The page for a wrong address wants a table of contents, which a book of one page has not.
    config = (ROOT / "_config.yml").read_text("utf-8")
    (source / "_config.yml").write_text(re.sub(r".*notfound.*\n", "", config), "utf-8")
    png = base64.b64encode(picture(tmp_path_factory.mktemp("png") / "grey.png")).decode()
    cells = [
        v4.new_markdown_cell("# A page\n\n## A figure"),
        cell("draw()  # " + "x" * 90, {"image/png": png}, {"mystnb": FIGURE}),
        cell("table()", {"text/html": TABLE.format(' class="dataframe"')}),
        cell("styled()", {"text/html": TABLE.format("")}),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book = v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(book, source / "page.ipynb")
    contents = {"format": "jb-book", "root": "page", "options": {"numbered": True}}
    (source / "_toc.yml").write_text(yaml.safe_dump(contents), "utf-8")
    return build(source, source / "built")


@pytest.fixture
def page(browser, html_of_page):
    """The page from a file, where a script may load nothing by itself."""
    base = html_of_page.as_uri()
    page, seen = opened(browser, f"{base}/page.html", base, DESKTOP)
    assert look_at(page, seen) == Seen()
    page.seen = seen
    yield page
    page.close()


@pytest.fixture
def phone(browser, html_of_page):
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(f"{html_of_page.as_uri()}/page.html")
    assert page.evaluate("() => matchMedia('(hover: none)').matches")
    yield page
    context.close()


def figure(page):
    return page.locator("article img.zoomable")


def button(page):
    return page.get_by_role("button", name="Enlarge Fig. 1")


def has_focus(element):
    return element.evaluate("e => e === document.activeElement")


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE, {"width": 768, "height": 1024}])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_figure_of_twice_the_pixels_has_its_own_size(page, theme, viewport):
    page.set_viewport_size(viewport)
    page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
    shown, room = figure(page).bounding_box(), page.locator("article figure").bounding_box()
    assert figure(page).evaluate("e => e.naturalWidth") == 2 * WIDTH
    edge = 16  # of a figure
    assert min(WIDTH, room["width"] - edge) <= shown["width"] <= min(WIDTH, room["width"])
    assert shown["width"] / shown["height"] == pytest.approx(WIDTH / HEIGHT, rel=0.01)
    assert page.locator("article figure a:has(img)").count() == 0


def test_a_click_on_a_figure_opens_it_and_escape_closes_it(page):
    small = figure(page).bounding_box()
    figure(page).click()
    large = page.locator(f"{SHEET} img")
    assert large.get_attribute("alt") == ALT
    size = large.bounding_box()
    assert size["width"] > small["width"]
    assert size["x"] >= 0
    assert size["x"] + size["width"] <= DESKTOP["width"]
    assert size["y"] + size["height"] <= DESKTOP["height"]
    assert size["width"] / size["height"] == pytest.approx(WIDTH / HEIGHT, rel=0.01)
    assert page.seen == Seen()
    assert violations(page, SHEET) == []  # it loads style sheets, which a file may not
    page.keyboard.press("Escape")
    page.locator(SHEET).wait_for(state="detached")
    assert has_focus(button(page))
    figure(page).click()
    page.mouse.click(5, 5)  # beside it
    page.locator(SHEET).wait_for(state="detached")


@pytest.mark.parametrize("close", ["Escape", "Enter"])
def test_the_keyboard_opens_and_closes_a_figure(page, close):
    button(page).focus()
    page.keyboard.press("Enter")
    assert page.get_by_role("dialog", name="Enlarge Fig. 1").is_visible()
    assert has_focus(page.get_by_role("button", name="Close"))
    page.keyboard.press(close)  # Enter on the button that has the focus
    page.locator(SHEET).wait_for(state="detached")
    assert has_focus(button(page))


def test_a_figure_is_one_stop_of_the_keyboard(page):
    assert page.locator("article figure").count() == 1
    assert page.locator("article figure [tabindex]").count() == 0
    assert page.locator("article figure button").count() == 1


def test_on_a_phone_a_figure_scrolls_at_its_own_size(phone):
    assert figure(phone).bounding_box()["width"] < PHONE["width"]
    figure(phone).tap()
    assert phone.locator(f"{SHEET} img").bounding_box()["width"] == WIDTH
    sheet = phone.locator(SHEET)
    assert sheet.evaluate("e => e.scrollWidth") == WIDTH
    phone.keyboard.press("ArrowRight")
    assert sheet.evaluate("e => e.scrollLeft") > 0
    sheet.evaluate("e => e.scrollTo(1000, 0)")
    assert phone.get_by_role("button", name="Close").evaluate(ON_TOP)
    phone.get_by_role("button", name="Close").tap()
    sheet.wait_for(state="detached")


def test_without_the_script_and_on_paper_there_is_no_button(browser, html_of_page, page):
    page.emulate_media(media="print")
    assert figure(page).is_visible()
    assert not page.locator(".zoom-button").is_visible()
    context = browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto(f"{html_of_page.as_uri()}/page.html")
    assert plain.locator("article figure img").is_visible()
    assert plain.locator(".zoom-button").count() == 0
    context.close()


@pytest.mark.parametrize("media", ["screen", "print"])
def test_a_caption_has_the_weight_of_the_text(page, media):
    page.emulate_media(media=media)
    assert page.locator("figcaption .caption-text").evaluate(WEIGHT) == "400"


def test_copy_buttons_are_there_for_a_touch_and_cover_no_code(phone):
    code = phone.locator("article .cell_input div.highlight")
    assert code.count() == 3
    for number in range(3):
        copy = code.nth(number).locator("button.copybtn")
        assert copy.evaluate("e => getComputedStyle(e).opacity") == "1"
        assert min(copy.bounding_box()[side] for side in ("width", "height")) >= 24
        first = code.nth(number).locator("pre span:not(:empty)").first.bounding_box()
        box = copy.bounding_box()
        assert box["y"] + box["height"] <= first["y"]


def test_a_figure_in_the_dark_has_no_frame_and_keeps_its_hues(page):
    page.evaluate("() => document.documentElement.dataset.theme = 'dark'")
    style = figure(page).evaluate(
        "e => { const s = getComputedStyle(e); return [s.padding, s.backgroundColor, s.filter] }"
    )
    assert style == ["0px", "rgb(255, 255, 255)", "brightness(0.82)"]


def test_wide_tables_scroll_by_themselves_within_an_edge(phone):
    assert phone.evaluate("() => document.documentElement.scrollWidth") == PHONE["width"]
    tables = phone.locator("article .text_html")
    assert tables.count() == 2
    for number in range(2):
        style = tables.nth(number).evaluate(
            "e => [e.scrollWidth > e.clientWidth, getComputedStyle(e).borderRightWidth]"
        )
        assert style == [True, "1px"]
