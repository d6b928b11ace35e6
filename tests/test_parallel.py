"""The translated messages: exact counts, placeholders kept, no message on both sides of a split."""

import json
from itertools import combinations

import pytest

from helpers.data import parallel
from helpers.data.parallel import SIX, interface_languages, interface_pairs, placeholders


@pytest.fixture(scope="module")
def chinese():
    return interface_pairs("zh-Hans")


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Writes components' messages, and stands in for the asset."""
    monkeypatch.setattr(parallel.assets, "path", lambda name: str(tmp_path))

    def write(components):
        for name, languages in components.items():
            for language, messages in languages.items():
                file = tmp_path / name / "translations" / f"{language}.json"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(json.dumps(messages, ensure_ascii=False), "utf-8")

    return write


def components(english, french, n=30):
    """`n` components with one message of their own each, and one with these."""
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]
    found = {
        f"c{i}": {
            "en": {"title": f"{words[i % 10]} {words[i // 10]} own"},
            "fr": {"title": f"propre {i}"},
        }
        for i in range(n)
    }
    return found | {"this": {"en": english, "fr": french}}


def all_rows(splits):
    return [row for split in splits.values() for row in split]


def test_counts(chinese):
    sizes = {name: len(split) for name, split in chinese.items()}
    assert sizes == {"train": 20_136, "validation": 1_152, "test": 2_316}
    groups = {name: len(set(split["component"])) for name, split in chinese.items()}
    assert groups == {"train": 854, "validation": 48, "test": 82}


def test_no_component_and_no_message_in_two_splits(chinese):
    for left, right in combinations(chinese.values(), 2):
        assert not set(left["component"]) & set(right["component"])
        assert not set(map(parallel._words, left["source"])) & set(
            map(parallel._words, right["source"])
        )


def test_no_message_twice_and_placeholders_survive(chinese):
    rows = all_rows(chinese)
    assert len({parallel._words(row["source"]) for row in rows}) == len(rows)
    assert all(placeholders(row["source"]) == placeholders(row["target"]) for row in rows)
    assert sum("{" in row["source"] for row in rows) > 1_500


def test_the_same_rows_again(chinese):
    again = interface_pairs("zh-Hans")
    assert all(again[name].to_dict() == split.to_dict() for name, split in chinese.items())


def test_a_message_is_found_by_its_path(files):
    files(components({"a": {"b": "Open {door}"}}, {"a": {"b": "Ouvrir {door}"}}))
    (row,) = [r for r in all_rows(interface_pairs("fr")) if r["component"] == "this"]
    assert row == {
        "source": "Open {door}",
        "target": "Ouvrir {door}",
        "key": "a/b",
        "component": "this",
    }


@pytest.mark.parametrize(
    ("english", "french"),
    [
        ("Open {door}", "Ouvrir {porte}"),  # another placeholder
        ("Open {door}", "Ouvrir"),  # a lost one
        ("Open", "Open"),  # not translated
        ("Open", ""),  # nothing
        ("{door} 2", "{door} deux"),  # no letter of its own
        ("One\ntwo", "Un\ndeux"),  # several lines
        ("{n, plural, one {door}}", "{n, plural, one {porte}}"),  # a choice inside
    ],
)
def test_what_is_no_pair_is_left_out(files, english, french):
    files(components({"k": english}, {"k": french}))
    assert all(row["component"] != "this" for row in all_rows(interface_pairs("fr")))


def test_numbers_and_names_of_placeholders_make_no_other_message(files):
    english = {"a": "Zone {x} limit 1", "b": "Zone {y} limit 2", "c": "zone {z} limit 33!"}
    files(components(english, {k: v.replace("Zone", "Secteur") for k, v in english.items()}))
    (row,) = [r for r in all_rows(interface_pairs("fr")) if r["component"] == "this"]
    assert row["source"] == "Zone {x} limit 1"


def test_the_translation_of_most_components_is_kept(files):
    several = components({"k": "Open"}, {"k": "Ouvrez"})
    for i, translation in enumerate(["Ouvrir", "Ouvrir"]):
        several[f"z{i}"] = {"en": {"k": "Open"}, "fr": {"k": translation}}
    files(several)
    (row,) = [r for r in all_rows(interface_pairs("fr")) if r["source"] == "Open"]
    assert row["target"] == "Ouvrir"


def test_a_sentence_that_training_has_in_other_words_is_not_held_out():
    rows = [
        ("The host name or address of your {brand} gateway.", "x", "k", f"c{i}") for i in range(1)
    ]
    seen = parallel._shingles(rows[0][0])
    assert parallel._copied("The host name or address of your lamp.", seen)
    assert not parallel._copied("The password of your gateway was refused by the host.", seen)


def test_another_language_is_refused():
    with pytest.raises(ValueError, match=r"'de'.*zh-Hans, fr"):
        interface_pairs("de")


# Six languages side by side


def test_six_languages_have_no_message_twice_and_no_component_in_two_splits():
    six = interface_languages()
    sizes = {name: (len(split), len(set(split["component"]))) for name, split in six.items()}
    assert sizes == {"train": (15_356, 731), "validation": (875, 60), "test": (1_786, 73)}
    assert len({parallel._words(row["en"]) for row in all_rows(six)}) == sum(map(len, six.values()))
    for left, right in combinations(six.values(), 2):
        assert not set(left["component"]) & set(right["component"])
    for row in six["test"]:
        assert len({tuple(placeholders(row[language])) for language in SIX}) == 1


@pytest.mark.parametrize(
    ("changed", "kept"), [({}, True), ({"ja": None}, False), ({"ko": "own 0"}, False)]
)
def test_a_message_needs_all_six_languages(files, changed, kept):
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]
    found = {}
    for i in range(30):
        english = f"{words[i % 10]} {words[i // 10]} own"
        found[f"c{i}"] = {la: {"t": english if la == "en" else f"{la} {i}"} for la in SIX}
    this = {la: {"k": f"{la} 0" if la != "en" else "own 0"} for la in SIX}
    for language, text in changed.items():
        this[language] = {"k": text} if text else {"other": "x"}
    files(found | {"this": this})
    rows = [row for row in all_rows(interface_languages()) if row["component"] == "this"]
    assert len(rows) == kept
    if kept:
        assert (rows[0]["en"], rows[0]["zh-Hans"], rows[0]["key"]) == ("own 0", "zh-Hans 0", "k")


# Everyday sentences


def test_hsk_sentences_have_no_text_twice_and_no_placeholder():
    rows = parallel.hsk_sentences()
    assert rows.column_names == ["source", "target", "level"]
    assert len(rows) == len(set(rows["source"])) == len(set(rows["target"])) == 4_230
    assert set(rows["level"]) == set(range(1, 7))
    assert not any(source.startswith("placeholder") for source in rows["source"])
    assert (rows[0]["source"], rows[0]["target"]) == ("Hello, teacher!", "老师，您好！")
