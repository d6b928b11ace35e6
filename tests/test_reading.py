"""Files of the reader's own: what is read, and where a file is not what it should be."""

import json
import re
from pathlib import Path

import pytest

from helpers.data import corpora
from helpers.data.tagging import to_iob2


@pytest.fixture
def write(tmp_path):
    """A function that writes a file and returns its path."""

    def write(name, content, encoding="utf-8"):
        (tmp_path / name).write_bytes(content.encode(encoding))
        return tmp_path / name

    return write


def refused(read, file, *parts, **options):
    """Each part is in the one message of the ValueError."""
    with pytest.raises(ValueError) as caught:
        read(file, **options)
    assert all(part in str(caught.value) for part in parts), str(caught.value)


# Texts

TABLE = 'text,label\n"Größe, falsch",Retoure\nNone,Frage\n007,Frage\n"zwei\nZeilen",Retoure\n'
TEXTS = ["Größe, falsch", "None", "007", "zwei\nZeilen"]


@pytest.mark.parametrize(
    ("content", "encoding", "options"),
    [
        (TABLE, "utf-8", {}),
        ("\ufeff" + TABLE.replace("\n", "\r\n").replace("zwei\r\n", "zwei\n"), "utf-8", {}),
        (TABLE, "utf-16", {}),
        (TABLE, "cp1252", {"encoding": "cp1252"}),
    ],
)
def test_a_csv_in_any_encoding_with_texts_as_they_stand(write, content, encoding, options):
    file = write("tickets.csv", content, encoding)
    rows = corpora.read_texts(file, **options)
    assert list(rows["text"]) == TEXTS  # "None" and "007" are texts
    assert rows.features["label"].names == ["Frage", "Retoure"]
    assert list(rows["label"]) == [1, 0, 0, 1]
    assert list(rows["source"]) == [f"{file}, line {n}" for n in (2, 3, 4, 5)]


def test_columns_of_other_names_and_those_to_keep(write):
    one = write("a.tsv", "who\tmessage\tqueue\n7\thelp\t10\n8\tme\t2\n")
    two = write("b.csv", "queue;message;who\n10;please;7\n\n2;now;9\n")
    rows = corpora.read_texts(one, text="message", label="queue", labels=["10", "2"], keep=["who"])
    assert list(rows["who"]) == ["7", "8"]
    assert list(rows["label"]) == [0, 1]
    assert rows.features["label"].names == ["10", "2"]
    rows = corpora.read_texts(
        [two], text="message", label="queue", delimiter=";", labels=["10", "2"]
    )
    assert list(rows["text"]) == ["please", "now"]
    rows = corpora.read_texts(two, text="message", label=None, delimiter=";")
    assert rows.column_names == ["text", "source"]


@pytest.mark.parametrize("name", ["t.json", "t.jsonl"])
def test_json_lines_and_a_list_give_the_same(write, name):
    objects = [{"text": "a\u2028b", "label": True}, {"text": None, "label": True, "x": [1]}]
    lines = "\r\n".join(json.dumps(o, ensure_ascii=False) for o in objects) + "\r\n\r\n"
    for content in (lines, json.dumps(objects)):
        rows = corpora.read_texts(write(name, content))
        assert list(rows["text"]) == ["a\u2028b", ""]
        assert rows.features["label"].names == ["true"]


def test_numbers_as_labels_are_in_the_order_of_numbers(write):
    file = write("stars.csv", "text,label\n" + "".join(f"t,{n}\n" for n in (10, 2, 10, 2, 1, 1)))
    assert corpora.read_texts(file).features["label"].names == ["1", "2", "10"]


