"""Pretrain a ModernBERT from nothing, masked or causal, on text files or a streamed data set::

    accelerate launch -m helpers.training.pretrain --objective mlm --output runs/news \\
        --text news/*.txt --vocab-size 8192 --steps 5000

(`python -m` for one process, `torchrun --nproc_per_node 2 -m` for two.) The folder `--output` gets

    settings.json   what was asked for
    tokenizer/      a WordPiece tokenizer learned from the text, unless --tokenizer names one
    blocks/         the text as token ids, see helpers.data.blocks
    checkpoints/    see helpers.training.checkpoints
    model/          at the end: weights, config, tokenizer and model card, for transformers
    history.json    at the end: losses, learning rates, speed and held-out losses

The same command goes on where a killed one stopped, with the same numbers to the last bit. With
several machines, `--output` must be on shared storage.

Here the rooms of helpers meet: this module puts together data, models and training, which don't
know each other. Nothing imports it.
"""

# ruff: noqa: RUF009 (_option gives a dataclasses.field, made anew for each attribute)

import json
import math
import os
import platform
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import Field, asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from accelerate import PartialState
from huggingface_hub import ModelCard, ModelCardData
from torch import nn
from transformers import AutoTokenizer, HfArgumentParser, PreTrainedTokenizerBase

from helpers.data import disk
from helpers.data.batching import collate_causal
from helpers.data.blocks import Blocks, block_ends, prepare_blocks, read_counts, vocabulary_size
from helpers.data.documents import StreamedTexts, TextFiles, is_held_out
from helpers.data.masking import FixedMasks, MaskedCollator
from helpers.data.vocabulary import as_it_stands, learn_wordpiece, leave_prompts_open
from helpers.models.modernbert import ModernBert, ModernBertConfig
from helpers.training.checkpoints import CheckpointError
from helpers.training.config import Optimizer, Precision, Schedule
from helpers.training.loop import History, NonFiniteLossError, TrainingConfig, evaluate, train
from helpers.training.processes import join_processes, owned_folder

EVALUATION_MASK_RATE = 0.15  # whatever the rate in training, so that runs can be compared
VOCABULARY_TEXT = 500_000_000  # characters to learn a vocabulary from; more changes little
# How a stranger uses the model, in its card; tests/test_saved_folders.py does it.
USES = {
    "mlm": """```python
from transformers import pipeline

fill = pipeline("fill-mask", ".")  # the folder of this card
fill("A sentence with a {mask}.")
```

It says which pieces may stand in the gap, each with its probability.""",
    "clm": """```python
from transformers import pipeline

write = pipeline("text-generation", ".")  # the folder of this card
write("How a document begins", max_new_tokens=40, do_sample=False)
```

It goes on with the text and stops where a document would end. The tokenizer leaves a text open; the
documents of the training end with a token of their own.""",
}
CHARACTERS_PER_TOKEN = 10  # at most, on average: how much text `max_tokens` can need

# Settings that may differ when a run goes on. The text is compared by its contents.
FREE_TO_CHANGE = (
    *("output", "text", "dataset", "data_files", "tokenizer"),
    *("checkpoint_every", "num_workers", "prepare_only"),
)


def _option(default: Any, help_text: str) -> Field:
    return field(default=default, metadata={"help": help_text})


