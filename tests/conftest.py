"""The browser of the tests that look at pages: a Chromium of the system.

Where there is none, these tests are skipped, or fail when CI is set.
"""

import functools
import http.server
import os
import threading

import pytest

from tools import chromium


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium."""
    if not chromium.program():
        if os.environ.get("CI"):
            pytest.fail(chromium.MISSING)
        pytest.skip(chromium.MISSING)
    pytest.importorskip("playwright.sync_api")
    with chromium.headless() as browser:
        yield browser


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        """Keep the requests out of the tests' output."""


@pytest.fixture(scope="session")
def serve():
    """A function that serves a folder on this machine and returns its address."""
    servers = []

    def start(folder):
        handler = functools.partial(QuietHandler, directory=str(folder))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
