"""Sections that go deeper are folded on the pages: by keyboard, link, search, on paper, on a phone.

A page of three sections is built with the book's own configuration.
"""

import re
import shutil

import pytest
import yaml

from tests.test_book import DESKTOP, OPEN_DEEPER, PHONE, build, look_at, opened
from tests.test_book import Visit as Seen
from tools.set_address import ROOT

PAGE = """# A page

(start)=
## What everybody reads

Everybody reads [on](#inside), or [further on](#last).

## Going deeper: more about it

The word *hippopotamus* stands here.

### A part of it

(inside)=
$$
E = m c^2
$$ (eq-one)

### Going deeper: deeper still

{wide}

## Going deeper: exercises

(last)=
Nothing.

## Summary

The end, after [the formula](#inside).
"""
FOLDED = "() => document.querySelectorAll('.deeper-body[hidden]').length"


@pytest.fixture(scope="module")
def site(tmp_path_factory, serve):
    source = tmp_path_factory.mktemp("deeper")
    for folder in ("book", "editions"):
        shutil.copytree(ROOT / folder, source / folder)
    # The page for a wrong address wants a table of contents, which a book of one page has not.
    config = (ROOT / "_config.yml").read_text("utf-8")
    (source / "_config.yml").write_text(re.sub(r".*notfound.*\n", "", config), "utf-8")
    (source / "page.md").write_text(PAGE.replace("{wide}", f"`{'wide ' * 60}`"), "utf-8")
    contents = {"format": "jb-book", "root": "page", "options": {"numbered": True}}
    (source / "_toc.yml").write_text(yaml.safe_dump(contents), "utf-8")
    return serve(build(source, source / "built"))


@pytest.fixture
def page(browser, site):
    page, seen = opened(browser, f"{site}/page.html", site, DESKTOP)
    assert look_at(page, seen) == Seen()
    page.seen, page.address = seen, f"{site}/page.html"
    yield page
    page.close()


def word(page):
    return page.get_by_text("hippopotamus")


def state(page):
    return page.locator(".deeper-toggle").evaluate_all("all => all.map(b => b.ariaExpanded)")


def test_sections_are_folded_and_the_button_opens_them(page):
    assert state(page) == ["false", "false"]  # the one inside another has no button of its own
    assert page.evaluate(FOLDED) == 2
    button = page.get_by_role("button", name="Show this section").first
    body = page.locator(f"#{button.get_attribute('aria-controls')}")
    heading = page.locator(f"#{button.get_attribute('aria-describedby')}")
    assert "Going deeper: more about it" in heading.inner_text()
    assert not word(page).is_visible()
    assert page.get_by_text("Everybody reads on").is_visible()
    assert page.get_by_text("The end").is_visible()
    button.focus()
    page.keyboard.press("Enter")
    assert state(page) == ["true", "false"]
    assert body.get_attribute("hidden") is None
    assert word(page).is_visible()
    assert page.get_by_role("button", name="Hide this section").is_visible()
    page.keyboard.press("Space")
    assert state(page) == ["false", "false"]
    assert not word(page).is_visible()


@pytest.mark.parametrize("hash_", ["#inside", "#a-part-of-it", "#equation-eq-one"])
def test_an_address_inside_opens_its_section(browser, site, hash_):
    page, _ = opened(browser, f"{site}/page.html{hash_}", site, DESKTOP)
    assert state(page) == ["true", "false"]
    assert page.locator(hash_).evaluate("e => e.getBoundingClientRect().top < innerHeight")
    page.close()


def test_links_open_the_section_they_lead_into(page):
    page.get_by_role("link", name="further on").click()
    assert state(page) == ["false", "true"]
    page.get_by_role("link", name="on", exact=True).click()
    assert state(page) == ["true", "true"]
    page.get_by_role("button", name="Hide this section").first.click()
    page.get_by_role("link", name="on", exact=True).click()  # the address stays the same
    assert state(page) == ["true", "true"]


def test_a_line_of_the_contents_opens_its_section(page):
    page.set_viewport_size({"width": 1440, "height": 900})  # narrower, they are behind a button
    page.locator(".bd-sidebar-secondary a", has_text="more about it").first.click()
    assert state(page) == ["true", "false"]


def test_the_browsers_search_finds_what_is_folded(page):
    body = page.locator(".deeper-body").first
    assert body.get_attribute("hidden") == "until-found"
    assert body.evaluate("e => getComputedStyle(e).display") == "block"
    assert body.evaluate("e => getComputedStyle(e).contentVisibility") == "hidden"
    # An address with a text makes the browser search the page as Ctrl+F does.
    page.goto("about:blank")
    page.goto(f"{page.address}#:~:text=hippopotamus")
    page.wait_for_selector(".deeper-toggle[aria-expanded=true]")
    assert state(page) == ["true", "false"]


def test_on_paper_all_sections_are_open(page):
    page.emulate_media(media="print")
    assert word(page).is_visible()
    assert page.get_by_text("Nothing.").is_visible()
    assert page.locator(".deeper-toggle:visible").count() == 0


def test_without_the_script_all_sections_are_open(browser, site):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site}/page.html")
    assert word(page).is_visible()
    assert page.locator(".deeper-toggle").count() == 0
    context.close()


def test_open_sections_fit_a_phone_and_formulas_stand_in_them(page):
    page.evaluate(OPEN_DEEPER)
    assert page.evaluate(FOLDED) == 0
    assert page.locator(".deeper-body mjx-container").is_visible()
    for viewport in (DESKTOP, PHONE):
        page.set_viewport_size(viewport)
        assert look_at(page, page.seen) == Seen()
        assert page.locator("section.deeper").first.bounding_box()["x"] >= 0
