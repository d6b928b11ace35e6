"""What `train` does on a CUDA GPU, written to one JSON: `make gpu-check`.

It needs no asset and no network: weights are random, and so are the pieces, since neither changes
a speed. The working tree and the packages of requirements.txt are all there has to be. Questions:

- Does the GPU give the CPU's losses in fp32?
- How often must the CPU wait for the GPU in an update (`torch.cuda.set_sync_debug_mode`)? After the
  first updates a wait is an error.
- How fast is fine-tuning: `train` against `Trainer` with the same settings and others
  (benchmarks/finetuning.py)?
- How fast is pretraining with 124 million parameters: `train` against a plain loop, both compiled
  too, and what share of the GPU's peak in matrix products is that?
- How fast is `greedy` against transformers' `generate`, with a growing and with a static cache?

Contenders take turns, and the first round isn't counted: it allocates and compiles. What fails or
finds no time says so in the JSON, and the rest goes on. `--smoke` runs all of it on a CPU, tiny,
and writes nothing unless told where: it proves that the script runs, and measures nothing.
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import torch
import transformers
from accelerate import PartialState
from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch import nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertForTokenClassification,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging

from benchmarks.finetuning import (
    COMPILED,
    CONTENDERS,
    Task,
    alternate,
    gemm_peak,
    training_flops,
)
from helpers.data.batching import collate_causal
from helpers.data.masking import MaskedCollator
from helpers.models.generation import greedy
from helpers.models.llama import Llama
from helpers.models.modernbert import ModernBert, ModernBertConfig
from helpers.training.config import TrainingConfig
from helpers.training.loop import train
from helpers.training.objective import to_device
from helpers.training.optim import adamw
from helpers.training.precision import autocast, resolve_precision
from helpers.training.run import Run

RESULTS = Path(__file__).parent / "results"
VOCABULARY = 1000  # of the small models
MASK = 4


@dataclass(frozen=True)
class Scale:
    """Where it runs, and how large everything is."""

    device: torch.device
    sentences: int  # of fine-tuning
    bert: dict  # the network that is fine-tuned
    gpt: dict  # the network that is pretrained
    blocks: int  # in an update of pretraining
    length: int  # of a block
    steps: int  # of pretraining, in each round
    square: int  # of the matrices that find the peak
    peak_seconds: float
    llama: dict  # the network that writes
    new: int  # tokens that it writes


FULL = Scale(
    device=torch.device("cuda"),
    sentences=2000,
    bert={  # MiniLM's
        "vocab_size": 30_522,
        "hidden_size": 384,
        "num_hidden_layers": 6,
        "num_attention_heads": 12,
        "intermediate_size": 1536,
    },
    gpt={"vocab_size": 50_304, "n_layers": 12, "d_ff": 2048, "max_positions": 1024},
    blocks=16,
    length=1024,
    steps=30,
    square=8192,
    peak_seconds=2.0,
    llama={  # SmolLM2-135M's
        "vocab_size": 49_152,
        "hidden_size": 576,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "intermediate_size": 1536,
        "tie_word_embeddings": True,
    },
    new=128,
)
_TINY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
SMOKE = Scale(
    device=torch.device("cpu"),
    sentences=32,
    bert={"vocab_size": VOCABULARY, "intermediate_size": 32, **_TINY},
    gpt={"vocab_size": VOCABULARY, "d_model": 16, "n_layers": 2, "n_heads": 2, "d_ff": 32},
    blocks=2,
    length=32,
    steps=2,
    square=64,
    peak_seconds=0.05,
    llama={"vocab_size": VOCABULARY, "intermediate_size": 32, "num_key_value_heads": 1, **_TINY},
    new=8,
)


def machine(device: torch.device) -> dict:
    found = {"date": date.today().isoformat()}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found |= {"gpu": properties.name, "memory_gib": round(properties.total_memory / 2**30)}
    else:
        found |= {"gpu": None, "smoke": "tiny, on a CPU: no number here is a measurement"}
    return found | {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "precision": resolve_precision("auto", device),
    }


# Models and data, by name.


def blocks(rows: int, length: int, vocab_size: int) -> Dataset:
    ids = np.random.default_rng(0).integers(5, vocab_size, (rows, length))
    return Dataset.from_dict({"input_ids": ids.tolist()}).with_format("numpy")


def sentences(rows: int, vocab_size: int, *, labels: str) -> Dataset:
    """Random pieces in sentences as long as CoNLL's: 2 to 70 pieces, about 20 on average."""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.gamma(2.0, 10.0, rows).astype(int), 2, 70)
    ids = [rng.integers(5, vocab_size, n).tolist() for n in lengths]
    tags = [[piece % 3 for piece in row] for row in ids]
    if labels == "sentence":
        tags = [row[0] for row in tags]
    mask = [[1] * len(row) for row in ids]
    return Dataset.from_dict({"input_ids": ids, "attention_mask": mask, "labels": tags})


