"""The Chinese words of the glossary, and a search that finds them and both spellings.

An entry of `book/glossary.md` begins with the term, other names of it, and its Chinese words.
Behind a Chinese word stands the glossary that has it, or † for none:

    attention
    注意力 : A
      A weighted mean …

The pages say to the browser which words are Chinese, and show the †. A search for one leads to its
entry. It also knows that British and American endings are the same: tokeniser, tokenizer. And it
shows what it finds in the order of `search.js`.
"""

import re

from docutils import nodes
from sphinx import addnodes
from sphinx.search.en import SearchEnglish
from sphinx.transforms import SphinxTransform

NOWHERE = "†"  # in no glossary
CHINESE = "中文"
HAN = re.compile(r"[\u4e00-\u9fff]{3,}")
# Without words as short as size and prize.
AMERICAN = r"^(.{3,}[iy])z(e[drs]?|ers|ing|ations?|able)$"


class ChineseTerms(SphinxTransform):
    """Mark the Chinese words of an entry; the index and the search lead to the entry's first line.

    Sphinx takes what stands behind the colon as the letter under which the index lists the word.
    """

    default_priority = 800  # behind the quotation marks, 750, and before the index is read, 850

    def apply(self, **kwargs):
        for glossary in self.document.findall(addnodes.glossary):
            for entry in glossary.findall(nodes.definition_list_item):
                first, *others = [node for node in entry if isinstance(node, nodes.term)]
                for term in others:
                    self.mark(term, first["ids"][0])

    def mark(self, term, entry):
        (index,) = term.findall(addnodes.index)
        ((kind, word, _, main, source),) = index["entries"]
        index["entries"] = [(kind, word, entry, main, source and CHINESE)]
        if source:
            term["classes"].append("language-zh-Hans")  # becomes lang="zh-Hans"
        if source == NOWHERE:
            term += nodes.superscript("", NOWHERE)


class SearchWords(SearchEnglish):
    """English with British endings, and Chinese words with their pairs of characters.

    The browser looks for parts of a word from three characters on; most Chinese words have two.
    """

    def split(self, text):
        words = super().split(text)
        pairs = (
            run[start : start + 2]
            for word in words
            for run in HAN.findall(word)
            for start in range(len(run) - 1)
        )
        return [*words, *pairs]

    def stem(self, word):
        return super().stem(re.sub(AMERICAN, r"\1s\2", word.lower()))

    js_stemmer_code = (
        SearchEnglish.js_stemmer_code
        + """
Stemmer = (English => function () {
  const english = new English();
  this.stemWord = word => english.stemWord(word.replace(/AMERICAN/, "$1s$2"));
})(Stemmer);
""".replace("AMERICAN", AMERICAN)
    )


def list_index(app, doctree):
    """Put the index at the end of the contents, where `_toc.yml` may name files alone."""
    toctrees = list(doctree.findall(addnodes.toctree))
    if app.env.docname == app.config.root_doc and toctrees:
        toctrees[-1]["entries"].append(("Index", "genindex"))


def order_results(app, pagename, templatename, context, doctree):
    """Load what orders the results, on the page that shows them."""
    if pagename == "search":
        app.add_js_file("search.js", loading_method="defer")


def setup(app):
    app.add_transform(ChineseTerms)
    app.connect("doctree-read", list_index, priority=400)  # before the contents are read, 500
    app.connect("html-page-context", order_results)
    app.add_search_language(SearchWords)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
