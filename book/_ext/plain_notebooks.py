"""Lead the pages' readers to the plain notebooks in `editions/`, not to the chapters' sources.

A chapter's source holds MyST, which Colab shows raw, and its solutions. So the page's download
is the chapter's edition, and its Colab button opens that: the student edition where
`hide_solutions: true` takes the solutions from the pages, the Colab edition otherwise.
"""

import shutil
from pathlib import Path

SOURCES = "notebooks/"  # the chapters' folder, as a page's name begins


def folder(app) -> str:
    """Return the folder of the editions to which these pages lead, under the root."""
    return f"editions/{'student' if app.config.hide_solutions else 'colab'}/"


def lead_to_edition(app, pagename, templatename, context, doctree):
    """Replace the chapter's source by its edition in the addresses of the launch buttons."""
    for group in context.get("header_buttons", ()):
        if group.get("label") == "launch-buttons":
            for button in group["buttons"]:
                button["url"] = button["url"].replace(f"/{SOURCES}", f"/{folder(app)}")


def replace_downloads(app, exception):
    """Put the editions in the place of the sources that Sphinx has copied for download."""
    if exception or app.builder.format != "html":
        return
    for copy in Path(app.outdir, "_sources", SOURCES).glob("*.ipynb"):
        shutil.copyfile(Path(app.srcdir, folder(app), copy.name), copy)


def setup(app):
    app.connect("html-page-context", lead_to_edition, priority=502)  # the theme's buttons are 501
    app.connect("build-finished", replace_downloads)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
