"""The plain notebooks in `editions/`: what MyST becomes, what is hidden, whether they are fresh."""

import ast
import functools
import re
import subprocess
from collections import defaultdict
from pathlib import Path

import nbformat
import pytest
import yaml
from markdown_it.renderer import RendererHTML
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import editions
from tools.editions import Book, EditionError
from tools.plain_markdown import Label, MystError, Page, Work, make_parser, plain, split
from tools.set_address import ROOT, configured_url

CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
EXTENSIONS = CONFIG["parse"]["myst_enable_extensions"]
PATHS = sorted((ROOT / "editions").glob("*/*.ipynb"))
COLAB = "https://colab.research.google.com/github/ada/book/blob/main/editions/colab"
BLOB = "https://github.com/ada/book/blob/main"
COLAB_OF_THIS = (
    configured_url().replace("github.com", "colab.research.google.com/github") + "/blob/main/"
)
FILES_OF_THIS = configured_url() + "/blob/main/"
BERT = "https://doi.org/10.1/a%281%29"
BIBLIOGRAPHY = r"""
@inproceedings{bert, author = {Devlin, J. and Chang, M. and Lee, K.}, title = {T}, year = 2019,
  doi = {10.1/a(1)}}
@misc{two, author = {von Werra, L. and {\L}uk, A.}, title = {T}, year = 2020,
  note = {arXiv:2001.00001}}
@book{one, author = {{Team One}}, title = {T}, year = 1998}
"""


@functools.cache
def read(path):
    """A notebook, read and checked once for all tests, which leave it as it is."""
    return nbformat.read(path, as_version=4)


def path_id(path):
    return path.relative_to(ROOT / "editions").as_posix()


@pytest.fixture(scope="module")
def parser():
    return make_parser(EXTENSIONS)


@pytest.fixture
def page(parser):
    labels = {
        "chapter-08": Label("08-other", "c1", ""),
        "box": Label("11-this", "c2", ""),
        "eq-a": Label("11-this", "c3", "(11.1)"),
        "fig-a": Label("11-this", "c4", "Fig. 11.2"),
        "fig-b": Label("08-other", "c5", "Fig. 8.1"),
        "ex-1": Label("11-this", "c6", "Exercise 11.1"),
    }
    works = {
        "bert": Work("Devlin et al.", "2019", BERT),
        "two": Work("A and B", "2020", "https://b.org"),
    }
    return Page("11-this", parser, works, labels, frozenset({"box"}), BLOB, COLAB)


MEANINGS = {
    "text in a paragraph of two\nlines, with `{cite:t}` and *stress*\n\n- a\n- b": None,
    "| a | b |\n|:--|--:|\n| `x` | $y$ |": None,
    "```python\nprint('{cite:t}`bert`')\n```": None,
    "see {cite:t}`bert`": f"see [Devlin et al. (2019)]({BERT})",
    "so {cite:p}`bert,two`.": f"so ([Devlin et al., 2019]({BERT}); [A and B, 2020](https://b.org)).",
    "{eq}`eq-a` and {numref}`fig-a`": "(11.1) and Fig. 11.2",
    "{numref}`fig-b`": f"[Fig. 8.1]({COLAB}/08-other.ipynb#scrollTo=c5)",
    "{term}`loss`": f"[loss]({BLOB}/book/glossary.md)",
    "`{eq}` of {eq}`eq-a`\n- {eq}`eq-a`\n  and {eq}`eq-a`": (
        "`{eq}` of (11.1)\n- (11.1)\n  and (11.1)"
    ),
    "| a |\n|---|\n| `b` {eq}`eq-a` |": "| a |\n|---|\n| `b` (11.1) |",
    "[there](#chapter-08)": f"[there]({COLAB}/08-other.ipynb#scrollTo=c1)",
    "- [broken\n  over *lines*](#chapter-08) x": (
        f"- [broken\n  over *lines*]({COLAB}/08-other.ipynb#scrollTo=c1) x"
    ),
    "[by {eq}`eq-a`](#box)": "[by (11.1)](#box)",
    "[data](../book/data.md)": f"[data]({BLOB}/book/data.md)",
    "[web](https://a.org) <https://b.org>": None,
    "![a line](../book/_static/a.png)": (
        "![a line](https://github.com/ada/book/blob/main/book/_static/a.png?raw=true)"
    ),
    "a\n\n$$\nx\n= y\n$$\n\nb": "a\n\n$$ x = y $$\n\nb",
    "$$\nx\n$$ (eq-a)\n\nb": "$$ x \\tag{11.1} $$\n\nb",
    "- a\n\n  $$\n  x\n  $$ (eq-a)\n": "- a\n\n  $$ x \\tag{11.1} $$",
    "> $a\n> = b$": "> $a = b$",
    "(chapter-11)=\n# Title": "# Title",
    "a\n\n(box)=\n:::{admonition} Mistake: `x`\n:class: correction\nBy {eq}`eq-a`.\n\n- b\n:::": (
        'a\n\n<a id="box"></a>\n\n> **Mistake: `x`**\n>\n> By (11.1).\n>\n> - b'
    ),
    "## Exercises\n\n````{exercise} By hand\n:label: ex-1\n\nTask $x$.\n````": (
        "## Exercises\n\n### Exercise 11.1: By hand\n\nTask $x$."
    ),
}


