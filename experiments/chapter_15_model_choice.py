"""Chapter 15, "Choosing a model", fig-15-choice: 15-model-choice.json.

    python -m experiments.chapter_15_model_choice

Accuracy, size, latency and training time of six methods, on topics (BBC News) and sentiment (review
sentences), with all training texts:

- majority class, TF-IDF with logistic regression: seconds;
- MiniLM frozen with logistic regression, MiniLM fine-tuned: about 1 and 4 minutes a task;
- SmolLM2-135M frozen with logistic regression: about 14 minutes a task; prompted without
  training: about 5 minutes a task.

About an hour in all on one core, as the stored run, which had other work on the second core. It
measures time: leave the machine alone. A row a method and task.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

from experiments import minilm
from experiments.common import RESULTS, Experiment, read
from helpers.data import assets, corpora
from helpers.models.classification import MeanPoolClassifier
from helpers.models.contrastive import mean_pool
from helpers.teaching import environment
from helpers.training.loop import TrainingConfig, train

FILE = RESULTS / "15-model-choice.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="whole texts for TF-IDF, 128 pieces for the networks",
    searched="five penalties of every logistic regression; nothing for fine-tuning and the prompt",
    selected="the validation texts",
    test="accuracy, and the time of an answer",
    seeds=(0,),
)
PIECES = 128  # read of a text by the neural methods
TIMED = 50  # texts, one at a time, for the latency; the median counts
PROMPTS = {
    "topics": (
        "Article: {}\nThe topic of this article is",
        " business| film| politics| sport| tech",
    ),
    "sentiment": ("Review: {}\nThe sentiment of this review is", " negative| positive"),
}

Predict = Callable[[list[str], int], np.ndarray]


@dataclass
class Trained:
    """A method ready for use: classes of texts (given a batch size), and what it takes."""

    predict: Predict
    parameters: int
    megabytes: float
    pieces_per_text: float | None = None


@dataclass
class Task:
    """Texts and labels of a split, by its name."""

    name: str
    texts: dict[str, list[str]]
    labels: dict[str, np.ndarray]


def load_task(name: str) -> Task:
    if name == "topics":
        corpus = corpora.bbc_news()
        texts = {s: [f"{a['headline']}. {a['body']}" for a in rows] for s, rows in corpus.items()}
    else:
        corpus = corpora.movie_reviews(binary=True)
        texts = {split: list(rows["text"]) for split, rows in corpus.items()}
    return Task(name, texts, {split: np.array(rows["label"]) for split, rows in corpus.items()})


def best_linear(make: Callable, task: Task, train_x, validation_x):
    """The best of five strengths on the validation texts."""
    fitted = [make(C).fit(train_x, task.labels["train"]) for C in (0.001, 0.01, 0.1, 1.0, 10.0)]
    return max(fitted, key=lambda m: m.score(validation_x, task.labels["validation"]))


def majority(task: Task) -> Trained:
    model = DummyClassifier().fit(task.texts["train"], task.labels["train"])
    return Trained(lambda texts, batch_size: model.predict(texts), 0, 0.0)


def tfidf(task: Task) -> Trained:
    vectorizer = TfidfVectorizer(sublinear_tf=True)
    train_x = vectorizer.fit_transform(task.texts["train"])
    validation_x = vectorizer.transform(task.texts["validation"])
    model = best_linear(
        lambda C: LogisticRegression(C=C, max_iter=3000), task, train_x, validation_x
    )
    words = sum(len(word) for word in vectorizer.vocabulary_)
    size = model.coef_.nbytes + vectorizer.idf_.nbytes + words
    return Trained(
        lambda texts, batch_size: model.predict(vectorizer.transform(texts)),
        model.coef_.size + model.intercept_.size,
        size / 1e6,
    )


def count(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@torch.inference_mode()
def in_batches(model, tokenizer, texts: list[str], batch_size: int, read: Callable) -> np.ndarray:
    """`read(output, mask)` of batches of similar length, in the order of the texts."""
    ids = tokenizer(texts, truncation=True, max_length=PIECES)["input_ids"]
    order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
    found = {}
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        batch = tokenizer.pad({"input_ids": [ids[i] for i in rows]}, return_tensors="pt")
        values = read(model(**batch), batch["attention_mask"])
        found |= dict(zip(rows, values.float().numpy(), strict=True))
    return np.stack([found[i] for i in range(len(texts))])


def mean_vector(output, mask: torch.Tensor) -> torch.Tensor:
    return mean_pool(output.last_hidden_state, mask)


def load(asset: str, make=AutoModel):
    """A model in eval mode and its tokenizer, which pads on the right."""
    tokenizer = AutoTokenizer.from_pretrained(assets.path(asset), padding_side="right")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    return make.from_pretrained(assets.path(asset), dtype=torch.float32).eval(), tokenizer


def mean_pieces(tokenizer, texts: list[str]) -> float:
    return float(
        np.mean([len(i) for i in tokenizer(texts, truncation=True, max_length=PIECES)["input_ids"]])
    )


def frozen(asset: str) -> Callable[[Task], Trained]:
    def method(task: Task) -> Trained:
        model, tokenizer = load(asset)

        def embed(texts: list[str], batch_size: int = 32) -> np.ndarray:
            return in_batches(model, tokenizer, texts, batch_size, mean_vector)

        linear = best_linear(
            lambda C: make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=3000)),
            task,
            embed(task.texts["train"]),
            embed(task.texts["validation"]),
        )
        return Trained(
            lambda texts, batch_size: linear.predict(embed(texts, batch_size)),
            count(model) + linear[-1].coef_.size,
            (count(model) + linear[-1].coef_.size) * 4 / 1e6,
            mean_pieces(tokenizer, task.texts["test"]),
        )

    return method


def fine_tuned(task: Task) -> Trained:
    """One pass over all training texts with the settings of chapter 11, from a random head."""
    tokenizer = minilm.tokenizer()
    torch.manual_seed(0)
    model = minilm.classifier(MeanPoolClassifier, len(set(task.labels["train"])))
    dataset = minilm.encoded(task.texts["train"], task.labels["train"].tolist(), PIECES)
    config = TrainingConfig(epochs=1, batch_size=8, learning_rate=1e-4, seed=0)
    train(model, dataset, config, collate_fn=minilm.collate)
    model.eval()

    def predict(texts: list[str], batch_size: int) -> np.ndarray:
        read = lambda output, mask: output.logits  # noqa: E731
        return in_batches(model, tokenizer, texts, batch_size, read).argmax(-1)

    pieces = mean_pieces(tokenizer, task.texts["test"])
    return Trained(predict, count(model), count(model) * 4 / 1e6, pieces)


def prompted(task: Task) -> Trained:
    """The class whose first piece SmolLM2 finds most likely behind a prompt; nothing is trained."""
    model, tokenizer = load("smollm2", AutoModelForCausalLM)
    prompt, answers = PROMPTS[task.name]
    first = [tokenizer(answer)["input_ids"][0] for answer in answers.split("|")]

    def framed(texts: list[str]) -> list[str]:
        # The text is cut, and not the question behind it.
        ids = tokenizer(texts, truncation=True, max_length=PIECES - 24)["input_ids"]
        return [
            prompt.format(text) for text in tokenizer.batch_decode(ids, skip_special_tokens=True)
        ]

    def at_the_end(output, mask: torch.Tensor) -> torch.Tensor:
        rows = torch.arange(len(mask))
        return output.logits[rows, mask.sum(1) - 1][:, first]  # (B, C)

    def predict(texts: list[str], batch_size: int) -> np.ndarray:
        return in_batches(model, tokenizer, framed(texts), batch_size, at_the_end).argmax(-1)

    pieces = mean_pieces(tokenizer, framed(task.texts["test"]))
    return Trained(predict, count(model), count(model) * 4 / 1e6, pieces)


METHODS = {
    "majority class": majority,
    "TF-IDF": tfidf,
    "MiniLM, frozen": frozen("minilm"),
    "MiniLM, fine-tuned": fine_tuned,
    "SmolLM2, prompted": prompted,
    "SmolLM2, frozen": frozen("smollm2"),
}
TASKS = ("topics", "sentiment")


def measure(method: Trained, task: Task) -> dict:
    texts, y = task.texts["test"], task.labels["test"]
    right = int((method.predict(texts, 32) == y).sum())
    some = texts[:256]
    started = time.perf_counter()
    method.predict(some, 32)
    per_second = len(some) / (time.perf_counter() - started)
    times = []
    for text in texts[:TIMED]:
        started = time.perf_counter()
        method.predict([text], 1)
        times.append(1e3 * (time.perf_counter() - started))
    return {
        "right": right,
        "test_texts": len(texts),
        "parameters": method.parameters,
        "megabytes": round(method.megabytes, 1),
        "pieces_per_text": method.pieces_per_text,
        "ms_per_text": float(f"{np.median(times):.3g}"),
        "texts_per_second": float(f"{per_second:.3g}"),
    }


def gflops(size: int = 2048) -> float:
    """Speed of a large matrix product in fp32, the median of five."""
    a, times = torch.randn(size, size), []
    for _ in range(5):
        started = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - started)
    return 2 * size**3 / float(np.median(times)) / 1e9


def run(task: str, method: str) -> dict:
    loaded = load_task(task)
    started = time.perf_counter()
    trained = METHODS[method](loaded)
    seconds = time.perf_counter() - started
    return {"train_seconds": round(seconds, 1)} | measure(trained, loaded)


def speed() -> dict:
    return {"threads": torch.get_num_threads(), "gflops": round(gflops(), 1)}


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    environment.set_up()
    if "machine" not in read(FILE, {}):
        EXPERIMENT.make(FILE, speed, part="machine")
    plan = [{"task": task, "method": method} for task in TASKS for method in METHODS]
    EXPERIMENT.fill(FILE, arguments, plan, run, part="rows")


if __name__ == "__main__":
    main()
