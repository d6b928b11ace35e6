"""The classifier that service and demo have when none is named: MiniLM on BBC News.

`python -m examples.service.train` makes it and says how good it is.
"""

from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from helpers.data import assets, corpora
from helpers.data.corpora import NEWS_CLASSES
from helpers.training.loop import TrainingConfig, predict, train

FOLDER = Path(__file__).resolve().parents[2] / "_build" / "service" / "bbc-news-classifier"
ARTICLES, PIECES = 400, 48  # what it is trained on


def encoded(articles: Dataset, tokenizer: PreTrainedTokenizerBase, pieces: int) -> Dataset:
    """The first pieces of each article, with its label."""
    texts = [f"{row['headline']}. {row['body']}" for row in articles]
    columns = tokenizer(texts, truncation=True, max_length=pieces)
    return Dataset.from_dict({**columns, "label": articles["label"][:]})


def fine_tune(articles: Dataset, seed: int = 0) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """MiniLM with a head of its own for the five classes, after two passes over the articles."""
    torch.manual_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(assets.path("minilm"))
    model = AutoModelForSequenceClassification.from_pretrained(
        assets.path("minilm"),
        num_labels=len(NEWS_CLASSES),
        id2label=dict(enumerate(NEWS_CLASSES)),
        label2id={name: i for i, name in enumerate(NEWS_CLASSES)},
    )
    config = TrainingConfig(epochs=2, batch_size=16, learning_rate=2e-4, seed=seed, progress=False)
    rows = encoded(articles, tokenizer, PIECES)
    train(model, rows, config, collate_fn=DataCollatorWithPadding(tokenizer))
    return model.eval(), tokenizer


def accuracy(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, articles: Dataset
) -> float:
    """The share of articles whose class the model finds in their first pieces."""
    rows = encoded(articles, tokenizer, PIECES)
    found = predict(model, rows, collate_fn=DataCollatorWithPadding(tokenizer))
    return float(np.mean(found.logits.argmax(-1) == found.labels))


def make(folder: Path) -> float:
    """Fine-tune, save, and return the accuracy on the validation articles."""
    news = corpora.bbc_news()
    model, tokenizer = fine_tune(news["train"].select(range(ARTICLES)))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return accuracy(model, tokenizer, news["validation"])


def default_model() -> Path:
    """The folder of the classifier, which is trained first if it isn't there."""
    if not (FOLDER / "tokenizer_config.json").is_file():  # written last
        print("No model is named: fine-tuning one on BBC News, once. About a minute.", flush=True)
        print(f"accuracy on validation articles: {make(FOLDER):.3f}", flush=True)
    return FOLDER


if __name__ == "__main__":
    print(f"accuracy on validation articles: {make(FOLDER):.3f}")
