"""Chapter 23, "A small Chinese BERT", "Words as tags": 23-characters.json, tiny-chinese-bert.

    python -m experiments.chapter_23_characters

A BERT of characters, 3 layers and 128 wide, is pretrained on the training sentences of the People's
Daily and on the training reviews, once with single characters masked and once with whole words. All
see as many batches and as many masked characters. Then each, and one that is not pretrained, learns
to cut 1,000 sentences into words. Kept are the words found in each test sentence, as counts.
"""

import itertools
import time
from types import SimpleNamespace
from typing import Any

import torch
from transformers import (
    AutoModelForTokenClassification,
    BertForMaskedLM,
    DataCollatorForTokenClassification,
)

from experiments.common import CHECKPOINTS, RESULTS, Experiment, Row, definitions, log

FILE, MODEL = RESULTS / "23-characters.json", CHECKPOINTS / "tiny-chinese-bert"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE, MODEL),
    reads="the same sentences on all sides, cut at 126 characters; the words of reviews, for whole-"
    "word masking, by longest match with the words of the newspaper's training part",
    searched="nothing: a learning rate of 0.001 for both stages, four passes of the second",
    selected="nothing",
    test="1,000 sentences of the last tenth of January, cut once by each finished model",
    seeds=(0, 1, 2),
)
STEPS, BATCH, SENTENCES, TESTED = 1500, 16, 1000, 1000
STARTS = ("nothing", "characters", "whole words")


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    c = definitions("23")
    train = c.daily["train"]["words"]
    reviews = c.corpora.chinese_reviews()["train"]["text"]
    characters = c.character_tokenizer(["".join(words) for words in train] + list(reviews))
    dictionary = {word for words in train for word in words if len(word) > 1}
    pretrained = {}

    def start(masked: str) -> tuple[dict, Row]:
        if masked not in pretrained:
            texts = [list(words) for words in train]
            texts += [c.longest_match(review[:100], dictionary) for review in reviews]
            pretrained[masked] = pretrain(c, characters, texts, masked == "whole words")
            if masked == "whole words":
                keep(pretrained[masked][0], characters)
        return pretrained[masked]

    def run(start_from: str, seed: int) -> Row:
        found, weights = {}, None
        if start_from != "nothing":
            model, found = start(start_from)
            weights = model.bert.state_dict()
        return found | segment(c, characters, weights, seed)

    plan = [{"start_from": name, "seed": seed} for seed in arguments.seeds for name in STARTS]
    EXPERIMENT.fill(FILE, arguments, plan, run)


def pretrain(
    c: SimpleNamespace, characters: Any, texts: list[list[str]], whole_words: bool
) -> tuple[BertForMaskedLM, Row]:
    """One run with one seed; the last tenth of the losses is the mean that the row gives."""
    started = time.perf_counter()
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model = BertForMaskedLM(c.small_config(len(characters))).train()
    rows = []
    for words in texts:
        ids = characters("".join(words), add_special_tokens=False)["input_ids"]
        word = [i for i, w in enumerate(words) for _ in w]
        if 8 <= len(ids) == len(word):  # NFKC can change a character's number
            rows.append({"ids": ids[:126], "word": word[:126]})
    rows.sort(key=lambda row: len(row["ids"]))
    batches = [rows[i : i + BATCH] for i in range(0, len(rows), BATCH)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, STEPS, pct_start=0.1)
    losses, order, seen = [], [], 0
    for step in range(STEPS):
        order = order or torch.randperm(len(batches), generator=generator).tolist()
        batch = c.hide(batches[order.pop()], whole_words, generator)
        seen += int(batch["attention_mask"].sum())
        with torch.autocast("cpu", torch.bfloat16):
            hidden = model.bert(batch["input_ids"], batch["attention_mask"]).last_hidden_state
            masked = batch["labels"] != -100  # the output layer is needed there alone
            logits = model.cls(hidden[masked])
        loss = torch.nn.functional.cross_entropy(logits.float(), batch["labels"][masked])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if step % 100 == 99:
            log(step + 1, sum(losses[-100:]) / 100)
    every = STEPS // 10
    means = [round(sum(losses[i : i + every]) / every, 3) for i in range(0, STEPS, every)]
    minutes = round((time.perf_counter() - started) / 60, 1)
    return model, {"pretraining losses": means, "characters": seen, "pretraining minutes": minutes}


def segment(c: SimpleNamespace, characters: Any, weights: dict | None, seed: int) -> Row:
    """Learn to cut SENTENCES sentences, and count the words of each test sentence."""
    started = time.perf_counter()
    c.set_seed(seed)
    config = c.small_config(len(characters))
    config.num_labels = len(c.segmentation.BMES)
    model = AutoModelForTokenClassification.from_config(config)
    if weights:
        model.bert.load_state_dict(weights)
    rows = c.segmenting_rows(characters, c.daily["train"]["words"][:SENTENCES])
    collator = DataCollatorForTokenClassification(characters)
    settings = {"epochs": 4, "batch": 16, "seed": seed, "bf16": True, "reader": characters}
    trainer = c.make_trainer(model, rows, collator, **settings)
    trainer.train()
    short = (words for words in c.daily["test"]["words"] if len("".join(words)) <= 126)
    sentences = list(itertools.islice(short, TESTED))
    found = trainer.predict(c.segmenting_rows(characters, sentences)).predictions.argmax(-1)
    counts = []
    for words, tags in zip(sentences, found, strict=True):
        text = "".join(words)
        cut = c.segmentation.words_of(
            text, [c.segmentation.BMES[tag] for tag in tags[1 : len(text) + 1]]
        )
        true, guessed = c.segmentation.spans(words), c.segmentation.spans(cut)
        counts.append([len(true & guessed), len(guessed), len(true)])
    minutes = round((time.perf_counter() - started) / 60, 1)
    return {"minutes": minutes, "right, found, true": counts}


def keep(model: BertForMaskedLM, characters: Any) -> None:
    """Save the model that whole words taught, in half precision."""
    MODEL.mkdir(parents=True, exist_ok=True)
    state = model.state_dict()
    half = BertForMaskedLM(model.config)
    half.load_state_dict(state)
    half.half().save_pretrained(MODEL)
    characters.save_pretrained(MODEL)


if __name__ == "__main__":
    main()
