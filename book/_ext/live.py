"""Load the interactive pieces on the pages that have a box for one.

A chapter has a box whose class names the piece:

    :::{admonition} Try it: the pieces of a sentence
    :class: tip live-pieces

    What stands here where no script runs: on paper, in a notebook.
    :::

The scripts are in `_static/live`; `live.js` says what they share.
"""

import re

BOX = re.compile(r'class="(?:[\w-]+ )*live-(attention|decoding|memory|pieces)[ "]')


def load_pieces(app, pagename, templatename, context, doctree):
    """Add the scripts of the pieces that a page has boxes for."""
    names = sorted(set(BOX.findall(context.get("body", ""))))
    for name in ["live", *names] if names else ():
        app.add_js_file(f"live/{name}.js", loading_method="defer")


def setup(app):
    app.connect("html-page-context", load_pieces)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
