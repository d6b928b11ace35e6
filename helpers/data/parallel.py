"""English texts with their translations, of two kinds: interface messages and everyday sentences.

The messages, a ``datasets.DatasetDict`` with fixed splits, come from the interface of Home
Assistant, software that joins the devices of a house. Each of its components, most of them for one
brand of devices, has a file of messages for each language, and a message has the same key in all
of them. The sentences are for learners of Chinese.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from datasets import Dataset, DatasetDict

from helpers.data import assets, cleaning

__all__ = [
    "LANGUAGES",
    "SIX",
    "hsk_sentences",
    "interface_languages",
    "interface_pairs",
    "placeholders",
]

LANGUAGES = ("zh-Hans", "fr")
SIX = ("en", "fr", "ru", "zh-Hans", "ja", "ko")
ASSET = "interface-pairs"
PLACEHOLDER = re.compile(r"\{[^{}]*\}")
SHARED = 0.5  # of a held-out text's five-word sequences: from here on it is a copy


def placeholders(text: str) -> list[str]:
    """What the software fills in, as ``{name}``, sorted: the same in every language."""
    return sorted(PLACEHOLDER.findall(text))


def interface_pairs(language: str = "zh-Hans") -> DatasetDict:
    """Messages of Home Assistant 2026.11 in English, with their translations.

    Left out are messages of several lines, without a letter outside their placeholders, left as
    they are in English, or with other placeholders than the English one. English texts that
    differ in capitals, punctuation, numbers and names of placeholders alone count as one, which
    is kept once: with its most frequent translation, in the first component that has it.

    A component's messages share its words, its devices and often its translator, so whole
    components are held out: their SHA-256 decides, 10 % of the pairs for test and 5 % for
    validation. Sentences that many components have in slightly other words would stand on both
    sides even so. Validation rows that share half or more of their sequences of five words with a
    training row are left out, and so are test rows that do with a training or validation row.

    What stays, English with Chinese: 20,136 train, 1,152 validation and 2,316 test pairs of 854,
    48 and 82 components. French: 23,111, 1,316 and 2,815 of 894, 60 and 72.

    Hub relatives: ``Helsinki-NLP/opus-100`` (``en-zh``, ``en-fr``) holds such messages of other
    software beside film subtitles and much else.
    Licence: Apache-2.0.
    Home Assistant, https://github.com/home-assistant/core.

    Args:
        language: of the translations, one of ``LANGUAGES``.

    Returns:
        Columns ``source`` (str, English), ``target`` (str), ``key`` (str, the message's path in
        its file) and ``component`` (str).

    Raises:
        ValueError: another language.
        AssetError: the corpus is not cached whole and cannot be fetched.
    """
    if language not in LANGUAGES:
        raise ValueError(f"language is {language!r}; expected one of {', '.join(LANGUAGES)}.")
    found: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for source, target, key, component in _messages(Path(assets.path(ASSET)), language):
        found[source, target].append((key, component))
    versions: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for pair in found:
        if same := _usable(*pair):
            versions[same].append(pair)
    rows = []
    for pairs in versions.values():
        # Of what is the same in English: the first text, as most components translate it.
        alike = [pair for pair in pairs if pair[0] == pairs[0][0]]
        best = min(alike, key=lambda pair: (-len(found[pair]), pair[1]))
        rows.append((*best, *found[pairs[0]][0]))
    return _split(rows, ("source", "target", "key", "component"))


def interface_languages() -> DatasetDict:
    """Messages of Home Assistant 2026.11 that stand in six languages, side by side.

    A message is left out that any of the five translations lacks or leaves as it is, and for the
    reasons that ``interface_pairs`` names. Of English texts that differ in capitals, punctuation,
    numbers and names of placeholders alone the first is kept. Components are held out and copies
    left out as there: 15,356 train, 875 validation and 1,786 test messages
    of 731, 60 and 73 components.

    Licence: Apache-2.0.
    Home Assistant, https://github.com/home-assistant/core.

    Returns:
        Columns ``en``, ``fr``, ``ru``, ``zh-Hans``, ``ja`` and ``ko`` (str), ``key`` (str, the
        message's path in its file) and ``component`` (str).

    Raises:
        AssetError: the corpus is not cached whole and cannot be fetched.
    """
    rows = {}
    for file in sorted(Path(assets.path("interface-languages")).glob("*/translations/en.json")):
        files = [file.with_name(f"{language}.json") for language in SIX]
        if not all(each.exists() for each in files):
            continue
        tables = [_flat(json.loads(each.read_text("utf-8"))) for each in files]
        for key in tables[0]:
            texts = [table.get(key, "").strip() for table in tables]
            same = {_usable(texts[0], text) for text in texts[1:]}
            if "" not in same:
                rows.setdefault(same.pop(), (*texts, key, file.parts[-3]))
    return _split([*rows.values()], (*SIX, "key", "component"))


def hsk_sentences() -> Dataset:
    """Everyday sentences in English and Chinese, for learners, in the first six levels of HSK 3.0.

    A test of what a translator makes of another kind of text, so there is no split. Of the file's
    4,354 rows those are left out whose translation is a placeholder, such as "placeholder-p3", and
    those whose English or Chinese an earlier row has: 4,230 stay. The file's project calls
    sentences and translations its own; it doesn't say who wrote them, or with what help.

    Licence: CC BY-SA 4.0.
    https://github.com/no7z/hsk-sentences-audio.

    Returns:
        Columns ``source`` (str, English), ``target`` (str, simplified Chinese) and ``level`` (int,
        1 to 6).

    Raises:
        AssetError: the sentences are not cached and cannot be fetched.
    """
    file = Path(assets.path("hsk-sentences"), "sentences.json")
    seen: set[str] = set()
    rows = []
    for entry in json.loads(file.read_text("utf-8")):
        source, target = entry["translation"]["en"].strip(), entry["chinese"].strip()
        if not source.startswith("placeholder") and not {source, target} & seen:
            rows.append({"source": source, "target": target, "level": entry["hsk_level"]})
        seen |= {source, target}
    return Dataset.from_list(rows)


def _messages(folder: Path, language: str) -> Iterator[tuple[str, str, str, str]]:
    """Source, target, key and component of each message that both languages have."""
    for file in sorted(folder.glob(f"*/translations/{language}.json")):
        english = _flat(json.loads(file.with_name("en.json").read_text("utf-8")))
        other = _flat(json.loads(file.read_text("utf-8")))
        for key, text in english.items():
            if key in other:
                yield text.strip(), other[key].strip(), key, file.parts[-3]


def _flat(tree: dict, path: str = "") -> dict[str, str]:
    flat = {}
    for name, value in tree.items():
        flat |= _flat(value, f"{path}{name}/") if isinstance(value, dict) else {path + name: value}
    return flat


def _usable(source: str, target: str) -> str:
    """What has to differ for two sources to differ, or an empty string for an unusable pair."""
    plain = PLACEHOLDER.sub("", source)
    broken = "\n" in source + target or not target or source == target or set("{}") & set(plain)
    if broken or placeholders(source) != placeholders(target):
        return ""
    if not any(letter.isalpha() for letter in plain):
        return ""
    return " ".join(_words(source))


def _words(text: str) -> tuple[str, ...]:
    return cleaning.words(re.sub(r"\d+", "0", PLACEHOLDER.sub(" 0 ", text)))


def _split(rows: list[tuple[str, ...]], columns: tuple[str, ...]) -> DatasetDict:
    """Rows that begin with the English text and end with the component."""
    sources, components = [row[0] for row in rows], [row[-1] for row in rows]
    chosen = cleaning.split_rows(sources, [0] * len(rows), components, validation=0.05, test=0.1)
    seen: set[tuple[str, ...]] = set()
    splits = {}
    for name in ("train", "validation", "test"):
        kept = [rows[i] for i in chosen[name] if name == "train" or not _copied(rows[i][0], seen)]
        for source, *_ in kept:
            seen |= _shingles(source)
        values = zip(columns, zip(*kept, strict=True), strict=True)
        splits[name] = Dataset.from_dict({column: list(value) for column, value in values})
    return DatasetDict(splits)


def _shingles(text: str) -> set[tuple[str, ...]]:
    row, n = _words(text), cleaning.SHINGLE
    return {row[i : i + n] for i in range(max(1, len(row) - n + 1))}


def _copied(text: str, seen: set[tuple[str, ...]]) -> bool:
    shingles = _shingles(text)
    return len(shingles & seen) >= SHARED * len(shingles)