def test_a_text_may_be_long(write):
    file = write("t.csv", f"text,label\n{'a' * 200_000},x\nb,x\n")
    assert len(corpora.read_texts(file)["text"][0]) == 200_000


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("t.csv", "text;label\nGrüße;a\n", ["t.csv, line 2", "'text'", "text;label", "delimiter"]),
        ("t.csv", "text,label\nok,a\nno\n", ["t.csv, line 3", "1 columns", "has 2", "quotation"]),
        ("t.csv", "text,label\nok,a\nno,no,a\n", ["t.csv, line 3", "3 columns", "has 2"]),
        ("t.csv", 'text,label\nok,a\nno,"a\nok,a\n', ["t.csv, line 3", "put in quotation marks"]),
        (
            "t.csv",
            "text,label\nok,a\nno, \nok,a\n",
            ["t.csv, line 3", "no label", "leave the line out"],
        ),
        ("t.csv", "text,label\nx,Sport\ny,Sport\nz,Sprot\n", ["line 4", "'Sprot'", "'Sport'"]),
        ("t.jsonl", '{"text": "a", "label": "x"}\n{"text": "b"}\n', ["line 2", "'label'", "text"]),
        ("t.jsonl", '{"text": "a", "label": "x"}\n{"text": "b"\n', ["t.jsonl, line 2", "no JSON"]),
        ("t.jsonl", '"a"\n', ["t.jsonl, line 1", "no object"]),
        ("t.jsonl", '{"text": ["a", "b"], "label": "x"}\n', ["line 1", "'text'", "one text"]),
        ("t.jsonl", '{"text": "a", "label": NaN}\n' * 2, ["line 1", "no label"]),
        ("t.csv", "text,text,label\na,b,x\nc,d,x\n", ["line 1", "two columns", "'text'"]),
        ("t.csv", "text,label\n", ["t.csv", "no rows"]),
        ("t.json", "[]", ["t.json", "no rows"]),
        ("t.xlsx", "", ["t.xlsx", ".csv"]),
    ],
)
def test_a_broken_table_is_named_with_its_line(write, name, content, parts):
    refused(corpora.read_texts, write(name, content), *parts)


@pytest.mark.parametrize("read", [corpora.read_texts, corpora.read_conll])
def test_no_file_at_all(read):
    refused(read, [], "No file")


def test_a_label_that_is_not_among_those_named(write):
    file = write("test.csv", "text,label\nx,Sprot\n")
    refused(corpora.read_texts, file, "line 2", "'Sprot'", "'Sport'", labels=["Sport", "Food"])


@pytest.mark.parametrize("read", [corpora.read_texts, corpora.read_conll])
def test_an_encoding_is_named_with_the_line_and_never_guessed(write, read):
    file = write("t.csv", "text,label\nok,a\nGrüße,a\n", "cp1252")
    refused(read, file, "t.csv, line 3", "0xfc", "utf-8", "cp1252")
    refused(read, file, "utf9", "cp1252", encoding="utf9")


# Tagged words

GERMAN = """# id = 1
1\tAnna\tB-PERSON\tO
2\tMüller\tI-PERSON\tO
3\twohnt\tO\tO
4\t#\tO\tO
#\thttp://example.org [2009-10-30]

1\tNew York\tB-ORT\tO

1\tin\tO\tO
2\tKöln\tB-ORT\tO
1\tAnna\tB-PERSON\tO"""


