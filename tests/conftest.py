"""What the tests that look at pages share: the built book, a server, a Chromium of the system.

Where there is no browser, these tests are skipped, or fail when CI is set.
"""

import functools
import http.server
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from filelock import FileLock

from tools import chromium
from tools.set_address import ROOT


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


def build(source, output, *options):
    """Render the book of one folder into another; return the folder of the pages."""
    # Beside this Python, where a virtual environment keeps it.
    program = shutil.which("jupyter-book", path=str(Path(sys.executable).parent))
    assert program, "jupyter-book isn't installed in this environment; run `make env`"
    command = [program, "build", str(source), "--path-output", str(output), "--all", *options]
    result = subprocess.run(
        command, cwd=source, capture_output=True, text=True, timeout=600, check=False
    )
    assert result.returncode == 0, f"{result.stdout[-2000:]}\n{result.stderr[-4000:]}"
    return output / "_build" / "html"


@pytest.fixture(scope="session")
def html(tmp_path_factory):
    """The folder of the rendered pages, built from scratch with every warning as an error.

    `PLM_BOOK` names one that was just built so. Of several test processes the first builds it.
    """
    if built := os.environ.get("PLM_BOOK"):
        assert (Path(built) / "index.html").is_file(), f"PLM_BOOK={built} holds no book"
        return Path(built)
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with FileLock(folder / "book.lock"):
        done = folder / "book.done"
        if not done.is_file():
            (folder / "book").mkdir(exist_ok=True)
            build(ROOT, folder / "book", "-W", "--keep-going", "-n")
            done.touch()
    return folder / "book" / "_build" / "html"


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
