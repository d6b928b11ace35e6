"""Generation against transformers', exhaustive search, and the distribution drawn from.

One rounding decides between two tokens that are nearly equally probable, and each processor rounds
in its own way. So models of our own run in double precision here, and where transformers' class
is the other side, which normalises in single precision, `lead` says that there was no near-tie.
"""

import itertools
import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaForCausalLM,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from transformers import LlamaConfig as LibraryConfig

from helpers.data import assets
from helpers.models.generation import beam_search, greedy, sample, top_k_filter, top_p_filter
from helpers.models.llama import Llama, LlamaConfig

VOCABULARY = 12
# Logits: no choice is nearer to another one. Rounding moves the tiny models' by about 1e-6.
NO_TIE = 1e-3
seeds = st.integers(0, 2**16)


def ids(*shape, seed=0):
    return torch.randint(VOCABULARY, shape, generator=torch.Generator().manual_seed(seed))


def pair(tmp_path_factory, seed=0):
    """The same random weights in transformers' class and in ours."""
    torch.manual_seed(seed)
    config = LibraryConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=24,
        max_position_embeddings=40,
        initializer_range=0.4,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    theirs = LlamaForCausalLM(config).eval()
    folder = tmp_path_factory.mktemp("llama")
    theirs.save_pretrained(folder)
    return Llama.from_pretrained(folder), theirs


@torch.no_grad()
def lead(model, prompts, new, attention_mask=None) -> float:
    """How far the best logit is ahead of the second at the least decided of the new tokens."""
    whole = torch.cat([prompts, new[:, :-1]], dim=1)
    if attention_mask is not None:
        attention_mask = torch.cat([attention_mask, torch.ones_like(new[:, :-1])], dim=1)
    logits = model(whole, attention_mask)[:, prompts.size(1) - 1 :]  # (B, n, V)
    best = logits.topk(2).values
    return (best[..., 0] - best[..., 1]).min().item()