def tokenizer() -> PreTrainedTokenizerFast:
    """Only pads."""
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel({"[PAD]": 0})), pad_token="[PAD]"
    )


def pad(examples: list[dict]) -> dict[str, torch.Tensor]:
    """Sentences with one label each."""
    labels = torch.tensor([example.pop("labels") for example in examples])
    return {**tokenizer().pad(examples, return_tensors="pt"), "labels": labels}


def cases() -> dict[str, tuple[Callable[[], nn.Module], Dataset, Callable]]:
    """Each kind of model of the book, small, with its data and collator."""
    small = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    bert = BertConfig(vocab_size=VOCABULARY, intermediate_size=128, num_labels=3, **small)
    shape = {"vocab_size": VOCABULARY, "d_model": 64, "n_layers": 2, "n_heads": 2, "d_ff": 128}
    masked = MaskedCollator(MASK, VOCABULARY, (0, 1, 2, 3), rate=0.3)
    tags = transformers.DataCollatorForTokenClassification(tokenizer())
    rows = blocks(256, 64, VOCABULARY)
    return {
        "BERT, classes": (
            lambda: BertForSequenceClassification(bert),
            sentences(256, VOCABULARY, labels="sentence"),
            pad,
        ),
        "BERT, tags": (
            lambda: BertForTokenClassification(bert),
            sentences(256, VOCABULARY, labels="tokens"),
            tags,
        ),
        "ModernBert, masked": (lambda: ModernBert(ModernBertConfig(**shape)), rows, masked),
        "ModernBert, causal": (
            lambda: ModernBert(ModernBertConfig(**shape, causal=True)),
            rows,
            collate_causal,
        ),
    }


# Equality with the CPU, and waiting for the GPU.


def losses(make: Callable, dataset: Dataset, collate: Callable, *, cpu: bool) -> list[float]:
    """Twenty updates in fp32 without dropout."""
    torch.manual_seed(0)
    model = make()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    config = TrainingConfig(steps=20, learning_rate=1e-3, precision="fp32", progress=False)
    PartialState._reset_state()
    PartialState(cpu=cpu)  # left to itself, Accelerate takes the GPU
    try:
        history = train(model, dataset, config, collate_fn=collate)
    finally:
        PartialState._reset_state()  # or what comes after a failure would be measured on the CPU
    return [record["loss"] for record in history.records]


def cpu_difference() -> dict[str, float]:
    """The largest difference of a loss, in nats."""
    found = {}
    for name, case in cases().items():
        on_cpu, on_gpu = (np.array(losses(*case, cpu=cpu)) for cpu in (True, False))
        found[name] = float(np.abs(on_cpu - on_gpu).max())
        assert found[name] < 1e-3, f"{name}: losses differ by {found[name]} from the CPU's"
    return found


def waits(make: Callable, dataset: Dataset, collate: Callable) -> tuple[dict[str, int], str]:
    """Where the CPU waited for the GPU in the sixth update, and whether the next two passed.

    In those a wait is an error; the second value is its message, or "none".
    """
    torch.manual_seed(0)
    config = TrainingConfig(steps=8, learning_rate=1e-3, progress=False)
    functions = dict.fromkeys(("evaluate_fn", "loss_fn", "after_update"))
    run = Run.start(make(), dataset, config, None, collate_fn=collate, **functions)
    places: dict[str, int] = {}
    for window in run.windows():
        if run.step < 5:
            run.update(window)
        elif run.step == 5:
            with warnings.catch_warnings(record=True) as caught, watched(run.group.device, "warn"):
                warnings.simplefilter("always")
                run.update(window)
            for warning in caught:
                if "synchroniz" in str(warning.message):
                    parts = Path(warning.filename).parts
                    place = f"{'/'.join(parts[-2:])}:{warning.lineno}"
                    places[place] = places.get(place, 0) + 1
        else:
            try:
                with watched(run.group.device, "error"):
                    run.update(window)
            except RuntimeError as error:
                return places, str(error).splitlines()[0]
    return places, "none"


