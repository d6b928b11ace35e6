"""Chapter 23, "Going deeper: one tagger for two languages": 23-entities.json.

    python -m experiments.chapter_23_entities

Linear taggers of names on the frozen states of multilingual-e5, which learn from Chinese sentences,
from English ones, or from both, and tag test sentences of both languages. A row a run, with the
names in each sentence.
"""

import time

import numpy as np
import torch

from experiments.common import RESULTS, Experiment, Row, definitions

FILE = RESULTS / "23-entities.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="sentences of at most 100 characters of the People's Daily, sentences of CoNLL-2003 "
    "without the type MISC",
    searched="nothing: layers 4, 8 and 12, C = 0.01, standardised states",
    selected="nothing",
    test="200 sentences of each language, tagged once by each tagger",
    seeds=(0, 1, 2),
)
# Chinese and English sentences to learn from.
MIXTURES = ((400, 0), (0, 400), (100, 0), (100, 400))
POOL = 3000  # sentences of each language that a seed draws from


def main() -> None:
    arguments = EXPERIMENT.parser(rows=True).parse_args()
    c = definitions("23")
    readers = {"zh": c.chinese_sentences, "en": c.english_sentences}
    pools = {language: read("train", 0, POOL) for language, read in readers.items()}
    held_out = {language: read("test", 0, 200) for language, read in readers.items()}

    def states(sentences: list) -> list[np.ndarray]:
        with torch.autocast("cpu", torch.bfloat16):
            return c.states(sentences)

    tested = {language: states(part) for language, part in held_out.items()}
    drawn = {}

    def draw(language: str, seed: int) -> tuple[list, list[np.ndarray]]:
        """400 sentences of a seed, and their states."""
        if (language, seed) not in drawn:
            order = np.random.default_rng(seed).permutation(len(pools[language]))[:400]
            sentences = [pools[language][i] for i in order]
            drawn[language, seed] = sentences, states(sentences)
        return drawn[language, seed]

    def run(chinese: int, english: int, each: bool, seed: int) -> Row:
        started = time.perf_counter()
        parts = {}
        for language, size in (("zh", chinese), ("en", english)):
            sentences, features = draw(language, seed)
            parts[language] = sentences[:size], features[:size]
        learned = [rows for _, features in parts.values() for rows in features]
        mean, deviation = moments(learned)
        scales = dict.fromkeys(parts, (mean, deviation))
        if each:  # by 400 sentences of each language, of which no label is read
            scales = {language: moments(draw(language, seed)[1]) for language in parts}

        def scaled(language: str, features: list[np.ndarray]) -> list[np.ndarray]:
            mean, deviation = scales[language]
            return [(rows - mean) / deviation for rows in features]

        tagger = c.learn_tagger(
            [sentence for sentences, _ in parts.values() for sentence in sentences],
            [rows for language in parts for rows in scaled(language, parts[language][1])],
        )
        names = {
            language: [c.names_in([*tagger.predict(rows)]) for rows in scaled(language, features)]
            for language, features in tested.items()
        }
        return {"seconds": round(time.perf_counter() - started)} | names

    plan = [
        {"chinese": chinese, "english": english, "each": each, "seed": seed}
        for seed in arguments.seeds
        for chinese, english in MIXTURES
        for each in ((False, True) if english else (False,))
    ]
    EXPERIMENT.fill(FILE, arguments, plan, run)


def moments(features: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each number of the states."""
    joined = np.concatenate(features)
    return joined.mean(0), joined.std(0) + 1e-6


if __name__ == "__main__":
    main()
