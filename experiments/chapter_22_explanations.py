"""Chapter 22, fig-22-faithful, fig-22-random-weights, probes and patching: 22-explanations.json.

    python -m experiments.chapter_22_explanations

`faithful`: for 60 test sentences, how far the probability of the predicted class falls when the
pieces that an explanation ranks highest are taken out, for each explanation and for a random order.
`randomised`: how similar an explanation stays when the model's layers get random weights, from the
top down. `probes`: the type of an entity read off MiniLM's layers, with both controls.
`patching`: which layer and place of SmolLM2 carry a capital. In fp32.
"""

from types import SimpleNamespace

import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from transformers import AutoModel

from experiments.common import RESULTS, Experiment, Row, definitions
from helpers.data import assets, corpora

FILE = RESULTS / "22-explanations.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="the same sentences, countries and words for all methods of a part",
    searched="nothing",
    selected="nothing: all methods are shown",
    test="60 test sentences to explain; entities of 200 test sentences for the probes",
    seeds=(0,),
)
EXPLAINED, RANDOMISED = 60, 12
METHODS = ("attention", "gradient times input", "integrated gradients", "occlusion")


def explain(c: SimpleNamespace, model: torch.nn.Module, ids: torch.Tensor, method: str):
    """Scores of the pieces for the margin; attention has no sign."""
    if method == "integrated gradients":
        return c.integrated_gradients(model, ids, steps=12)
    return getattr(c, method.replace(" ", "_"))(model, ids)


def faithful(c: SimpleNamespace) -> list[Row]:
    model, stranger = c.fine_tuned(), c.stock_classifier(0).to(c.device).eval()
    rows = []
    for number, text in enumerate(c.reviews["test"]["text"][:EXPLAINED]):
        ids = c.ids_of(text)
        generator = np.random.default_rng(number)
        inner = ids.shape[1] - 2
        [m] = c.margins_of_ids(model, ids.tolist())
        sign = np.sign(m)
        orders = {}
        for method in METHODS:
            scores = explain(c, model, ids, method)
            orders[method] = c.order_by(scores if method == "attention" else sign * scores)
        scores = explain(c, stranger, ids, "integrated gradients")
        orders["integrated gradients of an untrained head"] = c.order_by(sign * scores)
        for k in range(3):
            orders[f"random {k}"] = 1 + generator.permutation(inner)
        falls = c.falls(model, ids, orders.values())
        falls = {name: fall.tolist() for name, fall in zip(orders, falls.round(4), strict=True)}
        rows.append({"sentence": number, "pieces": inner, "margin": round(float(m), 3), **falls})
    return rows


def randomised(c: SimpleNamespace) -> list[Row]:
    texts = c.reviews["test"]["text"][:RANDOMISED]
    model = c.fine_tuned()
    before = [{m: explain(c, model, c.ids_of(t), m) for m in METHODS} for t in texts]
    bert, rows = model.bert, []
    parts = {"the head": [model.classifier], "the pooler": [bert.pooler]}
    for number in (5, 4, 3, 2, 1, 0):
        parts[f"layer {number + 1}"] = [bert.encoder.layer[number]]
    torch.manual_seed(0)
    for part, modules in parts.items():
        for module in modules:
            redraw(module)
        if part in ("layer 5", "layer 3", "layer 2"):
            continue  # measured at every second layer
        for number, text in enumerate(texts):
            row = {"down to": part, "sentence": number}
            for method in METHODS:
                now = explain(c, model, c.ids_of(text), method)
                pair = before[number][method][1:-1], now[1:-1]
                row[method] = round(float(spearmanr(*pair).statistic), 3)
            rows.append(row)
    return rows


def redraw(module: torch.nn.Module) -> None:
    """Give a module the random weights that BERT begins with.

    `_init_weights` of transformers 5 leaves what came from a checkpoint as it is.
    """
    for name, weight in module.named_parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=0.02)
        else:
            torch.nn.init.constant_(weight, float("LayerNorm.weight" in name))