@contextmanager
def watched(device: torch.device, mode: str) -> Iterator[None]:
    """Waiting for the GPU is a warning or an error meanwhile; on a CPU nothing happens."""
    if device.type != "cuda":
        yield
        return
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode(mode)
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def waits_per_update() -> dict:
    found = {name: waits(*case) for name, case in cases().items()}
    return {
        "places": {name: places for name, (places, _) in found.items()},
        "errors": {name: error for name, (_, error) in found.items()},
    }


# Speed.


def fine_tuning(scale: Scale, rounds: int, deadline: float) -> dict:
    """One epoch over sentences with a network of MiniLM's shape."""
    torch.manual_seed(0)
    model = BertForTokenClassification(BertConfig(**scale.bert, num_labels=3))
    initial = {name: value.clone() for name, value in model.state_dict().items()}
    data = sentences(scale.sentences, scale.bert["vocab_size"], labels="tokens")
    precision = resolve_precision("auto", scale.device)
    task = Task(data, tokenizer(), initial, model, scale.device, precision)
    contenders = {
        name: lambda contender=contender: contender(task)
        for name, contender in (CONTENDERS | COMPILED).items()
    }
    seconds = alternate(contenders, rounds, scale.device, deadline, task.renew)
    peak = gemm_peak(task, size=scale.square, seconds=scale.peak_seconds)
    share = training_flops(task) / statistics.median(seconds["train"]) / peak
    return {
        "tokens": task.tokens,
        "tokens_per_second": speeds(task.tokens, seconds),
        "gemm_peak_tflops": round(peak / 1e12),
        "gemm_peak_flops": round(peak),
        "train_share_of_peak": round(share, 4),
    }


def speeds(tokens: int, seconds: dict[str, list[float]]) -> dict[str, list[int]]:
    return {name: [round(tokens / value) for value in values] for name, values in seconds.items()}


