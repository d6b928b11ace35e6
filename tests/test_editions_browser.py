"""What a reader sees in JupyterLab: editions without the book's extension, a chapter with it."""

import json
import os
import subprocess
import sys
import time

import pytest

from tools.set_address import ROOT

CHAPTER = "11-text-classification.ipynb"
EXTENSION = "jupyterlab-myst"
DIRECTORIES = {
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_DATA_DIR": "data",
    "JUPYTER_RUNTIME_DIR": "runtime",
    "JUPYTERLAB_SETTINGS_DIR": "settings",
    "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    "IPYTHONDIR": "ipython",
}
SETTINGS = {
    # All cells at once, and not only those in view.
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
SOLUTION = "It prints 1200."  # a sentence of one
SECONDS = 60


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data), "utf-8")


class Lab:
    """A JupyterLab server of this project, with settings of its own."""

    def __init__(self, folder, log):
        self.folder = folder
        for name, data in SETTINGS.items():
            write(folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings", data)
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
        command += ["--ServerApp.port=0", "--IdentityProvider.token=", f"--notebook-dir={ROOT}"]
        own = {name: str(folder / value) for name, value in DIRECTORIES.items()}
        self.process = subprocess.Popen(command, env={**os.environ, **own}, stdout=log, stderr=log)

    def url(self):
        """Wait until the server has written its address."""
        for _ in range(10 * SECONDS):
            for path in (self.folder / "runtime").glob("jpserver-*.json"):
                return json.loads(path.read_text("utf-8"))["url"]
            assert self.process.poll() is None, "the server ended at its start"
            time.sleep(0.1)
        raise TimeoutError(f"JupyterLab has not started within {SECONDS} seconds")

    def open(self, browser, path, *, extension):
        """Open a notebook, with or without the extension, and wait until formulas stand in it."""
        # The server reads this file for each page.
        settings = {"disabledExtensions": {EXTENSION: not extension}}
        write(self.folder / "config" / "labconfig" / "page_config.json", settings)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        base = self.url()
        outside = []

        def on_request(route):
            if route.request.url.startswith((base, "data:", "blob:")):
                route.continue_()
            else:
                outside.append(route.request.url)
                route.abort()

        page.route("**/*", on_request)
        page.goto(f"{base}lab/tree/{path}?reset")
        formula = ".katex" if extension else "mjx-container"
        page.wait_for_selector(f".jp-Notebook {formula}", timeout=1000 * SECONDS)
        page.wait_for_selector(
            ".jp-Notebook h2:has-text('Further reading')", timeout=1000 * SECONDS
        )
        assert outside == []
        return page


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    with (folder / "log.txt").open("w") as log:
        lab = Lab(folder, log)
        yield lab
        lab.process.terminate()
        lab.process.wait(timeout=SECONDS)


@pytest.fixture(scope="module", params=["colab", "student"])
def edition(request, browser, lab):
    page = lab.open(browser, f"editions/{request.param}/{CHAPTER}", extension=False)
    page.kind = request.param
    yield page
    page.close()


def test_an_edition_is_rendered_without_the_extension(edition):
    notebook = edition.locator(".jp-Notebook")
    box = notebook.locator("blockquote", has_text="A common mistake: an accuracy of 100 %")
    assert box.locator("strong").count() == 1
    exercises = notebook.locator("h3", has_text="Exercise 11.").all_inner_texts()
    assert exercises[0] == "Exercise 11.1: A weight by hand"
    source = (ROOT / "editions" / edition.kind / CHAPTER).read_text("utf-8")
    assert notebook.locator("mjx-container mjx-labels").count() == source.count("\\\\tag{") > 3
    assert notebook.locator("mjx-merror").count() == 0
    citation = notebook.locator("a", has_text="Devlin et al. (2019)").first
    assert citation.get_attribute("href") == "https://doi.org/10.18653/v1/N19-1423"


def test_solutions_are_folded_in_colab_and_gone_for_students(edition):
    solutions = edition.locator(".jp-Notebook details")
    if edition.kind == "student":
        assert solutions.count() == edition.get_by_text(SOLUTION).count() == 0
        return
    told = solutions.get_by_text(SOLUTION)
    assert solutions.count() == edition.locator("h3", has_text="Exercise 11.").count()
    assert not told.is_visible()
    solutions.filter(has_text=SOLUTION).locator("summary").click()
    assert told.is_visible()
    # A link within the notebook leads to its box.
    solutions.filter(has_text="the box above").locator("summary").click()
    solutions.locator("a", has_text="the box above").click()
    box = edition.locator("blockquote", has_text="cross-entropy on last_hidden_state")
    is_at_the_top = "box => box.getBoundingClientRect().top < 300"
    edition.wait_for_function(is_at_the_top, arg=box.element_handle())


def test_make_lab_shows_a_chapter_with_its_solutions_folded(browser, lab):
    page = lab.open(browser, f"notebooks/{CHAPTER}", extension=True)
    notebook = page.locator(".jp-Notebook")
    assert notebook.locator("aside", has_text="A common mistake: an accuracy of").count() == 1
    assert notebook.locator("aside", has_text="A weight by hand").count() >= 1
    solutions = notebook.locator("details")
    told = solutions.get_by_text(SOLUTION)
    chapter = (ROOT / "notebooks" / CHAPTER).read_text("utf-8")
    assert solutions.count() == chapter.count("{solution}") > 0
    assert not told.is_visible()
    solutions.filter(has_text=SOLUTION).locator("summary").click()
    assert told.is_visible()
    page.close()
