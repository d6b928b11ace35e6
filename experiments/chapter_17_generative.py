"""Chapter 17, "Going deeper: a reader that writes": 17-generative.json.

    python -m experiments.chapter_17_generative

SmolLM2-Instruct answers test questions of Disfl-QA, once with the passage and once without. A row
a question with what it wrote; the chapter counts what is right and what is made up.
"""

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from experiments.common import RESULTS, Experiment, Row, definitions
from helpers.data import assets

FILE = RESULTS / "17-generative.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="the question, with the whole passage and without it",
    searched="nothing: one prompt each, greedy, at most 20 tokens",
    selected="nothing",
    test="read once: the first 14 questions that have an answer",
)


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    c = definitions("17")
    folder = assets.path("smollm2")
    model = AutoModelForCausalLM.from_pretrained(folder).to(c.device).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = [row for row in c.data["test"] if row["source"] == 1]
    answerable = [row for row in rows if row["answers"]["text"]][:14]
    asked = {row["id"]: row for row in answerable}

    @torch.inference_mode()
    def write(question: str, passage: str | None) -> str:
        ids = tokenizer.apply_chat_template(
            c.prompt(question, passage),
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        ).to(c.device)
        written = model.generate(**ids, max_new_tokens=20, do_sample=False)
        return tokenizer.decode(written[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)

    def run(id: str) -> Row:
        row = asked[id]
        return {
            "with the passage": write(row["question"], row["context"]),
            "without it": write(row["question"], None),
        }

    EXPERIMENT.fill(FILE, arguments, [{"id": id} for id in asked], run)


if __name__ == "__main__":
    main()
