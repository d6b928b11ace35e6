"""The translator is Marian's function, weight for weight, and its search is `generate`'s."""

import pytest
import torch
import torch.nn.functional as F
from transformers import MarianMTModel, set_seed
from transformers.models.marian.modeling_marian import shift_tokens_right

from helpers.models.translation import Translator, TranslatorConfig, beam_search

CONFIG = TranslatorConfig(7, d_model=32, n_layers=2, n_heads=4, d_ff=64, dropout=0.0)


@pytest.fixture
def model():
    torch.manual_seed(1)  # one for which some targets end by themselves
    model = Translator(CONFIG).eval()
    with torch.no_grad():
        for weight in model.network.parameters():  # norms and biases that do something
            weight.add_(0.3 * torch.randn_like(weight))
    return model


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(2, 7, (5, 9), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, 4:] = mask[3, 7:] = 0
    labels = torch.randint(1, 7, (5, 6), generator=generator)
    labels[2, 3:] = -100
    return {"input_ids": ids.masked_fill(mask == 0, 0), "attention_mask": mask, "labels": labels}


@torch.no_grad()
def test_it_is_marians_function_with_its_weights_and_back(model, batch):
    marian = model.to_marian()
    ours, theirs = model(**batch), marian(**batch)
    torch.testing.assert_close(ours.logits, theirs.logits, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours.loss, theirs.loss)
    again = Translator.from_marian(marian)
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_other_settings_are_refused():
    config = Translator(CONFIG).marian_config()
    config.scale_embedding = False
    with pytest.raises(ValueError, match="scale_embedding = False"):
        Translator.from_marian(MarianMTModel(config))


def test_the_decoder_reads_the_labels_one_place_later(batch):
    shifted = Translator(CONFIG).shifted(batch["labels"])
    assert torch.equal(shifted, shift_tokens_right(batch["labels"], CONFIG.pad, CONFIG.pad))
    assert batch["labels"][2, 3] == -100  # what was given is as it was


@torch.no_grad()
def test_padding_of_the_source_changes_nothing(model, batch):
    alone = {name: value[1:2, :4] for name, value in batch.items() if name != "labels"}
    labels = batch["labels"][1:2]
    whole = model(**batch).logits[1:2]
    torch.testing.assert_close(model(**alone, labels=labels).logits, whole, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_piece_sees_no_later_piece(model, batch):
    before = model(**batch).logits
    batch["labels"][:, 3] = (batch["labels"][:, 3].clamp(min=0) + 1) % 7
    after = model(**batch).logits
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.equal(before[:, 4:], after[:, 4:])


@pytest.mark.parametrize("beams", [1, 2, 4, 7])
@pytest.mark.parametrize("alpha", [0.0, 0.7, 1.0, 2.0])
@torch.no_grad()
def test_the_search_is_generates(model, batch, beams, alpha):
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    settings = {"length_penalty": alpha, "early_stopping": False} if beams > 1 else {}
    found = model.to_marian().generate(
        **inputs,
        num_beams=beams,
        num_return_sequences=beams,
        max_new_tokens=12,
        do_sample=False,
        **settings,
    )
    theirs = [[i for i in row if i not in (CONFIG.pad, CONFIG.eos)] for row in found.tolist()]
    ranked = beam_search(model, **inputs, max_length=12, beams=beams, length_penalty=alpha)
    ours = [
        [i for i in ids if i not in (CONFIG.pad, CONFIG.eos)] for row in ranked for _, ids in row
    ]
    assert ours == theirs
    lengths = {len(ids) for ids in ours}
    assert len(lengths) > 1  # some ended by themselves


@torch.no_grad()
def test_a_score_is_the_log_probability_over_the_length(model, batch):
    inputs = {name: batch[name][:1] for name in ("input_ids", "attention_mask")}
    score, ids = beam_search(model, **inputs, max_length=20, beams=3, length_penalty=0.5)[0][0]
    labels = torch.tensor([[*ids, CONFIG.eos][:20]])
    nats = F.cross_entropy(model(**inputs, labels=labels).logits[0], labels[0], reduction="sum")
    assert score == pytest.approx(-float(nats) / labels.size(1) ** 0.5, rel=1e-4)


def test_it_learns_to_copy():
    set_seed(0)
    model = Translator(TranslatorConfig(12, d_model=32, n_layers=1, n_heads=2, d_ff=64, dropout=0))
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(300):
        ids = torch.randint(2, 12, (32, 5))
        ends = torch.full((32, 1), 1)
        loss = model(ids, torch.ones_like(ids), labels=torch.cat([ids, ends], dim=1)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    ids = torch.randint(2, 12, (20, 5))
    found = beam_search(model.eval(), ids, torch.ones_like(ids), 8)
    copied = [target for [(_, target)] in found]
    assert sum(a == b for a, b in zip(copied, ids.tolist(), strict=True)) >= 18
