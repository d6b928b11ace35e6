"""Chapter 23, "Going deeper: a small Chinese BERT": 23-characters.json, chinese-bert.

    python -m experiments.chapter_23_characters

An encoder of characters is pretrained on Chinese text of the book's data, with single characters
hidden or with whole words. Then each, and one that isn't pretrained, learns to read words, parts of
speech and names from 1,000 sentences of the People's Daily, and opinions from 800 reviews. Beside
them stand linear taggers: on characters and their neighbours, from 1,000 sentences and from all,
and on frozen vectors of multilingual-e5. Kept are losses and counts.

    pretrained   a row for each way of hiding and seed: the loss of hidden characters in test
                 sentences, both ways, and what the finished encoder then learned
    linear       the tagger on characters and their neighbours, on 1,000 sentences and on all
    e5           the tagger on frozen vectors, on 1,000 sentences, at most 60 iterations

Losses and counts are sums over ten sentences that stand one behind the other.
"""

import copy
import json
import shutil
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from sklearn.feature_extraction import FeatureHasher
from sklearn.linear_model import LogisticRegression, SGDClassifier
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
)

from experiments.common import CHECKPOINTS, RESULTS, ROOT, Experiment, Row, definitions, log
from helpers.data import cleaning, disk
from helpers.models.modernbert import ModernBert, ModernBertConfig
from helpers.training.loop import TrainingConfig, train

FILE = RESULTS / "23-characters.json"
MODEL = CHECKPOINTS / "chinese-bert"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE, MODEL),
    reads="sentences of at most 126 characters of the People's Daily, the first 64 characters of "
    "each review, on all sides; pretraining: the training sentences and reviews, without their "
    "labels, and Chinese messages of Home Assistant, cut at 126 characters; newspaper words as its "
    "editors cut them, those of the other texts by longest match",
    searched="two strengths of the penalty for each linear tagger on neighbours, three on vectors; "
    "nothing for the networks",
    selected="500 validation sentences for the linear taggers, 200 validation reviews for the "
    "linear classifiers",
    test="1,000 sentences and 600 reviews, read once by each finished model",
    seeds=(0,),
)
SIZE = {"d_model": 128, "n_layers": 3, "n_heads": 4, "d_ff": 256}
PARTS = ("pretrained", "linear", "e5")
UPDATES, BATCH, BLOCK, LONGEST = 1500, 8, 128, 126
FEW, TESTED, TOGETHER = 1000, 1000, 10
SIZES = {"train": 800, "validation": 200, "test": 600}  # reviews, as in chapter_23_reviews
RUNS = ROOT / "runs" / "chapter-23"


def main() -> None:
    parser = EXPERIMENT.parser(rows=True)
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS, help="default: all")
    arguments = parser.parse_args()
    c = definitions("23")
    data = prepare(c)
    ways = ("whole words", "characters", "nothing")
    plans = {
        "pretrained": [{"hidden": way, "seed": seed} for seed in arguments.seeds for way in ways],
        "linear": [{"sentences": size} for size in (FEW, len(data.train))],
        "e5": [{"sentences": FEW}],
    }
    runs = {"pretrained": small_run, "linear": linear_run, "e5": e5_run}
    for part in arguments.parts:
        run = partial(runs[part], c, data)
        EXPERIMENT.fill(FILE, arguments, plans[part], run, part=part)


Sentence = tuple[list[str], list[str]]  # words and their parts of speech


def prepare(c: SimpleNamespace) -> SimpleNamespace:
    """The sentences, the reviews, what is pretrained on, and the tokenizer."""
    sentences = {
        split: [
            (words, pos)
            for words, pos in zip(rows["words"], rows["pos"], strict=True)
            if len("".join(words)) <= LONGEST
        ]
        for split, rows in c.daily.items()
    }
    known = {word for words in c.daily["train"]["words"] for word in words}
    dictionary = {word for word in known if len(word) > 1}
    held_out = [
        "".join(words) for split in ("validation", "test") for words in c.daily[split]["words"]
    ]
    papers = without_copies(list(c.daily["train"]["words"]), held_out)
    others = [*c.corpora.chinese_reviews()["train"]["text"], *c.messages["train"]["zh-Hans"]]
    cut = [c.longest_match(text[:LONGEST], dictionary) for text in others]
    texts = [words for words in (*papers, *cut) if len("".join(words)) >= 4]
    characters = c.character_tokenizer("".join(words) for words in texts)
    rows = blocks(texts, characters)
    log(f"{len(texts):,} texts, {len(papers):,} of the paper, {len(characters):,} characters,")
    log(f"{sum(len(row['input_ids']) for row in rows):,} pieces to pretrain on")
    return SimpleNamespace(
        **sentences,
        known=known,
        reviews=c.cut("zh", SIZES),
        characters=characters,
        rows=rows,
        tags=sorted({tag for words, pos in sentences["train"] for tag in c.word_tags(words, pos)}),
    )


