"""The example demo as a process of its own, in a real browser that reaches nothing else."""

import os
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from tests import small_classifier
from tools.set_address import ROOT


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Where the demo of a small classifier listens."""
    pytest.importorskip("gradio", reason="the demo needs the extra serve")
    folder = small_classifier.save(tmp_path_factory.mktemp("models") / "small")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["-m", "examples.service.demo", "--model", str(folder), "--port", str(port)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            assert process.poll() is None, "the demo has ended"
            try:
                urllib.request.urlopen(url, timeout=5).close()
                break
            except OSError:
                time.sleep(0.5)
        yield url
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture
def page(browser, address):
    """The demo's page; what it asks of other sites is refused, and noted in `page.asked`."""
    page = browser.new_page(viewport={"width": 1000, "height": 800})
    page.asked = []

    def on_request(route):
        if route.request.url.startswith((address, "data:", "blob:")):
            route.continue_()
        else:
            page.asked.append(route.request.url)
            route.abort()

    page.route("**/*", on_request)
    page.goto(address)
    page.get_by_role("button", name="Classify").wait_for(timeout=60_000)
    yield page
    page.close()


def test_a_text_gets_its_classes(page):
    page.get_by_role("textbox").first.fill("The striker scored twice.")
    page.get_by_role("button", name="Classify").click()
    page.get_by_text("The model read 7 pieces.").wait_for(timeout=30_000)
    shown = page.locator("body").inner_text()
    assert "business" in shown and "sport" in shown
    assert page.asked == []  # the page is whole without a network


def test_a_refusal_is_shown_in_words(page):
    page.get_by_role("textbox").first.fill(" … ")
    page.get_by_role("button", name="Classify").click()
    page.get_by_text("Text 1 of 1 has no letter and no digit.").wait_for(timeout=30_000)


def test_a_text_over_the_limit_is_refused_in_words(page):
    page.get_by_role("textbox").first.fill("a" * 20_001)
    page.get_by_role("button", name="Classify").click()
    page.get_by_text("Text 1 of 1 has 20,001 characters; the limit is 20,000.").wait_for(
        timeout=30_000
    )