@dataclass(frozen=True, kw_only=True)
class PretrainingConfig:
    """Settings of one run, and its command line; the defaults are the recipe.

    Raises:
        ValueError: a value is out of range, or two settings contradict each other.
    """

    objective: Literal["mlm", "clm"] = field(
        metadata={"help": "masked (an encoder) or causal (a decoder) language modelling"}
    )
    output: str = field(metadata={"help": "folder of the run"})

    text: list[str] | None = _option(None, "text files in UTF-8; or give --dataset")
    text_split: Literal["file", "paragraph"] = _option(
        "file", "a document is a whole file, or what stands between blank lines"
    )
    dataset: str | None = _option(None, "Hub id, or a builder of `datasets` such as json")
    dataset_config: str | None = _option(None, "the data set's configuration")
    dataset_split: str = _option("train", "its split")
    data_files: list[str] | None = _option(None, "files for a builder")
    column: str = _option("text", "column of the data set that holds the documents")
    max_tokens: int | None = _option(None, "stop reading after so many tokens")
    validation_share: float = _option(0.01, "share of the documents to hold out; 0 for none")

    tokenizer: str | None = _option(None, "folder or Hub id; without it one is learned")
    vocab_size: int = _option(8192, "pieces in a tokenizer that is learned")
    lowercase: bool = _option(True, "whether a tokenizer that is learned drops case and accents")
    block_size: int = _option(128, "tokens in a block, the longest context")

    d_model: int = _option(256, "features of a token")
    layers: int = _option(4, "blocks of the network")
    heads: int = _option(4, "attention heads in a block")
    dropout: float = _option(0.0, "with few passes over the text, none is best")

    batch_size: int = _option(32, "blocks in one forward pass of one process")
    accumulation: int = _option(1, "forward passes per update")
    steps: int = _option(1000, "updates")
    optimizer: Optimizer = _option("adamw", "adamw, or muon for the matrices inside the network")
    learning_rate: float = _option(1e-3, "the peak, reached at the end of warm-up")
    beta2: float = _option(0.98, "AdamW's memory of squared gradients")
    warmup_ratio: float = _option(0.05, "share of the updates")
    schedule: Schedule = _option("linear", "decay after warm-up")
    weight_decay: float = _option(0.01, "on matrices alone")
    mask_rate: float = _option(0.3, "share of the pieces to predict in training (mlm)")
    precision: Precision = _option("auto", "auto takes what the hardware is fast at")
    seed: int = _option(0, "weights, order of the blocks, masks and dropout")

    evaluate_every: int | None = _option(None, "updates; without it after each pass")
    checkpoint_every: int = _option(500, "updates")
    num_workers: int = _option(0, "processes that read and mask ahead; 2 to 8 keep a GPU fed")
    prepare_only: bool = _option(False, "stop when the blocks are made, before any training")

    def __post_init__(self) -> None:
        if bool(self.text) == bool(self.dataset):
            raise ValueError(
                f"text is {self.text} and dataset {self.dataset!r}: give exactly one of the two."
            )
        if not 0 <= self.validation_share < 1:
            raise ValueError(
                f"validation_share is {self.validation_share}; expected 0 to below 1, such as 0.01."
            )
        if self.evaluate_every is not None and self.validation_share == 0:
            raise ValueError(
                f"evaluate_every is {self.evaluate_every}, but validation_share is 0: nothing is "
                "held out to evaluate on."
            )
        if not 0 < self.mask_rate <= 1:
            raise ValueError(f"mask_rate is {self.mask_rate}; expected above 0 and at most 1.")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise ValueError(f"max_tokens is {self.max_tokens}; expected 1 or more.")
        # These check the other settings, now and not after an hour of tokenizing.
        self.model_config(self.vocab_size)
        self.training_config()

    def model_config(self, vocab_size: int) -> ModernBertConfig:
        """The network's; its feed-forward layers are 1.5 times as wide as it, as ModernBERT's."""
        return ModernBertConfig(
            vocab_size=vocab_size,
            d_model=self.d_model,
            n_layers=self.layers,
            n_heads=self.heads,
            d_ff=3 * self.d_model // 2,
            max_positions=self.block_size,
            dropout=self.dropout,
            causal=self.objective == "clm",
        )

    def training_config(self) -> TrainingConfig:
        """What `train` is told; it goes on from a checkpoint wherever there is one."""
        return TrainingConfig(
            steps=self.steps,
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            beta2=self.beta2,
            batch_size=self.batch_size,
            accumulation=self.accumulation,
            warmup_ratio=self.warmup_ratio,
            schedule=self.schedule,
            weight_decay=self.weight_decay,
            group_by_length=False,  # blocks are all of one length
            precision=self.precision,
            seed=self.seed,
            evaluate_every=self.evaluate_every,
            checkpoint_dir=Path(self.output) / "checkpoints",
            checkpoint_every=self.checkpoint_every,
            resume=True,
            num_workers=self.num_workers,
        )

    def documents(self) -> TextFiles | StreamedTexts:
        """The text, not yet read."""
        if self.text:
            return TextFiles(tuple(self.text), self.text_split)
        files = tuple(self.data_files) if self.data_files else None
        return StreamedTexts(
            self.dataset, self.column, self.dataset_config, self.dataset_split, files
        )


def pretrain(config: PretrainingConfig) -> History | None:
    """Prepare the text, train, and write the model; each part only if it isn't there yet.

    Returns:
        The run's history, or None with `prepare_only`.

    Raises:
        CheckpointError: the output folder is that of a run with other settings.
        ValueError: the text is too short, isn't text, or doesn't go with the tokenizer; and what
            `train` raises.
        FileNotFoundError: a file is absent.
        InUseError: another run is writing to the output folder.
    """
    with owned_folder(config.output):
        return _pretrain(config, join_processes())


