"""How fast `greedy` writes, against transformers' `generate`: the same weights, prompts, lengths.

SmolLM2 in fp32, both with their key and value cache, in one process. The two take turns, the first
turn of each isn't counted, and each new token counts once. Speeds are shown with their ratio:
median and range over the rounds. Nothing else should run meanwhile.

    python -m benchmarks.generation
"""

import argparse
import gc
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from helpers.data import assets, corpora
from helpers.models.generation import greedy
from helpers.models.llama import Llama

BATCH_SIZES = (1, 4)


def prompts(tokens: int) -> torch.Tensor:
    """The first `tokens` tokens of test articles: int64 (N, tokens)."""
    tokenizer = AutoTokenizer.from_pretrained(assets.path("smollm2"))
    articles = corpora.bbc_news()["test"]["body"][: 4 * max(BATCH_SIZES)]
    rows = [ids[:tokens] for ids in tokenizer(articles)["input_ids"] if len(ids) >= tokens]
    return torch.tensor(rows[: max(BATCH_SIZES)])


def seconds_of(write: Callable[[], torch.Tensor], device: torch.device) -> float:
    gc.collect()
    started = time.perf_counter()
    write()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def compare(ours: Llama, theirs: torch.nn.Module, ids: torch.Tensor, new: int, rounds: int) -> None:
    """Print both speeds for one batch, after checking that both write the same tokens."""
    mask = torch.ones_like(ids)
    contenders = {
        "generate": lambda: theirs.generate(
            ids, attention_mask=mask, max_new_tokens=new, do_sample=False
        )[:, ids.size(1) :],
        "greedy": lambda: greedy(ours, ids, new),
    }
    first = {name: write() for name, write in contenders.items()}
    same = (first["greedy"] == first["generate"]).float().mean().item()
    seconds = {name: [] for name in contenders}
    for i in range(rounds):
        # Whoever goes second finds the caches as the other left them: take turns at that, too.
        for name in sorted(contenders, reverse=bool(i % 2)):
            seconds[name].append(seconds_of(contenders[name], ids.device))
    speed = {name: ids.size(0) * new / statistics.median(s) for name, s in seconds.items()}
    ratios = np.divide(seconds["generate"], seconds["greedy"])
    print(
        f"{ids.size(0):6}   {speed['generate']:8.1f}   {speed['greedy']:8.1f}   "
        f"{statistics.median(ratios):.2f} × ({ratios.min():.2f} to {ratios.max():.2f})   {same:.0%}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--prompt", type=int, default=32, help="tokens in a prompt")
    parser.add_argument("--new", type=int, default=64, help="tokens to write")
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    path = assets.path("smollm2")
    ours = Llama.from_pretrained(path).to(device)
    theirs = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).to(device).eval()
    theirs.generation_config.eos_token_id = None  # both then write all tokens
    ids = prompts(arguments.prompt).to(device)
    print(f"{arguments.prompt} tokens of prompt, {arguments.new} new; tokens/s on {device}, fp32")
    print(" batch   generate     greedy   greedy over generate     same tokens")
    for batch_size in BATCH_SIZES:
        compare(ours, theirs, ids[:batch_size], arguments.new, arguments.rounds)


if __name__ == "__main__":
    main()
