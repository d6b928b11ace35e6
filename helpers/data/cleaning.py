"""Rows that must not be learned from, and rows that must not stand in two splits.

`clean` drops texts that are empty, repeated or labelled in two ways, and reports each. `split`
cuts what is left into train, validation and test. The book's own corpora use the same functions.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import regex
from datasets import Dataset, DatasetDict

SHINGLE = 5  # words in a row that make one piece of evidence for a copied passage
CHARACTER_SHINGLE = 10  # the same in characters, for text without spaces
WORD = regex.compile(r"[\p{L}\p{N}_][\p{L}\p{N}\p{M}_]*")  # with the vowel signs of Hindi or Thai
BETWEEN = regex.compile(r"[\s\p{P}\p{C}]+")
# Scripts that put no spaces between words.
UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"


def words(text: str) -> tuple[str, ...]:
    """Lower-cased words without punctuation: what has to differ for two texts to differ."""
    return tuple(WORD.findall(text.lower()))


def characters(text: str) -> str:
    """The characters of a text's words: units for a language written without spaces."""
    return "".join(words(text))


def near_copies(
    texts: Sequence[str],
    units: Callable[[str], Sequence[Hashable]] = words,
    *,
    shingle: int = SHINGLE,
    share: float = 0.25,
) -> dict[int, int]:
    """Which texts repeat a longer one: the greedy form of Broder's containment.

    From the longest text to the shortest, a text is dropped if one that is kept holds at least
    `share` of its sequences of `shingle` units (Broder 1997, On the Resemblance and Containment
    of Documents). A text shorter than one sequence counts as one.

    Returns:
        The index of each text to drop, with that of the kept one that holds most of it.
    """
    holders: dict[Sequence[Hashable], tuple[int, ...]] = {}  # shingle -> kept texts that hold it
    copies: dict[int, int] = {}
    for i in sorted(range(len(texts)), key=lambda i: (-len(texts[i]), texts[i])):
        row = units(texts[i])
        shingles = {row[j : j + shingle] for j in range(max(1, len(row) - shingle + 1))}
        shared = Counter(k for piece in shingles & holders.keys() for k in holders[piece])
        holder, n = max(shared.items(), key=lambda pair: pair[1], default=(i, 0))
        if n and n >= share * len(shingles):
            copies[i] = holder
            continue
        for piece in shingles:
            holders[piece] = (*holders.get(piece, ()), i)
    return copies


@dataclass(frozen=True)
class Report:
    """What `clean` dropped; print it, or look at all rows with `pandas.DataFrame(report.dropped)`.

    Attributes:
        n_read: rows that were given.
        dropped: for each row that was dropped its `source`, the `reason`, what it is a copy `of`
            or is at odds with ("" for an empty text), and its `text`.
    """

    n_read: int
    dropped: list[dict[str, str]]

    def __str__(self) -> str:
        lines = [f"{self.n_read:,} rows read, {self.n_read - len(self.dropped):,} kept"]
        for reason, count in Counter(row["reason"] for row in self.dropped).most_common():
            row = next(row for row in self.dropped if row["reason"] == reason)
            of = f", as {row['of']}" if row["of"] else ""
            lines.append(f"{count:7,} {reason}: {row['source']}{of}: {row['text'][:60]!r}")
        return "\n".join(lines)


def clean(rows: Dataset, *, share: float = 0.8) -> tuple[Dataset, Report]:
    """Leave out what would teach nothing or show the test set in training.

    - empty: nothing but spaces and punctuation;
    - conflicting labels: the same text, but for punctuation and capitals, with two labels; none
      of them is kept;
    - duplicate: the same text with the same label; the first one is kept;
    - near-duplicate: `share` or more of its sequences of five words, or of ten characters where
      most of the letters are of a script without spaces, stand in a longer text that is kept.

    Clean before you split, and where the files hold train and test apart, join them with
    `datasets.concatenate_datasets` first: most copies that matter stand one here and one there.

    Args:
        rows: as `read_texts` or `read_conll` gives them: `text` and perhaps `label`, or `tokens`
            and `ner_tags`.
        share: lower it for long texts; the book's news uses 0.25. Above 1, near-duplicates stay.

    Returns:
        The rows that are kept, in their order, and the report.

    Raises:
        ValueError: there is no such column, or a row has no label.
    """
    texts = _texts(rows)
    labels = [str(label) for label in _labels(rows)]
    reasons = _reasons(texts, labels, share)
    sources = list(rows["source"] if "source" in rows.column_names else map(str, range(len(rows))))
    dropped = [
        {"source": sources[i], "reason": why, "of": "" if of is None else sources[of]}
        | {"text": texts[i]}
        for i, (why, of) in sorted(reasons.items())
    ]
    kept = rows.select([i for i in range(len(rows)) if i not in reasons])
    return kept, Report(len(rows), dropped)