@pytest.mark.parametrize(("myst", "markdown"), MEANINGS.items(), ids=range(len(MEANINGS)))
def test_what_myst_means_in_plain_markdown(myst, markdown, page):
    assert plain(myst, page) == (myst if markdown is None else markdown)


@pytest.mark.parametrize(
    ("myst", "message"),
    [
        ("```{figure} a.png\n```", r"directive \{figure\}"),
        (":::{admonition} T\n:name: x\n:::", r"option name of \{admonition\}"),
        (":::{admonition} T\n{abbr}`x`\n:::", r"role \{abbr\}"),
        ("{cite:t}`nobody`", "no work 'nobody'"),
        ("{eq}`nothing`", "no label 'nothing'"),
        ("{numref}`box`", "no number"),
        ("[x](#nothing)", "no label 'nothing'"),
        ("[x](08-other.ipynb)", r"08-other\.ipynb"),
        ("[x][y]\n\n[y]: #box", "form"),
        ("{{ name }}", "substitution"),
        ("term\n: meaning", "dl_open"),
        ("- [ ] task", "class"),
        ("% a comment", "myst_line_comment"),
        ("`x`{.red}", "attribute class"),
        ("- a\n  :::{admonition} T\n  x\n  :::", "admonition.* list"),
        ("````{solution} ex-1\nx\n````", "solution"),
        ("$$\nx % a\n$$", "comment"),
        ("$$\nx \\\\ y\n$$", "environment"),
    ],
)
def test_what_is_not_known_is_refused(myst, message, page):
    with pytest.raises(MystError, match=message):
        plain(myst, page)


def test_works_are_named_as_on_the_pages_and_each_has_an_address():
    assert editions.works_of(BIBLIOGRAPHY, "https://host/b.bib") == {
        "bert": Work("Devlin et al.", "2019", BERT),
        "two": Work("von Werra and Łuk", "2020", "https://arxiv.org/abs/2001.00001"),
        "one": Work("Team One", "1998", "https://host/b.bib#L6"),
    }


@pytest.fixture
def chapter():
    """A chapter with an exercise that has an answer cell, and one that has none."""
    exercise = (
        "````{{exercise}} Title\n:label: ex-{0}\n\nTask {0}.\n````\n\n"
        "````{{solution}} ex-{0}\n:class: dropdown\n\nThe secret is {0}.\n\n"
        "```python\nx = {0}\n```\n````"
    ).format
    figure = {"figure": {"name": "fig-a", "caption": "By $T$ of *C*. In grey."}}
    imports = "import a\nimport b\nfrom c import (\n    d,\n)\n\n# Set this on a GPU.\nSCALE = 1"
    cells = [
        new_markdown_cell("(chapter-11)=\n# T\n\n$$\nx\n$$ (eq-a)"),
        new_code_cell("import sys\n!set up"),
        new_code_cell(imports, metadata={"tags": ["nbval-check-output"]}, execution_count=2),
        new_code_cell("draw()", metadata={"mystnb": figure}),
        new_markdown_cell("## Exercises\n\n" + exercise(1)),
        new_code_cell("answer = ..."),
        new_markdown_cell(exercise(2)),
        new_markdown_cell("## Summary\n\n[Loss](#eq-a)"),
    ]
    for number, cell in enumerate(cells):
        cell.id = f"c{number}"
    return new_notebook(cells=cells)


