"""The book's corpora: exact counts, no text in two splits, the same rows on each machine."""

import json
import random
import shutil
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer

from helpers.data import assets, cleaning, corpora, disk


@pytest.fixture(scope="module")
def bbc():
    return corpora.bbc_news()


@pytest.fixture(scope="module")
def movies():
    return corpora.movie_reviews()


@pytest.fixture(scope="module")
def chinese():
    return corpora.chinese_reviews()


@pytest.fixture(scope="module")
def conll():
    return corpora.conll2003()


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder that stands in for any asset."""
    monkeypatch.setattr(corpora.assets, "path", lambda name: str(tmp_path))
    return tmp_path


def class_counts(split):
    names = split.features["label"].names
    counts = Counter(split["label"])
    return {name: counts[i] for i, name in enumerate(names)}


def assert_same(first, again):
    """The same rows in the same order, and the fingerprint under which ``datasets`` caches."""
    for split, dataset in first.items():
        assert dataset.to_dict() == again[split].to_dict()
        assert dataset._fingerprint == again[split]._fingerprint


# BBC News


def test_bbc_counts(bbc):
    names = ["business", "entertainment", "politics", "sport", "tech"]
    expected = {
        "train": [343, 250, 257, 338, 221],
        "validation": [49, 36, 37, 48, 32],
        "test": [98, 71, 73, 96, 63],
    }
    assert list(bbc) == list(expected)
    for split, counts in expected.items():
        assert class_counts(bbc[split]) == dict(zip(names, counts, strict=True))


def test_bbc_has_no_near_duplicates(bbc):
    """By another road than the package's: all pairs at once, as a sparse matrix product."""
    texts = [f"{row['headline']}\n{row['body']}" for split in bbc.values() for row in split]
    vectorizer = CountVectorizer(
        ngram_range=(5, 5), binary=True, token_pattern=r"\w+", dtype=np.int32
    )
    shingles = vectorizer.fit_transform(texts)  # (articles, shingles)
    shared = (shingles @ shingles.T).tocoo()  # (articles, articles)
    sizes = np.diff(shingles.indptr)
    pair = shared.row < shared.col
    # Of two articles the shorter in characters was the one to drop; it has fewer shingles but
    # for rare ties, hence the small margin.
    contained = shared.data[pair] / np.minimum(sizes[shared.row[pair]], sizes[shared.col[pair]])
    assert 0.2 < contained.max() < 0.26
    assert len({text.split("\n")[0].lower() for text in texts}) == len(texts)


def test_bbc_rows_are_text(bbc):
    for split in bbc.values():
        for row in split:
            assert row["headline"] == row["headline"].strip() != ""
            assert "\n" not in row["headline"]
            assert all(line.strip() for line in row["body"].split("\n"))
    columns = [split[name] for split in bbc.values() for name in ("headline", "body")]
    everything = "".join(text for column in columns for text in column)
    assert {c for c in everything if ord(c) > 127} == {"£"}
    assert "a £15.8m signing from Parma" in everything  # the one file in Windows-1252


def test_bbc_reads_what_the_manifest_names_in_any_order(bbc, tmp_path, monkeypatch):
    """Not a file that someone put there, nor the shadow of one that a Mac left."""
    whole = Path(assets.path("bbc-news"))
    manifest = disk.read_manifest(whole)
    names = random.Random(0).sample(list(manifest["files"]), len(manifest["files"]))
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    shuffled = {"files": {name: manifest["files"][name] for name in names}}
    (tmp_path / disk.MANIFEST).write_text(json.dumps(shuffled))
    (tmp_path / "tech" / "zzz.txt").write_text("A planted headline\n\nA planted body\n")
    (tmp_path / "tech" / "._001.txt").write_bytes(b"\x00\x05\x16\x07")
    monkeypatch.setattr(corpora.assets, "path", lambda _: str(tmp_path))
    assert_same(corpora.bbc_news(), bbc)


def test_a_split_is_shuffled(bbc):
    runs = 1 + sum(
        a != b for a, b in zip(bbc["test"]["label"], bbc["test"]["label"][1:], strict=False)
    )
    assert runs > 200  # 401 rows in class order would be 5 runs


# Movie reviews