def _reasons(
    texts: list[str], labels: list[str], share: float
) -> dict[int, tuple[str, int | None]]:
    """Why a row is dropped, and the other row that makes it so."""
    keys = [" ".join(BETWEEN.sub(" ", text.lower()).split()) for text in texts]
    labels_of: dict[str, dict[str, int]] = defaultdict(dict)  # text -> label -> its first row
    for i, key in enumerate(keys):
        labels_of[key].setdefault(labels[i], i)
    reasons: dict[int, tuple[str, int | None]] = {}
    for i, key in enumerate(keys):
        others = [row for label, row in labels_of[key].items() if label != labels[i]]
        if not key:
            reasons[i] = "empty", None
        elif others:
            reasons[i] = "conflicting labels", others[0]
        elif labels_of[key][labels[i]] != i:
            reasons[i] = "duplicate", labels_of[key][labels[i]]
    left = [i for i in range(len(texts)) if i not in reasons]
    copies = _near_copies_in_any_script([keys[i] for i in left], share)
    for copy, of in ((left[copy], left[of]) for copy, of in copies.items()):
        same = labels[copy] == labels[of]
        reasons[copy] = "near-duplicate" + ("" if same else " with another label"), of
    return reasons


def _near_copies_in_any_script(texts: list[str], share: float) -> dict[int, int]:
    everything = "".join(texts)
    n_letters = sum(map(len, WORD.findall(everything)))
    if 2 * len(regex.findall(f"[{UNSPACED}]", everything)) > n_letters:
        return near_copies(texts, characters, shingle=CHARACTER_SHINGLE, share=share)
    return near_copies(texts, lambda text: tuple(text.split()), share=share)


def _texts(rows: Dataset) -> list[str]:
    if "text" in rows.column_names:
        return [text or "" for text in rows["text"]]  # None for an empty cell
    if "tokens" in rows.column_names:
        return [" ".join(tokens) for tokens in rows["tokens"]]
    raise ValueError(
        f"The rows have the columns {', '.join(rows.column_names)}; expected 'text' or 'tokens'. "
        "Rename yours: rows.rename_column('message', 'text')."
    )


def _labels(rows: Dataset) -> list:
    """Each row's label or tags, or where the rows have neither an empty string.

    Raises:
        ValueError: a row has none, and others have; the message says which.
    """
    column = next((name for name in ("label", "ner_tags") if name in rows.column_names), None)
    labels = list(rows[column]) if column else [""] * len(rows)
    if None in labels:
        raise ValueError(
            f"Row {labels.index(None)} has no label. Fill it in, or leave the row out: "
            f"rows.filter(lambda row: row[{column!r}] is not None)."
        )
    return labels


