"""Metrics that work offline, with the numbers and the `compute` of the Hub's.

`evaluate.load("accuracy")` downloads a script from the Hugging Face Hub. `load` takes the same
names and gives an object with the same `compute`, over scikit-learn, seqeval and torch.
`class_report` is what the Hub hasn't: each class, with intervals.
"""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import seqeval.metrics
import seqeval.scheme
import sklearn.metrics
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from helpers.data import assets
from helpers.training.intervals import Interval
from helpers.training.objective import IGNORED

CLASS_SCORES = {
    "accuracy": sklearn.metrics.accuracy_score,
    "f1": sklearn.metrics.f1_score,
    "matthews_correlation": sklearn.metrics.matthews_corrcoef,
    "precision": sklearn.metrics.precision_score,
    "recall": sklearn.metrics.recall_score,
}
SCHEMES = ("IOB1", "IOB2", "IOE1", "IOE2", "IOBES", "BILOU")  # seqeval's


@dataclass(frozen=True)
class Metric:
    """What `load` gives. `score` takes predictions, and references where there are any."""

    score: Callable[..., dict[str, Any]]

    def compute(self, *, predictions: Sequence, **options) -> dict[str, Any]:
        """The scores by name; `options` are references and what the score takes besides."""
        return self.score(predictions, **options)


def load(name: str) -> Metric:
    """The metric called `name`; call its `compute(predictions=…, references=…)`.

    "accuracy", "f1", "matthews_correlation", "precision" and "recall" compare classes, whole
    numbers, by the functions of scikit-learn, whose options they take: with several classes give
    `average`. "seqeval" is `entity_scores`, "perplexity" is `perplexity`.

    Raises:
        ValueError: for a name that isn't here, with the names that are.
    """
    metrics = {"perplexity": perplexity, "seqeval": entity_scores}
    metrics |= {key: partial(_class_score, name=key) for key in CLASS_SCORES}
    if name not in metrics:
        near = difflib.get_close_matches(name, metrics, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"There is no metric {name!r}.{hint} Choose one of {sorted(metrics)}.")
    return Metric(metrics[name])


def _class_score(
    predictions: Sequence[int], references: Sequence[int], *, name: str, **options
) -> dict[str, Any]:
    true, guess = _classes("references", references), _classes("predictions", predictions)
    value = CLASS_SCORES[name](true, guess, **options)
    return {name: float(value) if np.ndim(value) == 0 else value}


def _classes(name: str, values: Sequence[int]) -> np.ndarray:
    """Classes as int64 (n,).

    Raises:
        ValueError: they are no whole numbers, such as probabilities.
    """
    found = np.asarray(values)
    if found.ndim != 1 or found.dtype.kind not in "iub":
        raise ValueError(
            f"The {name} are {found.dtype} of shape {found.shape}; expected classes, whole numbers "
            "(n,). Of logits or probabilities (n, C) take argmax(-1); ratings have a correlation "
            "or an error instead (scipy.stats.pearsonr, sklearn.metrics.mean_absolute_error)."
        )
    return found.astype(np.int64)


