"""`pytest --fast`: what it leaves out, and what it takes for passed."""

import shutil
from types import SimpleNamespace

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tests import fast

NAME = "01-a.ipynb"


class Cache(dict):
    def set(self, key, value):
        self[key] = value


@pytest.fixture
def root(tmp_path):
    """A small book."""
    for folder in ("notebooks/results", "notebooks/checkpoints", "helpers/data", "examples"):
        (tmp_path / folder).mkdir(parents=True)
    cells = [new_markdown_cell("# A"), new_code_cell("x = 1"), new_code_cell("x")]
    nbformat.write(new_notebook(cells=cells), tmp_path / "notebooks" / NAME)
    for file in ("notebooks/results/a.json", "helpers/data/a.py", "examples/a.py"):
        (tmp_path / file).write_text("1")
    for file in ("requirements.txt", "pyproject.toml"):
        shutil.copy(fast.ROOT / file, tmp_path)
    return tmp_path


def run(root, *outcomes, cache=None):
    """What is noted after cells with these outcomes; None is one that the run didn't come to."""
    cache = Cache() if cache is None else cache
    recorder = fast.Recorder(SimpleNamespace(cache=cache), root)
    for number, outcome in enumerate(outcomes):
        for when in ("setup", "call", "teardown") if outcome else ():
            failed = when == "call" and outcome == "failed"
            node = f"notebooks/{NAME}::Cell {number}"
            recorder.pytest_runtest_logreport(
                SimpleNamespace(nodeid=node, when=when, failed=failed)
            )
    recorder.pytest_sessionfinish()
    return cache[fast.KEY]


def test_a_notebook_passed_when_all_its_cells_did(root):
    assert run(root, "passed", "passed") == {NAME: fast.digest(root / "notebooks" / NAME, root)}


@pytest.mark.parametrize(
    "outcomes", [("passed", None), (None, "passed"), ("passed", "failed"), (None, "failed")]
)
def test_a_part_of_a_notebook_is_not_taken_for_the_whole(root, outcomes):
    """Deselected, asked for alone, or after the run was stopped."""
    assert run(root, *outcomes) == {}


def test_a_failure_makes_what_passed_before_run_again(root):
    cache = Cache()
    run(root, "passed", "passed", cache=cache)
    assert NAME in run(root, "passed", None, cache=cache)
    assert run(root, None, "failed", cache=cache) == {}


@pytest.mark.parametrize(
    "file",
    [
        f"notebooks/{NAME}",
        "notebooks/results/a.json",
        "helpers/data/a.py",
        "examples/a.py",
        "requirements.txt",
    ],
)
def test_what_a_notebook_depends_on_touches_it(root, file):
    before = fast.digest(root / "notebooks" / NAME, root)
    (root / file).write_text((root / file).read_text() + " ")
    assert fast.digest(root / "notebooks" / NAME, root) != before


@pytest.mark.parametrize("passed", [True, False])
def test_only_untouched_notebooks_are_left_out(monkeypatch, root, passed):
    path = root / "notebooks" / NAME
    monkeypatch.setattr(fast, "digest", lambda notebook: "now")
    items = [SimpleNamespace(path=path), SimpleNamespace(path=root / "tests" / "test_a.py")]
    left_out = []

    def deselected(items):
        left_out.extend(items)

    config = SimpleNamespace(
        getoption=lambda name: True,
        cache=Cache({fast.KEY: {NAME: "now" if passed else "before"}}),
        hook=SimpleNamespace(pytest_deselected=deselected),
    )
    fast.pytest_collection_modifyitems(config, items)
    assert [item.path.name for item in items] == ([] if passed else [NAME]) + ["test_a.py"]
    assert [item.path.name for item in left_out] == ([NAME] if passed else [])


def test_without_a_cache_all_is_run(root):
    items = [SimpleNamespace(path=root / "notebooks" / NAME)]
    fast.pytest_collection_modifyitems(SimpleNamespace(getoption=lambda name: True), items)
    assert len(items) == 1
