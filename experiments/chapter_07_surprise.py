"""The long measurement of chapter 07: how well SmolLM2 and LZMA predict BBC News.

    python -m experiments.chapter_07_surprise

The surprise of each of the first 256 tokens but one of 16 test articles under SmolLM2, in nats,
and the bytes that the same texts add to the compressed training articles. In fp32, without any
randomness. Writes notebooks/results/07-surprise.json. Takes about half a minute on one core.

The cells of the notebook that are tagged `definitions` are run here, so that the chapter and this
script can't drift apart.
"""

import json

from tools.chapter_definitions import NOTEBOOKS, RESULTS, definitions

CHAPTER = NOTEBOOKS / "07-gpt-from-scratch.ipynb"
FILE = RESULTS / "07-surprise.json"


def main() -> None:
    c = definitions(CHAPTER)
    folder, news = c.assets.path("smollm2"), c.corpora.bbc_news()
    tokenizer = c.AutoTokenizer.from_pretrained(folder)
    model = c.Llama.from_pretrained(folder).to(c.device)
    texts = news["test"]["body"][: c.ARTICLES]
    encoded = tokenizer(texts, truncation=True, max_length=c.READ)["input_ids"]
    encoded = [ids for ids in encoded if len(ids) == c.READ]
    read_texts = [tokenizer.decode(ids[1:]) for ids in encoded]
    added = c.added_by_lzma(news["train"]["body"][:], read_texts)
    lines = []
    for ids in encoded:
        nats = c.surprise(model, ids)
        print(f"{nats.mean():.3f} nats per token", flush=True)
        lines.append(json.dumps([round(value, 4) for value in nats.tolist()]))
    rows = ",\n".join(lines)
    FILE.write_text(f'{{"bytes added to LZMA": {added},\n"nats": [\n{rows}\n]}}\n', "utf-8")


if __name__ == "__main__":
    main()
