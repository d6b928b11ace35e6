"""Chapter 01, fig-01-curves, fig-01-reach: 01-same-budget.json, 01-short-run.safetensors.

    python -m experiments.chapter_01_same_budget

"short" trains one model with one seed for the chapter's own number of updates, measures it on the
test articles, follows its gradient back through the text, and uses its states to classify articles
with few labels; the weights of the first seed are kept, in half precision. "language" does the
same, but for the gradient and the weights, after two to three minutes of training on two CPU cores,
and measures the model on the validation articles on the way. A row a run.
"""

import statistics
from types import SimpleNamespace

import torch
from safetensors.torch import load_file, save_file

from experiments.common import RESULTS, Experiment, definitions, log

FILE, WEIGHTS = RESULTS / "01-same-budget.json", RESULTS / "01-short-run.safetensors"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE, WEIGHTS),
    reads="random blocks of 128 tokens of the training articles, the same for both networks",
    searched="each network's peak learning rate, coarsely, before; updates of equal time",
    selected="the validation articles",
    test="perplexity, gradient and few-label accuracy of the finished models",
    seeds=(0, 1),
)
# Chosen so that both take the same time on the two cores of the machine this was run on.
UPDATES = {"LSTM": 3000, "Transformer": 2320}
MEASUREMENTS = 10  # on the way
MEASURED = 30_000  # validation tokens, on the way


def trained(c: SimpleNamespace, name: str, seed: int, updates: int, after=None) -> tuple:
    """A language model after `updates`, its results, and each update's loss and seconds."""
    train_stream = torch.as_tensor(c.streams["train"])
    torch.manual_seed(seed)
    model = c.language_models()[name].to(c.device)
    untrained = c.few_labels(model)
    losses, seconds = c.train(
        model,
        lambda generator: c.random_blocks(train_stream, c.BATCH, generator),
        updates,
        c.PEAKS[name],
        seed=seed,
        after=after and (lambda update: after(model, update)),
    )
    counts = c.KneserNey(c.streams["train"], 5, c.V)
    five = {n: counts.log_probabilities(c.streams[n]) for n in ("validation", "test")}
    row = {key: round(value, 5) for key, value in c.network_results(model, five).items()}
    row |= {"untrained": untrained, "pretrained": c.few_labels(model)}
    return model, row, losses, seconds


def short(c: SimpleNamespace, model: str, seed: int) -> dict:
    """The chapter's own training; all losses, and how far back the model looks."""
    network, row, losses, _ = trained(c, model, seed, c.UPDATES[model])
    reach = [float(f"{value:.3g}") for value in c.reach(network, c.streams["test"])]
    losses = [round(loss, 4) for loss in losses]
    if seed == EXPERIMENT.seeds[0]:
        keep(network, model)
    return row | {"losses": losses, "reach": reach}


def keep(network: torch.nn.Module, model: str) -> None:
    """Put a network's weights into the file of weights, beside the other one's."""
    stored = load_file(WEIGHTS) if WEIGHTS.exists() else {}
    stored = {key: value.clone() for key, value in stored.items()}  # the file is written anew
    weights = {f"{model}.{key}": value.half().cpu() for key, value in network.state_dict().items()}
    save_file(stored | weights, WEIGHTS)
    WEIGHTS.chmod(0o644)


def language(c: SimpleNamespace, model: str, seed: int) -> dict:
    """The longer training; its curve of validation perplexities."""
    curve, updates = [], UPDATES[model]

    def measure(network: torch.nn.Module, update: int) -> None:
        if update % (updates // MEASUREMENTS) == 0:
            part = c.log_probabilities(network, c.streams["validation"][:MEASURED])
            curve.append({"updates": update, "validation": round(c.perplexity(part), 3)})
            log(model, seed, curve[-1])

    _, row, _, seconds = trained(c, model, seed, updates, after=measure)
    # The median: other work on the machine can stretch single updates.
    per_update = statistics.median(seconds)
    for point in curve:
        point["seconds"] = round(point["updates"] * per_update, 2)
    speed = {
        "seconds per update": round(per_update, 5),
        "tokens per second": round(c.BATCH * c.CONTEXT / per_update),
    }
    return speed | row | {"curve": curve}


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    c = definitions("01")
    plan = [
        {"part": part, "model": model, "seed": seed}
        for seed in arguments.seeds
        for part in ("short", "language")
        for model in UPDATES
    ]
    parts = {"short": short, "language": language}
    EXPERIMENT.fill(FILE, arguments, plan, lambda part, **run: parts[part](c, **run))


if __name__ == "__main__":
    main()
