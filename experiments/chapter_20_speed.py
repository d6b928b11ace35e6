"""Chapter 20, "Going deeper: speed": 20-speed.json.

    python -m experiments.chapter_20_speed

Seconds for 32 new tokens after prompts of 64 by SmolLM2: with and without a cache, one text and
more at a time, in float32, bfloat16 and dynamic int8. A row a round; in a round each way
runs once, in turn, so that what else the machine does falls on all of them alike. About a minute a
round on one core.
"""

import time
import warnings

import torch

from experiments.common import RESULTS, Experiment, Row, definitions

FILE = RESULTS / "20-speed.json"
NEW, PROMPT = 32, 64
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="the same prompts of 64 tokens; 32 new tokens each, greedy",
    searched="nothing",
    selected="nothing",
    test="test openings as prompts; nothing is scored on them",
    seeds=(0, 1, 2),
)


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    c = definitions("20")
    texts = [c.rendered(messages) for messages, _ in c.openings(c.chats["test"]["turns"], 16)]
    whole = c.plain("".join(texts))
    prompts = torch.tensor(whole[: 16 * PROMPT]).view(16, PROMPT)
    model = c.smollm2()
    half = c.smollm2().bfloat16()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch points to torchao, a package of its own
        int8 = torch.ao.quantization.quantize_dynamic(c.smollm2(), {torch.nn.Linear}, torch.qint8)
    ways = {
        "1 text": (model, 1, True),
        "1 text, no cache": (model, 1, False),
        "4 texts": (model, 4, True),
        "16 texts": (model, 16, True),
        "1 text, bfloat16": (half, 1, True),
        "16 texts, bfloat16": (half, 16, True),
        "1 text, int8": (int8, 1, True),
        "16 texts, int8": (int8, 16, True),
    }

    @torch.inference_mode()
    def seconds(network: torch.nn.Module, size: int, cache: bool, new: int = NEW) -> float:
        started = time.perf_counter()
        ids = prompts[:size]
        network.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=new,
            min_new_tokens=new,
            do_sample=False,
            use_cache=cache,
            pad_token_id=c.tokenizer.pad_token_id,
        )
        return time.perf_counter() - started

    for way in ways.values():
        seconds(*way, new=2)  # the first call of each is slower

    def run(seed: int) -> Row:
        order = list(ways) if seed % 2 == 0 else list(ways)[::-1]
        return {"seconds": {name: round(seconds(*ways[name]), 3) for name in order}}

    EXPERIMENT.fill(FILE, arguments, [{"seed": seed} for seed in arguments.seeds], run)


if __name__ == "__main__":
    main()