def made(chapter, parser, kind):
    labels, links = editions.references("11-this", chapter, parser)
    book = Book("https://github.com/ada/book", "main", parser, {}, labels, {"11-this": links})
    notebook = editions.edition("11-this", chapter, book, kind)
    nbformat.validate(notebook)
    return notebook.cells


def test_labels_get_the_pages_numbers(chapter, parser):
    labels, links = editions.references("11-this", chapter, parser)
    assert links == {"eq-a"}
    assert {name: (label.cell, label.number) for name, label in labels.items()} == {
        "chapter-11": ("c0", ""),
        "eq-a": ("c0", "(11.1)"),
        "fig-a": ("c3", "Fig. 11.1"),
        "ex-1": ("c4", "Exercise 11.1"),
        "ex-2": ("c6", "Exercise 11.2"),
    }


def test_colab_folds_code_and_puts_solutions_behind_the_answer(chapter, parser):
    cells = made(chapter, parser, "colab")
    assert " ".join(cell.id for cell in cells) == (
        "c0 c1 c2-imports c2 c3 c3-caption c4 c5 c4-solution-1 c6 c6-solution-1 c7"
    )
    source = {cell.id: cell.source for cell in cells}
    assert source["c1"] == "import sys\n!set up"
    assert (
        source["c2-imports"] == "# @title Imports\nimport a\nimport b\nfrom c import (\n    d,\n)"
    )
    assert source["c2"] == "# Set this on a GPU.\nSCALE = 1"
    assert source["c3"] == "# @title Fig. 11.1: By T of C\ndraw()"
    assert source["c3-caption"] == "**Fig. 11.1.** By $T$ of *C*. In grey."
    assert source["c4"] == "## Exercises\n\n### Exercise 11.1: Title\n\nTask 1."
    assert source["c4-solution-1"] == (
        "<details>\n<summary><b>Solution of exercise 11.1</b></summary>\n\n"
        "The secret is 1.\n\n```python\nx = 1\n```\n\n</details>"
    )
    folded = [cell.id for cell in cells if cell.metadata.get("cellView") == "form"]
    assert folded == ["c2-imports", "c3"]
    assert all(set(cell.metadata) <= {"id", "cellView", "jupyter"} for cell in cells)
    hidden = [cell.id for cell in cells if cell.metadata.get("jupyter") == {"source_hidden": True}]
    assert hidden == folded
    assert all(cell.metadata.id == cell.id for cell in cells)


@pytest.mark.parametrize(
    ("code", "title"),
    [
        ("# The same by torch.\nassert x", "The same by torch"),
        ('show_comparison("chapter_11_recipe")', "What the comparison rests on"),
        ("x = 1\n\n\ndef f():\n    def g(): ...\n\n\nclass A: ...", "Code of f, A"),
        ("try:\n    f()\nexcept ValueError:\n    pass", "Code"),
    ],
)
def test_what_the_pages_fold_is_folded(code, title, chapter, parser):
    cell = chapter.cells[2]
    cell.source, cell.metadata["tags"] = code, ["hide-input"]
    found = {cell.id: cell for cell in made(chapter, parser, "student")}["c2"]
    assert found.source == f"# @title {title}\n{code}"
    assert (found.metadata.cellView, found.metadata.jupyter.source_hidden) == ("form", True)


def test_settings_below_folded_imports_stay_open(chapter, parser):
    chapter.cells[2].metadata["tags"] = ["hide-input"]
    cells = {cell.id: cell for cell in made(chapter, parser, "colab")}
    assert cells["c2-imports"].metadata.cellView == "form"
    assert "cellView" not in cells["c2"].metadata