def _pretrain(config: PretrainingConfig, group: PartialState) -> History | None:
    documents = config.documents()
    with group.main_process_first():  # it writes, the others then find what it has written
        source = documents.describe()
        _check_settings(config, source)
        tokenizer = _tokenizer(config, documents)
        blocks = prepare_blocks(
            Path(config.output) / "blocks",
            documents,
            tokenizer,
            config.block_size,
            source=source,
            validation_share=config.validation_share,
            max_tokens=config.max_tokens,
        )
    if config.prepare_only:
        return None
    torch.manual_seed(config.seed)
    model = ModernBert(config.model_config(vocabulary_size(tokenizer)))
    collate_fn, held_out = _objective(config, tokenizer, blocks)
    history = train(
        model,
        blocks["train"],
        config.training_config(),
        collate_fn=collate_fn,
        evaluate=held_out,
    )
    if group.is_main_process:
        _write_results(config, source, tokenizer, model, history, group.num_processes)
    group.wait_for_everyone()
    return history


def _check_settings(config: PretrainingConfig, source: dict[str, str]) -> None:
    """Write settings.json, or compare with it: a masked run must not go on as a causal one."""
    settings = {k: v for k, v in asdict(config).items() if k not in FREE_TO_CHANGE}
    settings |= {f"source, {key}": value for key, value in source.items()}
    output = Path(config.output)
    file = output / "settings.json"
    saved = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    differing = disk.differences(saved, settings)
    if differing and ((output / "blocks").exists() or (output / "checkpoints").exists()):
        raise CheckpointError(
            f"{config.output} is the folder of another run:\n  "
            + "\n  ".join(differing[:8] + ["…"] * (len(differing) > 8))
            + "\nGo on with the settings it was made with, or choose another --output."
        )
    if differing:  # an earlier start got nowhere; its vocabulary may be of other settings
        shutil.rmtree(output / "tokenizer", ignore_errors=True)
        disk.write_file(file, json.dumps(settings, indent=2) + "\n")


def _tokenizer(
    config: PretrainingConfig, documents: TextFiles | StreamedTexts
) -> PreTrainedTokenizerBase:
    """The tokenizer that was asked for, or one learned from the documents that train."""
    folder = Path(config.output) / "tokenizer"
    if config.tokenizer is None and not folder.exists():
        tokenizer = learn_wordpiece(
            _VocabularyTexts(config, documents), config.vocab_size, lowercase=config.lowercase
        )
        with disk.new_folder(folder) as new:
            tokenizer.save_pretrained(new)
    # Read back even when it was learned just now, so that all processes have the same.
    tokenizer = AutoTokenizer.from_pretrained(config.tokenizer or str(folder))
    tokenizer.model_max_length = config.block_size
    block_ends(tokenizer)  # refuses a tokenizer that can't end a document
    if config.objective == "mlm" and tokenizer.mask_token_id is None:
        raise ValueError(
            f"The tokenizer {config.tokenizer} has no mask token, which --objective mlm needs. Use "
            "one made for masked language modelling, leave --tokenizer out to have one learned, "
            "or choose --objective clm."
        )
    if config.objective == "clm" and not tokenizer.is_fast:
        raise ValueError(
            f"The tokenizer {config.tokenizer} is a slow one ({type(tokenizer).__name__}), which "
            "can't be saved so that it leaves a prompt open. Use a fast one, or leave --tokenizer "
            "out to have one learned."
        )
    return tokenizer


@dataclass(frozen=True)
class _VocabularyTexts:
    """The documents that train, up to a length; can be gone through twice."""

    config: PretrainingConfig
    documents: TextFiles | StreamedTexts

    def __iter__(self):
        left = VOCABULARY_TEXT
        if self.config.max_tokens is not None:
            left = min(left, CHARACTERS_PER_TOKEN * self.config.max_tokens)
        for text in self.documents:
            if left <= 0:
                return
            if not is_held_out(text, self.config.validation_share):
                left -= len(text)
                yield text


def _objective(
    config: PretrainingConfig, tokenizer: PreTrainedTokenizerBase, blocks: dict[str, Blocks]
) -> tuple[Callable, Callable[[nn.Module], dict[str, float]] | None]:
    """How batches are made, and what measures the held-out loss (None: nothing is held out)."""
    collate = evaluation_collate = collate_causal
    held_out: Sequence | None = blocks.get("validation")
    if config.objective == "mlm":
        special = tuple(tokenizer.all_special_ids)
        options = (tokenizer.mask_token_id, vocabulary_size(tokenizer), special)
        collate = MaskedCollator(*options, rate=config.mask_rate)
        if held_out is not None:
            standard = MaskedCollator(*options, rate=EVALUATION_MASK_RATE)
            held_out, evaluation_collate = FixedMasks(held_out, standard), FixedMasks.collate
    if held_out is None:
        return collate, None

    def measure(model: nn.Module) -> dict[str, float]:
        result = evaluate(
            model,
            held_out,
            collate_fn=evaluation_collate,
            batch_size=config.batch_size,
            precision=config.precision,
        )
        return result | {"perplexity": math.exp(result["loss"])}

    return collate, measure