def without_copies(sentences: list[list[str]], held_out: list[str]) -> list[list[str]]:
    """Leave out what shares a quarter of its ten-character sequences with held-out sentences."""
    n = cleaning.CHARACTER_SHINGLE

    def shingles(text: str) -> set[str]:
        row = cleaning.characters(text)
        return {row[i : i + n] for i in range(len(row) - n + 1)}

    seen = set().union(*map(shingles, held_out))
    kept = []
    for words in sentences:
        own = shingles("".join(words))
        if len(own & seen) < 0.25 * len(own) or not own:
            kept.append(words)
    return kept


def shortened(words: list[str], longest: int) -> list[str]:
    """Words up to `longest` characters, the last one cut."""
    kept, left = [], longest
    for word in words:
        if left:
            kept.append(word[:left])
            left -= len(kept[-1])
    return kept


def blocks(texts: list[list[str]], characters: Any) -> list[Row]:
    """Texts one behind the other in rows of BLOCK pieces, with each text's words and its place."""
    rows: list[Row] = []
    ids, parts = [characters.cls_token_id], []
    for words in texts:
        left = words
        while left:
            room = BLOCK - len(ids) - 1
            kept = shortened(left, room)
            text = "".join(kept)
            parts.append((len(ids), kept))
            ids += characters(text, add_special_tokens=False)["input_ids"]
            ids.append(characters.sep_token_id)
            left = rest(left, len(text))
            if len(ids) >= BLOCK - 1:
                if len(ids) < BLOCK:
                    ids.append(characters.sep_token_id)
                rows.append({"input_ids": ids, "parts": parts})
                ids, parts = [characters.cls_token_id], []
    return rows


def rest(words: list[str], start: int) -> list[str]:
    """Words from the character `start` on, the first one cut."""
    kept = []
    for word in words:
        if start < len(word):
            kept.append(word[start:])
        start = max(0, start - len(word))
    return kept


def small_run(c: SimpleNamespace, data: SimpleNamespace, hidden: str, seed: int) -> Row:
    """Pretrain unless `hidden` is nothing; measure; learn from few labels."""
    folder, row = pretrained(c, data, hidden, seed)
    started = time.perf_counter()
    if hidden != "nothing":
        row |= held_out_losses(c, data, folder)
    tagger = learn_tagger(c, data, folder, data.train[:FEW], seed, passes=3, batch=16)
    row["counts"] = read(c, data, tagger)
    row |= opinions(c, data, folder, seed)
    return row | {"minutes afterwards": round((time.perf_counter() - started) / 60, 1)}


def pretrained(
    c: SimpleNamespace, data: SimpleNamespace, hidden: str, seed: int
) -> tuple[Path, Row]:
    """The folder of an encoder, made if it isn't there, and what is to be said of its training."""
    folder = RUNS / f"{hidden.replace(' ', '-')}-{seed}"
    about = RUNS / f"{folder.name}.json"
    if about.exists():  # of an earlier start of this script
        return folder, json.loads(about.read_text("utf-8"))
    torch.manual_seed(seed)
    config = ModernBertConfig(
        vocab_size=len(data.characters), max_positions=128, rope_base=1e4, **SIZE
    )
    model, row = ModernBert(config), {}
    row["parameters"] = sum(p.numel() for p in model.parameters())
    if hidden != "nothing":
        settings = TrainingConfig(
            steps=UPDATES,
            batch_size=BATCH,
            learning_rate=2e-3,
            schedule="constant",
            warmup_ratio=0.05,
            beta2=0.98,
            group_by_length=False,
            precision="bf16",
            seed=seed,
            progress=False,
            checkpoint_dir=RUNS / f"{folder.name}-checkpoints",
            checkpoint_every=100,
            resume=True,
        )
        hide = hider(c, data.characters, hidden == "whole words")
        history = train(model, data.rows, settings, collate_fn=hide, log=Course())
        every = UPDATES // 10
        means = [float(np.mean(history.losses[i : i + every])) for i in range(0, UPDATES, every)]
        row["losses"] = [round(mean, 3) for mean in means]
        row["pieces"] = sum(record["tokens"] for record in history.records)
        row["minutes"] = round(history.seconds / 60, 1)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model.save_pretrained(folder, tokenizer=data.characters)
    if hidden == "whole words" and seed == 0:
        model.save_pretrained(MODEL, tokenizer=data.characters, dtype=torch.float16)
    disk.write_file(about, json.dumps(row))
    return folder, row


