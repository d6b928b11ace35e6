"""Chapter 21, "Going deeper: trees": 21-trees.json, 21-biaffine.safetensors.

    python -m experiments.chapter_21_trees

The chapter's biaffine parser on frozen vectors of Portuguese words, for three choices of layers of
multilingual-e5: the word pieces alone, the last layer, and three layers side by side. A row a run,
with the attachment scores on validation and what it finds in test sentences. The weights of the
first seed on three layers are kept.
"""

import time

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from experiments.common import CHECKPOINTS, RESULTS, Experiment, Row, definitions

FILE, WEIGHTS = RESULTS / "21-trees.json", CHECKPOINTS / "21-biaffine.safetensors"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE, WEIGHTS),
    reads="the words as the treebank divides them; no tags, no lemmas",
    searched="three choices of layers; passes, sizes and learning rate were fixed beforehand",
    selected="the layers by LAS on 80 validation sentences",
    test="240 sentences of six documents that neither training nor validation has, parsed once by "
    "each finished parser",
    seeds=(0, 1, 2),
)
ALL = (0, 6, 9, 12)
LAYERS = {"words alone": [0], "last layer": [3], "three layers": [1, 2, 3]}  # places in ALL
EPOCHS, BATCH = 10, 32


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    c = definitions("21")
    rows = c.some_trees()
    names = sorted({r for row in rows["train"] for r in row["relations"]})
    vectors = {}
    for part, sentences in rows.items():
        started = time.perf_counter()
        words = [row["words"] for row in sentences]
        vectors[part] = [v.view(len(v), len(ALL), -1) for v in c.word_vectors(words, layers=ALL)]
        seconds = time.perf_counter() - started
        print(f"{part}: {len(words)} sentences, {sum(map(len, words))} words, {seconds:.0f} s")

    def run(layers: str, seed: int) -> Row:
        started = time.perf_counter()
        chosen = {
            part: [v[:, LAYERS[layers]].flatten(1) for v in found]
            for part, found in vectors.items()
        }
        parser = train(c, chosen["train"], rows["train"], names, seed)
        found = {part: c.parse(parser, chosen[part], names) for part in ("validation", "test")}
        if layers == "three layers" and seed == EXPERIMENT.seeds[0]:
            weights = {k: v.half().contiguous() for k, v in parser.state_dict().items()}
            save_file(weights, WEIGHTS, {"relations": " ".join(names)})
        uas, las = c.attachment(found["validation"], rows["validation"])
        minutes = round((time.perf_counter() - started) / 60, 1)
        test = [[heads, " ".join(labels)] for heads, labels in found["test"]]
        return {"minutes": minutes, "validation": [uas, las], "test": test}

    plan = [{"layers": layers, "seed": s} for s in arguments.seeds for layers in LAYERS]
    EXPERIMENT.fill(FILE, arguments, plan, run, part="parsers")


def train(c, vectors: list, rows: list, names: list[str], seed: int) -> nn.Module:
    torch.manual_seed(seed)
    parser = c.Biaffine(vectors[0].shape[1], len(names))
    optimizer = torch.optim.AdamW(parser.parameters(), lr=2e-3, betas=(0.9, 0.95))
    updates = EPOCHS * -(-len(rows) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, updates, pct_start=0.1)
    generator = np.random.default_rng(seed)
    pad = nn.utils.rnn.pad_sequence
    for epoch in range(EPOCHS):
        order, losses = generator.permutation(len(rows)), []
        for at in range(0, len(order), BATCH):
            some = order[at : at + BATCH]
            heads = pad([torch.tensor(rows[i]["heads"]) for i in some], True, -1)
            labels = [torch.tensor([names.index(r) for r in rows[i]["relations"]]) for i in some]
            words = pad([vectors[i].float() for i in some], True)
            loss = c.parser_loss(parser, words, heads, pad(labels, True, -1))
            loss.backward()
            nn.utils.clip_grad_norm_(parser.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        print(f"pass {epoch + 1}: loss {np.mean(losses):.3f}", flush=True)
    return parser.eval()


if __name__ == "__main__":
    main()
