"""Files of the reader's own, checked line by line: texts in CSV or JSON, tagged words in CoNLL.

`datasets.load_dataset("csv", data_files=…)` reads tables too, and far larger ones. It takes the
texts "None" and "NA" for missing ones, fills a line that is too short, and says of no error in
which line it stands.
"""

import csv
import difflib
import io
import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from datasets import ClassLabel, Dataset, Features, List, Value

from helpers.data.tagging import SCHEMES, Scheme, to_iob2

Files = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

TAG = re.compile(r"O|[A-Z]-.+")
LINE_END = re.compile(r"\r\n|\n|\r")  # and no others, as `splitlines` has them


def read_texts(
    files: Files,
    *,
    text: str = "text",
    label: str | None = "label",
    labels: Sequence[str] | None = None,
    keep: Sequence[str] = (),
    encoding: str = "utf-8",
    delimiter: str = "",
) -> Dataset:
    """Texts and their classes from CSV (a header line first) or JSON (an object a line).

    Args:
        files: one or several, `.csv`, `.tsv`, `.json` or `.jsonl`. A `.json` may hold one list.
        text, label: what the columns are called; no label for texts to predict only.
        labels: the names of all classes, in the order that the model is to have. Say them for a
            test file, so that it has those of the training file. By default those found, sorted.
        keep: other columns, such as the author's, to group by.
        encoding: UTF-8 with or without a byte order mark; "cp1252" is Western European Windows.
        delimiter: between columns of a CSV; by default a comma, or a tab in a `.tsv`. Where Excel
            writes decimal commas, ";".

    Returns:
        Columns `text` (str), `label` (ClassLabel), `source` (str, file and line) and those of
        `keep` (str), a row for each line, in order. `clean` drops what is of no use.

    Raises:
        ValueError: a column is missing, or its name stands twice; the file is empty or isn't in
            this encoding; a line has more or fewer columns than the header, a list where one value
            is expected, a label that isn't among `labels`, or none; or, without `labels`, one that
            stands in no other line. The message names file and line.
    """
    wanted = [text, *([label] if label else []), *keep]
    rows = []
    for file in _paths(files):
        n_before = len(rows)
        for where, found in _table(file, decode(file, encoding), delimiter):
            missing = [name for name in wanted if name not in found]
            if missing:
                raise ValueError(
                    f"{where}: there is no column {missing[0]!r}, only {', '.join(found)}. Name "
                    "yours as text=…, label=…; if they stand in one, say delimiter=';' or '\\t'."
                )
            rows.append((where, {name: _value(found[name], name, where) for name in wanted}))
        if len(rows) == n_before:
            raise ValueError(f"{file} holds no rows. Give a file with some, or leave it out.")
    columns = {"text": [row[text] for _, row in rows], "source": [where for where, _ in rows]}
    columns |= {name: [row[name] for _, row in rows] for name in keep}
    features = Features(dict.fromkeys(columns, Value("string")))
    if label:
        found = [row[label].strip() for _, row in rows]
        pairs = [*zip(columns["source"], found, strict=True)]
        features["label"] = ClassLabel(names=_classes(pairs, labels, "label", "labels"))
        columns["label"] = features["label"].str2int(found)
    return Dataset.from_dict(columns, features=features)


