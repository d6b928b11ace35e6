"""Draw the first page's picture from stored results: `make pictures`.

What pretraining buys, by chapter 08's experiment: test accuracy against the number of labelled
articles, for two pretrained networks, counted words and a network that was never pretrained.
Two files come of it, for light and dark pages: `book/_static/what-pretraining-buys-*.svg`.
"""

import io
import json

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd

from helpers.teaching.plots import LINE_STYLES, MARKERS, STYLE
from helpers.training.intervals import mean_interval
from tools.set_address import ROOT

RESULTS = ROOT / "notebooks" / "results" / "08-few-labels.json"
CONTENDERS = {
    "MiniLM, frozen": "MiniLM, pretrained on\na billion pairs, frozen",
    "MLM": "pretrained in this book,\nfine-tuned",
    "TF-IDF": "words counted (TF-IDF)",
    "untrained": "the same network,\nnot pretrained",
}
# Ink and lines with a contrast of 4.5 on the pages' two backgrounds.
THEMES = {
    "light": ("#222222", ("#0b6578", "#b3400a", "#555555", "#7a3e9d")),
    "dark": ("#e6e6e6", ("#5fcadb", "#ff9f66", "#b8b8b8", "#d0a2ef")),
}


def table() -> pd.DataFrame:
    """Mean accuracy and its 95 % interval: a row for each contender and number of labels.

    A contender has the setting that chapter 08 chooses: the best on validation articles with the
    first draw of labels.
    """
    runs = pd.DataFrame(json.loads(RESULTS.read_text("utf-8")))
    first = runs[runs["seed"] == 0].sort_values(["validation", "setting"], ascending=[False, True])
    best = first.drop_duplicates(["model", "per_class"])
    runs = runs.merge(best[["model", "per_class", "setting"]])
    rows = [
        (name, labels, *mean_interval(runs["accuracy"]))
        for (name, labels), runs in runs.groupby(["model", "per_class"])
        if name in CONTENDERS
    ]
    return pd.DataFrame(rows, columns=["model", "labels", "mean", "low", "high"])


def draw(theme: str) -> str:
    """The picture as SVG, without a background, in a theme's colours: "light" or "dark"."""
    ink, colours = THEMES[theme]
    found = table()
    style = {
        **STYLE,
        "text.color": ink,
        "axes.edgecolor": ink,
        "axes.labelcolor": ink,
        "xtick.color": ink,
        "ytick.color": ink,
        "grid.color": ink,
        "grid.alpha": 0.2,
        "font.size": 10,
        "svg.hashsalt": "first picture",  # the same ids each time
        "svg.fonttype": "path",
    }
    with mpl.rc_context(style):
        fig, ax = plt.subplots(figsize=(5.6, 3.3))
        looks = zip(CONTENDERS.items(), colours, LINE_STYLES, MARKERS, strict=False)
        for (name, label), colour, line, marker in looks:
            rows = found[found["model"] == name]
            ax.plot(rows["labels"], rows["mean"], color=colour, linestyle=line, marker=marker)
            ax.fill_between(
                rows["labels"], rows["low"], rows["high"], color=colour, alpha=0.15, lw=0
            )
            ax.annotate(
                label,
                (100, rows["mean"].iloc[-1]),
                xytext=(8, ENDS[name]),
                textcoords="offset points",
                color=colour,
                va="center",
                fontsize=9.5,
                linespacing=1.1,
            )
        ax.set(
            xscale="log",
            xlabel="labelled articles of each class",
            ylabel="right of 401 test articles",
            xticks=[5, 20, 100],
            xticklabels=["5", "20", "100"],
            ylim=(0.4, 1),
        )
        ax.xaxis.set_minor_locator(mpl.ticker.NullLocator())
        ax.yaxis.set_major_formatter(mpl.ticker.PercentFormatter(1, decimals=0))
        file = io.StringIO()
        fig.savefig(
            file,
            format="svg",
            bbox_inches="tight",
            transparent=True,
            metadata={"Date": None, "Creator": None},
        )
        plt.close(fig)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


# How far, in points, a label stands above its curve's end.
ENDS = {"MiniLM, frozen": 13, "MLM": -25, "TF-IDF": -5, "untrained": -10}


def write() -> None:
    """Write the picture for both themes."""
    for theme in THEMES:
        path = ROOT / "book" / "_static" / f"what-pretraining-buys-{theme}.svg"
        path.write_text(draw(theme), "utf-8")


if __name__ == "__main__":
    write()
