"""A participant's file of results, and what a teacher makes of many."""

import csv
import json
import subprocess
import sys

import pytest

from helpers.teaching import results
from tools import workshop_results


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch):
    monkeypatch.setattr(results, "_chosen", {"path": None, "name": ""})
    monkeypatch.setattr(results, "_said", {})
    monkeypatch.delenv(results.VARIABLE, raising=False)


def kept(file):
    return json.loads(file.read_text("utf-8"))


# --- Keeping


def test_nothing_is_kept_unless_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    results.keep("11.1", "Right.", True)
    assert not list(tmp_path.iterdir())
    monkeypatch.setenv(results.VARIABLE, str(tmp_path / "asked.json"))
    results.record(None)
    results.keep("11.1", "Right.", True)
    assert not list(tmp_path.iterdir())
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("way", ["record", "variable"])
def test_tries_hints_and_slips_are_counted_until_it_is_right(tmp_path, monkeypatch, way):
    file = tmp_path / "new folder" / "ada.json"
    if way == "record":
        results.record(file, name="Ada")
    else:
        monkeypatch.setenv(results.VARIABLE, str(file))
    results.keep("11.1", "Not answered yet.", None)
    results.keep("11.1", "Not yet: a", False, hint="a", slip="a")
    results.keep("11.1", "Not yet: a", False, hint="a", slip="a")  # the cell run again
    results.keep("11.1", "Not yet: b", False, hint="b")
    results.keep("11.1", "Right.", True)
    results.keep("11.1", "Not yet: c", False, hint="c", slip="c")  # played with afterwards
    results.keep("11.2", "Not answered yet.", None)
    content = kept(file)
    assert content["exercises"] == {
        "11.1": {"right": True, "tries": 3, "hints": 2, "slips": {"a": 1}},
        "11.2": {"right": False, "tries": 0, "hints": 0, "slips": {}},
    }
    assert content["name"] == ("Ada" if way == "record" else "")
    assert set(content) == {"format", "id", "name", "exercises"}
    assert workshop_results.checked(content)


def test_another_notebook_goes_on_with_the_file(tmp_path):
    results.record(tmp_path / "a.json", name="Ada")
    results.keep("11.1", "Right.", True)
    mark = kept(tmp_path / "a.json")["id"]
    results.record(tmp_path / "a.json")
    results.keep("13.1", "Right.", True)
    content = kept(tmp_path / "a.json")
    assert (content["id"], content["name"]) == (mark, "Ada")
    assert set(content["exercises"]) == {"11.1", "13.1"}


def test_a_check_without_a_number_is_not_kept(tmp_path):
    results.record(tmp_path / "a.json")
    results.keep("", "Right.", True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 9, "exercises": {}}', '{"format": 1}'])
def test_a_file_of_another_kind_is_left_as_it_is(tmp_path, capsys, content):
    file = tmp_path / "a.json"
    file.write_text(content)
    results.record(file)
    results.keep("11.1", "Right.", True)
    assert file.read_text() == content
    said = capsys.readouterr().out
    assert "could not be kept" in said
    assert "move it away" in said


def test_a_disk_that_can_not_be_written_breaks_no_check(tmp_path, monkeypatch, capsys):
    def refuse(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(results.disk, "write_file", refuse)
    results.record(tmp_path / "a.json")
    results.keep("11.1", "Right.", True)
    said = capsys.readouterr().out
    assert "Read-only file system" in said
    assert "The check itself counts." in said
    (tmp_path / "file").write_text("")
    results.record(tmp_path / "file" / "a.json")  # a file where a folder should be
    results.keep("11.1", "Right.", True)
    assert "could not be kept" in capsys.readouterr().out


# --- Collecting


def entry(right, tries, hints=0, **slips):
    return {"right": right, "tries": tries, "hints": hints, "slips": slips}


def write(folder, file, name, exercises, mark=None):
    content = {"format": 1, "id": mark or file, "name": name, "exercises": exercises}
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), "utf-8")


@pytest.fixture
def room(tmp_path):
    write(
        tmp_path,
        "a.json",
        "Ada",
        {"3.2": entry(True, 1), "3.10": entry(False, 3, 2, sign=2, log=1)},
    )
    write(
        tmp_path, "sub/b.json", "Zoë", {"3.2": entry(False, 1, 1, sign=1), "3.10": entry(False, 0)}
    )
    write(tmp_path, "c.json", "", {"3.2": entry(True, 2, 1, log=1)})
    (tmp_path / "._c.json").write_text("a Mac's")
    return tmp_path


def test_the_table_has_participants_and_shares(room):
    people, left_out = workshop_results.read(room)
    assert left_out == []
    assert workshop_results.table(people) == [
        ["", "3.2", "3.10", "right"],
        ["Ada", "yes 1", "no 3", "1/2"],
        ["participant 2", "yes 2", "", "1/2"],
        ["Zoë", "no 1", "-", "0/2"],
        ["share right", "67 %", "0 %", ""],
        ["hints a person", "0.7", "0.7", ""],
    ]


def test_the_slips_of_most_participants_come_first(room):
    people, _ = workshop_results.read(room)
    assert workshop_results.slips(people) == [
        (1, 2, "3.10", "sign"),
        (1, 1, "3.2", "log"),
        (1, 1, "3.2", "sign"),
        (1, 1, "3.10", "log"),
    ]


def test_the_command_prints_and_writes_a_spreadsheet(room, capsys):
    assert workshop_results.main([str(room), "--csv", str(room / "room.csv")]) == 0
    said = capsys.readouterr().out
    assert said.startswith("3 participants.")
    assert "share right     67 %   0 %" in said
    assert "1   2  3.10: sign" in said
    with (room / "room.csv").open(encoding="utf-8-sig", newline="") as file:
        assert [row[0] for row in csv.reader(file)][:2] == ["", "Ada"]


def test_what_is_no_result_is_named_and_left_out(room, capsys):
    (room / "broken.json").write_text("{")
    (room / "other.json").write_text("[1]")
    (room / "later.json").write_text('{"format": 2, "exercises": {}}')
    write(room, "half.json", "Half", {"3.2": {"right": True}})
    write(room, "again.json", "Ada", {"3.2": entry(True, 9)}, mark="a.json")
    write(room, "twin.json", "Ada", {"3.2": entry(True, 1)})
    assert workshop_results.main([str(room)]) == 0
    out, err = capsys.readouterr()
    for words in ("broken.json", "no file of results", "format 2", "exercise 3.2 isn't whole"):
        assert words in err
    assert "second file of one participant" in err
    assert "yes 9" in out  # the fuller of Ada's two files
    assert "Ada (2)" in out
    assert out.startswith("4 participants.")


def test_nothing_to_collect_is_said(tmp_path, capsys):
    assert workshop_results.main([str(tmp_path)]) == 1
    assert "holds no participant's file" in capsys.readouterr().err
    assert workshop_results.main([str(tmp_path / "absent")]) == 1
    assert "is no folder" in capsys.readouterr().err


def test_a_room_without_slips(tmp_path, capsys):
    write(tmp_path, "a.json", "Ada", {"3.2": entry(True, 1)})
    assert workshop_results.main([str(tmp_path)]) == 0
    assert "No usual slip came up." in capsys.readouterr().out


def test_the_collecting_program_needs_nothing_but_python():
    """It lies alone in the teacher's folder."""
    command = [sys.executable, "-I", "-S", workshop_results.__file__, "--help"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
