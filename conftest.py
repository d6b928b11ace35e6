"""Settings of every test run; notebooks' kernels inherit the environment."""

import atexit
import functools
import os
import shutil
import sys
import tempfile
import uuid

import pytest
import zmq
from jupyter_client import KernelManager

pytest_plugins = ["tests.fast"]

os.environ["PLM_PROGRESS"] = "0"  # a bar's output can't be compared with a stored one

# Several test processes share the cores. With torch's own count each would take them all, and
# they would wait for one another.
_processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if _processes > 1:
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // _processes)))


# Files of half a minute and more, which start processes or open pages.
LONG = (
    "book",
    "service_demo",
    "training_resume",
    "pretrain",
    "editions_browser",
    "stock_code",
    "saved_folders",
    "live",
)


def pytest_configure(config):
    """One temporary folder for all that a run starts, gone with it.

    nbval ends a kernel by killing it, and tests kill processes: what these would have deleted at
    their end would stay, some 5 GB a run. pytest's own `tmp_path` stays where it looks for it.
    """
    if not hasattr(config, "workerinput"):  # test processes inherit the first one's folder
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
        os.environ["TMPDIR"] = folder = tempfile.mkdtemp(prefix="plm-")
        tempfile.tempdir = None  # it was read from the environment before
        # The last of all: `multiprocessing` wants to delete its own part first, and says so.
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    KernelManager.__init__ = _over_sockets(KernelManager.__init__)


def _over_sockets(begin):
    """Kernels that talk over sockets of the run's temporary folder, wherever a path is that short.

    Two test processes that look for free ports may find the same ones, and each then waits for a
    kernel that can't have them.
    """

    @functools.wraps(begin)
    def over_sockets(manager, *args, **settings):
        sockets = f"{tempfile.gettempdir()}/k{uuid.uuid4().hex[:8]}"  # and a number each: …-1
        if zmq.has("ipc") and len(sockets) + 2 <= zmq.IPC_PATH_MAX_LEN:
            settings = {"transport": "ipc", "ip": sockets} | settings
        begin(manager, *args, **settings)

    return over_sockets


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """The longest files first: at the end no process is left alone with one of them."""

    def place(item):
        name = item.path.stem.removeprefix("test_")
        if item.path.suffix == ".ipynb":
            # Later chapters train more; pages without a number hardly at all.
            return 0, -int(name[:2]) if name[:2].isdigit() else 1
        return 1 if name in LONG else 2, 0

    items.sort(key=place)  # stable: the tests of a file stay together


@pytest.fixture(autouse=True)
def _cpu_in_fp32(request, monkeypatch):
    """A proof doesn't depend on what "auto" finds: here it means the CPU, and fp32 there.

    A test of what "auto" finds there is marked `native_precision`. Notebooks aren't touched: their
    proofs name their precision, and their training takes what a reader's would.
    """
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # for processes that a test starts
    if "torch" in sys.modules:  # a GPU may have been counted before the line above
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
        monkeypatch.setattr("torch.accelerator.is_available", lambda: False)
    if "native_precision" not in request.keywords:
        from helpers.training import precision  # noqa: PLC0415 - notebooks alone don't need torch

        monkeypatch.setattr(precision, "has_native_bf16", lambda device: False)
