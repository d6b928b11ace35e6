"""The pages of the package, from its docstrings, and links to them where a chapter imports a name.

The docstrings mark code by single backticks, as Markdown does; Sphinx is given two. A link stands
on each name of a line `from helpers.… import …`. It leads to the name's description, wherever the
name is defined; a name without one, such as a constant, leads to its module.
"""

import re
from importlib import import_module
from types import ModuleType

PACKAGE = "helpers"
CODE = re.compile(r"(``[^`]+``|`[^`]+`)")
# As the highlighter writes it: what comes between "import" and the end of the line or the bracket.
IMPORT = re.compile(
    rf'<span class="kn">from</span>(?:<span class="w">)? ?(?:</span>)? ?'
    rf'<span class="nn">({PACKAGE}[\w.]*)</span>'
    r'(?:<span class="w">)? ?(?:</span>)? ?<span class="kn">import</span>'
    r'(?P<names> <span class="p">\(</span>.*?<span class="p">\)</span>|[^\n]*)',
    re.DOTALL,
)
NAME = re.compile(r'(?<!<span class="k">as</span> )<span class="n">(\w+)</span>')


def restructured(line: str) -> str:
    """A line of a docstring in reStructuredText: its code marked, bars and stars as they stand."""
    parts = CODE.split(line)
    for place, part in enumerate(parts):
        if part.startswith("`"):
            end = r"\ " if parts[place + 1][:1].isalnum() else ""
            parts[place] = f"``{part.strip('`')}``{end}"
        else:
            parts[place] = re.sub(r"(?<=/)\*|\|(?=\w+\|)", r"\\\g<0>", part)
    return "".join(parts)


def mark_code(app, what, name, obj, options, lines):
    lines[:] = map(restructured, lines)


def defined_as(module: str, name: str) -> str:
    """The full name under which what `from module import name` gives is defined."""
    found = getattr(import_module(module), name, None)
    if isinstance(found, ModuleType):
        return found.__name__
    return f"{getattr(found, '__module__', module)}.{getattr(found, '__qualname__', name)}"


def place(objects, module: str, name: str):
    """The description of an imported name, or its module's, or None."""
    full = defined_as(module, name) if module in objects or name else module
    return objects.get(full) or objects.get(full.rpartition(".")[0]) or objects.get(module)


def link_imports(app, pagename, templatename, context, doctree):
    """Link the names that a page's code imports from the package."""
    if "body" not in context or app.builder.format != "html":
        return
    objects = app.env.domains["py"].objects

    def linked(statement: re.Match) -> str:
        def link(name: re.Match) -> str:
            found = place(objects, statement[1], name[1])
            if not found:
                return name[0]
            page = app.builder.get_relative_uri(pagename, found.docname)
            return f'<a class="imported" href="{page}#{found.node_id}">{name[0]}</a>'

        start = statement.start("names") - statement.start()
        return statement[0][:start] + NAME.sub(link, statement["names"])

    context["body"] = IMPORT.sub(linked, context["body"])


def setup(app):
    app.connect("autodoc-process-docstring", mark_code)
    app.connect("html-page-context", link_imports)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
