"""Show the source of a definition, or what an experiment compares, in a notebook's cell.

So the book never copies code, and no table says other things than the script did.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path

from IPython import get_ipython
from IPython.display import display


def show(definition: Callable | type) -> None:
    """Display the source of a function, method or class, and where it is defined.

    The source is Markdown, so that the book, JupyterLab and Colab highlight it in their own
    theme, light or dark. Outside a notebook it is printed.

    Args:
        definition: for example `helpers.models.attention.MultiHeadAttention`.

    Raises:
        TypeError: `definition` isn't a function, method or class.
        ValueError: it has no Python source, since it is compiled or was typed into a console.
    """
    if not (inspect.isroutine(definition) or inspect.isclass(definition)):
        raise TypeError(
            f"show takes a function, a method or a class, not an instance of "
            f"{type(definition).__name__}. For the class of an object, show(type(object))."
        )
    definition = inspect.unwrap(definition)
    source, where = _source(definition), _where(definition)
    if get_ipython() is None:
        print(f"# {where}\n{source}")
        return
    bundle = {
        "text/markdown": f"{where}\n\n{_fenced(source)}",
        "text/plain": f"# {where}\n{source}",
    }
    display(bundle, raw=True)


def comparison(
    *,
    reads: str,
    searched: str,
    selected: str,
    test: str,
    seeds: Iterable[int] = (),
    head: str = "",
) -> str:
    """What a reader needs to know to call a comparison fair, as a table in Markdown.

    Args:
        reads: the input of each side.
        searched: what was tried for each side.
        selected: on what the best of it was chosen.
        test: what test data were used for.
        seeds: of the runs; empty where nothing is drawn.
        head: what stands above the right column.
    """
    rows = {
        "input": reads,
        "searched": searched,
        "selected on": selected,
        "seeds": ", ".join(map(str, seeds)) or "none: nothing is drawn",
        "test data": test,
    }
    return "\n".join([f"| | {head} |", "|---|---|", *(f"| {k} | {v} |" for k, v in rows.items())])


def show_comparison(experiment: str, folder: str | Path = "../experiments") -> None:
    """Display the table of the comparison that an experiment of the book declares.

    It is read from the script, which isn't run.

    Args:
        experiment: the script's name, "chapter_11_recipe".
        folder: where it lies; a chapter runs in the folder beside it.

    Raises:
        FileNotFoundError: there is no such script.
    """
    script = Path(folder) / f"{experiment}.py"
    try:
        declared = _declared(ast.parse(script.read_text("utf-8")))
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"There is no {script}, seen from {Path.cwd()}: run the notebook in its own folder of "
            "a copy of the book."
        ) from error
    table = comparison(**declared, head=f"as `experiments/{script.name}` declares")
    display({"text/markdown": table, "text/plain": table}, raw=True)


def _declared(module: ast.Module) -> dict[str, object]:
    """The keywords of `EXPERIMENT = Experiment(…)`, of texts and of numbers by name."""
    known = {"__builtins__": {"range": range, "tuple": tuple, "len": len}}
    for statement in module.body:
        if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
            continue
        name, value = statement.targets[0].id, statement.value
        if name == "EXPERIMENT" and isinstance(value, ast.Call):
            keywords = [k for k in value.keywords if k.arg != "writes"]
            return {k.arg: eval(_compiled(k.value), known) for k in keywords}
        try:
            known[name] = eval(_compiled(value), known)
        except Exception:  # it needs what isn't known here, and the declaration doesn't need it
            continue
    raise ValueError("The script declares no EXPERIMENT.")


def _compiled(value: ast.expr):
    return compile(ast.Expression(value), "<declaration>", "eval")


def _source(definition: Callable | type) -> str:
    try:
        return textwrap.dedent(inspect.getsource(definition)).rstrip("\n")
    except (OSError, TypeError) as error:
        name = getattr(definition, "__qualname__", repr(definition))
        raise ValueError(
            f"{name} has no Python source to show: it is compiled, or was typed into a console. "
            "Show a function or class that is written in a Python file."
        ) from error


def _where(definition: Callable | type) -> str:
    """The name, the module, and the file relative to the folder that holds the package."""
    if definition.__module__ == "__main__":
        return f"`{definition.__qualname__}`, defined in this notebook"
    file = Path(inspect.getsourcefile(definition))
    depth = len(definition.__module__.split(".")) + (file.name == "__init__.py")
    relative = "/".join(file.parts[-depth:])
    return f"`{definition.__qualname__}` of `{definition.__module__}`, in `{relative}`"


def _fenced(source: str) -> str:
    # A docstring may hold a fence of its own: the outer one must be longer.
    longest = max((len(run) for run in re.findall(r"`+", source)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}python\n{source}\n{fence}"
