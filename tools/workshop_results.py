"""Collect a workshop's results: which exercises were solved, by whom, and what went wrong most.

    python -m tools.workshop_results FOLDER [--csv room.csv]

In the teacher's folder of a workshop it is called collect.py. It needs nothing but Python, and
reads every participant's JSON file (helpers.teaching.results) in FOLDER and below.
"""

import argparse
import csv
import json
import re
import sys
from collections import Counter
from pathlib import Path

FORMAT = 1
MOST = 10  # slips that are shown


def number_of(exercise: str) -> tuple:
    """What sorts "11.2" before "11.10", and other names behind numbers."""
    parts = re.findall(r"\d+", exercise)
    return ([int(part) for part in parts] or [10**6], exercise)


def checked(content: object) -> dict:
    """A file's content, if it is a participant's.

    Raises:
        ValueError: it isn't, or is of a later format; the message says which.
    """
    if not isinstance(content, dict) or not isinstance(content.get("exercises"), dict):
        raise ValueError("no file of results")
    if content.get("format") != FORMAT:
        raise ValueError(f"format {content.get('format')!r}, where {FORMAT} is known")
    for exercise, kept in content["exercises"].items():
        try:
            numbers = kept["tries"] + kept["hints"] + sum(kept["slips"].values())
            fits = isinstance(kept["right"], bool) and isinstance(numbers, int)
        except (KeyError, TypeError, AttributeError):
            fits = False
        if not fits:
            raise ValueError(f"the entry of exercise {exercise} isn't whole")
    return content


def read(folder: Path) -> tuple[list[dict], list[str]]:
    """The participants' contents, and a sentence for each file that was left out.

    Of two files of one participant the one with more answers counts. Participants without a name
    get a number; equal names are told apart.

    Raises:
        ValueError: there is no such folder, or no file of results in it.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder: name the one with the participants' files.")
    people, left_out = {}, []
    for file in sorted(folder.rglob("*.json")):
        if file.name.startswith("."):  # what a Mac leaves on a stick
            continue
        try:
            content = checked(json.loads(file.read_text("utf-8")))
        except (OSError, ValueError) as error:
            left_out.append(f"{file} was left out: {error}.")
            continue
        mark = str(content.get("id") or file)
        if mark in people:
            left_out.append(f"{file} is a second file of one participant; the fuller one counts.")
        people[mark] = max(people.get(mark, content), content, key=answers)
    if not people:
        reasons = "".join(f"\n  {sentence}" for sentence in left_out)
        raise ValueError(f"{folder} holds no participant's file (results/*.json).{reasons}")
    return _named(list(people.values())), left_out


def answers(content: dict) -> int:
    """How many answers a participant gave."""
    return sum(kept["tries"] for kept in content["exercises"].values())


def _named(people: list[dict]) -> list[dict]:
    seen, named = Counter(), []
    for number, content in enumerate(people, start=1):
        name = " ".join(str(content.get("name") or "").split()) or f"participant {number}"
        seen[name] += 1
        more = f" ({seen[name]})" if seen[name] > 1 else ""
        named.append(content | {"name": name + more})
    return sorted(named, key=lambda content: content["name"].casefold())


def entry(kept: dict | None) -> str:
    """One cell of the table: "" not reached, "-" not answered, "yes 2" right at the second try."""
    if kept is None:
        return ""
    if not kept["tries"]:
        return "-"
    return f"{'yes' if kept['right'] else 'no'} {kept['tries']}"


def table(people: list[dict]) -> list[list[str]]:
    """Participants by exercises, with a head and two last rows: shares right, hints a person."""
    exercises = sorted({e for person in people for e in person["exercises"]}, key=number_of)
    rows = [["", *exercises, "right"]]
    for person in people:
        kept = [person["exercises"].get(exercise) for exercise in exercises]
        right = sum(bool(k and k["right"]) for k in kept)
        rows.append([person["name"], *map(entry, kept), f"{right}/{len(exercises)}"])
    shares, hints = ["share right"], ["hints a person"]
    for exercise in exercises:
        kept = [p["exercises"][exercise] for p in people if exercise in p["exercises"]]
        shares.append(f"{100 * sum(k['right'] for k in kept) / len(people):.0f} %")
        hints.append(f"{sum(k['hints'] for k in kept) / len(people):.1f}")
    return [*rows, [*shares, ""], [*hints, ""]]


def slips(people: list[dict]) -> list[tuple[int, int, str, str]]:
    """(participants, times, exercise, what was said) of each slip, the most frequent first."""
    who, times = Counter(), Counter()
    for person in people:
        for exercise, kept in person["exercises"].items():
            for said, count in kept["slips"].items():
                who[exercise, said] += 1
                times[exercise, said] += count
    order = sorted(who, key=lambda key: (-who[key], -times[key], number_of(key[0])))
    return [(who[key], times[key], *key) for key in order]


def aligned(rows: list[list[str]]) -> str:
    """Rows as text in columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


def report(people: list[dict]) -> str:
    """The table and the slips as text."""
    parts = [
        f"{len(people)} participants. yes 2: right at the second answer; no 3: not yet after",
        "three; -: not answered; empty: the check did not run.",
        "",
        aligned(table(people)),
        "",
    ]
    found = slips(people)
    if not found:
        return "\n".join([*parts, "No usual slip came up."])
    parts.append("The slips that came up most (participants, times):")
    parts += [
        f"  {who:>3} {times:>3}  {exercise}: {said}" for who, times, exercise, said in found[:MOST]
    ]
    return "\n".join(parts)


def main(arguments: list[str] | None = None) -> int:
    """Print the report; return 0, or 1 with a message if there is nothing to collect."""
    parser = argparse.ArgumentParser(description="Collect the participants' files of results.")
    parser.add_argument("folder", type=Path, help="with the participants' JSON files")
    parser.add_argument("--csv", type=Path, help="write the table here, too")
    chosen = parser.parse_args(arguments)
    try:
        people, left_out = read(chosen.folder)
        if chosen.csv:
            with chosen.csv.open("w", encoding="utf-8-sig", newline="") as file:  # Excel's UTF-8
                csv.writer(file).writerows(table(people))
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    for sentence in left_out:
        print(sentence, file=sys.stderr)
    sys.stdout.reconfigure(errors="replace")  # a Windows console may not know a name's letters
    print(report(people))
    return 0


if __name__ == "__main__":
    sys.exit(main())
