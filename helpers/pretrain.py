"""Pretrain a language model, masked or causal, on text files or a streamed data set::

    accelerate launch -m helpers.pretrain --objective mlm --output runs/news \\
        --text news/*.txt --vocab-size 8192 --steps 5000

(`python -m` for one process, `torchrun --nproc_per_node 2 -m` for two.) It is a new ModernBERT, or
with `--from` a model that is there and its tokenizer. The folder `--output` gets

    settings.json   what was asked for
    tokenizer/      a WordPiece tokenizer learned from the text, unless there is one
    blocks/         the text as token ids, see helpers.data.blocks
    checkpoints/    see helpers.training.checkpoints
    log.jsonl       the loss of each update and evaluation, as the run goes on
    model/          at the end: weights, config, tokenizer and model card, for transformers
    history.json    at the end: losses, learning rates, speed and held-out losses

The same command goes on where one ended that was killed or stopped with Ctrl-C, with the same
numbers to the last bit; with more `--steps` it makes a run longer. With several machines,
`--output` must be on shared storage.

Here the rooms of helpers meet: this module puts together data, models and training, which don't
know each other. Nothing imports it.
"""

# ruff: noqa: RUF009 (_option gives a dataclasses.field, made anew for each attribute)

import signal

if __name__ == "__main__":  # the imports take seconds, in which a Ctrl-C needs no traceback
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import json
import math
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import Field, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import PartialState
from torch import nn
from transformers import AutoTokenizer, HfArgumentParser, PreTrainedTokenizerBase
from transformers.hf_argparser import HfArg

from helpers.data import assets, disk
from helpers.data.assets import AssetError
from helpers.data.batching import collate_causal
from helpers.data.blocks import (
    Blocks,
    block_ends,
    prepare_blocks,
    read_counts,
    vocabulary_size,
)
from helpers.data.documents import StreamedTexts, TextFiles, is_held_out
from helpers.data.masking import FixedMasks, MaskedCollator
from helpers.data.vocabulary import as_it_stands, learn_wordpiece, leave_prompts_open
from helpers.models.modernbert import ModernBert, ModernBertConfig
from helpers.models.pretrained import load_language_model
from helpers.training import checkpoints
from helpers.training.checkpoints import CheckpointError
from helpers.training.config import Optimizer, Precision, Schedule
from helpers.training.interruption import Interrupted, handled, stop
from helpers.training.log import Log
from helpers.training.loop import History, NonFiniteLossError, TrainingConfig, evaluate, train
from helpers.training.model_card import TASKS, model_card
from helpers.training.processes import join_processes, owned_folder

