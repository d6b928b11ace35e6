"""helpers.data.masking: the statistics of 80/10/10, and what may never be chosen."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, chisquare

from helpers.data.masking import IGNORED, mask_tokens

VOCABULARY, MASK = 1000, 4


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def masked(ids, candidates=None, *, seed=0, **options):
    candidates = torch.ones_like(ids, dtype=torch.bool) if candidates is None else candidates
    options = {"mask_token_id": MASK, "vocab_size": VOCABULARY, **options}
    return mask_tokens(ids, candidates, generator=generator(seed), **options)


def plausible(count, of, share):
    """Whether a count agrees with a probability; wrong once in a million draws."""
    return binomtest(int(count), int(of), share).pvalue > 1e-6


def test_where_no_piece_was_chosen_one_is():
    ids = torch.arange(10, 40)[None]
    for seed in range(20):
        _, labels = masked(ids, seed=seed, rate=1e-9)
        assert int((labels != IGNORED).sum()) == 1


@pytest.mark.parametrize("rate", [0.15, 0.3])
def test_shares_are_those_of_bert(rate):
    ids = torch.randint(5, VOCABULARY, (400, 500), generator=generator(1))
    seen, labels = masked(ids, rate=rate)
    chosen = labels != IGNORED
    assert plausible(chosen.sum(), ids.numel(), rate)
    hidden, kept = chosen & (seen == MASK), chosen & (seen == ids)
    # A random piece is the mask token, or the same piece as before, once in a thousand times.
    assert plausible(hidden.sum(), chosen.sum(), 0.8 + 0.1 / VOCABULARY)
    assert plausible(kept.sum(), chosen.sum(), 0.1 + 0.1 / VOCABULARY)
    replaced = seen[chosen & ~hidden & ~kept]
    counts = torch.bincount(replaced, minlength=VOCABULARY)
    counts = counts[torch.arange(VOCABULARY) != MASK]
    assert chisquare(counts.numpy()).pvalue > 1e-6  # all pieces, equally often


def test_choices_of_neighbours_are_independent():
    ids = torch.full((400, 500), 7)
    chosen = masked(ids)[1] != IGNORED
    both = (chosen[:, 1:] & chosen[:, :-1]).sum()
    assert plausible(both, chosen[:, 1:].numel(), 0.15**2)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**31), rate=st.floats(0.01, 1.0), share=st.floats(0.0, 1.0))
def test_only_candidates_change_and_labels_hold_the_originals(seed, rate, share):
    ids = torch.randint(VOCABULARY, (6, 20), generator=generator(seed))
    candidates = torch.rand(6, 20, generator=generator(seed + 1)) < share
    before = ids.clone()
    seen, labels = masked(ids, candidates, seed=seed, rate=rate)
    chosen = labels != IGNORED
    assert torch.equal(ids, before)
    assert not (chosen & ~candidates).any()
    assert torch.equal(labels[chosen], ids[chosen])
    assert torch.equal(seen[~chosen], ids[~chosen])
    assert seen.dtype == labels.dtype == torch.int64
    assert ((seen >= 0) & (seen < VOCABULARY)).all()


def test_a_rate_of_one_chooses_every_candidate():
    candidates = torch.tensor([[False, True, True, False]])
    labels = masked(torch.tensor([[2, 8, 9, 3]]), candidates, rate=1.0)[1]
    assert labels.tolist() == [[IGNORED, 8, 9, IGNORED]]


def test_the_same_seed_gives_the_same_masks_and_another_one_others():
    ids = torch.randint(5, VOCABULARY, (8, 64), generator=generator(1))
    first, again, other = masked(ids), masked(ids), masked(ids, seed=1)
    assert all(map(torch.equal, first, again))
    assert not torch.equal(first[1], other[1])


def test_an_empty_batch_stays_empty():
    seen, labels = masked(torch.empty(0, 5, dtype=torch.int64))
    assert seen.shape == labels.shape == (0, 5)


IDS = torch.tensor([[2, 8, 3]])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"mask_token_id": None}, ValueError, "mask_token_id.*None"),
        ({"mask_token_id": 1000}, ValueError, r"\b1000\b.*\b1000 pieces"),
        ({"vocab_size": 8}, ValueError, r"\bid 8\b.*\b8 pieces"),
        ({"ids": -IDS}, ValueError, r"id -8\b.*pieces"),
        ({"rate": 0.0}, ValueError, "rate is 0.0"),
        ({"rate": 1.5}, ValueError, "rate is 1.5"),
        ({"ids": IDS.float()}, TypeError, "input_ids are torch.float32"),
        ({"candidates": torch.ones(1, 3)}, TypeError, "candidates torch.float32"),
        (
            {"candidates": torch.ones(3, dtype=torch.bool)},
            ValueError,
            r"\[1, 3\].* and .*\[3\]",
        ),
    ],
)
def test_bad_input_is_refused_by_name(options, error, message):
    options = {"ids": IDS, "candidates": torch.ones(1, 3, dtype=torch.bool), **options}
    with pytest.raises(error, match=message):
        masked(options.pop("ids"), options.pop("candidates"), **options)


@pytest.mark.parametrize("rate", [1e-9, 0.01])
def test_one_candidate_is_chosen_where_none_would_be(rate):
    """A legal draw with nothing to learn from must not end a run."""
    ids = torch.full((1, 12), 7)
    candidates = torch.arange(12)[None] % 3 == 1  # four of them
    draws = [masked(ids, candidates, seed=seed, rate=rate)[1] != IGNORED for seed in range(400)]
    counts = torch.cat(draws).sum(0)
    assert all(chosen.any() for chosen in draws)
    assert not counts[~candidates[0]].any()
    assert plausible(counts[1], counts.sum(), 1 / 4)  # any of them, equally often
    nothing = masked(ids, torch.zeros_like(candidates), rate=rate)[1]
    assert (nothing == IGNORED).all()