def test_movie_review_counts(movies):
    expected = {
        "train": [740, 2635, 708, 2637, 702],
        "validation": [106, 376, 101, 377, 100],
        "test": [211, 753, 202, 754, 201],
    }
    names = ["very negative", "negative", "neutral", "positive", "very positive"]
    for split, counts in expected.items():
        assert class_counts(movies[split]) == dict(zip(names, counts, strict=True))


def test_movie_review_labels_are_fifths_of_the_scale(movies):
    for split in movies.values():
        fifths = np.ceil((np.array(split["rating"]) + 4) / 1.6 - 1e-9) - 1
        assert split["label"] == fifths.tolist()


def test_no_movie_review_stands_twice(movies):
    keys = {
        split: {" ".join(cleaning.words(text)) for text in dataset["text"]}
        for split, dataset in movies.items()
    }
    assert all(keys[a].isdisjoint(keys[b]) for a, b in combinations(keys, 2))
    assert sum(map(len, keys.values())) == sum(map(len, movies.values())) == 10_603


def test_the_binary_view_is_the_same_split_without_the_middle(movies):
    binary = corpora.movie_reviews(binary=True)
    expected = {"train": (3375, 3339), "validation": (482, 477), "test": (964, 955)}
    for split, (negative, positive) in expected.items():
        assert class_counts(binary[split]) == {"negative": negative, "positive": positive}
        kept = [row for row in movies[split] if row["label"] != 2]
        assert binary[split]["text"] == [row["text"] for row in kept]
        assert binary[split]["label"] == [int(row["rating"] > 0) for row in kept]


def test_movie_reviews_do_not_depend_on_the_order_of_lines(movies, tmp_path, monkeypatch):
    name = "movieReviewSnippets_GroundTruth.txt"
    raw = (Path(assets.path("movie-reviews")) / name).read_text(encoding="utf-8")
    # Of two equal texts the first one stays, with its rating: leave the others out of this.
    kept = {row["text"]: row["rating"] for split in movies.values() for row in split}
    cells = [line.split("\t") for line in raw.splitlines()]
    lines = ["\t".join(c) for c in cells if kept.get(c[2].strip()) == float(c[1])]
    (tmp_path / name).write_text("\n".join(reversed(lines)), encoding="utf-8")
    monkeypatch.setattr(corpora.assets, "path", lambda _: str(tmp_path))
    assert len(lines) == 10_603
    assert_same(corpora.movie_reviews(), movies)


# Chinese reviews


def test_chinese_review_counts(chinese):
    expected = {"train": (6251, 5710), "validation": (893, 816), "test": (1786, 1632)}
    assert list(chinese) == list(expected)
    for split, (negative, positive) in expected.items():
        assert class_counts(chinese[split]) == {"negative": negative, "positive": positive}
    characters = [c for text in chinese["train"]["text"] for c in text]
    assert sum("\u4e00" <= c <= "\u9fff" for c in characters) > 0.8 * len(characters)


def test_no_chinese_review_stands_twice_or_within_another(chinese):
    """By another road than the package's: all pairs at once, as a sparse matrix product."""
    keys = ["".join(cleaning.words(text)) for split in chinese.values() for text in split["text"]]
    assert len(set(keys)) == len(keys) == 17_088
    vectorizer = CountVectorizer(
        analyzer="char", ngram_range=(10, 10), binary=True, dtype=np.int32, lowercase=False
    )
    shingles = vectorizer.fit_transform([key for key in keys if len(key) >= 10])
    shared = (shingles @ shingles.T).tocoo()  # (reviews, reviews)
    sizes = np.diff(shingles.indptr)
    pair = shared.row < shared.col
    contained = shared.data[pair] / np.minimum(sizes[shared.row[pair]], sizes[shared.col[pair]])
    assert 0.2 < contained.max() < 0.25


def test_chinese_reviews_do_not_depend_on_the_order_of_lines(chinese, tmp_path, monkeypatch):
    folder = Path(assets.path("chinese-reviews"))
    for name in ("neg.txt", "pos.txt"):
        lines = (folder / name).read_text(encoding="utf-8").splitlines()
        random.Random(0).shuffle(lines)
        (tmp_path / name).write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setattr(corpora.assets, "path", lambda _: str(tmp_path))
    assert_same(corpora.chinese_reviews(), chinese)


