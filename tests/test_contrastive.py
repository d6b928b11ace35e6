"""The contrastive loss and its companions against numpy and known limits."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.models.contrastive import (
    PairEncoder,
    alignment,
    cosine_similarities,
    info_nce,
    mean_pool,
    ranks,
    uniformity,
)
from helpers.models.modernbert import ModernBert, ModernBertConfig
from helpers.training.loop import TrainingConfig, train


def rows(n: int, d: int, seed: int) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def encoder(dropout: float = 0.0) -> ModernBert:
    torch.manual_seed(0)
    return ModernBert(ModernBertConfig(40, 16, 2, 2, 24, 32, dropout=dropout))


def pairs(n: int = 24) -> list[dict]:
    """A query and a key that share their first pieces, of various lengths."""
    generator = torch.Generator().manual_seed(0)
    examples = []
    for i in range(n):
        topic = torch.randint(1, 40, (3,), generator=generator).tolist()
        noise = torch.randint(1, 40, (2 + i % 4,), generator=generator).tolist()
        examples.append({"input_ids": topic, "key_ids": topic + noise})
    return examples


def collate(examples: list[dict]) -> dict[str, torch.Tensor]:
    batch = {"labels": torch.arange(len(examples))}
    for ids, mask in (("input_ids", "attention_mask"), ("key_ids", "key_mask")):
        sequences = [torch.tensor(example[ids]) for example in examples]
        pad = torch.nn.utils.rnn.pad_sequence
        batch[ids] = pad(sequences, batch_first=True)
        batch[mask] = pad([torch.ones_like(s) for s in sequences], batch_first=True)
    return batch


def test_mean_pool_is_the_mean_of_each_text_alone():
    hidden, lengths = rows(3 * 5, 4, seed=0).view(3, 5, 4), (5, 2, 1)
    mask = torch.tensor([[1] * n + [0] * (5 - n) for n in lengths])
    expected = torch.stack([hidden[i, :n].mean(0) for i, n in enumerate(lengths)])
    torch.testing.assert_close(mean_pool(hidden, mask), expected)
    hidden[mask == 0] = 1e6  # whatever stands at padding
    torch.testing.assert_close(mean_pool(hidden, mask), expected)


def test_mean_pool_refuses_what_has_no_mean():
    with pytest.raises(ValueError, match=r"Text 1\b.*token"):
        mean_pool(torch.ones(2, 3, 4), torch.tensor([[1, 1, 0], [0, 0, 0]]))
    with pytest.raises(RuntimeError, match=r"\(3\) must match .*\(4\)"):
        mean_pool(torch.ones(2, 3, 4), torch.ones(2, 4))


@given(
    n=st.integers(1, 6),
    extra=st.integers(0, 3),
    temperature=st.floats(0.02, 5.0),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_info_nce_is_the_formula(n, extra, temperature, seed):
    queries, keys = rows(n, 5, seed).double(), rows(n + extra, 5, seed + 100).double()
    u = queries.numpy() / np.linalg.norm(queries.numpy(), axis=1, keepdims=True)
    v = keys.numpy() / np.linalg.norm(keys.numpy(), axis=1, keepdims=True)
    e = np.exp(u @ v.T / temperature)
    expected = np.mean([-np.log(e[i, i] / e[i].sum()) for i in range(n)])
    got = info_nce(queries, keys, temperature=temperature).item()
    assert got == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_symmetric_loss_is_the_mean_of_both_directions():
    queries, keys = rows(4, 6, seed=1), rows(4, 6, seed=2)
    both = info_nce(queries, keys, symmetric=True)
    one_way, other = info_nce(queries, keys), info_nce(keys, queries)
    torch.testing.assert_close(both, (one_way + other) / 2)
    assert abs(one_way - other) > 0.01  # else the comparison would say little


def test_info_nce_of_equal_vectors_is_log_b():
    same = torch.ones(8, 5)
    assert info_nce(same, same, temperature=0.1).item() == pytest.approx(math.log(8), rel=1e-5)


def test_gradient_is_softmax_minus_one_hot():
    queries = F.normalize(rows(4, 6, seed=3), dim=-1)
    keys = F.normalize(rows(4, 6, seed=4), dim=-1)
    queries.requires_grad_()
    info_nce(queries, keys, temperature=0.2).backward()
    weights = (queries @ keys.T / 0.2).softmax(-1) - torch.eye(4)
    pull = weights @ keys / (0.2 * 4)
    tangent = pull - (pull * queries).sum(-1, keepdim=True) * queries
    torch.testing.assert_close(queries.grad, tangent.detach(), atol=1e-5, rtol=1e-5)


def test_info_nce_refuses_what_it_cannot_score():
    with pytest.raises(ValueError, match=r"temperature is 0\.0"):
        info_nce(rows(2, 3, 0), rows(2, 3, 1), temperature=0.0)
    with pytest.raises(ValueError, match="3 queries and 2 keys"):
        info_nce(rows(3, 3, 0), rows(2, 3, 1))
    with pytest.raises(ValueError, match="2 queries and 3 keys"):
        info_nce(rows(2, 3, 0), rows(3, 3, 1), symmetric=True)
    with pytest.raises(RuntimeError, match="2x3 and 4x2"):
        info_nce(rows(2, 3, 0), rows(2, 4, 1))


def test_alignment_follows_from_the_cosine():
    x, y = rows(7, 5, seed=5), rows(7, 5, seed=6)
    cosines = F.cosine_similarity(x, y)
    torch.testing.assert_close(alignment(x, y), (2 - 2 * cosines).mean())
    assert alignment(x, 3 * x).item() == pytest.approx(0.0, abs=1e-5)


def test_uniformity_over_all_pairs_once():
    x = F.normalize(rows(6, 5, seed=7), dim=-1)
    total = [math.exp(-2 * (x[i] - x[j]).square().sum()) for i in range(6) for j in range(i)]
    assert uniformity(x).item() == pytest.approx(math.log(np.mean(total)), rel=1e-5)
    assert uniformity(torch.ones(4, 3)).item() == pytest.approx(0.0, abs=1e-5)


@given(n=st.integers(1, 6), extra=st.integers(0, 4), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_ranks_are_places_in_the_sorted_list(n, extra, seed):
    scores = rows(n, n + extra, seed)
    order = scores.argsort(dim=-1, descending=True)
    expected = [order[i].tolist().index(i) + 1 for i in range(n)]
    assert ranks(scores).tolist() == expected


def test_ties_count_against_the_method():
    assert ranks(torch.zeros(2, 5)).tolist() == [5, 5]


def test_cosines_do_not_depend_on_lengths():
    x, y = rows(3, 4, seed=8), rows(5, 4, seed=9)
    torch.testing.assert_close(cosine_similarities(10 * x, y / 7), cosine_similarities(x, y))
    assert cosine_similarities(x, y).shape == (3, 5)


def test_cosines_stay_exact_under_mixed_precision():
    x, y = rows(3, 64, seed=8), rows(5, 64, seed=9)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = cosine_similarities(x, y)
    assert torch.equal(mixed, cosine_similarities(x, y))


def test_padding_changes_no_embedding():
    model = PairEncoder(encoder())
    ids = torch.tensor([[3, 4, 5, 0, 0]])
    padded = model.embed(ids, torch.tensor([[1, 1, 1, 0, 0]]))
    torch.testing.assert_close(padded, model.embed(ids[:, :3], torch.ones(1, 3)), atol=1e-5, rtol=0)


def test_dropout_alone_makes_two_views():
    batch = collate([{"input_ids": p["key_ids"], "key_ids": p["key_ids"]} for p in pairs(4)])
    with_dropout = PairEncoder(encoder(dropout=0.2)).train()(**batch).logits.diagonal()
    without = PairEncoder(encoder()).train()(**batch).logits.diagonal()
    torch.testing.assert_close(without, torch.full((4,), 20.0))  # cosine 1 divided by 0.05
    assert bool((with_dropout < 20 - 1e-3).all())


def test_training_brings_pairs_together():
    examples = pairs()
    model = PairEncoder(encoder(), temperature=0.1)
    batch = collate(examples)
    before = model(**batch)
    config = TrainingConfig(
        steps=30, batch_size=12, learning_rate=1e-2, group_by_length=False, precision="fp32"
    )
    train(model, examples, config, collate_fn=collate)
    after = model.eval()(**batch)
    assert after.loss < before.loss - 0.3
    assert ranks(after.logits).float().mean() <= ranks(before.logits).float().mean()


@pytest.mark.parametrize("max_length", [33, 2])
def test_a_length_that_the_encoder_cannot_read_is_not_saved(max_length, tmp_path):
    model, folder = PairEncoder(encoder()), tmp_path / "sentences"
    with pytest.raises(ValueError, match=rf"max_length is {max_length}; .*\b32\b"):
        model.save_pretrained(folder, tokenizer=None, max_length=max_length)
    assert not folder.exists()
