"""What a model must be, and the loss of one forward pass.

`train`, `evaluate`, `predict`, label smoothing and a loss of one's own rest on one contract:
`model(**batch)` returns an object with `.logits` and, where the batch has labels, `.loss`: a
scalar, the mean over the labels. B sequences, T pieces, C classes (or V pieces of the vocabulary):

    one answer for         logits      labels
    a sequence             (B, C)      int64 (B,)
    a piece                (B, T, C)   int64 (B, T)
    the next piece         (B, T, V)   int64 (B, T), the input_ids: shifted by the model
    a piece to write       (B, S, V)   int64 (B, S), of an encoder-decoder
    a number               (B, 1)      float (B,) or (B, 1)
    each of C yes-or-no    (B, C)      float (B, C)

A label is a class, 0 to C − 1, or -100: nothing to learn there, and it counts in no mean. Whether
the label at t belongs to the logits at t − 1 is what `shifts_labels` tells. `checks.check_data`
refuses a model or data that break the contract.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import nn
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask

from helpers.hardware import IGNORED, labelled

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def unwrap(model: nn.Module) -> nn.Module:
    """The model inside what PEFT, `torch.compile`, DDP and DataParallel put around it."""
    if isinstance(model, nn.parallel.DistributedDataParallel | nn.DataParallel):
        return unwrap(model.module)
    if hasattr(model, "_orig_mod"):  # torch.compile's
        return unwrap(model._orig_mod)
    if hasattr(model, "get_base_model"):  # PEFT's
        return unwrap(model.get_base_model())
    return model


def shifts_labels(model: nn.Module) -> bool:
    """Whether `model` compares position t with label t + 1, as causal language models do.

    A model of one's own says so in an attribute `shifts_labels`.
    """
    model = unwrap(model)
    kind = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(getattr(model, "config", None)), ())
    return getattr(model, "shifts_labels", isinstance(model, kind))


def writes(model: nn.Module) -> bool:
    """Whether the labels are another sequence than the input, as an encoder-decoder's."""
    return bool(getattr(getattr(unwrap(model), "config", None), "is_encoder_decoder", False))


def count_labels(model: nn.Module, batch: Mapping[str, torch.Tensor]) -> int:
    """How many labels the batch's mean loss is a mean over.

    A mean of batch means would give a label in a short batch more weight than one in a long
    batch. With this count, every label weighs the same.
    """
    labels = batch["labels"]
    if labels.is_floating_point():
        return labels.numel()
    if labels.ndim > 1 and shifts_labels(model):
        labels = labels[:, 1:]
    return int((labels != IGNORED).sum())


def count_tokens(batch: Mapping[str, torch.Tensor]) -> int:
    """Pieces in the batch, padding not counted."""
    mask = batch.get("attention_mask")
    return batch["input_ids"].numel() if mask is None else int(mask.sum())


def to_device(
    batch: Mapping[str, torch.Tensor], device: torch.device, model: nn.Module | None = None
) -> dict[str, torch.Tensor]:
    """The batch on `device`; copies from pinned memory overlap with computation.

    With `model`, it is made ready for a forward pass that doesn't wait for a GPU: what the model
    names in an attribute `read_on_cpu` stays on the CPU, and a mask of ones, which transformers'
    models would look for on the GPU, is left out where the model can do without.
    """
    kept = () if model is None else getattr(unwrap(model), "read_on_cpu", ())
    if model is not None and device.type != "cpu":
        batch = _without_full_mask(batch, model)
    return {
        key: value if key in kept else value.to(device, non_blocking=True)
        for key, value in batch.items()
    }


def _without_full_mask(
    batch: Mapping[str, torch.Tensor], model: nn.Module
) -> Mapping[str, torch.Tensor]:
    mask = batch.get("attention_mask")
    parameter = inspect.signature(unwrap(model).forward).parameters.get("attention_mask")
    optional = parameter is not None and parameter.default is None
    if mask is None or not optional or not bool((mask == 1).all()):
        return batch
    return {key: value for key, value in batch.items() if key != "attention_mask"}


@contextmanager
def masks_unread(device: torch.device) -> Iterator[None]:
    """On a GPU, transformers' models use a mask that they are given, without looking at it.

    They look whether it is all ones, to do without it, and the CPU waits for the answer.
    """
    if device.type == "cpu" or ALL_MASK_ATTENTION_FUNCTIONS["sdpa"] is not sdpa_mask:
        yield
        return
    ALL_MASK_ATTENTION_FUNCTIONS["sdpa"] = _unread
    try:
        yield
    finally:
        del ALL_MASK_ATTENTION_FUNCTIONS["sdpa"]


def _unread(*args, attention_mask: torch.Tensor | None = None, **settings) -> torch.Tensor | None:
    if attention_mask is not None:
        settings |= {key: False for key in settings if key.endswith("_skip")}
    return sdpa_mask(*args, attention_mask=attention_mask, **settings)


def smoothed(share: float) -> Loss:
    """Cross-entropy with a target that puts 1 − ε on the label and spreads ε over all classes.

    `share` is ε (Szegedy et al., CVPR 2016, section 7).
    """

    def loss_fn(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if labels.is_floating_point():
            raise ValueError(
                f"label_smoothing={share} needs class labels, but the labels are "
                f"{labels.dtype}: this is a regression. Set label_smoothing=0."
            )
        return F.cross_entropy(logits, labels, reduction="none", label_smoothing=share)

    return loss_fn


def mean_loss(
    output: object, labels: torch.Tensor, *, shifted: bool, loss_fn: Loss | None
) -> torch.Tensor:
    """The mean loss over the batch's labels, a scalar: the model's own, or that of `loss_fn`.

    `loss_fn` sees the n labels that aren't -100, int64 (n,), and their logits in fp32, (n, C);
    of float labels all, and logits of their shape. It returns a loss for each label, as torch's
    losses do with `reduction="none"`. Over no label the mean is 0/0. `labels` may lie on the CPU,
    as the loop gives them: then no GPU is waited for.

    Raises:
        ValueError: `loss_fn` returns anything else.
    """
    if loss_fn is None:
        return output.loss
    logits = output.logits.float()
    if labels.is_floating_point():
        labels = labels.to(logits.device, non_blocking=True)
        logits = logits.reshape(labels.shape)
    else:
        if shifted:
            logits, labels = logits[:, :-1], labels[:, 1:]
        places, labels = labelled(labels, IGNORED, logits.device)
        logits = logits.flatten(0, -2)[places]  # (n, C)
    losses = loss_fn(logits, labels)
    if losses.shape != labels.shape:
        raise ValueError(
            f"loss_fn returned the shape {tuple(losses.shape)} for {tuple(labels.shape)} labels; "
            'expected a loss for each, as torch gives with reduction="none". The loop takes the '
            "mean itself, over all micro-batches and processes."
        )
    return losses.mean()