def _write_results(
    config: PretrainingConfig,
    source: dict[str, str],
    tokenizer: PreTrainedTokenizerBase,
    model: ModernBert,
    history: History,
    processes: int,
) -> None:
    if config.objective == "clm":
        tokenizer = leave_prompts_open(tokenizer, *block_ends(tokenizer))
    else:
        tokenizer = as_it_stands(tokenizer)
    card = model_card(config, source, tokenizer, model, history, processes)

    with disk.new_folder(Path(config.output) / "model") as new:
        model.save_pretrained(new, tokenizer=tokenizer)
        card.save(new / "README.md")
    disk.write_file(Path(config.output) / "history.json", json.dumps(asdict(history), indent=2))


def model_card(
    config: PretrainingConfig,
    source: dict[str, str],
    tokenizer: PreTrainedTokenizerBase,
    model: ModernBert,
    history: History,
    processes: int,
) -> ModelCard:
    """The card of a finished run: data, objective, settings, held-out loss, versions."""
    task = {"mlm": "fill-mask", "clm": "text-generation"}[config.objective]
    on_hub = [config.dataset] if config.dataset and "/" in config.dataset else None
    data = ModelCardData(library_name="transformers", pipeline_tag=task, datasets=on_hub)
    parameters = sum(p.numel() for p in model.parameters())
    kind = {"mlm": "A masked", "clm": "A causal"}[config.objective]
    settings = asdict(config) | {"processes": processes, "machine": platform.machine()}
    # Paths of this machine say nothing elsewhere; "Data" names the files.
    hidden = ("output", "text", "data_files", "tokenizer", "prepare_only")
    counts = read_counts(Path(config.output) / "blocks")
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    versions |= {"transformers": transformers.__version__}
    content = f"""---
{data.to_yaml()}
---

# {Path(config.output).resolve().name}

{kind} language model of {parameters:,} parameters, a ModernBERT whose layers all attend globally,
pretrained from random weights by `helpers.training.pretrain`.

{USES[config.objective].format(mask=tokenizer.mask_token)}
It was trained on {config.block_size} tokens at a time.

## Held-out text

{_held_out_text(config, history)}

## Data

{_table({f"{split}, {key}": n for split, c in counts.items() for key, n in c.items()})}

Read from:

{_table(source)}

Documents are held out by a hash of their words; a document repeated in other words may be on both
sides. The text was taken as it is, so the model may repeat what is wrong or harmful in it.

## Settings

{_table({k: v for k, v in settings.items() if k not in hidden and v is not None})}

## Versions

{_table(versions)}
"""
    return ModelCard(content)


def _held_out_text(config: PretrainingConfig, history: History) -> str:
    if not history.evaluations:
        return "No text was held out, so how well the model predicts was not measured."
    last = history.evaluations[-1]
    what = {
        "mlm": f"of the masked pieces, {EVALUATION_MASK_RATE:.0%} chosen once and for all; the "
        "perplexity is theirs, not that of whole texts",
        "clm": "of each next token, in blocks of the training length",
    }[config.objective]
    return (
        f"Mean loss after {last['step']} updates: {last['loss']:.4f} nats, a perplexity of "
        f"{last['perplexity']:.2f} ({what})."
    )


def _table(rows: dict[str, Any]) -> str:
    lines = (f"| {key} | {value} |" for key, value in rows.items())
    return "\n".join(["| | |", "|---|---|", *lines])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, or 1 with one message on an error."""
    parser = HfArgumentParser(
        PretrainingConfig,
        prog="python -m helpers.training.pretrain",
        description="Pretrain a ModernBERT, masked or causal. The same command goes on after a "
        "stop.",
    )
    try:
        (config,) = parser.parse_args_into_dataclasses(arguments)
        history = pretrain(config)
    except (ValueError, TypeError, OSError, CheckpointError, NonFiniteLossError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    group = PartialState()
    if group.is_main_process:
        print(_summary(config, history))
    group.destroy_process_group()
    return 0


def _summary(config: PretrainingConfig, history: History | None) -> str:
    counts = read_counts(Path(config.output) / "blocks")
    lines = [
        f"{split}: {c['documents']:,} documents, {c['tokens']:,} tokens, {c['blocks']:,} blocks"
        for split, c in counts.items()
    ]
    if history is not None:
        lines += [f"{history.tokens_per_second:,.0f} tokens/s", _held_out_text(config, history)]
        lines.append(f"The model is in {os.fspath(Path(config.output) / 'model')}.")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
