"""Every chapter has the promised form, and each check of the form finds what it is for.

nbval runs the notebooks themselves: see pyproject.toml.
"""

import base64
import copy
import io
import re

import nbformat
import numpy as np
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from tools import execute_notebooks, left_behind, notebook_form
from tools.set_address import ROOT, configured_url

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
URL = "https://github.com/ada/book"


def png(image):
    """Of an image of PIL, as it stands in a notebook."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode("ascii")


PICTURE = new_output(
    "display_data",
    data={"image/png": png(Image.new("RGB", (2, 2))), "text/plain": "<Figure>"},
    metadata={"image/png": {"width": 1}},
)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_has_the_promised_form(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    chapter = notebook_form.is_chapter(path)
    assert notebook_form.findings(notebook, path.parent, configured_url(), chapter=chapter) == []


def test_contents_and_readme_list_every_notebook():
    names = {path.stem for path in NOTEBOOKS}
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    files = [chapter["file"] for part in contents["parts"] for chapter in part["chapters"]]
    listed = {name.removeprefix("notebooks/") for name in files if name.startswith("notebooks/")}
    readme = (ROOT / "README.md").read_text("utf-8")
    linked = set(re.findall(r"\(notebooks/([\w-]+)\.ipynb\)", readme))
    in_colab = set(re.findall(r"/blob/main/editions/colab/([\w-]+)\.ipynb\)", readme))
    assert names == listed == linked == in_colab


def exercise(number, options=":class: dropdown"):
    return (
        f"```{{exercise}} A title\n:label: ex-{number}\nThe task.\n```\n\n"
        f"```{{solution}} ex-{number}\n{options}\nThe solution.\n```\n"
    )


@pytest.fixture
def chapter():
    """A small chapter of the right form."""
    headings = "\n\n".join(f"## {name}\nText." for name in notebook_form.SECTIONS)
    mistake = "(correction-1)=\n````{admonition} A common mistake\n:class: correction\nNo.\n````"
    cells = [
        new_markdown_cell(
            "# A chapter\n\nA [link](#here), [another](https://example.org), {numref}`fig-1-line`."
        ),
        new_code_cell(notebook_form.SETUP_CELL.format(url=URL), execution_count=1),
        new_code_cell("print(1)", execution_count=2, metadata={"tags": ["nbval-check-output"]}),
        new_code_cell("plot()", execution_count=3, outputs=[copy.deepcopy(PICTURE)]),
        new_markdown_cell(f"{mistake}\n\n```python\n# not a title, [no](link.md)\n```"),
        new_markdown_cell(headings + "\n\n" + "\n".join(exercise(n) for n in range(3))),
        new_code_cell(""),
    ]
    cells[2].outputs = [new_output("stream", name="stdout", text="1\n")]
    cells[3].metadata["mystnb"] = {
        "image": {"alt": "A rising line"},
        "figure": {"name": "fig-1-line", "caption": "A line."},
    }
    notebook = new_notebook(cells=cells)
    execute_notebooks.normalise(notebook)
    return notebook


def test_a_chapter_of_the_right_form_has_no_findings(chapter, tmp_path):
    nbformat.validate(chapter)
    assert notebook_form.findings(chapter, tmp_path, URL) == []


def test_a_page_needs_no_exercises_and_says_what_it_needs(chapter, tmp_path):
    del chapter.cells[5:]
    replace_source(0, "A [link]", "## What this page needs\n\nA [link]")(chapter)
    assert notebook_form.findings(chapter, tmp_path, URL, chapter=False) == []
    assert notebook_form.findings(chapter, tmp_path, URL) != []
    replace_source(0, "What this page needs", "Needs")(chapter)
    found = notebook_form.findings(chapter, tmp_path, URL, chapter=False)
    assert found == ["the section '## What this page needs' is missing"]


def stream(name, text):
    return new_output("stream", name=name, text=text)


def set_source(index, source):
    return lambda notebook: notebook.cells[index].update(source=source)


def replace_source(index, old, new):
    def change(notebook):
        cell = notebook.cells[index]
        assert old in cell.source
        cell.source = cell.source.replace(old, new, 1)

    return change


def set_outputs(index, *outputs):
    return lambda notebook: notebook.cells[index].update(outputs=list(outputs))


def set_count(index, count):
    return lambda notebook: notebook.cells[index].update(execution_count=count)


BROKEN = {
    "no code": (lambda nb: nb.update(cells=nb.cells[:1]), "the first must be the set-up cell"),
    "other set-up": (replace_source(1, "seed=0", "seed=1"), "isn't the set-up cell"),
    "other address": (replace_source(1, "ada/book", "eve/book"), "isn't the set-up cell"),
    "not run": (set_count(2, None), "counts are [1, None, 3], expected 1 to 3"),
    "run in another order": (set_count(2, 7), "counts are [1, 7, 3]"),
    "error": (set_outputs(3, new_output("error", ename="E", evalue="x")), "cell 4 stores an error"),
    "stderr": (set_outputs(3, stream("stderr", "careful")), "cell 4 stores stderr output"),
    "widget": (
        set_outputs(
            3, new_output("display_data", data={"application/vnd.jupyter.widget-view+json": {}})
        ),
        "cell 4 stores a widget",
    ),
    "bar": (set_outputs(3, stream("stdout", " 40%|████    | 4/10")), "stores a progress bar"),
    "rate": (set_outputs(3, stream("stdout", "10 of 10, 3.1it/s")), "stores a progress bar"),
    "rewritten line": (set_outputs(3, stream("stdout", "1\r2\r3")), "stores a progress bar"),
    "path in source": (set_source(3, "open('/home/ada/x')"), "machine path: /home/ada"),
    "path in output": (set_outputs(3, stream("stdout", "in /tmp/x1")), "machine path: /tmp/x1"),
    "path on Windows": (set_source(4, "see C:\\data"), "machine path: C:\\"),
    "nothing to compare": (set_outputs(2), "is tagged nbval-check-output but has no output"),
    "mark in the code": (set_source(3, "# NBVAL_SKIP\nplot()"), "cell 4 has nbval's comment"),
    "compared with a random name": (
        lambda nb: nb.cells[2].outputs.append(
            nbformat.v4.new_output("display_data", {"text/html": '<table id="T_0a1b2"></table>'})
        ),
        "draws its table's name anew",
    ),
    "never compared": (set_count(2, None), "check-output but has no execution count"),
    "picture without words": (
        lambda nb: nb.cells[3].metadata.pop("mystnb"),
        "cell 4 shows an image without metadata.mystnb.image.alt",
    ),
    "picture with blank words": (
        lambda nb: nb.cells[3].metadata["mystnb"]["image"].update(alt=" "),
        "cell 4 shows an image without",
    ),
    "picture without a number": (
        lambda nb: nb.cells[3].metadata["mystnb"].pop("figure"),
        "cell 4 shows an image without metadata.mystnb.figure name and caption",
    ),
    "picture without a caption": (
        lambda nb: nb.cells[3].metadata["mystnb"]["figure"].update(caption=" "),
        "cell 4 shows an image without metadata.mystnb.figure name and caption",
    ),
    "picture with too few pixels": (
        lambda nb: nb.cells[3].outputs[0].update(metadata={}),
        "cell 4 shows a figure 2 wide with 2 pixels",
    ),
    "a table beside a picture": (
        lambda nb: nb.cells[3].outputs.append(
            nbformat.v4.new_output("display_data", {"text/html": "<table></table>"})
        ),
        "cell 4 shows something beside its figure",
    ),
    "picture never spoken of": (
        replace_source(0, "{numref}`fig-1-line`", "a figure"),
        "no text refers to cell 4's figure",
    ),
    "image without words": (set_source(4, "![](x.png)"), "shows x.png without alternative text"),
    "figure without words": (set_source(4, "```{figure} x.png\n:width: 1\n```"), "without :alt:"),
    "missing image": (set_source(4, "![A line](x.png)"), "links to x.png, which doesn't exist"),
    "missing page": (set_source(4, "[set-up](../no.md#a)"), "links to ../no.md#a, which doesn't"),
    "two titles": (replace_source(5, "## Summary", "# Summary"), "there are 2 titles"),
    "no title": (replace_source(0, "# A", "A"), "doesn't begin with its title"),
    "late title": (replace_source(0, "# A", "Hello.\n\n# A"), "doesn't begin with its title"),
    "no summary": (replace_source(5, "## Summary", "## The end"), "'## Summary' is missing"),
    "two exercises": (replace_source(5, exercise(2), ""), "2 exercises, expected at least 3"),
    "no solution": (replace_source(5, "{solution} ex-1", "{note} ex-1"), "ex-1 has no solution"),
    "open solution": (replace_source(5, exercise(1), exercise(1, "")), "of ex-1 isn't hidden"),
    "no label": (replace_source(5, ":label: ex-2\n", ""), "an exercise has no :label:"),
    "no correction": (replace_source(4, "correction\n", "note\n"), "no box corrects a common"),
    "other kernel": (lambda nb: nb.metadata.kernelspec.update(name="env"), "isn't python3"),
    "widget state": (lambda nb: nb.metadata.update(widgets={}), "the state of widgets"),
    "version": (lambda nb: nb.metadata.language_info.update(version="3"), "version of Python"),
    "times": (lambda nb: nb.cells[3].metadata.update(execution={}), "stores execution times"),
    "placeholder": (set_source(4, "see {{TABLE}}"), "cell 5 holds the placeholder {{TABLE}}"),
    "placeholder in a figure": (
        lambda nb: nb.cells[3].metadata["mystnb"]["image"].update(alt="{{ALT}}"),
        "cell 4 holds the placeholder {{ALT}}",
    ),
    "a folder left behind": (
        set_source(3, "import tempfile\nrun(tempfile.mkdtemp())"),
        "cell 4 leaves behind what it writes: tempfile.mkdtemp()",
    ),
    "same id": (lambda nb: nb.cells[3].update(id=nb.cells[2].id), "two cells have the same"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_form_is_found(name, chapter, tmp_path):
    change, expected = BROKEN[name]
    change(chapter)
    found = notebook_form.findings(chapter, tmp_path, URL)
    assert any(expected in finding for finding in found), found


SCRATCH = "scratch = tempfile.TemporaryDirectory()\nwork = Path(scratch.name)\n"
NEW = "work = Path(tempfile.mkdtemp())\n"


@pytest.mark.parametrize(
    ("source", "left"),
    [
        (NEW, "tempfile.mkdtemp()"),
        (NEW + "table.to_csv(work / 'a.csv')", "work / 'a.csv'"),
        (NEW + "folder = work / 'a'\nfolder.mkdir()", "folder"),
        ("from tempfile import mkdtemp\nos.environ['HF_HOME'] = mkdtemp()", "mkdtemp()"),
        ("(Path.home() / 'a').mkdir()", "Path.home() / 'a'"),
        ("tempfile.mkdtemp(dir='runs')", "tempfile.mkdtemp(dir='runs')"),
        ("Path('a.txt').write_text('a')", "Path('a.txt')"),
        ("with open(f'a{i}.txt', 'w') as file:\n    pass", "f'a{i}.txt'"),
        ("open('a.txt', mode='ab')", "'a.txt'"),
        ("big = Path('a') / 'b'\nbig.open('w')", "big"),
        ("model.save_pretrained('model')", "'model'"),
        ("pathlib.Path('a').joinpath('b').touch()", "pathlib.Path('a').joinpath('b')"),
        ("torch.save(model.state_dict(), 'a.pt')", "'a.pt'"),
        ("shutil.copy(a, 'b')", "'b'"),
        ("Seq2SeqTrainingArguments('runs', use_cpu=True)", "'runs'"),
        ("TrainingArguments(output_dir='runs')", "'runs'"),
        ("quiet = {'output_dir': 'runs'}", "'runs'"),
        (SCRATCH + "OTHER = Path('..')\n(OTHER / 'a').touch()", "OTHER / 'a'"),
    ],
)
def test_what_a_notebook_leaves_behind_is_found(source, left):
    notebook = new_notebook(cells=[new_markdown_cell("Text."), new_code_cell(source)])
    found = left_behind.findings(notebook)
    assert f"cell 2 leaves behind what it writes: {left}" in found


@pytest.mark.parametrize(
    "source",
    [
        NEW + "(work / 'a').mkdir()\nshutil.rmtree(work)",
        SCRATCH
        + "(work / 'a').write_text('a')\nfolder = str(work / 'b')\nmodel.save_model(folder)",
        SCRATCH + "settings = {'output_dir': tempfile.mkdtemp(dir=work)}",
        SCRATCH + "TrainingArguments(work / 'runs')\nwork.joinpath('a').open('w')",
        SCRATCH + "torch.save(model, work / 'a.pt')\nshutil.copytree('results', work / 'b')",
        "with tempfile.TemporaryDirectory() as folder:\n    model.save_pretrained(folder)",
        "def write(path):\n    path.write_text('a')",
        "open('a.txt').read()\nopen('a.txt', 'rb')\nPath('a').open()\ntable.to_csv()",
        "def write(name):\n    open(f'{name}.txt', 'w').write('a')",
        "!ls > a\n%cd ..",
    ],
)
def test_what_goes_with_the_notebook_or_is_not_written_is_fine(source):
    assert left_behind.findings(new_notebook(cells=[new_code_cell(source)])) == []


@pytest.mark.parametrize(
    ("width", "found"),
    [
        (None, "cell 4 shows a figure 2 wide with 2 pixels"),
        (2, "cell 4 shows a figure 2 wide with 2 pixels"),
        (1, None),
    ],
)
def test_a_figure_with_too_few_pixels_is_found(chapter, width, found):
    chapter.cells[3].outputs[0].metadata = {"image/png": {"width": width}} if width else {}
    findings = notebook_form.pixels(nbformat.from_dict(chapter))
    assert len(findings) == bool(found)
    assert all(finding.startswith(found) for finding in findings)


def test_gated_exercises_and_web_addresses_are_fine(chapter, tmp_path):
    gated = "```{exercise-start}\n:label: ex-9\n```\nTask.\n```{exercise-end}\n```\n"
    gated += "```{solution-start} ex-9\n:class: dropdown\n```\nIt.\n```{solution-end}\n```\n"
    replace_source(5, exercise(2), gated)(chapter)
    set_outputs(3, stream("stdout", "https://example.org/home/page and x/tmp/y"))(chapter)
    assert notebook_form.findings(chapter, tmp_path, URL) == []


def written(path, *sources):
    nbformat.write(new_notebook(cells=[new_code_cell(source) for source in sources]), path)
    return path


def test_a_kernel_of_a_test_talks_over_sockets(tmp_path):
    source = (
        "import json, ipykernel\nhow = json.load(open(ipykernel.get_connection_file()))\n"
        "print(how['transport'], len(f\"{how['ip']}-{how['shell_port']}\"))"
    )
    notebook = nbformat.read(written(tmp_path / "a.ipynb", source), as_version=4)
    execute_notebooks.execute(notebook, tmp_path)
    transport, length = notebook.cells[0].outputs[0].text.split()
    assert transport == "ipc"
    assert int(length) < 100  # 107 is the most on Linux, 103 on macOS


def test_executing_twice_leaves_the_same_file(tmp_path):
    path = written(tmp_path / "a.ipynb", "x = 2", "", "import os\nprint(os.getcwd() == '.')\nx")
    notebook = nbformat.read(path, as_version=4)
    peak = execute_notebooks.execute(notebook, tmp_path)
    execute_notebooks.normalise(notebook)
    first = copy.deepcopy(notebook)
    execute_notebooks.execute(notebook, tmp_path)
    execute_notebooks.normalise(notebook)
    assert notebook == first
    assert [cell.execution_count for cell in notebook.cells] == [1, None, 2]
    assert [out.get("text", out.get("data")) for out in notebook.cells[2].outputs] == [
        "False\n",
        {"text/plain": "2"},
    ]
    assert 10 * 2**20 < peak < 10 * 2**30  # a kernel alone takes some tens of MiB


def test_tidying_runs_nothing_and_folds_in_jupyterlab_what_the_pages_fold(tmp_path, monkeypatch):
    path = written(tmp_path / "a.ipynb", "x = 1 / 0", "y = 2")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].metadata["tags"] = ["hide-input"]
    notebook.cells[1].metadata["jupyter"] = {"source_hidden": True}
    nbformat.write(notebook, path)
    monkeypatch.setattr("sys.argv", ["execute", "--tidy", str(path)])
    assert execute_notebooks.main() == 0
    tidy = nbformat.read(path, as_version=4)
    assert [cell.metadata.get("jupyter") for cell in tidy.cells] == [{"source_hidden": True}, None]
    assert [cell.execution_count for cell in tidy.cells] == [None, None]


def test_an_object_is_stored_without_its_address():
    plain = "<pandas.io.formats.style.Styler at 0x7fa64b8ef410>"
    output = new_output("execute_result", {"text/plain": plain, "text/html": "<b>1</b>"})
    notebook = new_notebook(cells=[new_code_cell("table", outputs=[output])])
    execute_notebooks.normalise(notebook)
    assert notebook.cells[0].outputs[0].data == {
        "text/plain": "<pandas.io.formats.style.Styler>",
        "text/html": "<b>1</b>",
    }


FIGURE = """
from helpers.teaching import environment
environment.set_up(seed=0)  # as the first cell of a chapter
import matplotlib.pyplot as plt, numpy as np
plt.figure(figsize=(3, 2), dpi=100)
plt.imshow(np.arange(64).reshape(8, 8), cmap="Blues")
plt.title("A title");
"""


def test_a_figure_is_stored_at_twice_the_pixels_of_its_shown_width(tmp_path):
    notebook = new_notebook(cells=[new_code_cell(FIGURE)])
    execute_notebooks.execute(notebook, tmp_path)
    drawn = notebook.cells[0].outputs[-1].data["image/png"]
    execute_notebooks.normalise(notebook)
    figure = notebook.cells[0].outputs[-1]
    shown = figure.metadata["image/png"]
    assert shown.keys() == {"width"}  # a height would stretch the figure on a phone
    before, after = (
        Image.open(io.BytesIO(base64.b64decode(data))) for data in (drawn, figure.data["image/png"])
    )
    assert before.size == after.size
    assert after.width in (2 * shown["width"], 2 * shown["width"] + 1)
    assert len(figure.data["image/png"]) < 0.6 * len(drawn)
    apart = np.abs(np.asarray(before.convert("RGB"), int) - np.asarray(after.convert("RGB"), int))
    assert apart.max() <= 16  # of 255: nobody sees it


def test_a_figure_with_a_see_through_background_keeps_it():
    image = Image.new("RGBA", (4, 4), (255, 0, 0, 128))
    output = new_output("display_data", data={"image/png": png(image)})
    cell = new_code_cell("plot()", outputs=[output])
    execute_notebooks.normalise(new_notebook(cells=[cell]))
    assert cell.outputs[0].data["image/png"] == png(image)


def test_a_failing_cell_is_named_and_the_file_stays(tmp_path, monkeypatch, capsys):
    path = written(tmp_path / "a.ipynb", "x = 1", "y = x / 0", "print(3)")
    before = path.read_bytes()
    monkeypatch.setattr("sys.argv", ["execute", str(path)])
    assert execute_notebooks.main() == 1
    errors = capsys.readouterr().err
    assert "cell 2 failed" in errors
    assert "ZeroDivisionError" in errors
    assert path.read_bytes() == before


def test_a_notebook_that_does_not_exist_is_named(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["execute", "nowhere.ipynb"])
    assert execute_notebooks.main() == 1
    assert "no such notebook: nowhere.ipynb" in capsys.readouterr().err
