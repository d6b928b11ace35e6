"""A test run leaves no temporary folder behind, whatever it had to kill."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[1]
SCRATCH = """import tempfile
scratch = tempfile.TemporaryDirectory()  # is deleted when the notebook ends, unless it is killed
print(scratch.name)
"""
TALKS = """import json
from pathlib import Path
import ipykernel
how = json.loads(Path(ipykernel.get_connection_file()).read_text())
assert how["transport"] == "ipc", how  # two processes may find the same free port
assert Path(how["ip"]).parent == Path(scratch.name).parent, how
"""
PARTS = """import multiprocessing.util
def test_parts():
    assert multiprocessing.util.get_temp_dir()  # which it deletes at its end
"""


def test_the_folder_of_a_killed_kernel_goes_with_the_run(tmp_path):
    shutil.copy(ROOT / "conftest.py", tmp_path)
    temporary = tmp_path / "t"  # a socket's path has to be short
    temporary.mkdir()
    cells = [nbformat.v4.new_code_cell(source) for source in (SCRATCH, TALKS)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbformat.write(notebook, tmp_path / "scratch.ipynb")
    (tmp_path / "test_parts.py").write_text(PARTS, "utf-8")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--nbval-lax", "--nbval-current-env", "."],
        cwd=tmp_path,
        env=environment | {"TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Error" not in run.stderr
    assert [path.name for path in temporary.iterdir() if "pytest-of" not in path.name] == []
