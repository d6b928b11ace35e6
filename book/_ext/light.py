"""Send a reader what a page needs, and no more.

- MathJax, on the pages that have formulas. Where a preview needs it, `previews.js` loads it.
- The index of the search, on the page that searches: the theme has all pages load it, for results
  while one types, which are off.
- Of Font Awesome's 2000 icons those that the pages name, as fonts inside the style sheet. The
  theme loads each icon twice, as a font and in a script that draws over it.
"""

import base64
import io
import json
import re
import shutil
from pathlib import Path

from fontTools import subset

FORMULA = re.compile(r'class="(?:[^"]* )?(?:math|output_area)[ "]')  # what MathJax looks into
CONFIG = "window.MathJax = "

SEARCH = re.compile(
    r'\s*<script src="[^"]*(?:_static/searchtools|_static/language_data|searchindex)\.js[^"]*">'
    r"</script>"
)
ICON_SCRIPT = re.compile(
    r'(?:\s*<!-- So that users can add custom icons -->)?\s*<script [^>]*src="[^"]*/fontawesome\.js'
    r'[^"]*"></script>'
)
ICON = re.compile(r"\bfa-[a-z0-9-]+")
# As the style sheet says it: the pictures' names, their letter, and the files of the fonts.
RULE = re.compile(r'((?:\.fa-[\w-]+:before,?)+)\{content:"(\\[0-9a-f]+|.)"\}')
FONT = re.compile(r"src:url\(\.\./(vendor/fontawesome/[\w/.-]+\.woff2)\)[^;}]*")
STYLE = Path("styles", "pydata-sphinx-theme.css")


def leave_mathjax(app, pagename, templatename, context, doctree):
    """Drop MathJax from a page without formulas, and leave its options to the previews."""
    if FORMULA.search(context.get("body", "")):
        return
    for script in list(context["script_files"]):
        body = script.attributes.get("body") or ""
        if body.startswith(CONFIG) or app.config.mathjax_path in str(script.filename or ""):
            context["script_files"].remove(script)
    options = json.dumps(app.config.mathjax3_config or {})
    app.add_js_file(None, body=f"window.laterMathJax = {options}")


def lighter(page: str, name: str) -> str:
    """A page without the scripts that do nothing on it."""
    page = ICON_SCRIPT.sub("", page)
    return page if name == "search" else SEARCH.sub("", page)


def lighten_what_is_rendered(app):
    """Have the templates' output changed, where the theme writes its scripts by itself."""
    if app.builder.format != "html":
        return
    render = app.builder.templates.render

    def render_lighter(template, context):
        return lighter(render(template, context), context.get("pagename", ""))

    app.builder.templates.render = render_lighter


def letter(text: str) -> int:
    """The number of the letter that a style sheet writes as itself or as \\f071."""
    return int(text[1:], 16) if text.startswith("\\") else ord(text)


def letters_in(style: str) -> set[int]:
    """The letters of a style sheet that are icons: those of private use."""
    escaped = {int(number, 16) for number in re.findall(r"\\([ef][0-9a-f]{3})\b", style)}
    return escaped | {ord(char) for char in style if "\ue000" <= char <= "\uf8ff"}


def font_of(letters: set[int], path: Path) -> str:
    """The address of a font with these letters of another, the font itself."""
    options = subset.Options(flavor="woff2", layout_features=[], drop_tables=["GSUB", "GPOS"])
    font = subset.load_font(path, options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=letters)
    subsetter.subset(font)
    file = io.BytesIO()
    subset.save_font(font, file, options)
    return f"data:font/woff2;base64,{base64.b64encode(file.getvalue()).decode()}"


def style_with_icons(style: str, names: set[str], letters: set[int], folder: Path) -> str:
    """The theme's style sheet with these icons of its own, and with their fonts in it.

    `letters` are icons that other style sheets use.
    """
    letters = letters | letters_in(RULE.sub("", style))

    def kept(rule):
        if names.isdisjoint(re.findall(r"\.(fa-[\w-]+):", rule[1])):
            return ""
        letters.add(letter(rule[2]))
        return rule[0]

    style = RULE.sub(kept, style)
    return FONT.sub(
        lambda font: f'src:url({font_of(letters, folder / font[1])}) format("woff2")', style
    )


def keep_icons_in_use(app, exception):
    if exception or app.builder.format != "html":
        return
    static = Path(app.outdir, "_static")
    # The theme's own file: that of the pages may have lost icons in the build before.
    theme = next(
        Path(folder, "static")
        for folder in app.builder.theme.get_theme_dirs()
        if Path(folder, "static", STYLE).is_file()
    )
    shutil.rmtree(static / "vendor" / "fontawesome", ignore_errors=True)
    for path in static.glob("scripts/fontawesome.js*"):
        path.unlink()
    names, letters = set(), set()
    for path in Path(app.outdir).rglob("*.html"):
        names.update(ICON.findall(path.read_text("utf-8")))
    for path in (*static.glob("*.js"), *static.glob("scripts/*.js")):
        names.update(ICON.findall(path.read_text("utf-8")))
    for path in static.rglob("*.css"):
        if path != static / STYLE:
            letters |= letters_in(path.read_text("utf-8"))
    style = style_with_icons((theme / STYLE).read_text("utf-8"), names, letters, theme)
    (static / STYLE).write_text(style, "utf-8")


def setup(app):
    app.connect("html-page-context", leave_mathjax, priority=900)
    app.connect("builder-inited", lighten_what_is_rendered, priority=900)
    app.connect("build-finished", keep_icons_in_use)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
