"""Chapter 07, "Going deeper: how well does it predict?", fig-07-context: 07-surprise.json.

    python -m experiments.chapter_07_surprise

The surprise of each of the first 256 tokens but one of 16 test articles under SmolLM2, in nats,
and the bytes that the same texts add to the compressed training articles. In fp32. Takes about half
a minute on one core.
"""

from types import SimpleNamespace

from experiments.common import RESULTS, Experiment, definitions, log

FILE = RESULTS / "07-surprise.json"
EXPERIMENT = Experiment(
    __file__,
    __doc__,
    writes=(FILE,),
    reads="the same texts for SmolLM2 and LZMA; LZMA has all training articles before them",
    searched="nothing",
    selected="nothing",
    test="how well two finished models predict 16 articles",
)


def surprises(c: SimpleNamespace) -> dict:
    folder, news = c.assets.path("smollm2"), c.corpora.bbc_news()
    tokenizer = c.AutoTokenizer.from_pretrained(folder)
    model = c.Llama.from_pretrained(folder).to(c.device)
    texts = news["test"]["body"][: c.ARTICLES]
    encoded = tokenizer(texts, truncation=True, max_length=c.READ)["input_ids"]
    encoded = [ids for ids in encoded if len(ids) == c.READ]
    read_texts = [tokenizer.decode(ids[1:]) for ids in encoded]
    added = c.added_by_lzma(news["train"]["body"][:], read_texts)
    nats = []
    for ids in encoded:
        found = c.surprise(model, ids)
        log(f"{found.mean():.3f} nats per token")
        nats.append([round(value, 4) for value in found.tolist()])
    return {"bytes added to LZMA": added, "nats": nats}


def main() -> None:
    EXPERIMENT.parser().parse_args()
    c = definitions("07")
    EXPERIMENT.make(FILE, lambda: surprises(c))


if __name__ == "__main__":
    main()
