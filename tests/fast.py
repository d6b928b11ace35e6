"""`pytest --fast` leaves out notebooks that passed and that nothing has touched since.

A notebook is touched by a change of its own cells, of the package, of the results and checkpoints
beside it, or of the pinned packages. What passed is kept in pytest's cache.
"""

import hashlib
from pathlib import Path

ROOT = Path(__file__).parent.parent
KEY = "plm/notebooks-that-passed"


def digest(notebook, root=ROOT):
    """A hash of all that a notebook's run depends on."""
    folder = root / "notebooks"
    files = [notebook, root / "requirements.txt", root / "pyproject.toml"]
    files += [
        *(root / "helpers").rglob("*.py"),
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


def pytest_collection_modifyitems(config, items):
    if not config.getoption("fast"):
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
    """Notes which notebooks passed, in the process that the workers report to."""

    def __init__(self, config):
        self.config = config
        self.seen, self.failed = set(), set()
        # Taken before the run, so that what is edited meanwhile counts as touched.
        self.digests = {path.name: digest(path) for path in (ROOT / "notebooks").glob("*.ipynb")}

    def pytest_runtest_logreport(self, report):
        name = Path(report.nodeid.partition("::")[0]).name
        if name.endswith(".ipynb"):
            self.seen.add(name)
            if report.failed:
                self.failed.add(name)

    def pytest_sessionfinish(self, session, exitstatus):
        if exitstatus not in (0, 1):  # stopped half-way: a notebook may not have been run whole
            return
        passed = self.config.cache.get(KEY, {})
        for name in self.seen - self.failed:
            passed[name] = self.digests[name]
        for name in self.failed:
            passed.pop(name, None)
        self.config.cache.set(KEY, passed)


def pytest_configure(config):
    option = config.option
    parts = option.keyword or option.maxfail or any("::" in argument for argument in config.args)
    # Without a cache (-p no:cacheprovider) there is nowhere to keep what passed.
    if not parts and hasattr(config, "cache") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(config), "plm-fast-recorder")
