"""Write book/speeds.md, the page of speeds, from benchmarks/results: `make speeds`."""

import json
import statistics
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "book" / "speeds.md"
HEAD = """(speeds)=
# Speeds

<!-- Written by tools/speeds.py from benchmarks/results; edit those. -->

What the book's loop and generation reach, beside others, machine by machine.
The contenders take turns in one process; the first round isn't counted.
A table shows real tokens a second: the median of the rounds, and their range.
The last column is the speed of the first row over that of the row, round by round.
What the contenders do is written in `benchmarks/`.
[Chapter 16](#chapter-16) explains what makes them fast or slow.

`make bench` measures the machine it runs on.
`make gpu-check` measures a CUDA GPU, without a network; after eight minutes it begins no new round.
Both write a file into `benchmarks/results`, and `make speeds` makes this page from it.
A measurement on a machine that isn't here is welcome.
"""


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def table(speeds: dict[str, list[float]], shares: dict[str, float] | None = None) -> str:
    """Rows of Markdown; `shares` of the peak get a column where there are any."""
    first = next(iter(speeds.values()))
    head = ["contender", "tokens a second", "range"] + (["MFU"] if shares else [])
    lines = [[*head, f"speed of {next(iter(speeds))} over it"]]
    lines.append(["---"] + ["---:"] * (len(lines[0]) - 1))
    for name, values in speeds.items():
        ratios = [ours / theirs for ours, theirs in zip(first, values, strict=True)]
        row = [name, number(statistics.median(values))]
        row.append(f"{number(min(values))} to {number(max(values))}")
        if shares:
            row.append(f"{shares[name]:.1%}".replace("%", " %"))
        ratio = f"{statistics.median(ratios):.2f} × ({min(ratios):.2f} to {max(ratios):.2f})"
        lines.append([*row, ratio])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def machine(found: dict) -> str:
    if found["gpu"]:
        what = found["gpu"] + (f", {found['memory_gib']} GiB" if "memory_gib" in found else "")
    else:
        threads = f"{found['threads']} thread" + ("s" if found["threads"] > 1 else "")
        bf16 = "with" if found["native bf16"] else "without"
        what = f"{found['processor']}, {threads} of {found['cores']} cores, {bf16} native bfloat16"
    software = f"torch {found['torch']}, transformers {found['transformers']}"
    return f"{what}; {software}; fast precision {found['precision']}; {found['date']}."


def section(report: dict) -> str:
    found = report["machine"]
    parts = [f"## {found['gpu'] or found['processor']}", machine(found)]
    if note := found.get("note"):
        parts.append(note)
    if "tokens_per_second" in (tuning := report.get("fine_tuning", {})):
        flops = tuning.get("gemm_peak_gflops")
        peak = f"{flops:,} GFLOP/s" if flops else f"{tuning['gemm_peak_tflops']:,} TFLOP/s"
        parts += [
            "### Fine-tuning",
            f"Named entities with a network of MiniLM's size, 16 sentences an update, "
            f"{tuning['tokens']:,} tokens a round. Matrix products peak at {peak}; `train` reaches "
            f"{100 * tuning['train_share_of_peak']:.1f} % of that.",
            table(tuning["tokens_per_second"]),
        ]
    for kind, part in report.get("pretraining", {}).items():
        if "tokens_per_second" in part:
            parts += [
                f"### Pretraining, {kind}",
                f"{part['parameters'] / 1e6:.0f} million parameters, 16 blocks of 1,024 tokens an "
                "update. MFU is the model's own arithmetic as a share of the measured peak.",
                table(part["tokens_per_second"], part["model_flop_utilisation"]),
            ]
    for kind, part in report.get("generation", {}).items():
        if "tokens_per_second" in part:
            parts += [f"### Generation, {kind}", table(part["tokens_per_second"])]
    if never := report.get("never_run"):
        parts.append(f"Never run on it: {'; '.join(never)}.")
    return "\n\n".join(parts)


def page() -> str:
    files = sorted(RESULTS.glob("*.json"))
    reports = [json.loads(file.read_text("utf-8")) for file in files]
    return "\n\n".join([HEAD.rstrip(), *map(section, reports)]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
