"""Fold the long cells of the chapters, each behind a line that says what is in it.

A cell of more than `LONG` lines is folded, except

- under a heading that names a recipe, and in the exercises;
- up to `WHOLE` lines, one that is at least `SHARE` definitions: functions, classes and programs in
  a string. That is what a chapter teaches; the rest runs it, measures it and makes tables.

What a notebook folds by the tag `hide-input` stays as it is. Nothing changes in the notebooks, and
the reading times count these lines. Paper shows them, and so does a browser's own search.
"""

import ast
import re

from docutils import nodes

CHAPTERS = "notebooks/"  # as the names of their pages begin
LONG, WHOLE = 35, 60  # lines
SHARE = 0.4  # of the lines
NAMES = 4  # that the line over a folded cell may have
NEVER = re.compile(r"\b(recipe|exercises)\b", re.IGNORECASE)  # in a heading
NOT_PYTHON = re.compile(r"^(\s*)[%!].*$", re.MULTILINE)


def definitions(source: str) -> tuple[list[str], int]:
    """The names that a cell defines, and how many of its lines that takes.

    A text of several lines that is given a name, such as a program, is a definition too.
    """
    names, lines = [], 0
    try:
        body = ast.parse(NOT_PYTHON.sub(r"\1pass", source)).body
    except SyntaxError:  # more of IPython's own than such lines
        body = []
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.append(node.name)
        elif (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and isinstance(node.value, (ast.Constant, ast.JoinedStr))
            and node.end_lineno > node.lineno
        ):
            names.append(node.targets[0].id)
        else:
            continue
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
        lines += node.end_lineno - first + 1
    return names, lines


def folds(source: str, headings: list[str]) -> bool:
    """Whether the page folds a cell.

    Args:
        source: the cell's code.
        headings: those that it stands under.
    """
    length = source.strip().count("\n") + 1
    if length <= LONG or any(map(NEVER.search, headings)):
        return False
    return length > WHOLE or definitions(source)[1] < SHARE * length


def summary(source: str) -> str:
    """What stands over a folded cell: "Show 41 lines of code: pick, logistic"."""
    names = [name for name in definitions(source)[0] if not name.startswith("_")]
    told = ", ".join(names[:NAMES]) + (" …" if len(names) > NAMES else "")
    length = source.strip().count("\n") + 1
    return f"Show {length} lines of code" + (f": {told}" if told else "")


def headings_over(node: nodes.Node) -> list[str]:
    """The headings that a node stands under, the chapter's title left out."""
    found = []
    while node := node.parent:
        if isinstance(node, nodes.section) and not isinstance(node.parent, nodes.document):
            found.append(node[0].astext())
    return found


def fold_long_cells(app, document):
    """Mark the cells as myst-nb marks those with the tag."""
    if not app.env.docname.startswith(CHAPTERS):
        return
    for cell in document.findall(nodes.container):
        if cell.get("nb_element") != "cell_code" or cell.get("hide_mode") or not cell.children:
            continue
        code = next(iter(cell.findall(nodes.literal_block)), None)
        if cell[0].get("nb_element") != "cell_code_source" or code is None:
            continue
        source = code.astext()
        if folds(source, headings_over(cell)):
            cell["hide_mode"], cell["prompt_show"] = "input", summary(source)
            cell["prompt_hide"] = summary(source).replace("Show", "Hide", 1)


def setup(app):
    app.connect("doctree-read", fold_long_cells)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
