"""Chapter 17, "Going deeper: yes or no" and "Going deeper: find, then read": 17-retrieval.json.

    python -m experiments.chapter_17_retrieval

Which passage a BoolQ question belongs to, by TF-IDF, by MiniLM's vectors and by the two ranks
together; and yes or no from question and passage, by a linear classifier on either. All is stored
question by question; the chapter counts.
"""

import numpy as np
from scipy.sparse import csr_matrix, hstack
from scipy.stats import rankdata
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from experiments.common import RESULTS, Experiment, Row, definitions
from helpers.data import questions

FILE = RESULTS / "17-retrieval.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="title and passage, of which MiniLM reads the first 128 pieces and TF-IDF all words",
    searched="nothing for finding; five strengths C for each yes/no classifier",
    selected="C by the accuracy on validation questions",
    test="read once: 400 questions and their passages",
)
LEARN, CHOOSE, TEST = 400, 100, 400  # questions, of training, validation and test
STRENGTHS = (0.01, 0.1, 1, 10, 100)


def passage_of(row: Row) -> str:
    return f"{row['title']}. {row['passage']}"


def ranks(scores: np.ndarray, right: np.ndarray) -> list[int]:
    """The rank of the right passage for each question, from 1; a tie counts against it."""
    own = scores[np.arange(len(scores)), right][:, None]
    return (scores >= own).sum(1).tolist()


def main() -> None:
    EXPERIMENT.parser().parse_args()
    c = definitions("17")
    data = questions.boolq()
    parts = {
        "train": [*data["train"].select(range(LEARN))],
        "validation": [*data["validation"].select(range(CHOOSE))],
        "test": [*data["test"].select(range(TEST))],
    }
    texts = sorted({passage_of(row) for rows in parts.values() for row in rows})
    number = {text: i for i, text in enumerate(texts)}
    passages = c.embed(texts)
    asked = {name: c.embed([row["question"] for row in rows]) for name, rows in parts.items()}
    of = {name: np.array([number[passage_of(row)] for row in rows]) for name, rows in parts.items()}

    EXPERIMENT.make(FILE, lambda: finding(parts, texts, passages, asked, of), "finding")
    EXPERIMENT.make(FILE, lambda: yes_or_no(parts, texts, passages, asked, of), "yes or no")


def finding(
    parts: dict[str, list[Row]],
    texts: list[str],
    passages: np.ndarray,
    asked: dict[str, np.ndarray],
    of: dict[str, np.ndarray],
) -> Row:
    here, right = np.unique(of["test"], return_inverse=True)
    tfidf = TfidfVectorizer(sublinear_tf=True, stop_words="english")
    words = tfidf.fit_transform([texts[i] for i in here])  # test data: what is searched is indexed
    by = {
        "TF-IDF": (tfidf.transform([r["question"] for r in parts["test"]]) @ words.T).toarray(),
        "MiniLM": asked["test"] @ passages[here].T,
    }
    # Reciprocal rank fusion with the 60 of its authors (Cormack et al. 2009).
    by["both"] = sum(1 / (60 + rankdata(-scores, "min", axis=1)) for scores in by.values())
    found = {name: ranks(scores, right) for name, scores in by.items()}
    return {"passages": len(here), "titles": [row["title"] for row in parts["test"]]} | found


def yes_or_no(
    parts: dict[str, list[Row]],
    texts: list[str],
    passages: np.ndarray,
    asked: dict[str, np.ndarray],
    of: dict[str, np.ndarray],
) -> Row:
    labels = {name: np.array([row["label"] for row in rows]) for name, rows in parts.items()}
    vectors = {}
    for name, q in asked.items():
        p = passages[of[name]]
        vectors[name] = csr_matrix(np.hstack([q, p, q * p, abs(q - p)]))
    counters = [TfidfVectorizer(sublinear_tf=True) for _ in range(2)]
    counted = {}
    for name, rows in parts.items():
        sides = ([row["question"] for row in rows], [texts[i] for i in of[name]])
        make = "fit_transform" if name == "train" else "transform"
        pairs = zip(counters, sides, strict=True)
        counted[name] = hstack([getattr(counter, make)(side) for counter, side in pairs])
    result = {"titles": [row["title"] for row in parts["test"]]}
    for name, x in (("MiniLM", vectors), ("TF-IDF", counted)):
        tried = [
            LogisticRegression(C=C, max_iter=2000).fit(x["train"], labels["train"])
            for C in STRENGTHS
        ]
        best = max(tried, key=lambda model: model.score(x["validation"], labels["validation"]))
        result[name] = (best.predict(x["test"]) == labels["test"]).astype(int).tolist()
        result[f"C of {name}"] = best.C
    most = np.bincount(labels["train"]).argmax()
    return result | {"the commonest": (labels["test"] == most).astype(int).tolist()}


if __name__ == "__main__":
    main()
