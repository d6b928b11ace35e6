"""Metrics that work offline: `evaluate.Metric`s with the interface and the numbers of the Hub's.

`evaluate.load("accuracy")` downloads a script from the Hugging Face Hub. `metrics.load` takes
the same names and returns the same kind of object, over scikit-learn, seqeval and torch.
"""

import difflib

import datasets
import evaluate
import numpy as np
import seqeval.metrics
import seqeval.scheme
import sklearn.metrics
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from helpers.data import assets


def load(name: str) -> evaluate.Metric:
    """The metric called `name`; call its `compute(predictions=…, references=…)`.

    Raises:
        ValueError: for a name that isn't here, with the names that are.
    """
    if name not in METRICS:
        near = difflib.get_close_matches(name, METRICS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"There is no metric {name!r}.{hint} Choose one of {sorted(METRICS)}.")
    return METRICS[name](keep_in_memory=True)


class _ClassMetric(evaluate.Metric):
    """A metric of predicted against true classes, both lists of int of the same length."""

    citation = "Pedregosa et al., Scikit-learn: Machine Learning in Python, JMLR 12, 2011."

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=type(self).__doc__,
            citation=self.citation,
            inputs_description="",
            features=datasets.Features(
                {"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}
            ),
        )


class Accuracy(_ClassMetric):
    """The share of predictions that are right: {"accuracy": float}."""

    def _compute(self, predictions, references, **options):
        score = sklearn.metrics.accuracy_score(references, predictions, **options)
        return {"accuracy": float(score)}


class Precision(_ClassMetric):
    """Of what was predicted as a class, the share that is of it: {"precision": float}.

    With more than two classes, give `average` ("macro", "micro", "weighted", or None for
    an array of one value a class).
    """

    def _compute(self, predictions, references, **options):
        score = sklearn.metrics.precision_score(references, predictions, **options)
        return {"precision": _plain(score)}


class Recall(_ClassMetric):
    """Of what is of a class, the share that was found: {"recall": float}.

    `average` as for precision.
    """

    def _compute(self, predictions, references, **options):
        return {"recall": _plain(sklearn.metrics.recall_score(references, predictions, **options))}


class F1(_ClassMetric):
    """The harmonic mean of precision and recall: {"f1": float}. `average` as for precision."""

    def _compute(self, predictions, references, **options):
        return {"f1": _plain(sklearn.metrics.f1_score(references, predictions, **options))}


class MatthewsCorrelation(_ClassMetric):
    """The correlation of predicted and true classes, from −1 to 1.

    Returns {"matthews_correlation": float}; 0 is what guessing gives, whatever the shares of
    the classes.
    """

    def _compute(self, predictions, references, **options):
        score = sklearn.metrics.matthews_corrcoef(references, predictions, **options)
        return {"matthews_correlation": float(score)}


class Seqeval(evaluate.Metric):
    """Precision, recall and F1 of entities: right only with the right span and type.

    `predictions` and `references` are lists of lists of tags ("B-PER", "O", …). Returns
    {type: {"precision", "recall", "f1", "number"}} and "overall_precision", "overall_recall",
    "overall_f1" and "overall_accuracy" (the last one is of tags). With mode="strict" and
    scheme="IOB2", an entity that starts with an I- tag counts as none; without, as conlleval
    does, it counts as one.
    """

    def _info(self) -> evaluate.MetricInfo:
        tags = datasets.Sequence(datasets.Value("string"))
        return evaluate.MetricInfo(
            description=type(self).__doc__,
            citation="Tjong Kim Sang & De Meulder, CoNLL-2003, section 2.",
            inputs_description="",
            features=datasets.Features({"predictions": tags, "references": tags}),
        )

    def _compute(self, predictions, references, zero_division="warn", scheme=None, **options):
        predictions, references = list(predictions), list(references)
        if scheme is not None:
            scheme = getattr(seqeval.scheme, scheme)
        report = seqeval.metrics.classification_report(
            references,
            predictions,
            output_dict=True,
            zero_division=zero_division,
            scheme=scheme,
            **options,
        )
        overall = report.pop("micro avg")
        result = {
            name: {
                "precision": scores["precision"],
                "recall": scores["recall"],
                "f1": scores["f1-score"],
                "number": scores["support"],
            }
            for name, scores in report.items()
            if not name.endswith(" avg")
        }
        return result | {
            "overall_precision": overall["precision"],
            "overall_recall": overall["recall"],
            "overall_f1": overall["f1-score"],
            "overall_accuracy": seqeval.metrics.accuracy_score(references, predictions),
        }


class Perplexity(evaluate.Metric):
    """The perplexity of texts under a causal language model.

    `predictions` is a list of texts, `model_id` an asset's name, a folder or a Hub id.
    Returns {"perplexities": one float a text, "mean_perplexity": float}. A text's perplexity
    is exp of its mean negative log-likelihood a token, in nats. With `add_start_token`, its
    first token is predicted too, from the model's beginning-of-sequence token.
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=type(self).__doc__,
            citation="",
            inputs_description="",
            features=datasets.Features({"predictions": datasets.Value("string")}),
        )

    def _compute(
        self,
        predictions,
        model_id,
        batch_size=16,
        add_start_token=True,
        device=None,
        max_length=None,
    ):
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        tokenizer = AutoTokenizer.from_pretrained(assets.path(model_id))
        model = AutoModelForCausalLM.from_pretrained(assets.path(model_id)).eval().to(device)
        if add_start_token and tokenizer.bos_token_id is None:
            raise ValueError(
                f"{model_id} has no beginning-of-sequence token: set add_start_token=False"
            )
        start = [tokenizer.bos_token_id] if add_start_token else []
        room = None if max_length is None else max_length - len(start)
        texts = [
            start + ids
            for ids in tokenizer(
                list(predictions),
                add_special_tokens=False,
                truncation=room is not None,
                max_length=room,
            )["input_ids"]
        ]
        short = [i for i, ids in enumerate(texts) if len(ids) < 2]
        if short:
            raise ValueError(
                f"Text {short[0]} ({predictions[short[0]]!r}) is too short: there is no token to "
                "predict" + ("" if add_start_token else " without add_start_token=True")
            )
        values = []
        for i in range(0, len(texts), batch_size):
            values += _perplexities(model, texts[i : i + batch_size])
        return {"perplexities": values, "mean_perplexity": float(np.mean(values))}


@torch.inference_mode()
def _perplexities(model: torch.nn.Module, texts: list[list[int]]) -> list[float]:
    """exp(mean negative log-likelihood) of each list of ids; right padding, masked out."""
    rows = [torch.tensor(ids, device=model.device) for ids in texts]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)  # (B, T)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], True)
    logits = model(input_ids=ids, attention_mask=mask).logits  # (B, T, V)
    loss = torch.nn.functional.cross_entropy(
        logits[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none"
    )  # (B, T - 1)
    real = mask[:, 1:]
    return ((loss * real).sum(1) / real.sum(1)).exp().tolist()


def _plain(score: float | np.ndarray) -> float | np.ndarray:
    """A float where there is one value, an array where there is one a class."""
    return float(score) if np.ndim(score) == 0 else score


METRICS = {
    "accuracy": Accuracy,
    "f1": F1,
    "matthews_correlation": MatthewsCorrelation,
    "perplexity": Perplexity,
    "precision": Precision,
    "recall": Recall,
    "seqeval": Seqeval,
}