def test_student_has_no_solution_and_a_cell_for_each_answer(chapter, parser):
    cells = made(chapter, parser, "student")
    assert " ".join(cell.id for cell in cells) == (
        "c0 c1 c2-imports c2 c3 c3-caption c4 c5 c6 c6-answer c7"
    )
    assert cells[-2].source == editions.ANSWER
    assert not any("secret" in cell.source for cell in cells)


def test_an_unknown_construct_is_named_with_its_place(chapter, parser):
    chapter.cells[7].source = "## Summary\n\n{abbr}`x`"
    with pytest.raises(EditionError, match=r"11-this\.ipynb, cell 8: .*\{abbr\}"):
        made(chapter, parser, "colab")
    chapter.cells[7].source = "```{tip}\n```"
    with pytest.raises(EditionError, match=r"11-this\.ipynb, cell 8: .*\{tip\}"):
        made(chapter, parser, "colab")


def test_a_solution_far_from_its_exercise_is_refused(chapter, parser):
    chapter.cells[7].source = "````{solution} ex-1\nx\n````"
    with pytest.raises(EditionError, match=r"cell 8: .*ex-1"):
        made(chapter, parser, "student")


# --- The editions of the book


@pytest.fixture(scope="module")
def fresh():
    return editions.all_editions()


def test_editions_are_what_the_chapters_make_of_them(fresh):
    stored = {path.relative_to(ROOT): path.read_text("utf-8") for path in PATHS}
    stale = [str(path) for path in {*fresh, *stored} if fresh.get(path) != stored.get(path)]
    assert not stale, f"run `make editions` and commit {', '.join(sorted(stale))}"


@pytest.mark.parametrize("path", PATHS, ids=path_id)
def test_an_edition_is_a_plain_notebook_without_outputs(path):
    notebook = read(path)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert "google.colab" in code[0].source
    assert notebook.cells[0].source.startswith("# ")


@pytest.fixture(scope="module")
def myst():
    """A MyST parser that knows more than the book's, and doesn't come from the generator."""
    more = {
        "amsmath",
        "fieldlist",
        "html_admonition",
        "html_image",
        "replacements",
        "strikethrough",
    }
    config = MdParserConfig(enable_extensions={*EXTENSIONS, "attrs_block", *more})
    return create_md_parser(config, RendererHTML)


def myst_left(text, myst):
    """The MyST constructs that a parser finds in a Markdown text."""
    left = []
    for token in myst.parse(text):
        for part in (token, *(token.children or ())):
            is_directive = part.type == "colon_fence" or (
                part.type == "fence" and not re.fullmatch(r"\w*", part.info.strip())
            )
            is_myst = part.type.startswith(("myst", "substitution", "dl_", "footnote", "amsmath"))
            has_attributes = part.attrs and not part.type.startswith(
                ("link", "t", "image", "ordered")
            )
            if is_directive or is_myst or part.type == "math_block_label" or has_attributes:
                left.append((part.type, part.content or part.info))
    return left


def test_the_parser_sees_myst_that_is_left(myst):
    raw = (
        "(a)=\n# T\n\n:::{tip}\nx\n:::\n\n```{note}\n```\n\n$$x$$ (b)\n\n"
        "> {eq}`b` `x`{.c} {{ y }}\n\n% z"
    )
    assert [kind for kind, _ in myst_left(raw, myst)] == [
        "myst_target",
        "colon_fence",
        "fence",
        "math_block_label",
        "myst_role",
        "code_inline",
        "substitution_inline",
        "myst_line_comment",
    ]


@pytest.mark.parametrize("path", PATHS, ids=path_id)
def test_no_myst_is_left(path, myst):
    cells = read(path).cells
    left = [
        (c.id, *found)
        for c in cells
        if c.cell_type == "markdown"
        for found in myst_left(c.source, myst)
    ]
    assert left == []