@pytest.mark.parametrize("end", ["", "\n", "\n\n"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_german_file_with_tags_of_its_own(write, end, line_end, mark):
    file = write("de.conll", mark + (GERMAN + end).replace("\n", line_end))
    rows = corpora.read_conll(file, token=1, tag=2)
    names = rows.features["ner_tags"].feature.names
    assert names == ["O", "B-ORT", "I-ORT", "B-PERSON", "I-PERSON"]
    assert list(rows["tokens"]) == [
        ["Anna", "Müller", "wohnt", "#"],
        ["New York"],
        ["in", "Köln", "Anna"],
    ]
    assert list(rows["ner_tags"]) == [[3, 4, 0, 0], [1], [0, 1, 3]]
    assert list(rows["document"]) == [0, 1, 2]
    assert rows["source"][1] == f"{file}, line 8"


def test_documents_columns_by_spaces_and_types_in_a_given_order(write):
    one = write(
        "a.txt",
        "-DOCSTART- -X- O\n\nJo NN  B-PER\n# NN O\n  \nran VB O\n-DOCSTART- -X- O\n\nUN NN B-ORG\n",
    )
    two = write("b.txt", "-DOCSTART- -X- O\n\nUN NN B-ORG\u00a0\n")
    rows = corpora.read_conll([one, two], types=["PER", "ORG"])
    assert list(rows["document"]) == [0, 0, 1, 2]
    assert rows.features["ner_tags"].feature.names[1] == "B-PER"
    assert rows["tokens"][0] == ["Jo", "#"]


@pytest.mark.parametrize(
    ("scheme", "tags"),
    [
        ("IOB1", "O I-X I-X B-X I-Y O I-X"),
        ("BIOES", "O B-X E-X S-X S-Y O S-X"),
        ("BILOU", "O B-X L-X U-X U-Y O U-X"),
        ("IOB2", "O B-X I-X B-X B-Y O B-X"),
    ],
)
def test_other_schemes_become_iob2(write, scheme, tags):
    assert to_iob2(tags.split(), scheme, [""] * 7) == ["O", "B-X", "I-X", "B-X", "B-Y", "O", "B-X"]
    file = write("t.txt", "".join(f"w {tag}\n" for tag in tags.split()))
    assert corpora.read_conll(file, types="XY", scheme=scheme)["ner_tags"][0] == [
        0,
        1,
        2,
        1,
        3,
        0,
        1,
    ]


@pytest.mark.parametrize(
    ("content", "parts", "options"),
    [
        ("a O\nb I-X\n", ["line 2", "'I-X'", "'O'", "IOB1"], {}),
        ("a B-Y\nb I-X\n", ["line 2", "'I-X'", "'B-Y'", "IOB1"], {}),
        ("a B-X\n\nb I-X\n", ["line 3", "'I-X'", "'O'", "IOB1"], {}),
        ("a S-X\n", ["line 1", "'S-X'", "BIOES"], {}),
        ("a B-\n", ["line 1", "'B-'"], {}),
        ("a x O\nb O\n", ["line 2", "2 columns", "has 3"], {}),
        ("word\n", ["line 1", "1 columns", "tag"], {}),
        ("a\tO\n\tO\n", ["line 2", "no token"], {}),
        ("a O\n", ["line 1", "no tag", "column 3"], {"tag": 3}),
        ("a B-PER\nb B-PERS\nc B-PER\n", ["line 2", "'PERS'", "'PER'"], {}),
        ("a B-PERS\n", ["line 1", "'PERS'", "'PER'"], {"types": ["PER", "LOC"]}),
        ("a O\n", ["IOB3", "BIOES"], {"scheme": "IOB3"}),
        ("\n\n", ["t.txt", "no sentence"], {}),
    ],
)
def test_a_broken_conll_file_is_named_with_its_line(write, content, parts, options):
    refused(corpora.read_conll, write("t.txt", content), *parts, **options)


def test_the_page_on_data_runs(write, monkeypatch, tmp_path, capsys):
    customers = [
        f"{i},{text} {i},{queue}" for i in range(30) for text, queue in (("a", "x"), ("b", "y"))
    ]
    write("tickets.csv", "customer,message,queue\n" + "\n".join(customers))
    write("tagged.conll", "".join(f"-DOCSTART- O\n\nJo{i} I-PER\nran O\n\n" for i in range(30)))
    page = (Path(__file__).parent.parent / "book" / "data-and-licences.md").read_text("utf-8")
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in re.findall(
        r"```python\n(.*?)```", page.partition("## Files of your own")[2], re.DOTALL
    ):
        if "model" not in block:
            exec(block, names)
    assert "60 rows read" in capsys.readouterr().out
    assert set(names["data"]) == {"train", "validation", "test"}
