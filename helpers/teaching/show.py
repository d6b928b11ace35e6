"""Show the source of a definition in a notebook cell, so that the book never copies code."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable
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
