"""Saved folders in other hands: opened in a fresh process, without the book's package."""

import re
from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense
from transformers import AutoTokenizer

from helpers.data import assets
from helpers.models.contrastive import PairEncoder
from helpers.models.modernbert import ModernBert
from helpers.pretrain import main
from tests.stranger import elsewhere

CHECKPOINTS = Path(__file__).parent.parent / "notebooks" / "checkpoints"
WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "omega"]
GAPS = ["alpha [MASK] gamma.", "Chelsea beat Arsenal in the [MASK] final."]
PROMPT = "The prime minister said"
READ = 10  # pieces of a text that the sentence encoder reads

# What is done with each folder, from within it; {card} is the code in the folder's own card.
PROGRAMS = {
    "clm": """{card}
result = [write(prompt, max_new_tokens=20, do_sample=False)[0]["generated_text"]
          for prompt in ("alpha beta gamma", "eta", "Eta  theta")]""",
    "mlm": """{card}
result = fill(gaps, top_k=3)""",
    "bbc-clm": """import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
inputs = AutoTokenizer.from_pretrained(".")(prompt, return_tensors="pt")
with torch.no_grad():
    result = AutoModelForCausalLM.from_pretrained(".")(**inputs).logits[0, -1].tolist()""",
    "bbc-mlm": """import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer
inputs = AutoTokenizer.from_pretrained(".")(gaps[1], return_tensors="pt")
with torch.no_grad():
    result = AutoModelForMaskedLM.from_pretrained(".")(**inputs).logits[0].tolist()""",
    "sentences": """from sentence_transformers import SentenceTransformer
result = SentenceTransformer(".", device="cpu").encode(gaps).tolist()""",
    "bbc-headlines": """from sentence_transformers import SentenceTransformer
result = SentenceTransformer(".", device="cpu").encode(gaps).tolist()""",
    "minilm-headlines": """from sentence_transformers import SentenceTransformer
result = SentenceTransformer(".", device="cpu").encode(gaps).tolist()""",
    "minilm-headlines, by hand": """import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer
tokenizer, model = AutoTokenizer.from_pretrained("."), AutoModel.from_pretrained(".").eval()
inputs = tokenizer(gaps, truncation=True, padding=True, return_tensors="pt")
with torch.no_grad():
    hidden, mask = model(**inputs).last_hidden_state, inputs["attention_mask"][..., None]
mean = (hidden * mask).sum(1) / mask.sum(1)
matrix = load_file("2_Dense/model.safetensors")["linear.weight"].float()
vectors = mean + mean @ matrix.T
result = (vectors / vectors.norm(dim=1, keepdim=True)).tolist()""",
    "sentences, by hand": """import torch
from transformers import AutoModel, AutoTokenizer
tokenizer, model = AutoTokenizer.from_pretrained("."), AutoModel.from_pretrained(".")
inputs = tokenizer(gaps, truncation=True, padding=True, return_tensors="pt")
with torch.no_grad():
    hidden, mask = model(**inputs).last_hidden_state, inputs["attention_mask"][..., None]
mean = (hidden * mask).sum(1) / mask.sum(1)
result = (mean / mean.norm(dim=1, keepdim=True)).tolist()""",
}
PROGRAMS["bbc-headlines, by hand"] = PROGRAMS["sentences, by hand"]


def learn_the_words(objective, output, steps):
    """Pretrain on documents that say the words in their order, from one of them to the last."""
    text = output.with_suffix(".txt")
    text.write_text("\n\n".join(" ".join(WORDS[i % 9 :]) for i in range(220)))
    sizes = "--vocab-size 90 --block-size 16 --d-model 32 --layers 2 --heads 2 --batch-size 8"
    run = "--learning-rate 1e-2 --precision fp32 --validation-share 0 --text-split paragraph"
    arguments = ["--objective", objective, "--output", str(output), "--text", str(text)]
    assert main([*arguments, "--steps", str(steps), *sizes.split(), *run.split()]) == 0
    return output / "model"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("saved")
    names = ("bbc-clm", "bbc-mlm", "bbc-headlines")
    found = {name: CHECKPOINTS / name for name in names} | {
        "clm": learn_the_words("clm", root / "clm", steps=100),
        "mlm": learn_the_words("mlm", root / "mlm", steps=10),
    }
    encoder = PairEncoder(ModernBert.from_pretrained(found["mlm"]))
    tokenizer = AutoTokenizer.from_pretrained(found["mlm"])
    tokenizer("A call that must not be remembered.", truncation=True, max_length=4)
    encoder.save_pretrained(root / "sentences", tokenizer=tokenizer, max_length=READ)
    minilm_with_matrix().save(str(root / "minilm"), create_model_card=False)
    found |= {"sentences": root / "sentences", "minilm-headlines": root / "minilm"}
    both = ("sentences", "bbc-headlines", "minilm-headlines")
    return found | {f"{name}, by hand": found[name] for name in both}


