"""The fine-tuning of chapter 11 on all articles, with the definitions of the chapter itself.

    python -m experiments.chapter_11_fine_tuned

MiniLM is trained on all training articles once, the first 48 pieces of each, and then gives the
test articles their logits, from 128 pieces of each. The shorter run that the notebook makes live is
made too, for the notebook to compare with. Writes notebooks/results/11-fine-tuned.json, in about
two minutes on one core.

The cells of the notebook that are tagged `definitions` are run here, so that the chapter and this
script can't drift apart.
"""

import json

import numpy as np

from tools.chapter_definitions import NOTEBOOKS, RESULTS, definitions

CHAPTER = NOTEBOOKS / "11-text-classification.ipynb"
FILE = RESULTS / "11-fine-tuned.json"


def main() -> None:
    c = definitions(CHAPTER)
    articles = c.encoded["train"]
    _, live = c.fine_tune(articles.select(range(c.LIVE)))
    model, history = c.fine_tune(articles)
    logits = c.predict(model, c.encoded["test"], collate_fn=c.collate).logits
    result = {
        f"{c.LIVE} articles": {
            "loss": round(float(np.mean(live.losses[-c.LAST :])), 4),
            "accuracy": live.evaluations[-1]["accuracy"],
        },
        "history": {
            "records": [
                {"step": step, "loss": round(loss, 4)}
                for step, loss in enumerate(history.losses, start=1)
            ],
            "evaluations": history.evaluations,
        },
        "test logits": logits.round(4).tolist(),
    }
    print(result[f"{c.LIVE} articles"], history.evaluations, flush=True)
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in result.items()]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
