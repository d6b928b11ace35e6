"""A language model that is there already, of any architecture of transformers, to go on with."""

import math

import torch
from torch import nn
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
)

from helpers.data import assets


def load_language_model(name: str, *, causal: bool, length: int) -> tuple[nn.Module, list[str]]:
    """A masked or causal language model in fp32, from safetensors.

    Args:
        name: a folder, an asset or a Hub id.
        causal: whether it is to predict the next token, or masked ones.
        length: of the sequences that it must read.

    Returns:
        The model, and the names of weights that it needs and `name` hasn't, such as the head of an
        encoder that was saved without one; they are random.

    Raises:
        ValueError: it is of another kind, or reads less than `length`.
    """
    path = assets.path(name)
    config = AutoConfig.from_pretrained(path)
    auto = AutoModelForCausalLM if causal else AutoModelForMaskedLM
    kinds = MODEL_FOR_CAUSAL_LM_MAPPING if causal else MODEL_FOR_MASKED_LM_MAPPING
    reads = getattr(config, "max_position_embeddings", None) or math.inf
    if length > reads:
        raise ValueError(
            f"{name} reads {reads} tokens at a time, so blocks of {length} are too long."
        )
    model, loaded = None, {"missing_keys": ()}
    if type(config) in kinds:
        model, loaded = auto.from_pretrained(
            path, dtype=torch.float32, use_safetensors=True, output_loading_info=True
        )
    if model is None or _looks_ahead(model) == causal:
        classes = ", ".join(config.architectures or ()) or config.model_type
        raise ValueError(
            f"{name} holds a {classes}, which isn't a {'causal' if causal else 'masked'} language "
            "model. Choose the other objective, or another model."
        )
    return model, sorted(loaded["missing_keys"])


def _looks_ahead(model: nn.Module) -> bool:
    """Whether what a model says of a token depends on the one behind it, whatever its class."""
    with torch.no_grad():
        one, other = model.eval()(input_ids=torch.tensor([[2, 2], [2, 3]])).logits[:, 0]
    return not torch.allclose(one, other, rtol=0, atol=1e-5)
