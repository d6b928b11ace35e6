"""Dependency trees: CoNLL-U is read as its words, and PetroGold divided by documents."""

import pytest

from helpers.data import trees

NA = """# sent_id = 7-X_0-1
# text = Está na rocha.
1\tEstá\testar\tVERB\t_\t_\t0\troot\t_\t_
2-3\tna\t_\t_\t_\t_\t_\t_\t_\t_
2\tem\tem\tADP\t_\t_\t4\tcase\t_\t_
3\ta\to\tDET\t_\t_\t4\tdet\t_\t_
4\trocha\trocha\tNOUN\t_\t_\t1\tobl:arg\t_\t_
4.1\tvazia\t_\t_\t_\t_\t_\t_\t_\t_
5\t.\t.\tPUNCT\t_\t_\t1\tpunct\t_\t_
"""


def test_words_and_not_tokens_are_read():
    (row,) = trees.read_conllu(NA.splitlines(keepends=True))
    assert row["id"] == "7-X_0-1"
    assert row["words"] == ["Está", "em", "a", "rocha", "."]
    assert row["heads"] == [0, 4, 4, 1, 1]
    assert row["relations"][3] == "obl:arg"


def test_two_sentences_are_divided_by_an_empty_line():
    assert len(list(trees.read_conllu((NA + "\n" + NA).splitlines()))) == 2


@pytest.mark.parametrize("heads", ["0 1 1 0 1", "0 3 2 1 1", "2 1 4 1 1", "0 9 4 1 1"])
def test_heads_that_are_no_tree_are_refused(heads):
    lines, given = [], iter(heads.split())
    for line in NA.splitlines():
        columns = line.split("\t")
        if columns[0].isdigit():
            columns[6] = next(given)
        lines.append("\t".join(columns))
    with pytest.raises(ValueError, match=r"'7-X_0-1' .*no tree with one root"):
        list(trees.read_conllu(lines, "mine.conllu"))


def test_a_line_without_ten_columns_is_named():
    with pytest.raises(ValueError, match=r"Line 3 of mine\.conllu has 4 columns"):
        list(trees.read_conllu(["# a", "# b", "1\tEstá\testar\tVERB"], "mine.conllu"))


def test_petrogold_is_divided_by_documents():
    data = trees.petrogold()
    assert {part: len(rows) for part, rows in data.items()} == {
        "train": 6806,
        "validation": 441,
        "test": 1880,
    }
    documents = [set(rows["document"]) for rows in data.values()]
    assert sum(map(len, documents)) == len(set.union(*documents)) == 19
    words = sum(len(words) for rows in data.values() for words in rows["words"])
    assert words == 253_640
    assert not any(":" in r for row in data["test"] for r in row["relations"])
