"""helpers.teaching.show: source with highlighting in a notebook, plain text elsewhere."""

import functools

import nbclient
import nbformat
import pytest
import torch

from helpers.teaching import show as module
from helpers.teaching.show import show, show_comparison


class Shape:
    """A class to show, whose docstring holds a fence:

    ```python
    Shape().area()
    ```
    """

    def area(self):
        return 0.0


def decorate(function):
    @functools.wraps(function)
    def wrapper():
        return function()

    return wrapper


@decorate
def decorated():
    return "the body"


@pytest.fixture
def bundles(monkeypatch):
    """What a notebook would receive: the MIME bundles, in order."""
    received = []
    monkeypatch.setattr(module, "get_ipython", object)
    monkeypatch.setattr(module, "display", lambda bundle, raw: received.append(bundle))
    return received


def test_outside_a_notebook_prints_the_source(capsys):
    show(show)
    printed = capsys.readouterr().out
    assert printed.startswith("# `show` of `helpers.teaching.show`, in `helpers/teaching/show.py`")
    assert "def show(definition: Callable | type) -> None:" in printed


def test_a_kernel_receives_markdown_and_plain_text():
    notebook = nbformat.v4.new_notebook()
    source = "from helpers.teaching.show import show\nshow(show)"
    notebook.cells.append(nbformat.v4.new_code_cell(source))
    nbclient.NotebookClient(notebook, kernel_name="python3", timeout=60).execute()
    (output,) = notebook.cells[0].outputs
    assert output.data.keys() == {"text/markdown", "text/plain"}
    assert "```python\ndef show(" in output.data["text/markdown"]


def test_the_outer_fence_is_longer_than_any_in_the_source(bundles):
    show(Shape)
    lines = bundles[0]["text/markdown"].splitlines()
    assert lines[2] == "````python"
    assert lines[-1] == "````"
    assert lines.count("````") == 1


def test_a_method_loses_its_indentation(bundles):
    show(Shape.area)
    assert "\ndef area(self):\n    return 0.0" in bundles[0]["text/plain"]
    assert bundles[0]["text/plain"].startswith("# `Shape.area` of ")


def test_a_decorated_function_shows_its_own_body(bundles):
    show(decorated)
    assert 'return "the body"' in bundles[0]["text/plain"]
    assert "def wrapper" not in bundles[0]["text/plain"]


@pytest.mark.parametrize(
    ("definition", "file"),
    [
        (torch.nn.Linear, "torch/nn/modules/linear.py"),
        (torch.nn.Linear.forward, "torch/nn/modules/linear.py"),
        (torch.is_tensor, "torch/__init__.py"),
    ],
)
def test_the_file_is_named_from_its_package_on(bundles, definition, file):
    show(definition)
    assert bundles[0]["text/markdown"].splitlines()[0].endswith(f"in `{file}`")


def test_a_definition_of_the_notebook_names_no_file(bundles, monkeypatch):
    monkeypatch.setattr(decorated, "__module__", "__main__")
    monkeypatch.setattr(decorated.__wrapped__, "__module__", "__main__")
    show(decorated)
    first = bundles[0]["text/markdown"].splitlines()[0]
    assert first == "`decorated`, defined in this notebook"


@pytest.mark.parametrize("compiled", [len, torch.matmul, int])
def test_compiled_code_has_a_clear_error(compiled):
    with pytest.raises(ValueError, match=f"{compiled.__qualname__}.*Python file"):
        show(compiled)


def test_an_instance_has_a_clear_error():
    with pytest.raises(TypeError, match=r"Linear.*show\(type\(object\)\)"):
        show(torch.nn.Linear(1, 1))


SCRIPT = """
import nothing_of_this_name
SEEDS = (0, 1)
FILE = nothing_of_this_name.path
EXPERIMENT = Experiment(
    __file__, __doc__, writes=(FILE,), reads="a, "
    "b", searched="nothing", selected="c", test="d", seeds=(*SEEDS, 7)
)
"""


def test_the_table_of_a_comparison_is_shown(tmp_path, bundles):
    (tmp_path / "chapter_01_a.py").write_text(SCRIPT, "utf-8")
    show_comparison("chapter_01_a", tmp_path)
    [bundle] = bundles
    assert bundle["text/markdown"].splitlines() == [
        "| | as `experiments/chapter_01_a.py` declares |",
        "|---|---|",
        "| input | a, b |",
        "| searched | nothing |",
        "| selected on | c |",
        "| seeds | 0, 1, 7 |",
        "| test data | d |",
    ]
    with pytest.raises(FileNotFoundError, match=r"chapter_01_b\.py.*its own folder"):
        show_comparison("chapter_01_b", tmp_path)
