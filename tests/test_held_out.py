"""Test data choose nothing: planted choices are found, and the book's own code has none."""

import importlib
import re

import pytest

from tools import held_out

# Lines that look like a choice and are none, by words of theirs: why they may stay. In a script a
# comment says it: `# test data: …`.
MAY_STAY = {
    "wrong = test[loser][i].argmax()": "the wrong answer that is shown",
    "wrong = matrices[loser][i].argmax()": "the wrong answer that is shown",
    "farthest = max(apart, key=apart.get)": "two models' weights are compared",
    'article = max(corpora.bbc_news()["test"]': "the longest article, as an example",
    'longest = max(texts["test"][:60], key=len)': "the longest article, as an example",
    "train(model, windows, config, collate_fn=collate_windows)": "`windows` are of training texts",
    "places.fit(around, right_tags)": "`lessons` are training sentences",
    "short.fit_transform([train_beginnings[i] for i": "`rows` are of training articles",
    "model.fit([headlines[i] for i in rows], topics[rows])": "`rows` are a part of `train`",
    "first, last = answers[accuracies.argmax()]": "shows what comes of choosing on test data",
    "best, worst = answers[accuracies.argmax()]": "shows what comes of choosing on test data",
    "pair = [score.argmax(), score.argmin()]": "shows what comes of choosing on test data",
    "picked = answers[:, picked_on].mean(1).argmax()": "shows what comes of choosing on test data",
}


@pytest.mark.parametrize("path", held_out.files(), ids=lambda path: path.name)
def test_test_data_choose_nothing(path):
    found = held_out.findings(held_out.code_of(path))
    assert [line for line in found if not any(words in line for words in MAY_STAY)] == []


SCRIPTS = [path.stem for path in held_out.files() if path.name.startswith("chapter_")]


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_experiment_declares_that_test_data_chose(name):
    selected = importlib.import_module(f"experiments.{name}").EXPERIMENT.selected
    assert not re.search(r"\btest (?!of\b)\w+|\btest$", selected), selected


PLANTED = {
    "the best of several, by their scores": (
        """
        scores = {}
        for C in (1, 10):
            model = LogisticRegression(C=C).fit(x["train"], y["train"])
            scores[C] = model.score(x["test"], y["test"])
        best = max(scores, key=scores.get)
        """,
        "choose: best = max",
    ),
    "through a function": (
        """
        def score(rate):
            model = fine_tuned(rate)
            return accuracy(model, rows["test"])

        results = [score(rate) for rate in RATES]
        rate = RATES[np.argmax(results)]
        """,
        "choose: rate = RATES",
    ),
    "a table": (
        """
        table = pd.DataFrame({"rate": RATES, "right": [right(r, news["test"]) for r in RATES]})
        chosen = table.set_index("rate")["right"].idxmax()
        """,
        "choose: chosen =",
    ),
    "by hand in a loop": (
        """
        best = 0
        for threshold in thresholds:
            f1 = f1_score(labels["test"], test_p > threshold)
            if f1 > best:
                best, kept = f1, threshold
        """,
        "choose: if f1 > best",
    ),
    "a loop in a function, by the end of the pass before": (
        """
        def search(model):
            test_loss, lowest = 9, 8
            while True:
                if now < lowest:
                    break
                now = loss(model, test_rows)
        """,
        "choose: if now < lowest",
    ),
    "early stopping": (
        'trainer = Trainer(model, args, train_dataset=d["train"], eval_dataset=d["test"])',
        "watch a training",
    ),
    "our own loop": (
        'train(model, rows, config, evaluate=lambda m: score(m, encoded["test"]))',
        "watch a training",
    ),
    "a split by name": (
        'held = load_dataset("csv", split="test")\nmodel.fit(held["text"], held["label"])',
        "fit: model.fit",
    ),
    "a vocabulary": ('vectorizer.fit_transform(texts["train"] + texts["test"])', "fit: vectorizer"),
    "appended": (
        """
        all_texts = []
        for text in X_test:
            all_texts.append(text)
        vectorizer.fit(all_texts)
        """,
        "fit: vectorizer",
    ),
}


def findings(code):
    lines = code.split("\n")
    indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return held_out.findings("\n".join(line[indent:] for line in lines))


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_choice_is_found(name):
    code, words = PLANTED[name]
    found = findings(code)
    assert len(found) == 1
    assert found[0].startswith("test data ")
    assert words in found[0]


@pytest.mark.parametrize(
    "code",
    [
        'model.fit(x["train"], y["train"])\nprint(model.score(x["test"], y["test"]))',
        'best = max(scores, key=scores.get)  # of "test" nothing',
        'predicted = test_logits.argmax(-1)\nassert accuracy(predicted, y["test"]) > 0.9',
        'a, b = train_test_split(x, test_size=0.2)\nmodel.fit(a)\nif b > 3:\n    print("x")',
        'sizes = {"train": 5, "test": 3}\nlargest = max(sizes, key=sizes.get)',
        'n = len(x["test"])\nmodel.fit(x["train"][:n])',
        "windows = cut(test_rows)\ndef run(windows):\n    return train(model, windows)",
        "rows = test_rows\nrows = train_rows\nmodel.fit(rows)",
        "model.fit(x[~is_test], y[~is_test])",
        "best = test_scores.argmax()  # test data: shows what comes of it",
        'both["test"] = x["test"]\nmodel.fit(both["train"])',
        'train_x, test_x = f(x["train"], x["test"])\nmodel.fit(train_x)',
        'for n in x["test"]:\n    if n > 9:\n        m = 1',
        "for row in test_rows:\n    if len(row) > 3:\n        print(row)",
    ],
)
def test_what_is_no_choice_passes(code):
    assert findings(code) == []


def test_the_cells_of_a_notebook_are_followed_one_after_the_other(tmp_path):
    import nbformat
    from nbformat.v4 import new_code_cell, new_notebook

    sources = ["if True:\n    !ls\n%pip list\nrows = news['test']", "model.fit(rows)"]
    path = tmp_path / "a.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(source) for source in sources]), path)
    assert held_out.findings(held_out.code_of(path)) == ["test data fit: model.fit(rows)"]
