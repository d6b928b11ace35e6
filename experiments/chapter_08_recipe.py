"""Chapter 08, "Going deeper: the recipe is an experiment, too": 08-recipe.json.

    python -m experiments.chapter_08_recipe speed
    python -m experiments.chapter_08_recipe run NAME [--minutes 10] [--rate 5e-5] [--seeds 0]

The recipe against a plain one and against itself with one part taken out. `speed` measures all
contenders in turn, three rounds, on a machine that does nothing else: seconds of one update and
real pieces per second. `run` trains one contender for as many updates as fit into the minutes at
that speed, so that its result doesn't depend on what else the machine does, and measures it on the
validation articles, as blocks and as lines, at 15 % masked.

*plain* is what a first script often does: `BertForMaskedLM` with `Trainer` and
`DataCollatorForLanguageModeling`, a line of text per example, padded, all other settings the
defaults. The other contenders are the recipe with one change.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import (
    BertConfig,
    BertForMaskedLM,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from experiments.common import RESULTS, Experiment, definitions, log, read
from helpers.models.modernbert import LanguageModelOutput, ModernBert
from helpers.training.loop import TrainingConfig, evaluate, train

FILE = RESULTS / "08-recipe.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="the same articles and vocabulary; blocks for the recipe, lines for the plain one",
    searched="the plain one's learning rate; the recipe stays as it is (seed 1: three minutes)",
    selected="nothing: all rates are shown, on the validation articles",
    test="not used",
    seeds=(0, 1),  # 1 for the recipe's three minutes alone
)
ROUNDS, SECONDS = 3, 6  # of `speed`: for each contender
PLAIN_RATE = 5e-5  # TrainingArguments' default


class Bert(nn.Module):
    """BERT's architecture of the same size, with logits at the masked pieces alone."""

    def __init__(self, config: BertConfig):
        super().__init__()
        self.inner = BertForMaskedLM(config)

    def forward(self, input_ids, labels):
        hidden = self.inner.bert(input_ids).last_hidden_state  # (B, T, d)
        chosen = labels != -100
        loss = F.cross_entropy(self.inner.cls(hidden[chosen]), labels[chosen])  # of (n, V)
        return LanguageModelOutput(loss, partial(self.inner.cls, hidden))


class AllLogits(ModernBert):
    """The recipe's network with logits at every piece, most of which no label asks for."""

    def forward(self, input_ids, attention_mask=None, labels=None):
        logits = self.logits(self.hidden(input_ids, attention_mask))  # (B, T, V)
        return LanguageModelOutput(F.cross_entropy(logits.flatten(0, 1), labels.flatten()), logits)


@dataclass
class Contender:
    """What to train, on what, and how; `settings` are of TrainingConfig."""

    model: Callable[[], nn.Module]
    data: Any
    collate: Callable
    settings: dict[str, Any]


def bert_config(c: SimpleNamespace, dropout: float) -> BertConfig:
    """As deep and wide as the chapter's network, and nearly as many parameters."""
    n = c.CONFIG
    return BertConfig(
        vocab_size=n.vocab_size,
        hidden_size=n.d_model,
        num_hidden_layers=n.n_layers,
        num_attention_heads=n.n_heads,
        intermediate_size=3 * n.d_ff // 2,  # two matrices have what three had
        max_position_embeddings=c.BLOCK,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        pad_token_id=c.tokenizer.pad_token_id,
    )


def lines(c: SimpleNamespace, split: str) -> list[dict]:
    """Each line of each article as an example of its own, cut at a block's length."""
    texts = [line for document in c.documents[split] for line in document.split("\n")]
    rows = c.tokenizer(
        [text for text in texts if text.strip()], truncation=True, max_length=c.BLOCK
    )["input_ids"]
    return [{"input_ids": row} for row in rows]


def pad(c: SimpleNamespace, rows: list[dict]) -> torch.Tensor:
    ids = [torch.as_tensor(row["input_ids"]) for row in rows]
    padding = c.tokenizer.pad_token_id
    return nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=padding)


def masked_lines(c: SimpleNamespace, rows: list[dict], rate: float) -> dict[str, torch.Tensor]:
    ids = pad(c, rows)
    batch = replace(c.collator, rate=rate).mask(ids, torch.default_generator)
    return batch | {"attention_mask": (ids != c.tokenizer.pad_token_id).long()}


def contenders(c: SimpleNamespace) -> dict[str, Contender]:
    """By name; "plain" is apart, since `Trainer` runs it."""
    recipe = Contender(lambda: ModernBert(c.CONFIG), c.datasets["train"], c.collator, c.RECIPE)

    def with_settings(**changed: Any) -> Contender:
        return replace(recipe, settings=c.RECIPE | changed)

    low = replace(c.collator, rate=0.15)
    return {
        "recipe": recipe,
        "BERT's architecture": replace(recipe, model=lambda: Bert(bert_config(c, 0.0))),
        "dropout 0.1": replace(recipe, model=lambda: ModernBert(replace(c.CONFIG, dropout=0.1))),
        "15 % masked": replace(recipe, collate=low),
        "logits everywhere": replace(recipe, model=lambda: AllLogits(c.CONFIG)),
        "padded lines": replace(
            recipe,
            data=lines(c, "train"),
            collate=lambda rows: masked_lines(c, rows, c.collator.rate),
        ),
        "learning rate 5e-5": with_settings(learning_rate=5e-5),
        "constant learning rate": with_settings(schedule="constant"),
        **{name: with_settings(**changed) for name, changed in c.ALTERNATIVES.items()},
    }