def probes(c: SimpleNamespace) -> list[Row]:
    """Entity words with their type, and with a type drawn for each word as the control."""
    data = corpora.conll2003()
    names = data["train"].features["ner_tags"].feature.names
    words = {"train": _entity_words(data["train"], names, 300)}
    words["test"] = _entity_words(data["test"], names, 200)
    generator = np.random.default_rng(0)
    types = np.array([kind for *_, kind in words["train"]])
    drawn: dict[str, int] = {}
    for _, _, word, _ in words["train"] + words["test"]:
        drawn.setdefault(word, int(generator.choice(types)))
    rows = []
    torch.manual_seed(0)
    random = AutoModel.from_config(AutoModel.from_pretrained(assets.path("minilm")).config)
    for weights, model in (
        ("pretrained", AutoModel.from_pretrained(assets.path("minilm"))),
        ("random", random),
    ):
        states = {s: _states(c, model.eval(), data[s], words[s]) for s in words}
        for layer in (0, 3, 6):
            for task in ("type", "control"):
                y = {
                    s: [drawn[w] if task == "control" else kind for *_, w, kind in words[s]]
                    for s in words
                }
                x = {s: states[s][:, layer] for s in words}
                probe = LogisticRegression(max_iter=300, C=0.1).fit(x["train"], y["train"])
                right = probe.predict(x["test"]) == np.array(y["test"])
                answers = "".join("1" if r else "0" for r in right)
                rows.append({"weights": weights, "layer": layer, "task": task, "right": answers})
    rows.append({"groups": [sentence for sentence, *_ in words["test"]]})
    rows[-1]["known"] = "".join(
        "1" if w in {x[2] for x in words["train"]} else "0" for *_, w, _ in words["test"]
    )
    return rows


def _entity_words(split, names: list[str], sentences: int) -> list[tuple[int, int, str, int]]:
    found = []
    for s in range(sentences):
        for place, (word, tag) in enumerate(
            zip(split[s]["tokens"], split[s]["ner_tags"], strict=True)
        ):
            if names[tag] != "O":
                kind = ("PER", "ORG", "LOC", "MISC").index(names[tag][2:])
                found.append((s, place, word.lower(), kind))
    return found


@torch.no_grad()
def _states(c: SimpleNamespace, model: torch.nn.Module, split, words: list) -> np.ndarray:
    """The vectors of the words' first pieces in all layers: (n, 7, d)."""
    sentences = sorted({s for s, *_ in words})
    found = {}
    for start in range(0, len(sentences), 32):
        part = sentences[start : start + 32]
        batch = c.tokenizer(
            [split[s]["tokens"] for s in part],
            is_split_into_words=True,
            truncation=True,
            max_length=128,
            padding=True,
            return_tensors="pt",
        )
        states = torch.stack(model(**batch, output_hidden_states=True).hidden_states, 2)
        for row, s in enumerate(part):
            for piece, word in reversed(list(enumerate(batch.word_ids(row)))):
                if word is not None:
                    found[s, word] = states[row, piece].numpy()  # (7, d): the first piece stays
    return np.stack([found[s, place] for s, place, *_ in words])


def patching(c: SimpleNamespace) -> list[Row]:
    decoder, tokenizer = c.load_decoder()
    return c.patch_all(decoder, tokenizer, c.COUNTRIES)


def main() -> None:
    parts = {part.__name__: part for part in (patching, faithful, randomised, probes)}
    parser = EXPERIMENT.parser()
    parser.add_argument("--parts", nargs="+", choices=parts, default=list(parts))
    arguments = parser.parse_args()
    c = definitions("22")
    for name in arguments.parts:
        EXPERIMENT.make(FILE, lambda name=name: parts[name](c), name)


if __name__ == "__main__":
    main()