EVALUATION_MASK_RATE = 0.15  # whatever the rate in training, so that runs can be compared
VOCABULARY_TEXT = 500_000_000  # characters to learn a vocabulary from; more changes little
CHARACTERS_PER_TOKEN = 10  # at most, on average: how much text `max_tokens` can need
LEARNING_RATE, GENTLE = 1e-3, 1e-4  # of a new network, and of one that has learned already
WITHOUT_PREPARE = "The same command without --prepare-only trains on it."
MUCH = 0.001  # of the tokens or marks; a learned vocabulary loses less
ERRORS = (ValueError, TypeError, OSError, AssetError, CheckpointError, NonFiniteLossError)
OF_A_NEW_MODEL = ("tokenizer", "vocab_size", "lowercase", "d_model", "layers", "heads", "dropout")

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

    base: str | None = HfArg(
        default=None,
        aliases=["--from"],
        help="a model to go on with, and its tokenizer: folder, asset or Hub id",
    )
    tokenizer: str | None = _option(None, "folder or Hub id; without it one is learned")
    vocab_size: int = _option(8192, "pieces in a tokenizer that is learned")
    lowercase: bool = _option(True, "whether a tokenizer that is learned drops case")
    block_size: int = _option(128, "tokens in a block, the longest context")

    d_model: int = _option(256, "features of a token")
    layers: int = _option(4, "blocks of the network")
    heads: int = _option(4, "attention heads in a block")
    dropout: float = _option(0.0, "with few passes over the text, none is best")

    batch_size: int = _option(32, "blocks in one forward pass of one process")
    accumulation: int = _option(1, "forward passes per update")
    steps: int = _option(1000, "updates")
    optimizer: Optimizer = _option("adamw", "adamw, or muon for the matrices inside the network")
    learning_rate: float | None = _option(
        None, f"the peak, at the end of warm-up; without it {LEARNING_RATE}, with --from {GENTLE}"
    )
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
        for name, fits, expected in (
            ("validation_share", 0 <= self.validation_share < 1, "0 to below 1, such as 0.01"),
            ("mask_rate", 0 < self.mask_rate <= 1, "above 0 and at most 1"),
            ("max_tokens", self.max_tokens is None or self.max_tokens >= 1, "1 or more"),
        ):
            if not fits:
                raise ValueError(f"{name} is {getattr(self, name)}; expected {expected}.")
        if self.evaluate_every is not None and self.validation_share == 0:
            raise ValueError(
                f"evaluate_every is {self.evaluate_every}, but validation_share is 0: nothing is "
                "held out to evaluate on."
            )
        if self.base is not None:
            self._check_nothing_is_of_a_new_model()
        if self.learning_rate is None:
            rate = LEARNING_RATE if self.base is None else GENTLE
            object.__setattr__(self, "learning_rate", rate)  # the class is frozen for its users
        # These check the other settings, now and not after an hour of tokenizing.
        self.model_config(self.vocab_size)
        self.training_config()

    def _check_nothing_is_of_a_new_model(self) -> None:
        new = [f for f in fields(self) if f.name in OF_A_NEW_MODEL]
        given = [f.name for f in new if getattr(self, f.name) != f.default]
        if given:
            raise ValueError(
                f"{', '.join(given)} can't be chosen with --from: {self.base} brings its own "
                "network and tokenizer. Leave one of them out."
            )

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
        shared = {f.name for f in fields(self)} & {f.name for f in fields(TrainingConfig)}
        return TrainingConfig(
            **{name: getattr(self, name) for name in shared},
            group_by_length=False,  # blocks are all of one length
            checkpoint_dir=Path(self.output) / "checkpoints",
            resume=True,
            extend=True,
            progress=False,  # the log's lines are seen instead
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
        CheckpointError: the output folder is that of a run with other settings, or damaged.
        InUseError: another process is writing to it.
        Interrupted: by Ctrl-C or SIGTERM, if in training after a checkpoint.
        ValueError: the text is too short, isn't text, or doesn't go with the tokenizer or the
            model; and what `train` raises.
        FileNotFoundError: a file is absent.
    """
    group = join_processes()
    with owned_folder(config.output):
        documents = config.documents()
        torch.manual_seed(config.seed)
        model: nn.Module | None = None
        if config.base is not None:
            causal = config.objective == "clm"
            model, new = load_language_model(config.base, causal=causal, length=config.block_size)
            if new and group.is_main_process:
                print(f"Not in {config.base}, so random at first: {', '.join(new)}.", flush=True)
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
        if group.is_main_process:
            print(_text_summary(config, tokenizer), flush=True)
        if config.prepare_only:
            return None
        if model is None:
            model = ModernBert(config.model_config(vocabulary_size(tokenizer)))
        collate_fn, held_out = _objective(config, tokenizer, blocks)
        log = Log(Path(config.output) / "log.jsonl", config.steps)
        history = train(
            model,
            blocks["train"],
            config.training_config(),
            collate_fn=collate_fn,
            evaluate_fn=held_out,
            log=log,
        )
        if group.is_main_process:
            if not log.is_open:
                print(f"All {config.steps:,} updates were done before.", file=sys.stderr)
            _write_results(config, source, tokenizer, model, history)
        group.wait_for_everyone()
    return history


def _check_settings(config: PretrainingConfig, source: dict[str, str]) -> None:
    """Write settings.json, or compare with it: a masked run must not go on as a causal one.

    Without it nothing is lost: blocks and checkpoints say themselves what they are of.
    """
    settings = {k: v for k, v in asdict(config).items() if k not in FREE_TO_CHANGE}
    settings |= {f"source, {key}": value for key, value in source.items()}
    output = Path(config.output)
    file = output / "settings.json"
    try:
        saved = json.loads(file.read_text(encoding="utf-8")) if file.exists() else settings
        longer = saved["steps"] < config.steps
        differing = disk.differences(saved | {"steps": config.steps} if longer else saved, settings)
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(
            f"{file} can't be read ({type(error).__name__}: {error}). Delete it and give the same "
            "command again: blocks and checkpoints are compared with it anyhow."
        ) from error
    has_begun = (output / "blocks").exists() or (output / "checkpoints").exists()
    if differing and has_begun:
        raise CheckpointError(
            f"{config.output} is the folder of another run:\n  "
            + "\n  ".join(differing[:8] + ["…"] * (len(differing) > 8))
            + "\nGo on with the settings it was made with, or choose another --output."
        )
    if has_begun and longer:
        print(
            f"The run of {saved['steps']:,} updates goes on to {config.steps:,}, with the learning "
            f"rate of a {config.schedule} schedule of {config.steps:,} from here on.",
            flush=True,
        )
    if differing:  # an earlier start got nowhere; its vocabulary may be of other settings
        shutil.rmtree(output / "tokenizer", ignore_errors=True)
    disk.write_file(file, json.dumps(settings, indent=2) + "\n")


def _tokenizer(
    config: PretrainingConfig, documents: TextFiles | StreamedTexts
) -> PreTrainedTokenizerBase:
    """The model's own tokenizer, the one asked for, or one learned from the texts that train."""
    folder = Path(config.output) / "tokenizer"
    given = config.tokenizer if config.base is None else assets.path(config.base)
    if given is None and not folder.exists():
        texts = _VocabularyTexts(config, documents)
        learned = learn_wordpiece(texts, config.vocab_size, lowercase=config.lowercase)
        with disk.new_folder(folder) as partial:
            learned.save_pretrained(partial)
    # Read back even when it was learned just now, so that all processes have the same.
    tokenizer = AutoTokenizer.from_pretrained(given or str(folder))
    if config.base is None:
        tokenizer.model_max_length = config.block_size
    block_ends(tokenizer)  # refuses a tokenizer that can't end a document
    if config.objective == "mlm" and tokenizer.mask_token_id is None:
        raise ValueError(
            f"The tokenizer {given} has no mask token, which --objective mlm needs. Use one made "
            "for masked language modelling, leave --tokenizer out to have one learned, or choose "
            "--objective clm."
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
            model, held_out, collate_fn=evaluation_collate, batch_size=config.batch_size
        )
        return result | {"perplexity": math.exp(result["loss"])}

    return collate, measure


def _write_results(
    config: PretrainingConfig,
    source: dict[str, str],
    tokenizer: PreTrainedTokenizerBase,
    model: nn.Module,
    history: History,
) -> None:
    kind = f"{sum(p.numel() for p in model.parameters()):,} parameters, a {type(model).__name__}"
    metadata = {"datasets": [config.dataset] if config.dataset and "/" in config.dataset else None}
    if config.base is None:
        ends = block_ends(tokenizer)
        is_causal = config.objective == "clm"
        tokenizer = leave_prompts_open(tokenizer, *ends) if is_causal else as_it_stands(tokenizer)
        origin = f"{kind} whose layers all attend globally, pretrained from random weights"
    else:
        asset = assets.ASSETS.get(config.base)
        name = asset.source if asset else config.base
        if Path(name).exists():
            name = Path(name).resolve().name
        else:
            metadata["base_model"] = name
        origin = f"{kind}, in which the pretraining of {name} goes on"
    # Paths of this machine say nothing elsewhere; "Data" names the files.
    hidden = {"output", "text", "data_files", "tokenizer", "base", "prepare_only"}
    hidden |= set(OF_A_NEW_MODEL) if config.base else set()
    settings = asdict(config) | {"processes": PartialState().num_processes}
    counts = read_counts(Path(config.output) / "blocks")
    card = model_card(
        config.objective,
        name=Path(config.output).resolve().name,
        origin=f"{origin}, by `helpers.pretrain`, {config.block_size} tokens at a time.",
        held_out=_held_out_text(config, history),
        counts={f"{split}, {k}": n for split, c in counts.items() for k, n in c.items()},
        source=source,
        settings={k: v for k, v in settings.items() if k not in hidden and v is not None},
        **metadata,
    )
    with disk.new_folder(Path(config.output) / "model") as folder:
        if config.base is None:
            model.save_pretrained(folder, tokenizer=tokenizer)
        else:
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        card.save(folder / "README.md")
    disk.write_file(Path(config.output) / "history.json", json.dumps(asdict(history), indent=2))


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


def _text_summary(config: PretrainingConfig, tokenizer: PreTrainedTokenizerBase) -> str:
    """What became of the text, a line a split, and what was lost of it."""
    counts = read_counts(Path(config.output) / "blocks")
    lines = [
        f"{split}: {c['documents']:,} documents, {c['tokens']:,} tokens, {c['blocks']:,} blocks"
        + (", from the end of the text" if c["blocks_from_the_end"] else "")
        for split, c in counts.items()
    ]
    total = {name: sum(c[name] for c in counts.values()) for name in counts["train"]}
    share = total["unknown_tokens"] / total["tokens"]
    is_learned = config.tokenizer is None and config.base is None
    learned = f" learned, {'without' if config.lowercase else 'with'} case" if is_learned else ""
    lines.append(
        f"vocabulary: {len(tokenizer):,} pieces{learned}; {total['unknown_tokens']:,} tokens "
        f"({share:.2%}) unknown; {total['lost_marks']:,} of {total['marks']:,} marks lost "
        "(accents, vowels, tones)"
    )
    if share > MUCH or total["lost_marks"] > MUCH * total["marks"]:
        remedy = "a larger --vocab-size" if is_learned else "another tokenizer or model"
        lines.append(f"This tokenizer loses a part of the text for good: choose {remedy}.")
    return "\n".join(lines)


def _next_steps(config: PretrainingConfig, history: History) -> str:
    """What is said at the end of a run; its last line is what to do with the model."""
    folder = os.fspath(Path(config.output) / "model")
    mask = AutoTokenizer.from_pretrained(folder).mask_token
    text = {"mlm": f"A sentence with a {mask}.", "clm": "How a document begins"}[config.objective]
    use = f'pipeline("{TASKS[config.objective]}", {folder!r})({text!r})'
    return (
        f"{history.tokens_per_second:,.0f} tokens/s\n{_held_out_text(config, history)}\n"
        f"The model is in {folder}. To use it, in Python:\n"
        f"from transformers import pipeline; {use}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    0; or 1 with one message on an error; or 130 after Ctrl-C and 143 after SIGTERM, with a message
    that says how to go on.
    """
    parser = HfArgumentParser(
        PretrainingConfig,
        prog="python -m helpers.pretrain",
        description="Pretrain a language model, masked or causal: a new ModernBERT, or --from one "
        "that is there. The same command goes on after a stop.",
    )
    arguments = sys.argv[1:] if arguments is None else arguments
    code = 0
    try:
        (config,) = parser.parse_args_into_dataclasses(arguments)
        with handled(stop):
            history = pretrain(config)
        message = _next_steps(config, history) if history else WITHOUT_PREPARE
    except Interrupted as interruption:
        code, message = 128 + interruption.signal, _goodbye(config, interruption, arguments)
    except ERRORS as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    group = PartialState()
    if group.is_main_process:
        print(message, file=sys.stderr if code else sys.stdout)
    group.destroy_process_group()
    return code


def _goodbye(config: PretrainingConfig, interruption: Interrupted, arguments: Sequence[str]) -> str:
    folder = Path(config.output) / "checkpoints"
    last = checkpoints.latest(folder) if folder.exists() else None
    where = f"after the checkpoint {last}" if last else "before the first update"
    processes = PartialState().num_processes
    start = f"torchrun --nproc_per_node {processes} -m" if processes > 1 else f"{sys.executable} -m"
    return (
        f"The run was {interruption}, {where}. This goes on from there:\n"
        f"{start} helpers.pretrain {shlex.join(arguments)}"
    )


if __name__ == "__main__":
    sys.exit(main())
