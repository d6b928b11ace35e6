"""Give each chapter the number that its file has, so that the first one may be 0.

Sphinx counts the numbered pages from 1. The chapters are called by their files, `00-` to `24-`, in
the text, in the plain notebooks and on the command line, so the pages follow: the heading, its
sections, and through them the figures, formulas and exercises.
"""

import functools
import re

from docutils import nodes
from sphinx_external_toc.collectors import TocTreeCollectorWithStyles


def number_of(page: str) -> int | None:
    """The chapter's number in a page's name, "notebooks/11-text-classification"."""
    found = re.search(r"(?:^|/)(\d\d)-[^/]*$", page)
    return int(found[1]) if found else None


def numbered_by_file(assign):
    """Sphinx's numbering of sections, with the chapters' numbers after it."""

    @functools.wraps(assign)
    def assign_section_numbers(collector, env):
        before = env.toc_secnumbers
        assign(collector, env)
        for page, sections in env.toc_secnumbers.items():
            chapter = number_of(page)
            if chapter is None:
                continue
            for anchor, number in sections.items():
                if number:
                    sections[anchor] = (chapter, *number[1:])
            shown = [env.titles[page], *env.tocs[page].findall(nodes.reference)]
            for node in shown:
                if node.get("secnumber"):
                    node["secnumber"] = [chapter, *node["secnumber"][1:]]
        # The pages to write again; what `assign` returns compares with numbers from 1.
        return [page for page, found in env.toc_secnumbers.items() if found != before.get(page)]

    return assign_section_numbers


def setup(app):
    # Wrapped, since the numbers of the figures are counted right behind, in the same collector.
    assign = TocTreeCollectorWithStyles.assign_section_numbers
    TocTreeCollectorWithStyles.assign_section_numbers = numbered_by_file(assign)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