def pretraining(scale: Scale, rounds: int, deadline: float, *, causal: bool, peak: float) -> dict:
    """Masked or causal language modelling on blocks."""
    config = ModernBertConfig(**scale.gpt, causal=causal)
    torch.manual_seed(0)
    model = ModernBert(config).to(scale.device)
    compiled = torch.compile(model)
    data = blocks(scale.blocks * 12, scale.length, config.vocab_size)
    masked = MaskedCollator(MASK, config.vocab_size, (0, 1, 2, 3), rate=0.3)
    collate = collate_causal if causal else masked
    contenders = {
        "train": lambda: our_train(model, data, collate, scale),
        "train, compiled": lambda: our_train(model, data, collate, scale, compile=True),
        "bare loop": lambda: bare_loop(model, data, collate, scale),
        "bare loop, compiled": lambda: bare_loop(compiled, data, collate, scale),
    }
    on_gpu = scale.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    seconds = alternate(contenders, rounds, scale.device, deadline)
    tokens = scale.steps * scale.blocks * scale.length
    flops = tokens * flops_per_token(model, scale.length)
    found = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "tokens_per_second": speeds(tokens, seconds),
        "model_flop_utilisation": {
            name: round(flops / statistics.median(values) / peak, 4)
            for name, values in seconds.items()
        },
    }
    if on_gpu:
        found["peak_memory_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 1)
    return found


def flops_per_token(model: ModernBert, length: int) -> float:
    """6 per weight of a matrix, the output's included, and 12 L d T for attention.

    Half of the attention's where a token sees only those before it (PaLM, appendix B). The masked
    model computes its output at the masked positions alone: the count is too high for it there.
    """
    matrices = sum(p.numel() for p in model.parameters() if p.ndim == 2)
    config = model.config
    attention = 12 * config.n_layers * config.d_model * length
    return 6.0 * matrices + attention * (0.5 if config.causal else 1.0)


def our_train(
    model: nn.Module, data: Dataset, collate: Callable, scale: Scale, **settings: bool
) -> None:
    config = TrainingConfig(
        steps=scale.steps, batch_size=scale.blocks, learning_rate=1e-4, progress=False, **settings
    )
    train(model, data, config, collate_fn=collate)


def bare_loop(model: nn.Module, data: Dataset, collate: Callable, scale: Scale) -> None:
    """As nanoGPT's: the same batches from memory, the same optimizer and precision, no more."""
    model.train()
    optimizer = adamw(model, 1e-4, weight_decay=0.01)
    precision = resolve_precision("auto", scale.device)
    for step in range(scale.steps):
        first = step * scale.blocks % len(data)
        batch = collate([data[i] for i in range(first, first + scale.blocks)])
        with autocast(precision, scale.device):
            loss = model(**to_device(batch, scale.device)).loss
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()


def generation(scale: Scale, rounds: int, deadline: float) -> dict:
    """New tokens a second after prompts of 32, in fp32, one text and eight at a time."""
    torch.manual_seed(0)
    theirs = LlamaForCausalLM(LlamaConfig(**scale.llama, max_position_embeddings=2048)).eval()
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        ours = Llama.from_pretrained(folder).to(scale.device).eval()
    theirs.to(scale.device).generation_config.eos_token_id = None  # all write all tokens
    theirs.generation_config.pad_token_id = 0
    report = {}
    for texts in (1, 8):
        ids = torch.randint(5, scale.llama["vocab_size"], (texts, 32), device=scale.device)

        def generate(ids: torch.Tensor = ids, **cache: str) -> torch.Tensor:
            settings = {"attention_mask": torch.ones_like(ids), "do_sample": False}
            return theirs.generate(ids, max_new_tokens=scale.new, **settings, **cache)[:, 32:]

        contenders = {
            "greedy": lambda ids=ids: greedy(ours, ids, scale.new),
            "generate": generate,
            "generate, static cache": lambda f=generate: f(cache_implementation="static"),
        }
        seconds = alternate(contenders, rounds, scale.device, deadline)
        same = (greedy(ours, ids, scale.new) == generate()).float().mean().item()
        report[f"{texts} texts"] = {
            "tokens_per_second": speeds(texts * scale.new, seconds),
            "same_tokens": round(same, 3),
        }
    return report


# All of it.


def check(scale: Scale, rounds: int, minutes: float, keep: Callable[[dict], None]) -> dict:
    """The report, section by section; `keep` is called after each."""
    started = time.monotonic()
    deadline = started + 60 * minutes
    report: dict = {"machine": machine(scale.device)}

    def section(name: str, work: Callable[[], dict], part: str | None = None) -> None:
        left = deadline - time.monotonic()
        if left < 0:
            found = {"left out": f"the {minutes:g} minutes were over"}
        else:
            try:
                found = work()
            except Exception as error:  # a section that fails must not take the others with it
                traceback.print_exc()
                found = {"failed": f"{type(error).__name__}: {error}".splitlines()[0]}
                if isinstance(error, torch.OutOfMemoryError):
                    torch.cuda.empty_cache()
        if part is None:
            report[name] = found
        else:
            report.setdefault(name, {})[part] = found
        said = ", ".join(f"{k}: {found[k]}" for k in ("failed", "left out") if k in found)
        print(f"{time.monotonic() - started:5.0f} s  {name} {part or ''} {said}", flush=True)
        keep(report)

    section("cpu_difference", cpu_difference)
    section("waits_per_update", waits_per_update)
    section("fine_tuning", lambda: fine_tuning(scale, rounds, deadline))
    peak = report["fine_tuning"].get("gemm_peak_flops", float("nan"))
    for kind in ("causal", "masked"):
        section(
            "pretraining",
            lambda causal=kind == "causal": pretraining(
                scale, rounds, deadline, causal=causal, peak=peak
            ),
            kind,
        )
    section("generation", lambda: generation(scale, rounds, deadline))
    return report


def main(arguments: list[str] | None = None) -> dict:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=8, help="then no new round begins")
    parser.add_argument("--smoke", action="store_true", help="tiny, on a CPU: measures nothing")
    parser.add_argument("--out", type=Path, help="the JSON; by default named by the GPU")
    options = parser.parse_args(arguments)
    if not options.smoke and not torch.cuda.is_available():
        raise SystemExit("No CUDA device is here: this check measures one. --smoke runs it tiny.")
    logging.set_verbosity_error()
    scale = SMOKE if options.smoke else FULL
    file = options.out
    if file is None and not options.smoke:
        gpu = machine(scale.device)["gpu"].lower().replace(" ", "-")
        file = RESULTS / f"{gpu}.json"

    def keep(report: dict) -> None:
        if file is not None:
            file.parent.mkdir(exist_ok=True)
            file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")

    # The smoke test proves the script and not the compiler.
    stance = torch.compiler.set_stance("force_eager") if options.smoke else nullcontext()
    with stance:
        report = check(scale, options.rounds, options.minutes, keep)
    print(json.dumps(report, indent=2))
    if file is not None:
        print(f"Written to {file}")
    return report


if __name__ == "__main__":
    main()
