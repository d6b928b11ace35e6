"""Chapter 18, "Names and numbers": 18-entities.json, 18-pairs.json.

    python -m experiments.chapter_18_entities

Trains the tagger of chapter 13, with that chapter's own cells and seed, and marks the names in the
summaries that each system wrote or took out: `18-smollm2.json` has to be there. 18-entities.json
lists the names of each summary, a list a system and seed. 18-pairs.json has those of the true and
the false summaries of `factual_pairs`, and how probable SmolLM2 finds them: the mean
log-probability of a summary's tokens behind the chapter's prompt with the sentence.
"""

import torch
from transformers import AutoModelForCausalLM

from experiments.common import RESULTS, Experiment, definitions, read
from helpers.data import summaries
from helpers.hardware import has_native_bf16
from helpers.training.tagging import tag_texts

FILE, WRITTEN = RESULTS / "18-entities.json", RESULTS / "18-smollm2.json"
PAIRS = RESULTS / "18-pairs.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE, PAIRS),
    reads="the summaries of the test articles, of each system and the true ones; the pairs",
    searched="nothing",
    selected="nothing: the last weights are kept",
    test="the summaries are tagged once, and the pairs scored once",
    seeds=(0,),
)


def main() -> None:
    parser = EXPERIMENT.parser()
    parser.add_argument(
        "--only", choices=("names", "scores"), help="of the systems or of the pairs; default: both"
    )
    only = parser.parse_args().only
    c = definitions("18")
    tagger = definitions("13")
    model, _ = tagger.fine_tune(tagger.train_windows)

    def names(texts: list[str]) -> list[list[str]]:
        tagged = tag_texts(model, tagger.tokenizer, [text or " " for text in texts])
        return [[span["text"] for span in spans] for spans in tagged]

    if only != "scores":
        true = c.asked["summary"]
        texts = {"true summary": list(true)} | c.extracted(c.read["test"], true)
        for row in read(WRITTEN, []):
            if row["part"] == "written":
                seed = f", seed {row['seed']}" if "seed" in row else ""
                texts[row["system"] + seed] = row["texts"]
        EXPERIMENT.make(FILE, lambda: {system: names(said) for system, said in texts.items()})
    if only != "names":
        pairs = summaries.factual_pairs()
        said = {kind: list(pairs[kind]) for kind in ("true", "false")}
        EXPERIMENT.make(PAIRS, lambda: {kind: names(said[kind]) for kind in said}, "names")
        fast = torch.bfloat16 if has_native_bf16(c.device) else torch.float32
        model = AutoModelForCausalLM.from_pretrained(c.lm_folder, dtype=fast).to(c.device).eval()

        @torch.inference_mode()
        def scores(texts: list[str]) -> list[float]:
            found = []
            for sentence, text in zip(pairs["sentence"], texts, strict=True):
                features = c.chat_features(sentence, text)
                inputs = {k: torch.tensor([v], device=c.device) for k, v in features.items()}
                found.append(round(-model(**inputs).loss.item(), 4))
            return found

        EXPERIMENT.make(PAIRS, lambda: {kind: scores(said[kind]) for kind in said}, "scores")


if __name__ == "__main__":
    main()