@pytest.mark.parametrize("path", PATHS, ids=path_id)
def test_every_link_has_an_end(path, myst):
    cells = read(path).cells
    text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    tokens = [part for token in myst.parse(text) for part in (token, *(token.children or ()))]
    html = "".join(token.content for token in tokens if token.type == "html_inline")
    for target in {str(t.attrs["href"]) for t in tokens if t.type == "link_open"}:
        page, _, place = target.partition("#")
        if not page:
            assert f'<a id="{place}">' in html
        elif page.startswith(COLAB_OF_THIS):  # another chapter of the same set, and a cell there
            other = ROOT / page.removeprefix(COLAB_OF_THIS)
            assert other.parent == path.parent
            ids = [cell.metadata.id for cell in read(other).cells]
            assert place.removeprefix("scrollTo=") in ids
        elif page.startswith(FILES_OF_THIS):
            lines = (ROOT / page.removeprefix(FILES_OF_THIS)).read_text("utf-8").splitlines()
            assert not place or lines[int(place.removeprefix("L")) - 1].startswith("@")
        else:
            assert target.startswith("https://")


def pieces(text):
    """The sentences and lines of code of a text that are long enough to tell something."""
    lines = re.split(r"(?<=[.?!:])\s+|\n", text)
    return {piece for line in lines if len(piece := " ".join(line.split())) > 12}


@pytest.mark.parametrize(
    "path", sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")), ids=lambda p: p.stem
)
def test_nothing_of_a_solution_is_left_for_students(path, parser):
    secret, told = set(), []
    for cell in read(path).cells:
        text, solutions = cell.source, []
        if cell.cell_type == "markdown":
            text, solutions = split(cell.source, parser)
        told.append(" ".join(text.split()))
        secret |= {piece for solution in solutions for piece in pieces(solution.body)}
    assert len(secret) > 3
    student = read(ROOT / "editions" / "student" / path.name)
    shown = "\n".join(" ".join(cell.source.split()) for cell in student.cells)
    told = "\n".join(told)
    assert [piece for piece in secret if piece in shown and piece not in told] == []
    assert "<details>" not in shown
    assert "olution of" not in shown


# A check may hold what a reader can't hand in: results, or a library that does the asked-for thing.
LIBRARY_CALLS = {
    "torchs_clip": "nn.utils.clip_grad_norm_",
    "torchs_rms_norm": "F.rms_norm",
    "torchs_grouped_attention": "F.scaled_dot_product_attention",
    "torchs_smoothed_loss": "F.cross_entropy",
    "transformers_min_p": "MinPLogitsWarper",
    "transformers_banned": "NoRepeatNGramLogitsProcessor",
    "scipys_spearman": "spearmanr",
}
FUNCTIONS = (ast.FunctionDef, ast.Lambda)


def is_stub(function):
    return isinstance(function, ast.FunctionDef) and isinstance(function.body[-1], ast.Raise)


def answers_in_check(source):
    """What a cell that checks a function holds and a reader could hand in as the answer."""
    tree = ast.parse(source)
    found, results = [], set()
    for node in ast.walk(tree):
        if isinstance(node, FUNCTIONS) and not is_stub(node):
            name = getattr(node, "name", "lambda")
            if f"{LIBRARY_CALLS.get(name)}(" in ast.unparse(node):
                results.add(name)
            else:
                found.append(name)
        elif isinstance(node, ast.Assign):
            results |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("check_function"):
            against = call.args[1]
            is_result = isinstance(against, ast.List | ast.ListComp | ast.Lambda)
            if not is_result and ast.unparse(against) not in {*results, *found}:
                found.append(ast.unparse(against))
    return found


STUB = "def double(x):\n    raise NotImplementedError  # your code\n\n\n"


@pytest.mark.parametrize(
    ("rest", "found"),
    [
        ("results = [2, 4]\nexercises.check_function(double, results, cases)", []),
        ("exercises.check_function(double, [2, 4], cases)", []),
        ("exercises.check_function(double, [torch.tensor(n) for n in (2, 4)], cases)", []),
        ("exercises.check_function(double, lambda x: x + x, cases)", ["lambda"]),
        ("def other(x):\n    return x + x\n\ncheck_function(double, other, cases)", ["other"]),
        ("exercises.check_function(double, twice, cases)", ["twice"]),
        ("exercises.check_function(double, torch.double, cases)", ["torch.double"]),
        ("def torchs_clip(g):\n    return nn.utils.clip_grad_norm_(g)\n", []),
        ("def torchs_clip(g):\n    return g / g.norm()\n", ["torchs_clip"]),
    ],
)
def test_an_answer_in_a_check_is_found(rest, found):
    assert answers_in_check(STUB + rest) == found


