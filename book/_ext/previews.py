"""Write the texts that `previews.js` shows: entries of the glossary, formulas of other pages.

They are taken from the finished pages, so they are what the link leads to. They stand in one
script, which the pages load at the first preview. A script and not JSON, since a page that is
opened as a file may load nothing else.
"""

import json
import posixpath
import re
from itertools import takewhile
from pathlib import Path

from bs4 import BeautifulSoup

GLOSSARY = "book/glossary.html"
DATA = Path("_static", "previews-data.js")
LINK_TO_FORMULA = re.compile(r'href="([^"#]+)#(equation-[^"]+)"')  # on another page
FORMULA = r'<div class="math[^"]*" id="{anchor}">\s*(?:<span class="eqno">.*?</span>)?(.*?)</div>'


def inner(element) -> str:
    """The element's content without links, anchors and names, which a preview may not repeat."""
    for link in element.select("a.headerlink"):
        link.decompose()
    for node in element.find_all(True):
        if node.name == "a":
            node.unwrap()
        node.attrs = {key: node[key] for key in ("class", "lang") if node.has_attr(key)}
    return element.decode_contents().strip()


def entries(page: str):
    """Yield the anchor and the content of each entry of the glossary."""
    for definition in BeautifulSoup(page, "html.parser").select("dl.glossary > dd"):
        siblings = takewhile(lambda node: node.name != "dd", definition.previous_siblings)
        first, *others = reversed([node for node in siblings if node.name == "dt"])
        names = [
            f'<span lang="{term["lang"]}">{inner(term)}</span>' if term.get("lang") else inner(term)
            for term in others
        ]
        title = f"<p><strong>{inner(first)}</strong> {' · '.join(names)}</p>"
        yield first["id"], title + inner(definition)


def formulas(texts: dict[str, str]):
    """Yield the page, the anchor and the content of each formula that another page refers to."""
    wanted = {
        (posixpath.normpath(posixpath.join(posixpath.dirname(page), path)), anchor)
        for page, text in texts.items()
        for path, anchor in LINK_TO_FORMULA.findall(text)
    }
    for path, anchor in sorted(wanted):
        found = re.search(FORMULA.format(anchor=re.escape(anchor)), texts.get(path, ""), re.DOTALL)
        if found:
            yield path, anchor, f'<div class="math">{found[1].strip()}</div>'


def write_previews(app, exception):
    if exception or app.builder.format != "html":
        return
    pages = {f"{name}.html": Path(app.outdir, f"{name}.html") for name in app.env.found_docs}
    texts = {name: path.read_text("utf-8") for name, path in pages.items() if path.is_file()}
    previews = {
        f"{GLOSSARY}#{anchor}": text for anchor, text in entries(texts.get(GLOSSARY, ""))
    } | {f"{page}#{anchor}": text for page, anchor, text in formulas(texts)}
    data = json.dumps(previews, ensure_ascii=False, indent=0, sort_keys=True)
    Path(app.outdir, DATA).write_text(f"window.bookPreviews = {data};\n", "utf-8")


def setup(app):
    app.connect("build-finished", write_previews)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
