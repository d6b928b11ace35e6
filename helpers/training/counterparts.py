"""Three vocabularies of training: `TrainingConfig`, transformers' `TrainingArguments`, a loop."""

from dataclasses import Field, fields
from enum import Enum

from transformers import TrainingArguments

from helpers.training.config import TrainingConfig

# A setting of ours: the arguments of `TrainingArguments` that say the same, and what says it in a
# loop of PyTorch. A name in brackets is no field of `TrainingArguments`.
COUNTERPARTS: dict[str, tuple[tuple[str, ...], str]] = {
    "epochs": (("num_train_epochs",), "for epoch in range(…)"),
    "steps": (("max_steps",), "if step == …: break"),
    "learning_rate": (("learning_rate",), "AdamW(lr=…)"),
    "batch_size": (("per_device_train_batch_size",), "DataLoader(batch_size=…)"),
    "accumulation": (
        ("gradient_accumulation_steps",),
        "(loss / k).backward(); a step every k batches",
    ),
    "warmup_ratio": (("warmup_steps",), "LambdaLR(optimizer, …).step()"),
    "schedule": (("lr_scheduler_type",), "LambdaLR(optimizer, …).step()"),
    "optimizer": (("optim",), "torch.optim.AdamW"),
    "beta2": (("adam_beta2",), "AdamW(betas=(0.9, …))"),
    "weight_decay": (("weight_decay",), "AdamW of two groups of parameters"),
    "max_grad_norm": (("max_grad_norm",), "clip_grad_norm_(model.parameters(), …)"),
    "label_smoothing": (("label_smoothing_factor",), "F.cross_entropy(label_smoothing=…)"),
    "group_by_length": (("train_sampling_strategy",), "DataLoader(batch_sampler=…)"),
    "precision": (("bf16", "fp16"), "with torch.autocast(…)"),
    "tf32": (("tf32",), 'torch.set_float32_matmul_precision("high")'),
    "compile": (("torch_compile",), "torch.compile(model)"),
    "deterministic": (("full_determinism",), "torch.use_deterministic_algorithms(True)"),
    "strategy": (("fsdp",), "fully_shard(block), fully_shard(model)"),
    "seed": (("seed",), "torch.manual_seed(…)"),
    "evaluate_every": (("eval_strategy", "eval_steps"), "if step % k == 0: model.eval() …"),
    "best_metric": (
        ("load_best_model_at_end", "metric_for_best_model"),
        "copy.deepcopy(model.state_dict())",
    ),
    "higher_is_better": (("greater_is_better",), "> or <"),
    "patience": (("[EarlyStoppingCallback]",), "a counter and a break"),
    "checkpoint_dir": (("output_dir",), "torch.save(…, folder)"),
    "checkpoint_every": (("save_strategy", "save_steps"), "if step % k == 0: torch.save(…)"),
    "resume": (("[train(resume_from_checkpoint=True)]",), "torch.load(…), and skip what was seen"),
    "extend": (("[the same, with more epochs]",), "the same, with more epochs"),
    "num_workers": (("dataloader_num_workers",), "DataLoader(num_workers=…)"),
    "progress": (("disable_tqdm",), "tqdm(…)"),
}


def counterparts() -> list[dict[str, str]]:
    """A row for each field of `TrainingConfig`: its default, and what says the same elsewhere.

    Names and defaults are read from the two dataclasses as they are installed.

    Returns:
        Rows with the keys "TrainingConfig" and "TrainingArguments", both with defaults
        ("seed=0"), and "in a loop"; `pandas.DataFrame` makes a table of them.

    Raises:
        KeyError: a field of `TrainingConfig` has no counterpart here, or a counterpart is no field
            of `TrainingArguments`.
    """
    theirs = {field.name: field for field in fields(TrainingArguments)}
    rows = []
    for field in fields(TrainingConfig):
        names, loop = COUNTERPARTS[field.name]
        said = [name.strip("[]") if "[" in name else _with_default(theirs[name]) for name in names]
        row = {"TrainingConfig": _with_default(field), "TrainingArguments": ", ".join(said)}
        rows.append(row | {"in a loop": loop})
    return rows


def _with_default(field: Field) -> str:
    """A field as it is written in a call, such as `seed=0`."""
    value = field.default
    return f"{field.name}={value.value if isinstance(value, Enum) else value!r}"