# Chapters that ask for a function; chapter 00 asks for none.
STUDENTS = [
    path
    for path in sorted((ROOT / "editions" / "student").glob("[0-9]*.ipynb"))
    if not path.name.startswith("00-")
]


def code_of(path):
    """The code cells of a notebook that are plain Python."""
    cells = [c for c in read(path).cells if c.cell_type == "code"]
    return [cell.source for cell in cells if not re.search(r"^\s*[%!]", cell.source, re.MULTILINE)]


@pytest.mark.parametrize("path", STUDENTS, ids=path_id)
def test_no_check_holds_the_answer_as_code(path):
    checks = [source for source in code_of(path) if "exercises.check_function(" in source]
    assert checks
    found = [answer for source in checks for answer in answers_in_check(source)]
    assert found == []


def renamed(function):
    """A function's body, its variables named by the order in which they come."""
    numbers = defaultdict(lambda: f"v{len(numbers)}")
    for node in ast.walk(function):
        if isinstance(node, ast.arg):
            node.arg = numbers[node.arg]
        elif isinstance(node, ast.Name):
            node.id = numbers[node.id]
    return "\n".join(ast.unparse(statement) for statement in function.body)


def bodies_of(source):
    """The bodies of a source's functions, whatever the names."""
    nodes = list(ast.walk(ast.parse(source)))
    return {renamed(n) for n in nodes if isinstance(n, ast.FunctionDef) and not is_stub(n)}


def test_a_body_is_known_by_other_names():
    one, other, third = (
        "def f(x, y):\n    z = x @ y  # comment\n    return (z)",
        "def reference(a, b):\n    c = a @ b\n    return c",
        "def reference(a, b):\n    c = a @ b\n    return a",
    )
    assert bodies_of(one) == bodies_of(other) != bodies_of(third)


@pytest.mark.parametrize("path", STUDENTS, ids=path_id)
def test_no_cell_holds_a_solutions_function_by_other_names(path, parser):
    secret = set()
    for cell in read(ROOT / "notebooks" / path.name).cells:
        if cell.cell_type == "markdown":
            for solution in split(cell.source, parser)[1]:
                for code in re.findall(r"```python\n(.*?)```", solution.body, re.DOTALL):
                    secret |= bodies_of(code)
    assert secret
    assert not secret & set().union(*map(bodies_of, code_of(path)))


def test_each_exercise_has_its_solution_in_colab_only():
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        exercises = path.read_text("utf-8").count("{exercise}")
        sets = [
            (ROOT / "editions" / kind / path.name).read_text("utf-8") for kind in editions.KINDS
        ]
        assert [text.count("### Exercise ") for text in sets] == [exercises, exercises]
        assert [text.count("<summary><b>Solution of exercise") for text in sets] == [exercises, 0]


def test_make_address_renews_the_editions():
    command = [
        "make",
        "--no-print-directory",
        "--dry-run",
        "address",
        "URL=https://github.com/ada/book",
    ]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    last, then = result.stdout.splitlines()[-2:]
    assert last.endswith("-m tools.set_address https://github.com/ada/book")
    assert then.endswith("-m tools.editions")


def test_an_edition_of_a_chapter_that_is_gone_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(
        editions, "all_editions", lambda root: {Path("editions/colab/a.ipynb"): "{}\n"}
    )
    gone = tmp_path / "editions" / "student" / "b.ipynb"
    gone.parent.mkdir(parents=True)
    gone.write_text("{}")
    editions.write(tmp_path)
    assert not gone.exists()
    assert (tmp_path / "editions/colab/a.ipynb").read_text() == "{}\n"
