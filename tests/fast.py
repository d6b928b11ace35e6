"""`pytest --fast` leaves out notebooks that passed and that nothing has touched since.

A notebook is touched by a change of its own cells, of the package, of the results and checkpoints
beside it, or of the pinned packages. What passed is kept in pytest's cache.
"""

import hashlib
import json
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parent.parent
KEY = "plm/notebooks-that-passed"


def digest(notebook, root=ROOT):
    """A hash of all that a notebook's run depends on."""
    folder = root / "notebooks"
    files = [notebook, root / "requirements.txt", root / "pyproject.toml"]
    files += [
        *(root / "helpers").rglob("*.py"),
        *(root / "examples").rglob("*.py"),
        *(folder / "results").rglob("*"),
        *(folder / "checkpoints").rglob("*"),
    ]
    total = hashlib.sha256()
    for file in sorted(file for file in files if file.is_file()):
        total.update(str(file.relative_to(root)).encode())
        total.update(file.read_bytes())
    return total.hexdigest()


def pytest_addoption(parser):
    parser.addoption(
        "--fast", action="store_true", help="leave out notebooks that nothing has touched"
    )


def code_cells(notebook):
    """How many tests nbval makes of a notebook."""
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    return sum(cell["cell_type"] == "code" for cell in cells)


def pytest_collection_modifyitems(config, items):
    if not config.getoption("fast") or not hasattr(config, "cache"):
        return
    passed = config.cache.get(KEY, {})
    untouched = {
        path
        for path in {item.path for item in items if item.path.suffix == ".ipynb"}
        if passed.get(path.name) == digest(path)
    }
    config.hook.pytest_deselected(items=[item for item in items if item.path in untouched])
    items[:] = [item for item in items if item.path not in untouched]


class Recorder:
    """Notes which notebooks passed, in the process that the workers report to.

    A notebook passed if each of its cells was run, whatever was selected or stopped the run.
    """

    def __init__(self, config, root=ROOT):
        self.config = config
        self.notebooks = {
            f"notebooks/{path.name}": path for path in (root / "notebooks").glob("*.ipynb")
        }
        # Taken before the run, so that what is edited meanwhile counts as touched.
        self.digests = {path.name: digest(path, root) for path in self.notebooks.values()}
        self.ran, self.failed = defaultdict(set), set()

    def pytest_runtest_logreport(self, report):
        notebook = self.notebooks.get(report.nodeid.partition("::")[0])
        if notebook and report.failed:
            self.failed.add(notebook)
        if notebook and report.when == "teardown":  # the cell's end, which a skipped one has too
            self.ran[notebook].add(report.nodeid)

    def pytest_sessionfinish(self):
        passed = self.config.cache.get(KEY, {})
        for notebook in self.failed:
            passed.pop(notebook.name, None)
        for notebook, cells in self.ran.items():
            if notebook not in self.failed and len(cells) == code_cells(notebook):
                passed[notebook.name] = self.digests[notebook.name]
        self.config.cache.set(KEY, passed)


def pytest_configure(config):
    # Without a cache (-p no:cacheprovider) there is nowhere to keep what passed.
    if hasattr(config, "cache") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(config), "plm-fast-recorder")
