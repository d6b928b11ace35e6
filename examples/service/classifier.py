"""A saved text classifier with limits, for people who send anything."""

import threading
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)


class InputError(ValueError):
    """Texts that are refused. `code` is for programs, the message for people.

    The message never holds the text: it may be shown and logged.
    """

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code


class ModelError(Exception):
    """A model that can't be loaded, or is no text classifier; the message says what to do."""


@dataclass(frozen=True)
class Limits:
    """How much one request may ask for: this bounds its time and memory."""

    texts: int = 32
    characters: int = 20_000  # of one text
    pieces: int = 256  # read of one text; what follows is cut off, and the answer says so


@dataclass(frozen=True)
class Prediction:
    """What the model says of one text.

    Attributes:
        label: the most probable class.
        probabilities: of all classes, the most probable first. They add up to 1 for any text,
            one of none of the classes too.
        pieces: how many pieces of the text the model read.
        truncated: whether the text was longer than that.
    """

    label: str
    probabilities: dict[str, float]
    pieces: int
    truncated: bool


def check_texts(texts: object, limits: Limits) -> None:
    """Refuse what isn't a list of texts within the limits.

    Raises:
        InputError: with the code wrong_type, no_texts, too_many, too_long, not_text or empty.
    """
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        raise InputError("wrong_type", f"texts is of type {type(texts).__name__}; send a list.")
    if not texts:
        raise InputError("no_texts", "The list of texts is empty; send at least one.")
    if len(texts) > limits.texts:
        message = f"{len(texts)} texts in one request; send at most {limits.texts}."
        raise InputError("too_many", message)
    for number, text in enumerate(texts, start=1):
        where = f"Text {number} of {len(texts)}"
        if not isinstance(text, str):
            raise InputError("wrong_type", f"{where} is of type {type(text).__name__}.")
        if len(text) > limits.characters:
            message = f"{where} has {len(text):,} characters; the limit is {limits.characters:,}."
            raise InputError("too_long", message)
        kinds = {unicodedata.category(character) for character in text}
        if "Cs" in kinds:  # json lets it through, and no tokenizer can read it
            raise InputError("not_text", f"{where} holds half a character, a lone surrogate.")
        # Letters and digits of any script; spaces, punctuation and invisible marks say nothing.
        if not any(kind[0] in "LN" for kind in kinds):
            raise InputError("empty", f"{where} has no letter and no digit.")


def load(model: str | Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A trained classifier that gives each text one of its classes, and its tokenizer.

    Raises:
        ModelError: there is nothing to load, its head was never trained, or it answers another
            question. Without the check it would answer all the same, and be wrong.
    """
    try:
        found, report = AutoModelForSequenceClassification.from_pretrained(
            model, output_loading_info=True
        )
        tokenizer = AutoTokenizer.from_pretrained(model)
    except (OSError, ValueError) as error:
        why = str(error).strip().splitlines()[0]
        raise ModelError(f"{model} can't be loaded as a text classifier: {why}") from None
    if report["missing_keys"]:
        missing = ", ".join(sorted(report["missing_keys"])[:3])
        raise ModelError(
            f"{model} has no weights for {missing}: it was never fine-tuned as a text classifier. "
            "Fine-tune it, and save model and tokenizer into one folder."
        )
    if found.config.num_labels < 2 or found.config.problem_type == "multi_label_classification":
        raise ModelError(
            f"{model} gives a number, or several labels at once. This service takes a softmax, "
            "which fits one class a text and nothing else."
        )
    return found.eval(), tokenizer


class Classifier:
    """A folder or a Hub id that `AutoModelForSequenceClassification` loads, and its tokenizer.

    Raises:
        ModelError: as `load`.

    Attributes:
        name: of the folder, without its path, or the Hub id: it is told to users.
        labels: the classes, in the order of the model's outputs.
    """

    def __init__(self, model: str | Path, limits: Limits | None = None):
        self.name = Path(model).name if Path(model).is_dir() else str(model)
        self._model, self._tokenizer = load(model)
        limits = limits or Limits()
        pieces = min(limits.pieces, self._tokenizer.model_max_length)
        self.limits = replace(limits, pieces=pieces)
        config = self._model.config
        self.labels = [config.id2label[i] for i in range(config.num_labels)]
        # Texts are processed one request at a time: two at once would share the same cores.
        self._turn = threading.Lock()

    def __call__(self, texts: Sequence[str]) -> list[Prediction]:
        """The predictions for texts, in their order.

        Raises:
            InputError: as `check_texts`; nothing was computed.
        """
        check_texts(texts, self.limits)
        with self._turn:
            # One piece more than is read, to see whether there is more.
            rows = self._tokenizer(texts, truncation=True, max_length=self.limits.pieces + 1)
            lengths = [len(ids) for ids in rows["input_ids"]]
            batch = self._tokenizer(
                texts,
                truncation=True,
                max_length=self.limits.pieces,
                padding=True,
                return_tensors="pt",
            )
            with torch.inference_mode():
                rows = self._model(**batch).logits.softmax(-1).tolist()  # (B, C)
        return [self._prediction(row, n) for row, n in zip(rows, lengths, strict=True)]

    def _prediction(self, probabilities: list[float], length: int) -> Prediction:
        ranked = sorted(zip(self.labels, probabilities, strict=True), key=lambda pair: -pair[1])
        read = min(length, self.limits.pieces)
        return Prediction(ranked[0][0], dict(ranked), read, length > read)