class Course:
    """Prints the mean loss of each hundred updates."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def __call__(self, record: dict) -> None:
        self.losses.append(record["loss"])
        if len(self.losses) % 100 == 0:
            log(len(self.losses), f"{np.mean(self.losses[-100:]):.3f}")


def hider(c: SimpleNamespace, characters: Any, whole_words: bool) -> Any:
    """What makes a batch: 80 % of the chosen characters hidden, 10 % changed, 10 % left."""

    def hide(rows: list[dict]) -> dict[str, torch.Tensor]:
        generator = np.random.default_rng(int(torch.randint(2**31, ())))
        ids = torch.tensor([row["input_ids"] for row in rows])  # (B, T)
        labels = torch.full_like(ids, -100)
        for i, row in enumerate(rows):
            for start, words in row["parts"]:
                places = [start + p for p in c.hidden_places(words, whole_words, generator)]
                labels[i, places] = ids[i, places]
        chosen, fate = labels != -100, torch.rand(ids.shape)
        ids[chosen & (fate < 0.8)] = characters.mask_token_id
        changed = chosen & (fate >= 0.9)
        ids[changed] = torch.randint(5, len(characters), (int(changed.sum()),))  # no special piece
        return {"input_ids": ids, "labels": labels}

    return hide


@torch.inference_mode()
def held_out_losses(c: SimpleNamespace, data: SimpleNamespace, folder: Path) -> Row:
    """Sums of the loss over hidden characters of test sentences, and how many were guessed."""
    model = AutoModelForMaskedLM.from_pretrained(folder).eval()
    characters, found = data.characters, {}
    for name, whole_words in (("characters", False), ("whole words", True)):
        generator, sums = np.random.default_rng(0), []
        for start in range(0, TESTED, TOGETHER):
            sentences = data.test[start : start + TOGETHER]
            batch = characters(
                ["".join(words) for words, _ in sentences], padding=True, return_tensors="pt"
            )
            ids, chosen = batch["input_ids"], torch.zeros_like(batch["input_ids"], dtype=torch.bool)
            for i, (words, _) in enumerate(sentences):
                places = c.hidden_places(words, whole_words, generator)
                chosen[i, [1 + p for p in places]] = True
            true = ids[chosen]
            batch["input_ids"] = ids.masked_fill(chosen, characters.mask_token_id)
            logits = model(**batch).logits[chosen]
            loss = torch.nn.functional.cross_entropy(logits, true, reduction="sum").item()
            sums.append([round(loss, 2), int((logits.argmax(-1) == true).sum()), len(true)])
        found[f"loss, guessed, hidden: {name}"] = sums
        total = np.sum(sums, axis=0)
        log(f"{name}: loss {total[0] / total[2]:.3f}, guessed {total[1] / total[2]:.3f}")
    return found


def learn_tagger(
    c: SimpleNamespace,
    data: SimpleNamespace,
    folder: Path,
    sentences: list[Sentence],
    seed: int,
    *,
    passes: int,
    batch: int,
) -> Any:
    """An encoder that learns the place in the word and the part of speech of each character."""
    c.set_seed(seed)
    model = AutoModelForTokenClassification.from_pretrained(
        folder,
        id2label=dict(enumerate(data.tags)),
        label2id={t: i for i, t in enumerate(data.tags)},
    )
    index, rows = model.config.label2id, []
    for words, pos in sentences:
        ids = data.characters("".join(words))["input_ids"]
        labels = [-100, *(index[tag] for tag in c.word_tags(words, pos)), -100]
        rows.append({"input_ids": ids, "attention_mask": [1] * len(ids), "labels": labels})
    settings = TrainingConfig(
        epochs=passes,
        batch_size=batch,
        learning_rate=1e-3,
        precision="bf16",
        seed=seed,
        progress=False,
    )
    collate = DataCollatorForTokenClassification(data.characters)
    train(
        model, rows, settings, collate_fn=lambda rows: dict(collate(copy.copy(rows))), log=Course()
    )
    return model.eval()


def read(c: SimpleNamespace, data: SimpleNamespace, tagger: Any) -> list[list[int]]:
    """Counts of the test sentences, in tens."""
    texts = ["".join(words) for words, _ in data.test[:TESTED]]
    return counted(c, data, c.read_words(tagger, data.characters, texts))


def counted(c: SimpleNamespace, data: SimpleNamespace, found: list[Sentence]) -> list[list[int]]:
    """What `c.reading_counts` gives for each test sentence, added up in tens."""
    pairs = zip(data.test[:TESTED], found, strict=True)
    rows = np.array([c.reading_counts(true, theirs, data.known) for true, theirs in pairs])
    total = rows.sum(0)
    log(
        f"words F1 {2 * total[0] / (total[1] + total[2]):.3f}",
        f"with pos {total[3] / total[2]:.3f}",
    )
    log(f"new {total[4] / total[5]:.3f}", f"names F1 {2 * total[6] / (total[7] + total[8]):.3f}")
    return rows.reshape(-1, TOGETHER, rows.shape[1]).sum(1).tolist()


def opinions(c: SimpleNamespace, data: SimpleNamespace, folder: Path, seed: int) -> Row:
    """Reviews: a linear classifier on frozen vectors, and the encoder fine-tuned."""
    reviews, found = data.reviews, {}
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=2, classifier_pooling="mean"
    ).eval()

    def encoded(texts: list[str]) -> list[list[int]]:
        return data.characters(texts, truncation=True)["input_ids"]

    @torch.inference_mode()
    def vectors(texts: list[str]) -> np.ndarray:
        parts = []
        for start in range(0, len(texts), 50):
            batch = data.characters.pad(
                {"input_ids": encoded(texts[start : start + 50])}, return_tensors="pt"
            )
            hidden = model.model(**batch).last_hidden_state  # (B, T, d)
            mask = batch["attention_mask"][..., None]
            parts.append(((hidden * mask).sum(1) / mask.sum(1)).numpy())
        return np.concatenate(parts)

    x = {split: vectors(part["text"]) for split, part in reviews.items()}
    y = {split: part["label"] for split, part in reviews.items()}
    linear = c.linear(x["train"], y["train"], x["validation"], y["validation"])
    found["frozen"] = bits(linear.predict(x["test"]) == y["test"])
    c.set_seed(seed)
    rows = [
        {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": int(label)}
        for ids, label in zip(encoded(reviews["train"]["text"]), y["train"], strict=True)
    ]
    collate = DataCollatorWithPadding(data.characters)
    settings = TrainingConfig(
        epochs=3, batch_size=16, learning_rate=3e-4, precision="bf16", seed=seed, progress=False
    )
    train(model, rows, settings, collate_fn=lambda rows: dict(collate(rows)))
    model.eval()
    guesses = []
    with torch.inference_mode():
        for start in range(0, len(y["test"]), 50):
            ids = {"input_ids": encoded(reviews["test"]["text"][start : start + 50])}
            batch = data.characters.pad(ids, return_tensors="pt")
            guesses += model(**batch).logits.argmax(-1).tolist()
    found["fine-tuned"] = bits(np.array(guesses) == y["test"])
    for name, row in found.items():
        log(f"reviews, {name}: {row.count('1') / len(row):.3f}")
    return {f"reviews, {name}": row for name, row in found.items()}


def bits(right: np.ndarray) -> str:
    """A row of 1 and 0."""
    return "".join("01"[int(value)] for value in right)


def linear_run(c: SimpleNamespace, data: SimpleNamespace, sentences: int) -> Row:
    """Logistic regression on neighbours, once for the places in words and once for names."""
    started = time.perf_counter()
    hasher = FeatureHasher(2**20, input_type="string", alternate_sign=False)

    def features(part: list[Sentence]) -> Any:
        return hasher.transform(row for words, _ in part for row in c.surroundings("".join(words)))

    parts = {
        "train": data.train[:sentences],
        "validation": data.validation[:500],
        "test": data.test[:TESTED],
    }
    x = {split: features(part) for split, part in parts.items()}
    log("features", x["train"].shape, f"{time.perf_counter() - started:.0f} s")
    kinds = {
        "words": lambda words, pos: c.segmentation.bmes(words),
        "names": c.segmentation.entities,
    }
    found, chosen = {}, {}
    for kind, tags in kinds.items():
        y = {s: np.concatenate([tags(*pair) for pair in parts[s]]) for s in ("train", "validation")}
        passes = max(3, min(20, 2_000_000 // len(y["train"])))
        scored = {}
        for alpha in (1e-6, 1e-5):
            model = SGDClassifier(
                loss="log_loss",
                alpha=alpha,
                max_iter=passes,
                tol=None,
                random_state=0,
                average=True,
            ).fit(x["train"], y["train"])
            score = model.score(x["validation"], y["validation"])
            scored[alpha] = score, model
            log(kind, alpha, f"{score:.4f}", f"{time.perf_counter() - started:.0f} s")
        chosen[kind], (_, model) = max(scored.items(), key=lambda pair: pair[1][0])
        found[kind] = model.predict(x["test"])
    counts = both(c, data, found)
    minutes = round((time.perf_counter() - started) / 60, 1)
    return {"minutes": minutes, "penalty": chosen, "counts": counts}


def both(
    c: SimpleNamespace, data: SimpleNamespace, found: dict[str, np.ndarray]
) -> list[list[int]]:
    """Counts of words by one row of tags and of names by another; parts of speech are left out."""
    start, rows = 0, []
    for words, pos in data.test[:TESTED]:
        text = "".join(words)
        tags = {kind: [*row[start : start + len(text)]] for kind, row in found.items()}
        start += len(text)
        cut = c.segmentation.words_of(text, tags["words"])
        row = c.reading_counts((words, pos), (cut, ["?"] * len(cut)), data.known)
        true = set(c.get_entities(c.segmentation.entities(words, pos)))
        names = set(c.get_entities(tags["names"]))
        rows.append([*row[:6], len(true & names), len(names), len(true)])
    rows = np.array(rows)
    total = rows.sum(0)
    log(f"words F1 {2 * total[0] / (total[1] + total[2]):.3f}, new {total[4] / total[5]:.3f}")
    log(f"names F1 {2 * total[6] / (total[7] + total[8]):.3f}")
    return rows.reshape(-1, TOGETHER, rows.shape[1]).sum(1).tolist()


def e5_run(c: SimpleNamespace, data: SimpleNamespace, sentences: int) -> Row:
    """Logistic regression on frozen states of multilingual-e5, a piece for each character."""
    started = time.perf_counter()
    parts = {
        "train": data.train[:sentences],
        "validation": data.validation[:100],
        "test": data.test[:TESTED],
    }
    x = {}
    for split, part in parts.items():
        pairs = [([*"".join(words)], c.segmentation.entities(words, pos)) for words, pos in part]
        with torch.autocast("cpu", torch.bfloat16):
            x[split] = np.concatenate(c.states(pairs)).astype(np.float32)
        log("e5", split, x[split].shape, f"{time.perf_counter() - started:.0f} s")
    mean, deviation = x["train"].mean(0), x["train"].std(0) + 1e-6
    x = {split: (rows - mean) / deviation for split, rows in x.items()}
    kinds = {
        "words": lambda words, pos: c.segmentation.bmes(words),
        "names": c.segmentation.entities,
    }
    found, chosen = {}, {}
    for kind, tags in kinds.items():
        y = {s: np.concatenate([tags(*pair) for pair in parts[s]]) for s in ("train", "validation")}
        scored = {}
        for strength in (0.001, 0.01, 0.1):
            model = LogisticRegression(C=strength, max_iter=60).fit(x["train"], y["train"])
            scored[strength] = model.score(x["validation"], y["validation"]), model
            log(
                kind,
                strength,
                f"{scored[strength][0]:.4f}",
                f"{time.perf_counter() - started:.0f} s",
            )
        chosen[kind], (_, model) = max(scored.items(), key=lambda pair: pair[1][0])
        found[kind] = model.predict(x["test"])
    counts = both(c, data, found)
    minutes = round((time.perf_counter() - started) / 60, 1)
    return {"minutes": minutes, "strength": chosen, "counts": counts}


if __name__ == "__main__":
    main()