def split(
    rows: Dataset,
    *,
    seed: int,
    group: str | None = None,
    validation: float = 0.1,
    test: float = 0.2,
) -> DatasetDict:
    """Cut rows into train, validation and test, with the same shares of each class.

    The seed and a text's own words decide where it goes: neither the rows' order nor the version
    of a random generator plays a part, and no text stands in two splits. Each split is shuffled.

    Args:
        rows: with `text` or `tokens`, and perhaps `label`, which is then stratified.
        seed: another number gives another split.
        group: a column whose equal values stay together, such as the author, the customer or the
            `document`: what is typical of one must not be learned and then tested. The shares are
            met as nearly as the groups allow.
        validation, test: their shares of the rows; validation 0 for none.

    Raises:
        ValueError: there is no such column, a row has no label, the shares leave nothing for
            training, or the rows of a class are too few, or in too few groups, to be in all three.
    """
    if group is not None and group not in rows.column_names:
        raise ValueError(
            f"There is no column {group!r}; the rows have {', '.join(rows.column_names)}. Name it "
            f"when you read the file: keep=[{group!r}]."
        )
    if not len(rows) or min(validation, test) < 0 or validation + test >= 1:
        raise ValueError(
            f"{len(rows)} rows can't be cut into {validation:g} for validation, {test:g} for test "
            "and a rest for training. Give shares from 0 on, less than 1 together, and some rows."
        )
    labels = _labels(rows) if "label" in rows.column_names else [0] * len(rows)
    groups = list(rows[group]) if group else None
    texts = _texts(rows)
    chosen = split_rows(texts, labels, groups, seed=seed, validation=validation, test=test)
    if not validation:
        del chosen["validation"]
    for name, places in chosen.items():
        places.sort(key=lambda i: _digest(f"{texts[i]} shuffled {seed}"))
        for label in sorted(set(labels) - {labels[i] for i in places}):
            _refuse_split(rows, label, labels, groups, name)
    return DatasetDict({name: rows.select(places) for name, places in chosen.items()})


def _refuse_split(rows: Dataset, label: int, labels: list, groups: list | None, name: str) -> None:
    of = [i for i in range(len(rows)) if labels[i] == label]
    feature = rows.features.get("label")
    what = f"label {feature.names[label]!r}" if hasattr(feature, "names") else "data"
    where = f", such as {rows['source'][of[0]]}," if "source" in rows.column_names else ""
    within = f" in {len({groups[i] for i in of})} groups" if groups else ""
    raise ValueError(
        f"The {what} has {len(of)} rows{where}{within}: too few for {name} beside the other "
        "splits. Add more of it, give it the name of a class that is near, or leave it out."
    )


def split_rows(
    texts: Sequence[str],
    labels: Sequence[Hashable],
    groups: Sequence[Hashable] | None = None,
    *,
    seed: int = 0,
    validation: float = 0.1,
    test: float = 0.2,
) -> dict[str, list[int]]:
    """The row numbers of train, validation and test; `split` says by which rule.

    Within each class the groups, or else the texts, are ordered by their SHA-256; the first ones
    are the test set. A group is of the class that most of its rows have. Rows keep that order,
    which isn't random: a part begins and ends short of the classes whose share ends elsewhere.
    Draw rows from it, or `split`, which shuffles, instead of taking the first ones.
    """
    salt = f" {seed}" if seed else ""  # 0 is the split that the book's corpora have

    def digest(key: str) -> bytes:
        return _digest(f"{key}{salt}")

    keys = [" ".join(words(text)) or text for text in texts]
    members: dict[Hashable, list[int]] = defaultdict(list)
    for i, name in enumerate(keys if groups is None else groups):
        members[name].append(i)
    strata: dict[Hashable, list[Hashable]] = defaultdict(list)
    for name, rows in members.items():
        strata[Counter(labels[i] for i in rows).most_common(1)[0][0]].append(name)

    chosen: dict[str, list[int]] = {"train": [], "validation": [], "test": []}
    for names in strata.values():
        names.sort(key=lambda name: digest(str(name)))
        for part, rows in _deal([members[name] for name in names], validation, test).items():
            chosen[part] += rows
    return {part: sorted(rows, key=lambda i: digest(keys[i])) for part, rows in chosen.items()}


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _deal(groups: list[list[int]], validation: float, test: float) -> dict[str, list[int]]:
    """The first groups to the test set until it has its share, then to validation; the rest."""
    n = sum(map(len, groups))
    room = {"test": round(test * n), "validation": round(validation * n)}
    dealt: dict[str, list[list[int]]] = {"test": [], "validation": [], "train": []}
    for rows in groups:
        # Half of a group more than the share is nearer to it than half a group less.
        part = next((part for part in room if len(rows) / 2 < room[part]), "train")
        dealt[part].append(rows)
        if part in room:
            room[part] -= len(rows)
    for part, share in (("test", test), ("validation", validation)):
        if share and not dealt[part] and len(dealt["train"]) > 1:
            dealt[part].append(min(dealt["train"], key=len))
            dealt["train"].remove(dealt[part][0])
    return {part: [i for rows in parts for i in rows] for part, parts in dealt.items()}
