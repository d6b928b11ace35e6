"""A headless Chromium of this system, for tools and tests that open pages."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
MISSING = f"no browser found among {', '.join(NAMES)}; install chromium, or set CHROMIUM"


class NoBrowserError(RuntimeError):
    """There is no Chromium here; the message says what to do."""


def program() -> str | None:
    """The program's path: what `CHROMIUM` names, or the first that is found."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def headless() -> Iterator:
    """Start the browser, as Playwright's `Browser`, and close it at the end.

    Raises:
        NoBrowserError: there is none.
    """
    found = program()
    if not found:
        raise NoBrowserError(MISSING)
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - slow, and not always needed

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()