def test_a_chinese_review_in_both_classes_or_without_words_is_dropped(files):
    both, other = "早餐一般，房间很小。", "这本书很好看，孩子非常喜欢。"
    (files / "neg.txt").write_text(f"{both}\n\n。。。\n{'差' * 12}\n很差很差\n", encoding="utf-8")
    (files / "pos.txt").write_text(f"早餐一般 房间很小\n{other}\n不错不错\n", encoding="utf-8")
    reviews = corpora.chinese_reviews()
    kept = {row["text"]: row["label"] for split in reviews.values() for row in split}
    assert kept == {"差" * 12: 0, "很差很差": 0, other: 1, "不错不错": 1}


# CoNLL-2003


def test_conll_counts(conll):
    """The published numbers (Tjong Kim Sang and De Meulder 2003, tables 1 and 2)."""
    sentences = {"train": 14_041, "validation": 3_250, "test": 3_453}
    documents = {"train": 946, "validation": 216, "test": 231}
    tokens = {"train": 203_621, "validation": 51_362, "test": 46_435}
    entities = {
        "train": {"LOC": 7140, "MISC": 3438, "ORG": 6321, "PER": 6600},
        "validation": {"LOC": 1837, "MISC": 922, "ORG": 1341, "PER": 1842},
        "test": {"LOC": 1668, "MISC": 702, "ORG": 1661, "PER": 1617},
    }
    for split, dataset in conll.items():
        names = dataset.features["ner_tags"].feature.names
        tags = Counter(names[tag] for row in dataset["ner_tags"] for tag in row)
        assert len(dataset) == sentences[split]
        assert len(set(dataset["document"])) == documents[split]
        assert sum(tags.values()) == tokens[split]
        assert {tag[2:]: n for tag, n in tags.items() if tag[0] == "B"} == entities[split]


def test_conll_rows(conll):
    names = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC"]
    assert conll["train"].features["ner_tags"].feature.names == names
    first = conll["train"][0]
    assert first["tokens"] == [
        "EU",
        "rejects",
        "German",
        "call",
        "to",
        "boycott",
        "British",
        "lamb",
        ".",
    ]
    assert first["ner_tags"] == [3, 0, 7, 0, 0, 0, 7, 0, 0]
    for split in conll.values():
        pairs = zip(split["tokens"], split["ner_tags"], strict=True)
        assert all(len(tokens) == len(tags) > 0 for tokens, tags in pairs)
        steps = set(np.diff(split["document"]).tolist())
        assert split["document"][0] == 0
        assert steps == {0, 1}


@pytest.mark.parametrize(
    ("domain", "count", "positive"), [("products", 2650, 1574), ("tweets", 2775, 1920)]
)
def test_rated_texts_of_other_domains_have_the_labels_of_the_reviews(domain, count, positive):
    rows = corpora.rated_texts(domain)
    assert (len(rows), sum(rows["label"])) == (count, positive)
    assert rows.features["label"].names == list(corpora.REVIEW_CLASSES)
    for rating, label in zip(rows["rating"], rows["label"], strict=True):
        assert label == (rating > 0)
        assert not corpora.RATING_EDGES[1] < rating <= corpora.RATING_EDGES[2]


def test_another_domain_is_refused():
    with pytest.raises(ValueError, match="expected one of products, tweets"):
        corpora.rated_texts("books")


# People's Daily


def test_the_newspaper_is_cut_into_sentences_that_stand_in_one_split():
    daily = corpora.peoples_daily()
    assert {name: len(split) for name, split in daily.items()} == {
        "train": 35_445,
        "validation": 4_211,
        "test": 4_127,
    }
    texts = ["".join(words) for split in daily.values() for words in split["words"]]
    assert len(set(texts)) == len(texts)
    first = daily["train"][1]
    assert first["words"] == ["中共中央", "总书记", "、", "国家", "主席", "江", "泽民"]
    assert first["pos"] == ["nt", "n", "w", "n", "n", "nr", "nr"]


def test_a_quotation_mark_goes_with_the_sentence_it_ends(files):
    line = "他/r  说/v  ：/w  “/w  好/a  。/w  ”/w  他/r  走/v  了/u  。/w  "
    (files / "199801.txt").write_text(
        "\n".join([line, *(f"第/m  {i}/m  行/q  。/w" for i in range(19))]) + "\n", "utf-8"
    )
    daily = corpora.peoples_daily()
    assert ["".join(words) for words in daily["train"]["words"][:2]] == ["他说：“好。”", "他走了。"]
    assert [len(split) for split in daily.values()] == [17, 2, 2]
