"""A `model_type` of its own for a BERT that transformers' classes would load wrong.

A folder whose configuration says `bert` is loaded by every class for BERT. If its head is another
one, or it has weights that those classes lack, they load it all the same and predict something
else. With a name that transformers doesn't know, its Auto classes and `pipeline` refuse the folder.
"""

import os
from typing import Any, TypeVar

from transformers import BertConfig

from helpers.models._checkpoint import check_architecture

Config = TypeVar("Config", bound=BertConfig)

_DTYPE = ("dtype", "torch_dtype")


def own_config(config: BertConfig, kind: type[Config]) -> Config:
    """The configuration as one of `kind`: itself, or a copy of a plain BERT's."""
    if isinstance(config, kind):
        return config
    settings = config.to_dict()
    settings.pop("model_type", None)
    return kind(**settings, attn_implementation=config._attn_implementation)


class StartsFromBert:
    """`from_pretrained` for a class with a `config_class` of its own, before PreTrainedModel."""

    @classmethod
    def from_pretrained(cls, path: str | os.PathLike[str], *, config=None, **options: Any):
        """Load a folder that this class has saved, or start from any BERT checkpoint.

        Args:
            path: a folder or a Hub id. The weights that a plain BERT lacks are new.
            config: instead of the checkpoint's.
            options: settings of the configuration, as `num_labels`, and what
                `PreTrainedModel.from_pretrained` takes.

        Raises:
            ValueError: a model of another type, or other weights, so that all would be new.
        """
        kind = cls.config_class
        settings, _ = kind.get_config_dict(path, **options)
        if settings.get("model_type") != kind.model_type:
            check_architecture(settings, "bert", path)
        if config is None:
            settings = {key: value for key, value in settings.items() if key != "model_type"}
            # "auto" is no dtype of a configuration's.
            dtype = {name: options.pop(name) for name in _DTYPE if name in options}
            config, options = kind.from_dict(settings, return_unused_kwargs=True, **options)
            options |= dtype
        wanted_info = options.pop("output_loading_info", False)
        model, info = super().from_pretrained(
            path, config=config, output_loading_info=True, **options
        )
        body = {f"{cls.base_model_prefix}.{name}" for name in model.base_model.state_dict()}
        if body <= set(info["missing_keys"]):
            raise ValueError(
                f"{path} holds none of the encoder's weights under BERT's names, so all would be "
                "random: is it a checkpoint of BERT, and whole?"
            )
        return (model, info) if wanted_info else model