def class_report(
    references: Sequence[int],
    predictions: Sequence[int],
    generator: np.random.Generator,
    *,
    names: Sequence[str] | None = None,
    groups: Sequence | None = None,
    resamples: int = 1000,
    level: float = 0.95,
) -> dict[str, dict[str, Interval | int]]:
    """Precision, recall and F1 of each class, and their macro and micro means, with intervals.

    The intervals are the percentile bootstrap's. Where rows belong together, as the words of a
    document or the texts of an author, give `groups`: then whole groups are drawn, since rows
    that are alike say less than as many independent ones. 0/0 counts as 0, as in scikit-learn.

    Args:
        references: (n,) the true classes; leave out what has none (-100).
        predictions: (n,) the predicted ones.
        generator: draws the resamples.
        names: of classes 0 to C - 1; the numbers by default.
        groups: (n,) what each row belongs to; each row is its own by default.
        resamples: how many.
        level: the coverage, between 0 and 1.

    Returns:
        For each class, "macro" and "micro": {"precision", "recall", "f1": `Interval`, whose
        `mean` is the value on all rows, "support": true rows}. `pandas.DataFrame(report).T`
        makes a table of it. Micro scores of all classes are the accuracy.

    Raises:
        ValueError: values that aren't classes, or not as many of one as of the other.
    """
    true, guess = _classes("references", references), _classes("predictions", predictions)
    groups = np.arange(len(true)) if groups is None else np.asarray(groups)
    if not len(true) or not len(true) == len(guess) == len(groups):
        raise ValueError(
            f"{len(true)} references, {len(guess)} predictions and {len(groups)} groups; expected "
            "as many of each, at least one."
        )
    lowest, highest = min(true.min(), guess.min()), max(true.max(), guess.max())
    n_classes = 1 + highest if names is None else len(names)
    if lowest < 0 or highest >= n_classes:
        raise ValueError(
            f"The classes go from {lowest} to {highest}; expected 0 to {n_classes - 1}. Leave out "
            "-100."
        )
    place = np.unique(groups, return_inverse=True)[1]
    counts = np.zeros((place.max() + 1, 3, n_classes))  # of each group: right, guessed, true
    np.add.at(counts, (place, 0, true), true == guess)
    np.add.at(counts, (place, 1, guess), 1)
    np.add.at(counts, (place, 2, true), 1)
    n = len(counts)
    times = (generator.multinomial(n, np.full(n, 1 / n)) for _ in range(resamples))
    drawn = np.stack([np.tensordot(drawn, counts, 1) for drawn in times])  # (resamples, 3, C)
    value = _scores(counts.sum(0, keepdims=True))[0]  # (3, C + 2)
    low, high = np.quantile(_scores(drawn), [(1 - level) / 2, (1 + level) / 2], axis=0)
    support = [*counts[:, 2].sum(0).astype(int).tolist(), len(true), len(true)]
    rows = [*map(str, range(n_classes) if names is None else names), "macro", "micro"]
    return {
        row: {
            score: Interval(float(value[i, j]), float(low[i, j]), float(high[i, j]))
            for i, score in enumerate(("precision", "recall", "f1"))
        }
        | {"support": support[j]}
        for j, row in enumerate(rows)
    }


def _scores(counts: np.ndarray) -> np.ndarray:
    """(R, 3, C) right, guessed, true -> (R, 3, C + 2): precision, recall, F1; macro and micro."""
    counts = np.concatenate([counts, counts.sum(2, keepdims=True)], axis=2)
    right, guessed, true = counts[:, 0], counts[:, 1], counts[:, 2]
    scores = np.stack(
        [_share(right, guessed), _share(right, true), _share(2 * right, guessed + true)], axis=1
    )
    return np.insert(scores, -1, scores[..., :-1].mean(-1), axis=2)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole != 0)