def train_contender(
    contender: Contender, *, steps: int, seed: int, rate: float | None = None
) -> tuple[nn.Module, int, float]:
    """The trained model, real pieces seen, and seconds."""
    torch.manual_seed(seed)
    model = contender.model()
    changed = {} if rate is None else {"learning_rate": rate}
    settings = contender.settings | changed | {"steps": steps, "seed": seed, "progress": False}
    history = train(model, contender.data, TrainingConfig(**settings), collate_fn=contender.collate)
    return model, sum(record["tokens"] for record in history.records), history.seconds


class Clock(TrainerCallback):
    """Seconds of each update of `Trainer`."""

    def __init__(self):
        self.seconds: list[float] = []

    def on_step_begin(self, *_, **__):
        self.started = time.perf_counter()

    def on_step_end(self, *_, **__):
        self.seconds.append(time.perf_counter() - self.started)


def train_plain(
    c: SimpleNamespace, *, steps: int, seed: int, rate: float = PLAIN_RATE
) -> tuple[nn.Module, int, list[float]]:
    """The trained model, real pieces seen, and the seconds of each update."""
    torch.manual_seed(seed)
    model = BertForMaskedLM(bert_config(c, 0.1))
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            max_steps=steps,
            learning_rate=rate,
            seed=seed,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            logging_strategy="no",
            include_num_input_tokens_seen="non_padding",
        )
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=lines(c, "train"),
            data_collator=DataCollatorForLanguageModeling(c.tokenizer),
            callbacks=[clock],
        )
        trainer.train()
    return model, int(trainer.state.num_input_tokens_seen), clock.seconds


def measure_speed(c: SimpleNamespace, names: Sequence[str]) -> dict[str, list[dict]]:
    """Rounds of seconds per update and pieces per second, by contender, in alternation."""
    everyone, speeds = contenders(c), {}
    steps = {}  # so many take about SECONDS
    for number in range(ROUNDS + 1):
        for name in names:
            n = steps.get(name, 8)
            if name == "plain":
                _, tokens, seconds = train_plain(c, steps=n, seed=number)
                total = statistics.median(seconds[2:]) * n
            else:
                _, tokens, total = train_contender(everyone[name], steps=n, seed=number)
            steps.setdefault(name, max(8, round(SECONDS * n / total)))
            row = {"seconds": round(total / n, 4), "tokens_per_second": round(tokens / total)}
            if number:  # the first round warms up
                speeds.setdefault(name, []).append(row)
            log(number, name, row)
    return speeds


def held_out(c: SimpleNamespace, model: nn.Module) -> dict[str, float]:
    """Mean loss in nats at the masked pieces of the validation articles."""
    padding = c.tokenizer.pad_token_id
    generator = torch.Generator().manual_seed(0)
    rows = sorted(lines(c, "validation"), key=lambda row: len(row["input_ids"]))
    total = count = 0
    standard = replace(c.collator, rate=0.15)
    model.eval()
    with torch.inference_mode():
        for i in range(0, len(rows), 32):
            ids = pad(c, rows[i : i + 32])
            batch = standard.mask(ids, generator)
            if not isinstance(model, Bert):
                batch["attention_mask"] = (ids != padding).long()
            n = int((batch["labels"] != -100).sum())
            total, count = total + n * model(**batch).loss.item(), count + n
    blocks = evaluate(model, c.held_out, collate_fn=c.held_out.collate)["loss"]
    return {"blocks": round(blocks, 4), "lines": round(total / count, 4)}


def own_rate(c: SimpleNamespace, name: str) -> float:
    return PLAIN_RATE if name == "plain" else contenders(c)[name].settings["learning_rate"]


def run(
    c: SimpleNamespace,
    name: str,
    speed: list[dict],
    *,
    minutes: float,
    rate: float | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Train for as many updates as fit into the minutes at this speed; what came of it."""
    seconds = statistics.median(row["seconds"] for row in speed)
    steps = round(60 * minutes / seconds)
    options = {"steps": steps, "seed": seed, "rate": rate or own_rate(c, name)}
    if name == "plain":
        model, tokens, _ = train_plain(c, **options)
    else:
        model, tokens, _ = train_contender(contenders(c)[name], **options)
    return {
        "steps": steps,
        "tokens": tokens,
        "parameters": sum(p.numel() for p in model.parameters()),
        **held_out(c, model),
    }


def main() -> None:
    parser = EXPERIMENT.parser(rows=True)
    parser.add_argument("command", choices=("speed", "run"))
    parser.add_argument("name", nargs="?", help="of the contender")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rate", type=float, help="default: the contender's own")
    parser.set_defaults(seeds=(0,))
    arguments = parser.parse_args()
    c = definitions("08")
    if arguments.command == "speed":
        everyone = ("plain", *contenders(c))
        EXPERIMENT.make(FILE, lambda: measure_speed(c, everyone), part="speed")
        return
    speed = read(FILE, {})["speed"]
    settings = {"name": arguments.name, "minutes": arguments.minutes}
    settings["rate"] = arguments.rate or own_rate(c, arguments.name)
    plan = [settings | {"seed": seed} for seed in arguments.seeds]
    EXPERIMENT.fill(
        FILE,
        arguments,
        plan,
        lambda name, **settings: run(c, name, speed[name], **settings),
        part="runs",
    )


if __name__ == "__main__":
    main()
