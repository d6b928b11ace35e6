"""How the experiments keep what LoRA has trained: small, and so that an older peft can load it."""

import json
from pathlib import Path

import peft
from safetensors.torch import load_file, save_file

from helpers.data import disk

# An older peft doesn't know every setting of a newer one; those left out have their defaults.
SETTINGS = ("base_model_name_or_path", "inference_mode", "lora_alpha", "modules_to_save")
SETTINGS += ("peft_type", "r", "target_modules", "task_type")
# Of these nothing is left once the matrices are trained.
OF_TRAINING = {"lora_dropout", "init_lora_weights", "auto_mapping", "revision", "peft_version"}


def keep(model: peft.PeftModel, folder: Path, base: str) -> None:
    """Save the trained matrices, and heads, in half precision.

    Args:
        folder: is made, or written over.
        base: the name that the base model has on the Hub.

    Raises:
        ValueError: a setting isn't kept, and what is loaded would compute something else.
    """
    given = model.active_peft_config
    default = vars(type(given)())
    lost = {n for n, v in vars(given).items() if v != default[n]} - {*SETTINGS} - OF_TRAINING
    if lost:
        raise ValueError(f"an adapter is kept without {sorted(lost)}, which isn't the default")
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    file = folder / "adapter_model.safetensors"
    save_file({k: v.half() for k, v in load_file(file).items()}, file, {"format": "pt"})
    config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    config["base_model_name_or_path"] = base
    if isinstance(config["target_modules"], list):  # of a set, in any order
        config["target_modules"].sort()
    config = {name: config[name] for name in SETTINGS if config[name] is not None}
    disk.write_file(folder / "adapter_config.json", json.dumps(config, indent=2) + "\n")