def entity_scores(
    predictions: Sequence[Sequence[str]],
    references: Sequence[Sequence[str]],
    scheme: str | None = None,
    **options,
) -> dict[str, Any]:
    """Precision, recall and F1 of entities: right only with the right span and type.

    Args:
        predictions: the tags of each sentence ("B-PER", "O", …).
        references: the true ones.
        scheme: the name of one of seqeval's schemes; with mode="strict", an entity that it
            doesn't allow counts as none. Without, IOB1, IOB2 and IOBES are read as conlleval does.
        options: of `seqeval.metrics.classification_report`, such as `mode` and `zero_division`.

    Returns:
        {type: {"precision", "recall", "f1", "number"}} and "overall_precision", "overall_recall",
        "overall_f1" and "overall_accuracy" (the last one is of tags).

    Raises:
        ValueError: no such scheme, or tags that are read by none or only by one that isn't named.
    """
    if scheme is not None and scheme not in SCHEMES:
        raise ValueError(f"There is no scheme {scheme!r}; choose one of {SCHEMES}.")
    predictions, references = ([list(row) for row in rows] for rows in (predictions, references))
    known = "BIESLU" if scheme else "BIES"  # without a scheme seqeval would misread L and U
    for number, row in enumerate([*references, *predictions]):
        for tag in row:
            if tag != "O" and (tag[:1] not in known or tag[1:2] != "-" or len(tag) < 3):
                raise ValueError(
                    f"Sentence {number % len(references)} has the tag {tag!r}; expected O, B-TYPE, "
                    'I-TYPE, or E- and S-. For L- and U- give scheme="BILOU", mode="strict".'
                )
    if scheme is not None:
        options["scheme"] = getattr(seqeval.scheme, scheme)
    report = seqeval.metrics.classification_report(
        references, predictions, output_dict=True, **options
    )
    keys = {"precision": "precision", "recall": "recall", "f1": "f1-score", "number": "support"}
    result = {
        name: {ours: scores[theirs] for ours, theirs in keys.items()}
        for name, scores in report.items()
        if not name.endswith(" avg")
    }
    for score in ("precision", "recall", "f1"):
        result[f"overall_{score}"] = report["micro avg"][keys[score]]
    return result | {"overall_accuracy": seqeval.metrics.accuracy_score(references, predictions)}


def perplexity(
    predictions: Sequence[str],
    model_id: str,
    batch_size: int = 16,
    add_start_token: bool = True,
    device: str | None = None,
    max_length: int | None = None,
) -> dict[str, Any]:
    """The perplexity of texts under a causal language model: exp of the mean loss a token, nats.

    Computed in fp32, whatever the checkpoint is stored in: in bfloat16 it can be 5 % off.

    Args:
        predictions: the texts.
        model_id: an asset's name, a folder or a Hub id.
        batch_size: texts in a forward pass.
        add_start_token: whether the first token is predicted too, from the model's
            beginning-of-sequence token.
        device: the GPU by default, if there is one.
        max_length: tokens that are read of a text, the start token among them.

    Returns:
        {"perplexities": one float a text, "mean_perplexity": float, "precision": "fp32"}.

    Raises:
        ValueError: the model has no start token, or a text has no token to predict.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = AutoTokenizer.from_pretrained(assets.path(model_id))
    model = AutoModelForCausalLM.from_pretrained(assets.path(model_id), dtype=torch.float32)
    model.eval().to(device)
    if add_start_token and tokenizer.bos_token_id is None:
        raise ValueError(
            f"{model_id} has no beginning-of-sequence token: set add_start_token=False"
        )
    start = [tokenizer.bos_token_id] if add_start_token else []
    room = None if max_length is None else max_length - len(start)
    encoded = tokenizer(
        list(predictions), add_special_tokens=False, truncation=room is not None, max_length=room
    )
    texts = [start + ids for ids in encoded["input_ids"]]
    short = [i for i, ids in enumerate(texts) if len(ids) < 2]
    if short:
        raise ValueError(
            f"Text {short[0]} ({predictions[short[0]]!r}) is too short: there is no token to "
            "predict" + ("" if add_start_token else " without add_start_token=True")
        )
    batches = (texts[i : i + batch_size] for i in range(0, len(texts), batch_size))
    values = [value for batch in batches for value in _perplexities(model, batch)]
    return {
        "perplexities": values,
        "mean_perplexity": float(np.mean(values)),
        "precision": "fp32",
    }


@torch.no_grad()
def _perplexities(model: torch.nn.Module, texts: list[list[int]]) -> list[float]:
    """exp(mean negative log-likelihood) of each list of ids; right padding, masked out."""
    rows = [torch.tensor(ids, device=model.device) for ids in texts]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=IGNORED)  # (B, T)
    real = ids != IGNORED
    logits = model(input_ids=ids * real, attention_mask=real.long()).logits.float()  # (B, T, V)
    loss = torch.nn.functional.cross_entropy(
        logits[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none"
    )  # (B, T - 1), 0 where nothing is to be predicted
    return (loss.sum(1) / real[:, 1:].sum(1)).exp().tolist()