def read_conll(
    files: Files,
    *,
    types: Sequence[str] | None = None,
    token: int = 0,
    tag: int = -1,
    scheme: Scheme = "IOB2",
    encoding: str = "utf-8",
) -> Dataset:
    """Sentences from CoNLL files: a word and its tag a line, an empty line after each sentence.

    Columns stand apart by tabs or by spaces, with as many in each line. Lines that begin with
    "#" and end with no tag are comments. "-DOCSTART-" begins a document; without it each sentence
    is a document of its own.

    Args:
        files: one or several; documents are counted through all of them.
        types: of entities, in the order that their tags are to have. By default those found,
            sorted.
        token, tag: their columns, counted from 0, or from the end: -1 is the last one.
        scheme: of the files; all become IOB2, where an entity begins with B- and goes on with I-.
        encoding: as in `read_texts`.

    Returns:
        Columns `tokens` (list of str), `ner_tags` (list of ClassLabel: O, B-X and I-X of each
        type), `document` (int, from 0) and `source` (str, file and line of the first word).

    Raises:
        ValueError: the file is empty or isn't in this encoding; a line has another number of
            columns; a tag isn't of the scheme or among `types`; or, without `types`, a type stands
            only once. The message names file and line.
    """
    if scheme not in SCHEMES:
        raise ValueError(f"scheme is {scheme!r}; expected one of {', '.join(SCHEMES)}.")
    sentences = list(_sentences(_paths(files), token, tag, encoding))
    for sentence in sentences:
        sentence["tags"] = to_iob2(sentence["tags"], scheme, sentence["lines"])
    pairs = [
        (line, name[2:])
        for sentence in sentences
        for line, name in zip(sentence["lines"], sentence["tags"], strict=True)
        if name.startswith("B-")
    ]
    found = _classes(pairs, types, "type of entity", "types")
    tag_names = ClassLabel(names=["O", *(f"{prefix}-{name}" for name in found for prefix in "BI")])
    columns = {
        "tokens": [sentence["tokens"] for sentence in sentences],
        "ner_tags": [tag_names.str2int(sentence["tags"]) for sentence in sentences],
        "document": [sentence["document"] for sentence in sentences],
        "source": [sentence["lines"][0] for sentence in sentences],
    }
    features = Features(
        tokens=List(Value("string")),
        ner_tags=List(tag_names),
        document=Value("int32"),
        source=Value("string"),
    )
    return Dataset.from_dict(columns, features=features)


def decode(file: Path, encoding: str = "utf-8") -> str:
    """The text of a file, without a byte order mark.

    Raises:
        ValueError: the file isn't in this encoding, or there is no such encoding.
    """
    raw = file.read_bytes()
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"  # which begins with such a mark
    try:
        return raw.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{file}, line {line}: byte 0x{raw[error.start]:02x} is not {encoding}. Save the file "
            "as UTF-8, or name its encoding: encoding='cp1252' if Excel on Windows wrote it."
        ) from error
    except LookupError as error:
        raise ValueError(
            f"{file}: Python knows no encoding {encoding!r}. Try 'utf-8', 'cp1252' or 'utf-16'."
        ) from error


def _paths(files: Files) -> list[Path]:
    paths = [Path(file) for file in ([files] if isinstance(files, str | os.PathLike) else files)]
    if not paths:
        raise ValueError("No file is named: the list of files is empty. Is a pattern wrong?")
    return paths


def _value(value: Any, name: str, where: str) -> str:
    """JSON's value as a CSV would have it: true, 5, nothing for null and NaN."""
    if isinstance(value, str):
        return value
    if isinstance(value, list | dict):
        raise ValueError(
            f"{where}: {name!r} holds {json.dumps(value, ensure_ascii=False)[:40]}, expected one "
            "text or number. Write one such row for each value, or join them."
        )
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return json.dumps(value)