def random_llama(seed=0, vocabulary=VOCABULARY, spread=20) -> Llama:
    """In double precision."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        d_model=16,
        n_layers=1,
        n_heads=2,
        n_kv_heads=1,
        d_ff=16,
        max_positions=24,
    )
    model = Llama(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(spread)
    return model.double()


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# The filters

LOGITS = st.lists(
    st.lists(st.integers(-40, 40).map(lambda n: n / 8), min_size=6, max_size=6),
    min_size=1,
    max_size=3,
)


@settings(max_examples=60, deadline=None)
@given(LOGITS, st.integers(1, 9))
def test_top_k_equals_transformers(rows, k):
    logits = torch.tensor(rows)
    assert torch.equal(top_k_filter(logits, k), TopKLogitsWarper(k)(None, logits.clone()))


@settings(max_examples=60, deadline=None)
@given(seeds, st.floats(0.01, 1.0))
def test_top_p_equals_transformers(seed, p):
    logits = 3 * torch.randn(3, 8, generator=seeded(seed)).double()
    ranked = logits.softmax(-1).sort(descending=True).values
    # The two add up from opposite ends: where a sum is p but for rounding, either may be right.
    assume(((ranked.cumsum(-1) - ranked - p).abs() > 1e-6).all())
    assert torch.equal(top_p_filter(logits, p), TopPLogitsWarper(p)(None, logits.clone()))


def test_top_p_keeps_the_smallest_set_that_reaches_p():
    logits = torch.tensor([[0.15, 0.5, 0.05, 0.3]]).log()
    for p, kept in ((0.4, [1]), (0.6, [1, 3]), (0.9, [0, 1, 3]), (1.0, [0, 1, 2, 3])):
        found = top_p_filter(logits, p).isfinite()[0].nonzero().squeeze(1).tolist()
        assert found == kept, p
    assert top_p_filter(torch.zeros(1, 4), 0.5).isfinite().sum() == 2  # a quarter each: exact


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(1, 6), st.floats(0.05, 1.0))
def test_filters_leave_the_kept_logits_and_their_argument_alone(seed, k, p):
    logits = torch.randn(2, 6, generator=seeded(seed))
    before = logits.clone()
    for filtered in (top_k_filter(logits, k), top_p_filter(logits, p)):
        kept = filtered.isfinite()
        assert torch.equal(filtered[kept], before[kept])
        assert torch.equal(filtered.argmax(-1), before.argmax(-1))
    assert torch.equal(logits, before)


# Greedy


def test_greedy_equals_transformers_on_a_padded_batch(tmp_path_factory):
    for seed in range(4):
        ours, theirs = pair(tmp_path_factory, seed)
        tokens, mask = ids(3, 7, seed=seed), torch.ones(3, 7, dtype=torch.int64)
        mask[0, :4], mask[1, :1] = 0, 0
        free = greedy(ours, tokens, 20, attention_mask=mask)
        assert lead(ours, tokens, free, mask) > NO_TIE
        end = int(free[2, 3])  # one that does come up
        for eos in (None, end):
            expected = theirs.generate(
                tokens,
                attention_mask=mask,
                max_new_tokens=20,
                do_sample=False,
                eos_token_id=eos,
                pad_token_id=0 if eos is None else eos,
            )[:, 7:]
            got = greedy(ours, tokens, 20, attention_mask=mask, eos=() if eos is None else eos)
            assert torch.equal(got, expected)


@settings(max_examples=15, deadline=None)
@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4), seed=seeds)
def test_a_prompt_gives_the_same_alone_and_in_a_padded_batch(lengths, seed):
    model, width = random_llama(seed), max(lengths)
    rows = [ids(n, seed=seed + n) for n in lengths]
    tokens, mask = torch.zeros(len(rows), width, dtype=torch.int64), torch.zeros(len(rows), width)
    for i, row in enumerate(rows):
        tokens[i, width - len(row) :], mask[i, width - len(row) :] = row, 1
    together = greedy(model, tokens, 8, attention_mask=mask)
    for i, row in enumerate(rows):
        assert torch.equal(together[i], greedy(model, row[None], 8)[0])


def test_greedy_is_the_argmax_without_a_cache():
    model, tokens = random_llama(3), ids(2, 4)
    for _ in range(10):
        tokens = torch.cat([tokens, model(tokens)[:, -1].argmax(-1, keepdim=True)], dim=1)
    assert torch.equal(greedy(model, tokens[:, :4], 10), tokens[:, 4:])


def test_each_sequence_stops_at_its_own_end():
    model, prompts = random_llama(5), ids(6, 3, seed=1)
    free = greedy(model, prompts, 12)
    ends = {int(free[0, 2]), int(free[1, 5])}
    got = greedy(model, prompts, 12, eos=ends)
    stops = []
    for row, whole in zip(got, free, strict=True):
        stop = next((i for i, t in enumerate(whole.tolist()) if t in ends), 11)
        stops.append(stop)
        known = min(stop + 1, got.size(1))
        assert torch.equal(row[:known], whole[:known])
        assert (row[stop:] == whole[stop]).all()
    assert got.size(1) == max(stops) + 1
    assert len(set(stops)) > 1


# Sampling


def test_draws_follow_the_models_distribution():
    model, prompt, n = random_llama(2, spread=12), ids(1, 3), 4000
    logits = model(prompt)[0, -1].detach() / 0.7
    cases = {
        (None, None): logits,
        (4, None): top_k_filter(logits, 4),
        (None, 0.8): top_p_filter(logits, 0.8),
        (5, 0.7): top_p_filter(top_k_filter(logits, 5), 0.7),
    }
    for (k, p), kept in cases.items():
        drawn = sample(
            model,
            prompt.expand(n, -1),
            1,
            generator=seeded(1),
            temperature=0.7,
            top_k=k,
            top_p=p,
        )
        counts = torch.bincount(drawn[:, 0], minlength=VOCABULARY)
        probabilities = kept.softmax(-1)
        assert (counts[probabilities == 0] == 0).all()
        likely = n * probabilities >= 5  # the test's condition; the rest count together
        observed = [*counts[likely].tolist(), int(counts[~likely].sum())]
        expected = [*(n * probabilities[likely]).tolist(), n * probabilities[~likely].sum().item()]
        if expected[-1] < 1:
            observed, expected = observed[:-1], expected[:-1]
        assert len(observed) > 1
        scale = sum(observed) / sum(expected)
        # Some processors draw other numbers from the same seed: wrong once in a million draws.
        assert chisquare(observed, [scale * e for e in expected]).pvalue > 1e-6


def test_a_seed_gives_the_same_text_and_leaves_torchs_generator_alone():
    model, prompt = random_llama(), ids(2, 3)
    state = torch.get_rng_state()
    drawn = [sample(model, prompt, 15, generator=seeded(s)) for s in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert torch.equal(torch.get_rng_state(), state)


def test_sampling_becomes_greedy():
    model, prompt = random_llama(4), ids(3, 3)
    expected = greedy(model, prompt, 8)
    for options in ({"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-4}):
        assert torch.equal(sample(model, prompt, 8, generator=seeded(), **options), expected)


# Beam search


def every_continuation(model, prompt, n, eos, length_penalty):
    """The score of each continuation that ends with eos or has n tokens, best first."""
    found = []
    for length in range(1, n + 1):
        for tokens in itertools.product(range(model.config.vocab_size), repeat=length):
            ends = [t == eos for t in tokens]
            if any(ends[:-1]) or (length < n and not ends[-1]):
                continue
            whole = torch.cat([prompt, torch.tensor([tokens])], dim=1)
            log_p = model(whole)[0].log_softmax(-1)
            places = range(prompt.size(1) - 1, whole.size(1) - 1)
            total = sum(log_p[i, whole[0, i + 1]].item() for i in places)
            found.append((total / length**length_penalty, tokens))
    return sorted(found, reverse=True)


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.0, 2.0, -1.0])
@torch.no_grad()
def test_a_wide_beam_finds_what_exhaustive_search_finds(length_penalty):
    for seed in range(4):
        model, prompt = random_llama(seed, vocabulary=4), torch.tensor([[1, 2, 0]])
        score, tokens = every_continuation(model, prompt, 4, 3, length_penalty)[0]
        found, found_score = beam_search(
            model, prompt, 4, n_beams=4**3, length_penalty=length_penalty, eos=3
        )
        assert tuple(found[0].tolist()) == tokens
        assert math.isclose(found_score, score, rel_tol=1e-5, abs_tol=1e-5)  # added in fp32


def test_beam_search_equals_transformers(tmp_path_factory):
    lengths = set()
    for seed in range(6):
        ours, theirs = pair(tmp_path_factory, seed)
        prompt = ids(1, 4, seed=seed)
        eos = int(greedy(ours, prompt, 5)[0, 3])
        for n_beams, penalty in ((2, 1.0), (3, 0.0), (4, 1.0), (4, 2.0), (5, 0.5)):
            expected = theirs.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                max_new_tokens=10,
                do_sample=False,
                num_beams=n_beams,
                length_penalty=penalty,
                early_stopping="never",
                eos_token_id=eos,
                pad_token_id=eos,
            )[:, 4:]
            got, _ = beam_search(ours, prompt, 10, n_beams=n_beams, length_penalty=penalty, eos=eos)
            lengths.add(got.size(1))
            assert torch.equal(got, expected), (seed, n_beams, penalty)
    assert len(lengths) > 1


@torch.no_grad()
def test_beams_score_is_its_tokens_score_and_no_worse_than_greedys():
    for seed in range(5):
        model, prompt = random_llama(seed), ids(1, 3, seed=seed)

        def mean_log_p(tokens, model=model, prompt=prompt):
            whole = torch.cat([prompt, tokens], dim=1)
            log_p = model(whole)[0, 2:-1].log_softmax(-1)
            return log_p.gather(1, tokens.T).mean().item()

        found, score = beam_search(model, prompt, 6, n_beams=4)
        assert math.isclose(score, mean_log_p(found), abs_tol=1e-5)  # added in fp32
        narrow, _ = beam_search(model, prompt, 6, n_beams=1)
        assert torch.equal(narrow, greedy(model, prompt, 6))
        wide, best = beam_search(model, prompt, 6, n_beams=VOCABULARY**3)
        assert best >= mean_log_p(narrow) - 1e-5
        assert best >= score - 1e-5
        assert wide.shape == (1, 6)


class Chain:
    """A model whose next token depends on the latest one alone, by a table of probabilities."""

    def __init__(self, table):
        self.table = torch.tensor(table).log()
        self.embedding = SimpleNamespace(weight=self.table)
        self.config = SimpleNamespace(vocab_size=len(table), max_positions=50)

    def new_cache(self, batch_size, max_length):
        return SimpleNamespace(select=lambda rows: None)

    def hidden(self, input_ids, attention_mask=None, cache=None):
        return input_ids

    def logits(self, latest):
        return self.table[latest]


def test_the_search_goes_on_while_a_longer_text_may_be_better():
    # The end is the likelier first token, and the other one then repeats itself almost surely.
    model = Chain([[0.998, 0.001, 0.001], [0.4, 1e-9, 0.6], [1 / 3, 1 / 3, 1 / 3]])
    prompt = torch.tensor([[1]])
    found, score = beam_search(model, prompt, 10, n_beams=1, length_penalty=1.0, eos=2)
    assert found.tolist() == [[0] * 10]
    assert math.isclose(score, (math.log(0.4) + 9 * math.log(0.998)) / 10, abs_tol=1e-5)
    found, score = beam_search(model, prompt, 10, n_beams=1, length_penalty=0.0, eos=2)
    assert found.tolist() == [[2]]
    assert math.isclose(score, math.log(0.6), abs_tol=1e-5)


# Bad input


def test_bad_prompts_are_refused():
    model, ones = random_llama(), torch.ones(2, 3, dtype=torch.int64)
    right_padded = torch.tensor([[1, 1, 1], [1, 1, 0]])
    for arguments, message in (
        ({"input_ids": torch.zeros(1, 0, dtype=torch.int64)}, r"\(1, 0\).*bos token"),
        ({"input_ids": torch.zeros(3, dtype=torch.int64)}, r"\(3,\)"),
        ({"input_ids": ids(1, 20)}, "25 tokens.*24 positions"),
        ({"input_ids": torch.tensor([[0, VOCABULARY]])}, "holds 12"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"attention_mask": right_padded}, "padded on the right"),
        ({"attention_mask": ones[:1]}, r"\(1, 3\); expected \(2, 3\)"),
    ):
        given = {"input_ids": ids(2, 3), "max_new_tokens": 6} | arguments
        with pytest.raises(ValueError, match=message):
            greedy(model, **given)
    assert greedy(model, ids(1, 20), 5).shape == (1, 5)  # the last token needs no position


def test_bad_settings_are_refused():
    model, prompt = random_llama(), ids(1, 3)
    for settings_, message in (
        ({"temperature": 0.0}, "temperature is 0.0.*call greedy"),
        ({"temperature": -1.0}, "temperature is -1"),
        ({"top_k": 0}, "top_k is 0"),
        ({"top_p": 0.0}, "top_p is 0"),
        ({"top_p": 1.1}, "top_p is 1.1"),
    ):
        with pytest.raises(ValueError, match=message):
            sample(model, prompt, 2, generator=seeded(), **settings_)
    with pytest.raises(ValueError, match=r"\(2, 3\).*n_beams"):
        beam_search(model, ids(2, 3), 2, n_beams=2)
    with pytest.raises(ValueError, match="n_beams = 0"):
        beam_search(model, prompt, 2, n_beams=0)


# The real weights


def test_smollm2_writes_what_transformers_writes():
    path = assets.path("smollm2")
    tokenizer = AutoTokenizer.from_pretrained(path, padding_side="left")
    prompts = ["The capital of France is", "Water boils at", "In the second half, the striker"]
    batch = tokenizer(prompts, padding=True, return_tensors="pt")
    ours = Llama.from_pretrained(path)
    got = greedy(ours, batch.input_ids, 16, attention_mask=batch.attention_mask)
    # Rounding moves these scores, of up to 40 after thirty layers, by about 1e-5.
    assert lead(ours, batch.input_ids, got, batch.attention_mask) > NO_TIE
    del ours
    theirs = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    theirs.generation_config.eos_token_id = None  # so that both write all 16 tokens
    expected = theirs.generate(**batch, max_new_tokens=16, do_sample=False)
    assert torch.equal(got, expected[:, batch.input_ids.size(1) :])
