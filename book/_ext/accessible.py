"""Mend what the theme and its parts write against WCAG 2.2, in every page as it is written.

Each change is the smallest that the standard asks for; `tests/test_book.py` has axe look at the
result. What a later version of the theme writes right is left as it is.
"""

import re
from collections.abc import Callable

Change = tuple[str, str | Callable[[re.Match], str]]


def named_arrow(match: re.Match) -> str:
    """The arrow that opens a part of the contents, with a name (4.1.2)."""
    part = re.sub(r"<[^>]*>", "", match[2])
    return f'{match[1]}<summary aria-label="Pages of “{part}”">'


def lines_of_signature(match: re.Match) -> str:
    """A signature of several lines in lines, where Sphinx writes a list of no terms (1.3.1)."""
    lines = match[2].replace("<dd>", '<span class="sig-line">').replace("</dd>", "</span>")
    return f"{match[1]}{lines}{match[3]}"


CHANGES: list[Change] = [
    (
        r'(<a class="(?:current )?reference internal" href="[^"]*">((?:(?!</a>).)*)</a>'
        r'<details(?: open="open")?>)<summary>',
        named_arrow,
    ),
    # The name of what has visible words holds them (2.5.3): what folds, and the search's button.
    (r'<summary aria-label="Toggle hidden content">', "<summary>"),
    (r'(<button class="btn search-button-field[^>]*?) aria-label="Search"', r"\1"),
    # The symbols of a button that has a name are not a part of it.
    (r'(<i class="theme-switch [^>]*?) title="[^"]*"', r'\1 aria-hidden="true"'),
    (r'(<(?:i|span) class="(?:fa[bsr]?|fa-[a-z]+) [^"]*")>', r'\1 aria-hidden="true">'),
    # A list's items are items (1.3.1), and a role that has been withdrawn is used no more.
    (r'(<div class="citation" id="[^"]*") role="doc-biblioentry"', r'\1 role="listitem"'),
    (
        r'(<span class="sig-paren">\(</span>\s*)<dl>(.*?)</dl>'
        r'(\s*<span class="sig-paren">\)</span>)',
        lines_of_signature,
    ),
]


def mended(page: str) -> str:
    """A page with all changes made."""
    for pattern, new in CHANGES:
        page = re.sub(pattern, new, page, flags=re.DOTALL)
    return page


def mend_what_is_rendered(app):
    """Have the templates' output mended: no event comes so late, and not for every page."""
    if app.builder.format != "html":
        return
    render = app.builder.templates.render
    app.builder.templates.render = lambda *arguments: mended(render(*arguments))


def setup(app):
    app.connect("builder-inited", mend_what_is_rendered, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
