"""What a workshop makes of a student notebook: what it reads, its checks with their numbers."""

import ast
import re
from pathlib import Path

from nbformat import NotebookNode

from tools.set_address import ROOT

# What a chapter reads beside itself: "results/11-recipe.json", f"results/{name}.json".
BESIDE = re.compile(r"""["'(]((?:results|checkpoints|data|images)/[^"'\n)]+)["')]""")
COMPARISON = re.compile(r"""["'](chapter_\d\d_\w+)["']""")  # what show_comparison reads
PACKAGES = re.compile(r"^\s*(?:from|import) (examples|experiments|benchmarks)\b", re.MULTILINE)
TITLE = re.compile(r"^#+ Exercise (\d+\.\d+)", re.MULTILINE)


def code_of(notebook: NotebookNode) -> str:
    """All code of a notebook."""
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")


def read_beside(notebook: NotebookNode) -> set[Path]:
    """Files and folders that a notebook reads in the book, relative to its root."""
    found, text = set(), "\n".join(cell.source for cell in notebook.cells)
    for name in BESIDE.findall(text):
        pattern = re.sub(r"\{[^}]*\}", "*", name)
        found |= {path.relative_to(ROOT) for path in (ROOT / "notebooks").glob(pattern)}
    scripts = (Path("experiments", f"{name}.py") for name in COMPARISON.findall(text))
    found |= {script for script in scripts if (ROOT / script).exists()}
    return found | {Path(name) for name in PACKAGES.findall(text)}


def numbered(notebook: NotebookNode) -> NotebookNode:
    """The notebook with each check told its exercise's number, for the file of results."""
    exercise = ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            exercise = ([exercise, *TITLE.findall(cell.source)])[-1]
        elif exercise and "exercises.check_" in cell.source:
            cell.source = with_number(cell.source, exercise)
    return notebook


def with_number(source: str, exercise: str) -> str:
    """Code in which the calls of `exercises.check_…` have the argument `exercise`."""
    lines = source.split("\n")
    calls = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr.startswith("check_")
        and getattr(node.func.value, "id", "") == "exercises"
        and "exercise" not in {keyword.arg for keyword in node.keywords}
    ]
    for call in sorted(calls, key=lambda call: -call.end_lineno):
        line = lines[call.end_lineno - 1]
        # ast counts in bytes of UTF-8.
        column = len(line.encode()[: call.end_col_offset - 1].decode())
        before, after = line[:column], line[column:]
        if before.strip():
            comma = "" if before.rstrip().endswith(("(", ",")) else ", "
            lines[call.end_lineno - 1] = f'{before}{comma}exercise="{exercise}"{after}'
        else:  # the bracket stands on a line of its own
            previous = lines[call.end_lineno - 2]
            lines[call.end_lineno - 2] = previous + ("" if previous.endswith(("(", ",")) else ",")
            lines[call.end_lineno - 1] = f'{before}    exercise="{exercise}",\n{line}'
    return "\n".join(lines)