def minilm_with_matrix():
    """Chapter 10's recipe: MiniLM, the mean, the trained matrix that comes with the book."""
    transformer, pooling, normalize = SentenceTransformer(str(assets.path("minilm")), device="cpu")
    dense = Dense.load(str(CHECKPOINTS / "minilm-headlines"))
    return SentenceTransformer(modules=[transformer, pooling, dense, normalize], device="cpu")


@pytest.fixture(scope="module")
def results(folders):
    """What stock code makes of each folder."""
    programs = []
    for name, folder in folders.items():
        card = ""
        if (folder / "README.md").exists():
            card = re.search("```python\n(.*?)```", (folder / "README.md").read_text(), re.S)[1]
        programs.append((folder, PROGRAMS[name].replace("{card}", card)))
    return dict(zip(folders, elsewhere(programs, gaps=GAPS, prompt=PROMPT), strict=True))


def ours(folder, text):
    """The package's logits for a text, with the folder's tokenizer: (T, V)."""
    batch = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    assert set(batch) == {"input_ids", "attention_mask"}
    with torch.no_grad():
        return batch["input_ids"][0], ModernBert.from_pretrained(folder)(**batch).logits[0]


def test_a_decoder_goes_on_with_a_prompt_and_stops_where_the_document_ends(results):
    assert results["clm"] == [" ".join(WORDS), " ".join(WORDS[6:]), "Eta  " + " ".join(WORDS[7:])]


def test_an_encoder_fills_gaps_as_in_the_package(results, folders):
    tokenizer = AutoTokenizer.from_pretrained(folders["mlm"])
    for gap, guesses in zip(GAPS, results["mlm"], strict=True):
        ids, logits = ours(folders["mlm"], gap)
        p = logits[ids == tokenizer.mask_token_id][0].softmax(-1)  # (V,)
        scores = [guess["score"] for guess in guesses]
        assert scores == pytest.approx(p.topk(3).values.tolist(), abs=1e-5)
        assert scores == pytest.approx([p[g["token"]].item() for g in guesses], abs=1e-5)


def test_the_checkpoints_of_the_book_predict_the_same_in_transformers(results, folders):
    _, logits = ours(folders["bbc-clm"], PROMPT)
    theirs = torch.tensor(results["bbc-clm"])
    torch.testing.assert_close(theirs, logits[-1], rtol=0, atol=1e-4)
    _, logits = ours(folders["bbc-mlm"], GAPS[1])
    theirs = torch.tensor(results["bbc-mlm"])
    torch.testing.assert_close(theirs, logits, rtol=0, atol=1e-4)


@pytest.mark.parametrize("way", ["", ", by hand"], ids=["the library", "AutoModel"])
@pytest.mark.parametrize("name", ["sentences", "bbc-headlines"])
def test_sentence_vectors_are_those_of_the_package(results, folders, name, way):
    name += way
    tokenizer = AutoTokenizer.from_pretrained(folders[name])
    assert tokenizer.model_max_length == (96 if name.startswith("bbc-headlines") else READ)
    batch = tokenizer(GAPS, truncation=True, padding=True, return_tensors="pt")
    encoder = PairEncoder(ModernBert.from_pretrained(folders[name], head=False)).eval()
    with torch.no_grad():
        vectors = encoder.embed(**batch)
    theirs = torch.tensor(results[name])
    torch.testing.assert_close(theirs, vectors, rtol=0, atol=1e-5)


@pytest.mark.parametrize("way", ["", ", by hand"], ids=["the library", "AutoModel"])
def test_the_tuned_minilm_of_chapter_10_gives_the_same_vectors_elsewhere(results, way):
    expected = minilm_with_matrix().encode(GAPS, convert_to_tensor=True)  # (2, 384)
    theirs = torch.tensor(results[f"minilm-headlines{way}"])
    torch.testing.assert_close(theirs, expected, rtol=0, atol=1e-5)
    untuned = SentenceTransformer(str(assets.path("minilm")), device="cpu")
    apart = (untuned.encode(GAPS, convert_to_tensor=True) - expected).abs().max()
    assert apart > 1e-2, "the matrix must change the vectors, or its place proves nothing"


def test_sentence_vectors_are_those_of_the_model_that_was_saved(folders):
    before = ModernBert.from_pretrained(folders["mlm"])
    after = ModernBert.from_pretrained(folders["sentences"], head=False)
    batch = AutoTokenizer.from_pretrained(folders["mlm"])(GAPS[0], return_tensors="pt")
    assert torch.equal(before.hidden(**batch), after.hidden(**batch))


def test_a_folder_without_a_head_is_no_language_model(folders):
    with pytest.raises(ValueError, match=r"missing decoder\.bias"):
        ModernBert.from_pretrained(folders["sentences"])
