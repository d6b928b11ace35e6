"""Chapter 18, "Names and numbers": 18-entities.json.

    python -m experiments.chapter_18_entities

Trains the tagger of chapter 13, with that chapter's own cells and seed, and marks the names in the
summaries that each system wrote or took out: `18-smollm2.json` has to be there. A list a system
with the names of each summary.
"""

from experiments.common import RESULTS, Experiment, definitions, read
from helpers.training.tagging import tag_texts

FILE, WRITTEN = RESULTS / "18-entities.json", RESULTS / "18-smollm2.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="the summaries of the test articles, of each system and the true ones",
    searched="nothing",
    selected="nothing: the last weights are kept",
    test="the summaries are tagged once",
    seeds=(0,),
)


def main() -> None:
    EXPERIMENT.parser().parse_args()
    c = definitions("18")
    true = c.asked["summary"]
    texts = {"true summary": list(true)} | c.extracted(c.read["test"], true)
    texts |= {row["system"]: row["texts"] for row in read(WRITTEN, []) if row["part"] == "written"}
    tagger = definitions("13")
    model, _ = tagger.fine_tune(tagger.train_windows)

    def names() -> dict[str, list[list[str]]]:
        found = {}
        for system, written in texts.items():
            tagged = tag_texts(model, tagger.tokenizer, [text or " " for text in written])
            found[system] = [[span["text"] for span in spans] for spans in tagged]
        return found

    EXPERIMENT.make(FILE, names)


if __name__ == "__main__":
    main()
