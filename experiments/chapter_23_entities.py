"""Chapter 23, "Names in Chinese", "Names without Chinese labels": 23-entities.json.

    python -m experiments.chapter_23_entities

The tagger of names, LoRA on multilingual-e5, learns from Chinese sentences, from English ones, or
from both, and tags test sentences of both languages. A row a run, with the names in each sentence.
"""

import time

from transformers import DataCollatorForTokenClassification, PrinterCallback

from experiments.common import RESULTS, Experiment, Row, definitions

FILE = RESULTS / "23-entities.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="sentences of at most 100 characters of the People's Daily, sentences of CoNLL-2003 "
    "without the type MISC",
    searched="nothing: LoRA of rank 8, a learning rate of 0.001, 100 or 125 updates of 8 sentences",
    selected="nothing",
    test="200 sentences of each language, tagged once by each finished model",
    seeds=(0, 1),
)
# Chinese and English sentences to learn from, and passes.
MIXTURES = ((400, 0, 2), (0, 400, 2), (100, 0, 8), (100, 400, 2))


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    c = definitions("23")
    held_out = {
        "zh": c.chinese_sentences("test", 0, 200),
        "en": c.english_sentences("test", 0, 200),
    }

    def run(chinese: int, english: int, passes: int, seed: int) -> Row:
        started = time.perf_counter()
        sentences = c.chinese_sentences("train", 0, chinese) + c.english_sentences(
            "train", 0, english
        )
        model = c.with_lora(c.tagger(seed), ["classifier"], seed)
        collator = DataCollatorForTokenClassification(c.tokenizer)
        rows = c.tagged_rows(sentences)
        trainer = c.make_trainer(model, rows, collator, epochs=passes, seed=seed, bf16=True)
        trainer.add_callback(PrinterCallback())
        trainer.train()
        minutes = round((time.perf_counter() - started) / 60, 1)
        losses = [round(at["loss"], 3) for at in trainer.state.log_history if "loss" in at]
        names = {
            language: [c.names_in(tags) for tags in c.predicted(trainer, part)]
            for language, part in held_out.items()
        }
        return {"sentences": len(sentences), "minutes": minutes, "losses": losses} | names

    plan = [
        dict(zip(("chinese", "english", "passes"), mixture, strict=True)) | {"seed": seed}
        for seed in arguments.seeds
        for mixture in MIXTURES
    ]
    EXPERIMENT.fill(FILE, arguments, plan, run)


if __name__ == "__main__":
    main()
