"""The loss of one forward pass, and what it is a mean over.

A model here is a module whose call `model(**batch)` returns an object with `.loss` (mean over
the batch's labels) and `.logits`, as models of transformers and `helpers.models` do.
"""

import torch
import torch.nn.functional as F
from torch import nn
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

IGNORED = -100  # the label that torch's cross-entropy leaves out


def shifts_labels(model: nn.Module) -> bool:
    """Whether `model` compares position t with label t + 1, as causal language models do."""
    names = {cls.__name__ for cls in type(model).__mro__}
    is_causal_lm = not names.isdisjoint(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values())
    return getattr(model, "shifts_labels", is_causal_lm)


def count_labels(model: nn.Module, batch: dict[str, torch.Tensor]) -> int:
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


def count_tokens(batch: dict[str, torch.Tensor]) -> int:
    """Pieces in the batch, padding not counted."""
    mask = batch.get("attention_mask")
    return batch["input_ids"].numel() if mask is None else int(mask.sum())


def to_device(batch: dict[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    """The batch on `device`; copies from pinned memory overlap with computation."""
    return {key: value.to(device, non_blocking=True) for key, value in batch.items()}


def compute_loss(
    model: nn.Module,
    batch: dict[str, torch.Tensor],
    *,
    shifted: bool,
    label_smoothing: float,
) -> torch.Tensor:
    """The mean loss over the batch's labels, a scalar.

    With `label_smoothing` ε, the target puts 1 − ε on the label and spreads ε evenly over
    all classes (Szegedy et al., CVPR 2016, section 7).

    Raises:
        ValueError: for label smoothing on a regression target, which has no classes.
    """
    output = model(**batch)
    if label_smoothing == 0:
        return output.loss
    logits, labels = output.logits, batch["labels"]
    if labels.is_floating_point():
        raise ValueError(
            f"label_smoothing={label_smoothing} needs class labels, but the labels are "
            f"{labels.dtype}: this is a regression. Set label_smoothing=0."
        )
    if shifted:
        logits, labels = logits[:, :-1], labels[:, 1:]
    return F.cross_entropy(
        logits.flatten(0, -2).float(),  # (labels, classes)
        labels.flatten(),
        ignore_index=IGNORED,
        label_smoothing=label_smoothing,
    )
