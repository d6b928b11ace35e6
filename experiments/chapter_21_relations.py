"""Chapter 21, "What it is worth", "What to label next": 21-relations.json.

    python -m experiments.chapter_21_relations

The two baselines on MiniLM's frozen vectors, the nearest neighbour and a logistic regression; how
the score of the word pattern grows with labelled sentences, if they are drawn at random or where
the model is least certain; and the chapter's recipe on all labelled pairs of training.
"""

import time
from functools import partial

import numpy as np
from numpy.linalg import norm
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from transformers import PrinterCallback

from experiments.common import RESULTS, Experiment, Row, definitions, read

FILE = RESULTS / "21-relations.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="on all sides the two entities, their types and what stands between them; the "
    "fine-tuned model and the frozen vectors also five words on either side, the word pattern two",
    searched="for the fine-tuned model no setting (ten passes, a learning rate of 0.0005); before "
    "it, six layers with the class at [CLS] were given up on the training loss, which hadn't "
    "fallen after five passes. For each logistic regression five strengths C, for the nearest "
    "neighbour one, three or five neighbours",
    selected="the baselines' settings by the F1 of relations on 343 validation pairs",
    test="581 pairs, answered once by each finished model; the curves of active learning are "
    "drawn on them and choose nothing",
    seeds=(0,),
)
PASSES = 10
STRENGTHS, NEIGHBOURS = (0.0001, 0.001, 0.01, 0.1, 1.0), (1, 3, 5)
OF_PATTERN = (1, 10, 100, 1000, 10_000)  # strengths, as in the chapter
DRAWS = 10  # of active learning
START, STEP = 20, 40  # labelled sentences at first, and more in each round


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    c = definitions("21")
    for part, make in (("frozen vectors", baselines), ("active learning", active)):
        if part not in read(FILE, {}):
            EXPERIMENT.make(FILE, partial(make, c), part)

    def tune(seed: int) -> Row:
        started = time.perf_counter()
        model = c.stock_classifier(seed)
        trainer = c.make_trainer(model, c.encoded["train"], epochs=PASSES, seed=seed)
        trainer.add_callback(PrinterCallback())
        trainer.train()
        answers = {
            split: c.predicted(trainer, c.encoded[split]).tolist()
            for split in ("validation", "test")
        }
        found = c.relation_f1(answers["validation"], c.truth["validation"])
        losses = [at["loss"] for at in trainer.state.log_history if "loss" in at]
        minutes = round((time.perf_counter() - started) / 60, 1)
        return {"minutes": minutes, "validation F1": found, "loss": np.mean(losses[-5:])} | answers

    plan = [{"seed": seed} for seed in arguments.seeds]
    EXPERIMENT.fill(FILE, arguments, plan, tune, part="fine-tuned")


def baselines(c) -> Row:
    """What the nearest neighbours and a logistic regression say, each setting on validation."""
    vectors = {split: c.pair_vectors(rows) for split, rows in c.pairs.items()}  # (pairs, 3, 384)
    scaler = StandardScaler().fit(vectors["train"].reshape(len(vectors["train"]), -1))
    flat = {split: scaler.transform(v.reshape(len(v), -1)) for split, v in vectors.items()}
    mean = {split: v[:, 2] / norm(v[:, 2], axis=1, keepdims=True) for split, v in vectors.items()}

    def near(split: str, k: int) -> np.ndarray:
        closest = np.argsort(-(mean[split] @ mean["train"].T), axis=1)[:, :k]  # (pairs, k)
        votes = c.truth["train"][closest]
        # The most frequent class; of equals the one of the nearest.
        return np.array(
            [max(v, key=lambda x: (list(v).count(x), -list(v).index(x))) for v in votes]
        )

    models = {s: fitted(s, flat["train"], c.truth["train"]) for s in STRENGTHS}
    tried = {
        "nearest neighbour": {k: near("validation", k) for k in NEIGHBOURS},
        "logistic regression": {s: m.predict(flat["validation"]) for s, m in models.items()},
    }
    result = {}
    for name, settings in tried.items():
        scores = {k: c.relation_f1(v, c.truth["validation"]) for k, v in settings.items()}
        best = max(scores, key=scores.get)
        test = near("test", best) if name.startswith("near") else models[best].predict(flat["test"])
        result[name] = {"tried": scores, "chosen": best, "test": test.tolist()}
    return result


def fitted(strength: float, x, y) -> LogisticRegression:
    return LogisticRegression(C=strength, max_iter=300).fit(x, y)


def active(c) -> Row:
    """F1 on the test pairs after each round, by draw: sentences at random, or the least certain."""
    tfidf = c.TfidfVectorizer(analyzer=c.pattern, sublinear_tf=True)
    tfidf.fit([*c.pairs["train"]])  # words that have no labels yet
    x = {split: tfidf.transform([*rows]) for split, rows in c.pairs.items()}
    scores = {
        s: c.relation_f1(
            fitted(s, x["train"], c.truth["train"]).predict(x["validation"]), c.truth["validation"]
        )
        for s in OF_PATTERN
    }
    strength = max(scores, key=scores.get)
    sentence = np.array(c.pairs["train"]["sentence"])
    names = np.unique(sentence)
    result = {"sentences": [*range(START, len(names) + 1, STEP)]}
    for way in ("at random", "least certain"):
        curves, sizes = [], []
        for draw in range(DRAWS):
            order = np.random.default_rng(draw).permutation(names)
            known, scores, labelled = list(order[:START]), [], []
            while True:
                chosen = np.isin(sentence, known)
                model = fitted(strength, x["train"][chosen], c.truth["train"][chosen])
                scores.append(c.relation_f1(model.predict(x["test"]), c.truth["test"]))
                labelled.append(int(chosen.sum()))
                rest = np.array([name for name in order if name not in set(known)])
                if len(rest) < STEP:
                    break
                if way == "least certain":
                    doubt = 1 - model.predict_proba(x["train"]).max(1)  # of each pair
                    each = [doubt[sentence == name].mean() for name in rest]
                    rest = rest[np.argsort(each)[::-1]]
                known += list(rest[:STEP])
            curves.append(scores)
            sizes.append(labelled)
        result[way] = {"F1": curves, "pairs": sizes}
    return result


if __name__ == "__main__":
    main()