def _table(file: Path, content: str, delimiter: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(file and line, columns) of each row."""
    if file.suffix in (".csv", ".tsv"):
        return _csv_rows(file, content, delimiter or ("\t" if file.suffix == ".tsv" else ","))
    if file.suffix in (".json", ".jsonl"):
        return _json_rows(file, content)
    raise ValueError(f"{file} is no .csv, .tsv, .json or .jsonl. Rename it if it is one of them.")


def _csv_rows(file: Path, content: str, delimiter: str) -> Iterator[tuple[str, dict[str, Any]]]:
    csv.field_size_limit(2**31 - 1)  # a text may be longer than 131,072 characters
    # Strict: a quotation mark that is never closed is an error, not one text of many lines.
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
    header: list[str] = []
    while True:
        where = f"{file}, line {reader.line_num + 1}"
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise ValueError(
                f"{where}: {error}. A text with a quotation mark in it is put in quotation marks, "
                'and each one inside is doubled: "He said ""no""."'
            ) from error
        if row is None:
            return
        if not row:
            continue
        if not header:
            header = [name.strip() for name in row]
            if repeated := [name for name, n in Counter(header).items() if n > 1]:
                raise ValueError(f"{where}: two columns are called {repeated[0]!r}; rename one.")
            continue
        if len(row) != len(header):
            raise ValueError(
                f"{where}: {len(row)} columns where the header has {len(header)}. Put a text that "
                f"holds {delimiter!r} in quotation marks, or say delimiter=… if it is another."
            )
        yield where, dict(zip(header, row, strict=True))


def _json_rows(file: Path, content: str) -> Iterator[tuple[str, dict[str, Any]]]:
    as_list = content.lstrip().startswith("[")
    for number, piece in enumerate([content] if as_list else LINE_END.split(content), start=1):
        if not piece.strip():
            continue
        try:
            found = json.loads(piece)
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{file}, line {number + error.lineno - 1}: no JSON ({error.msg}). Expected an "
                'object a line, such as {"text": "…", "label": "…"}.'
            ) from error
        for i, row in enumerate(found if as_list else [found]):
            where = f"{file}, " + (f"item {i}" if as_list else f"line {number}")
            if not isinstance(row, dict):
                raise ValueError(f"{where}: {str(row)[:40]!r} is no object with named values.")
            yield where, row


def _classes(
    found: Sequence[tuple[str, str]], given: Sequence[str] | None, what: str, option: str
) -> list[str]:
    """The names of the classes; refuses one that isn't given, or that may be a slip of the pen."""
    counts = Counter(name for _, name in found)
    by_number = all(name.isdecimal() for name in counts)
    names = list(given) if given is not None else sorted(counts, key=int if by_number else str)
    for where, name in found:
        if not name:
            raise ValueError(f"{where}: there is no {what}. Fill it in, or leave the line out.")
        if name in names and (given is not None or counts[name] > 1):
            continue
        near = difflib.get_close_matches(name, [n for n in names if n != name], n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        if given is not None:
            raise ValueError(
                f"{where}: the {what} {name!r} is none of {', '.join(names)}.{hint} Correct it, or "
                f"add it to {option}."
            )
        raise ValueError(
            f"{where}: the {what} {name!r} stands nowhere else, so it can't be learned and then "
            f"tested.{hint} Correct it, leave it out, or, if it is meant, name all: {option}=[…]."
        )
    return names


def _sentences(files: list[Path], token: int, tag: int, encoding: str) -> Iterator[dict[str, Any]]:
    document, marked = -1, False
    for file in files:
        n_columns: int | None = None
        tokens: list[str] = []
        tags: list[str] = []
        lines: list[str] = []
        for number, line in enumerate([*LINE_END.split(decode(file, encoding)), ""], start=1):
            where = f"{file}, line {number}"
            row = line.split("\t") if "\t" in line else re.split(" +", line.strip(" "))
            starts = row[0] == "-DOCSTART-"
            if starts or not line.strip():
                if tokens:
                    document += not marked
                    yield {"tokens": tokens, "tags": tags, "lines": lines, "document": document}
                    tokens, tags, lines = [], [], []
                document, marked = document + starts, marked or starts
            elif line.startswith("#") and not TAG.fullmatch(row[-1].strip()):
                continue
            else:
                n_columns = n_columns or len(row)
                _check_columns(row, n_columns, token, tag, where)
                tokens.append(row[token].strip())
                tags.append(row[tag].strip())
                lines.append(where)
        if n_columns is None:
            raise ValueError(f"{file} holds no sentence. Give a file with some, or leave it out.")
        marked = False


def _check_columns(row: list[str], n_columns: int, token: int, tag: int, where: str) -> None:
    if len(row) != n_columns or len(row) < 2:
        raise ValueError(
            f"{where}: {len(row)} columns where the first line has {n_columns}; expected a word, "
            "its tag and perhaps others, apart by tabs or spaces. Is a space inside the word?"
        )
    for name, place in (("token", token), ("tag", tag)):
        if not -n_columns <= place < n_columns or not row[place].strip():
            raise ValueError(
                f"{where}: there is no {name} in column {place}; the line has {n_columns}. Say "
                f"{name}=… with the right one."
            )
