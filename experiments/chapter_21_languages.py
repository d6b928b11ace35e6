"""Chapter 21, "Going deeper: commands in other languages": 21-languages.json.

    python -m experiments.chapter_21_languages

The chapter's joint model on multilingual-e5. It learns English commands and reads those of all four
languages; and it learns each language by itself. A search on English validation commands comes
first, a row a setting; then a row a run, with what it says to test commands.
"""

import time

import torch
from transformers import AutoModel, AutoTokenizer, set_seed

from experiments.common import RESULTS, Experiment, Row, definitions, read
from helpers.data import assets, intents

FILE = RESULTS / "21-languages.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="the text alone, on all sides",
    searched="for the joint model four settings of learning rate and standardised states, eight "
    "passes each, after a rate of 0.001 had diverged; the languages take what English chose. For "
    "memory nothing",
    selected="exact frames of 215 English validation commands",
    test="commands with templates and names that training has not, one stored answer of each "
    "finished model",
    seeds=(0,),
)
PASSES = 8
# Learning rate, and whether the states are standardised before training.
SETTINGS = ((5e-4, False), (1e-4, True), (3e-4, True), (5e-4, True))
# What is learned from, how its text is cut, and what is read.
RUNS = (
    ("en", "pieces", intents.LANGUAGES),
    ("de", "pieces", ("de",)),
    ("fr", "pieces", ("fr",)),
    ("zh-CN", "pieces", ("zh-CN",)),
    ("zh-CN", "characters", ("zh-CN",)),
)


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    c = definitions("21")
    commands = {
        language: {part: [*rows] for part, rows in intents.home_commands(language).items()}
        for language in intents.LANGUAGES
    }
    everything = [row for parts in commands.values() for row in parts["train"]]
    labels = c.labels_of(intents.intent_names(), everything)
    tokenizer = AutoTokenizer.from_pretrained(assets.path("multilingual-e5"))
    aligners = {"pieces": c.align_pieces, "characters": c.align}

    def tune(learned: str, cut: str, tests: dict, rate: float, standardised: bool, seed: int):
        """What a model says to each of `tests`, with its last loss and its minutes."""
        started = time.perf_counter()
        parts = {"train": commands[learned]["train"]} | tests
        examples = {
            part: [aligners[cut](tokenizer, row, labels) for row in rows]
            for part, rows in parts.items()
        }
        pad = tokenizer.pad_token_id
        set_seed(seed)
        encoder = AutoModel.from_pretrained(assets.path("multilingual-e5"), dtype=torch.float32)
        # 96 of 117 million parameters: most are of pieces that no command has.
        encoder.embeddings.word_embeddings.requires_grad_(False)
        if standardised:
            standardise(c, encoder, examples["train"], pad)
        model = c.JointModel(encoder, len(labels.intents), len(labels.tags))
        loss = c.fit(model, examples["train"], epochs=PASSES, pad=pad, rate=rate, seed=seed)
        found = {part: c.frames(model, examples[part], labels, pad) for part in tests}
        return found, {"loss": loss, "minutes": round((time.perf_counter() - started) / 60, 1)}

    def search(rate: float, standardised: bool) -> Row:
        rows = commands["en"]["validation"]
        found, row = tune("en", "pieces", {"en": rows}, rate, standardised, seed=0)
        return row | c.score_frames(found["en"], rows)

    def run(learned: str, cut: str, seed: int) -> Row:
        chosen = max(read(FILE, {})["search"], key=lambda row: row["exact frame"])
        languages = next(tests for name, by, tests in RUNS if (name, by) == (learned, cut))
        tests = {language: commands[language]["test"] for language in languages}
        found, row = tune(learned, cut, tests, chosen["rate"], chosen["standardised"], seed)
        said = {
            language: [[intent, sorted(map(list, slots))] for intent, slots in answers]
            for language, answers in found.items()
        }
        return row | said

    settings = [{"rate": rate, "standardised": whether} for rate, whether in SETTINGS]
    plan = [
        {"learned": learned, "cut": cut, "seed": seed}
        for seed in arguments.seeds
        for learned, cut, _ in RUNS
    ]
    EXPERIMENT.fill(FILE, arguments, settings, search, part="search")
    EXPERIMENT.fill(FILE, arguments, plan, run, part="runs")


@torch.no_grad()
def standardise(c, encoder, examples: list, pad: int) -> None:
    """Give the encoder's last states mean 0 and deviation 1 on `examples`, in each dimension.

    The states of multilingual-e5 have nearly one direction, and small differences, which new layers
    learn slowly from. Its last norm scales and shifts already; it does this as well.
    """
    encoder.eval()
    states = []
    for at in range(0, len(examples), 32):
        ids, mask = c.batch_of(examples[at : at + 32], pad)
        states.append(encoder(input_ids=ids, attention_mask=mask).last_hidden_state[mask.bool()])
    states = torch.cat(states)  # (pieces, d)
    norm = encoder.encoder.layer[-1].output.LayerNorm
    norm.bias.copy_((norm.bias - states.mean(0)) / states.std(0))
    norm.weight.div_(states.std(0))


if __name__ == "__main__":
    main()
