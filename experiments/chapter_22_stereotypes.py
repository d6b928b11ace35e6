"""Chapter 22, "Stereotypes, scored" and after: 22-stereotypes.json.

    python -m experiments.chapter_22_stereotypes

What SmolLM2-135M-Instruct and the masked model of chapter 08 score on StereoSet, CrowS-Pairs,
WinoBias and BBQ, item by item; the chapter computes the scores. In fp32.
"""

from types import SimpleNamespace

import numpy as np
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from experiments.common import RESULTS, Experiment, Row, definitions, log
from helpers.data import fairness

FILE = RESULTS / "22-stereotypes.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="the same sentences for both models of a part",
    searched="nothing: the papers' scores, one wording each",
    selected="nothing",
    test="the published sets, drawn from with seed 0, read once",
    seeds=(0,),
)
TARGETS, PAIRS, QUESTIONS = 20, 200, 40


def main() -> None:
    EXPERIMENT.parser().parse_args()
    c = definitions("22")
    decoder, tokenizer = c.load_decoder()
    folder = c.MASKED
    masked = AutoModelForMaskedLM.from_pretrained(folder).to(c.device).eval()
    mlm_tokenizer = AutoTokenizer.from_pretrained(folder)
    models = (decoder, tokenizer), (masked, mlm_tokenizer)
    for part in (crows, stereoset, pronouns, bbq):
        EXPERIMENT.make(FILE, lambda part=part: part(c, *models), part.__name__)


def crows(c: SimpleNamespace, causal: tuple, masked: tuple) -> list[Row]:
    data = fairness.crows_pairs()
    chosen = np.random.default_rng(0).permutation(len(data))[:PAIRS]
    rows = []
    for i in map(int, chosen):
        row = {"pair": i, "domain": data[i]["domain"]}
        for side in ("more", "less"):
            text, span = c.split_at(data[i]["sentence"], data[i][side])
            score = c.pseudo_log_likelihood(*masked, text, span)
            row[f"masked {side}"] = round(score, 3)
            row[f"causal {side}"] = round(c.causal_score(*causal, text, span), 3)
        rows.append(row)
    log("crows", len(rows))
    return rows


def stereoset(c: SimpleNamespace, causal: tuple, masked: tuple) -> list[Row]:
    """Whole targets, so that the paper's mean over targets can be taken."""
    data = fairness.stereoset()
    targets = sorted(set(data["target"]))
    drawn = set(np.random.default_rng(0).permutation(targets)[:TARGETS])
    chosen = [i for i, target in enumerate(data["target"]) if target in drawn]
    kinds = ("stereotype", "anti", "unrelated")
    rows = [{"row": i, "target": data[i]["target"], "domain": data[i]["domain"]} for i in chosen]
    for kind in kinds:
        texts = [data[i][kind] for i in chosen]
        alone = [c.filler_of(data[i]["context"], data[i][kind]) for i in chosen]
        for name, asked in (("", texts), (" alone", alone)):
            for row, score in zip(rows, c.mean_log_probs(*causal, asked), strict=True):
                row[kind + name] = round(score, 3)
    log("stereoset", len(rows))
    return rows


def pronouns(c: SimpleNamespace, causal: tuple, masked: tuple) -> list[Row]:
    data = fairness.pronouns()
    chosen = np.random.default_rng(0).permutation(len(data))[:PAIRS]
    rows = [
        {"row": i, "occupation": data[i]["occupation"], "stereotyped": data[i]["stereotyped"]}
        for i in map(int, chosen)
    ]
    for side in ("stereotyped", "other"):
        texts = [
            c.split_at(data[row["row"]]["sentence"], data[row["row"]][side])[0] for row in rows
        ]
        for row, score in zip(rows, c.sum_log_probs(*causal, texts), strict=True):
            row[f"causal {side}"] = round(score, 3)
    log("pronouns", len(rows))
    return rows


def bbq(c: SimpleNamespace, causal: tuple, masked: tuple) -> list[Row]:
    data = fairness.bbq()
    chosen = np.random.default_rng(0).permutation(len(data))[:QUESTIONS]
    rows = []
    for i in map(int, chosen):
        scores = c.option_scores(*causal, data[i])
        row = {"row": i, "answer": data[i]["answer"], "unknown": data[i]["unknown"]}
        rows.append(row | {"scores": [round(s, 3) for s in scores]})
    return rows


if __name__ == "__main__":
    with torch.inference_mode():
        main()
