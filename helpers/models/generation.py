"""Text from a decoder: greedy, by sampling, by beam search.

All three take prompts as ids (B, T) and return the new tokens alone. Prompts of unequal length are
padded on the left (`padding_side="left"` of the tokenizer), so that the last column holds the last
token of each.
"""

from collections.abc import Callable, Collection

import torch

from helpers.models.llama import RotaryModel

__all__ = ["beam_search", "greedy", "sample", "top_k_filter", "top_p_filter"]


def top_k_filter(logits: torch.Tensor, k: int) -> torch.Tensor:
    """Keep the k largest logits of each row, and those equal to the k-th; the rest become -inf.

    Fan et al., ACL 2018, section 5.2. Takes and returns (..., V).

    Raises:
        ValueError: k is less than 1.
    """
    if k < 1:
        raise ValueError(f"top_k is {k}; expected 1 or more. 1 is greedy.")
    smallest = logits.topk(min(k, logits.size(-1)), dim=-1).values[..., -1:]  # (..., 1)
    return logits.masked_fill(logits < smallest, -torch.inf)


def top_p_filter(logits: torch.Tensor, p: float) -> torch.Tensor:
    """Keep the most probable tokens whose probabilities reach p together; the rest become -inf.

    The nucleus of Holtzman et al., ICLR 2020, section 3.1: the smallest such set, which holds at
    least one token. Takes and returns (..., V).

    Raises:
        ValueError: p isn't above 0 and at most 1.
    """
    if not 0.0 < p <= 1.0:
        raise ValueError(f"top_p is {p}; expected a probability above 0 and at most 1.")
    if p == 1.0:  # rounding would drop the least probable tokens
        return logits
    ranked, order = logits.sort(dim=-1, descending=True)
    probabilities = ranked.softmax(dim=-1)
    # A token stays if those before it haven't reached p yet.
    dropped = probabilities.cumsum(dim=-1) - probabilities >= p
    return logits.masked_fill(torch.zeros_like(dropped).scatter(-1, order, dropped), -torch.inf)


def greedy(
    model: RotaryModel,
    input_ids: torch.Tensor,
    max_new_tokens: int,
    *,
    attention_mask: torch.Tensor | None = None,
    eos: int | Collection[int] = (),
) -> torch.Tensor:
    """The most probable next token, again and again.

    Args:
        model: a `Llama`, or a causal `ModernBert` in evaluation mode.
        input_ids: prompts, int64 (B, T), padded on the left.
        max_new_tokens: when to stop at the latest.
        attention_mask: (B, T), 1 at real tokens and 0 at padding; no padding by default.
        eos: ids that end a sequence. All sequences ended end the generation.

    Returns:
        New tokens, int64 (B, n) with n ≤ max_new_tokens, up to each sequence's end; what follows
        an end is filled with the id that ended it.

    Raises:
        ValueError: a prompt is empty, padded on the right or too long for max_new_tokens more, an
            id is out of the vocabulary, or max_new_tokens is less than 1.
    """
    return _generate(
        model, input_ids, max_new_tokens, lambda logits: logits.argmax(-1), attention_mask, eos
    )


def sample(
    model: RotaryModel,
    input_ids: torch.Tensor,
    max_new_tokens: int,
    *,
    generator: torch.Generator,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    attention_mask: torch.Tensor | None = None,
    eos: int | Collection[int] = (),
) -> torch.Tensor:
    """Draw each next token from the model's distribution.

    Args:
        model, input_ids, max_new_tokens, attention_mask, eos: as for `greedy`.
        generator: the source of randomness, on the model's device.
        temperature: what logits are divided by; below 1 sharpens, above 1 flattens.
        top_k: draw from this many tokens, the most probable ones (`top_k_filter`).
        top_p: draw from the nucleus of this probability (`top_p_filter`), after `top_k`.

    Returns:
        As `greedy`.

    Raises:
        ValueError: as for `greedy`; temperature isn't positive; top_k or top_p is out of range.
    """
    if temperature <= 0:
        raise ValueError(f"temperature is {temperature}; expected above 0. For 0 call greedy.")

    def choose(logits: torch.Tensor) -> torch.Tensor:
        logits = logits.float() / temperature
        if top_k is not None:
            logits = top_k_filter(logits, top_k)
        if top_p is not None:
            logits = top_p_filter(logits, top_p)
        return torch.multinomial(logits.softmax(-1), 1, generator=generator).squeeze(1)

    return _generate(model, input_ids, max_new_tokens, choose, attention_mask, eos)


@torch.no_grad()
def _generate(
    model: RotaryModel,
    input_ids: torch.Tensor,
    max_new_tokens: int,
    choose: Callable[[torch.Tensor], torch.Tensor],
    attention_mask: torch.Tensor | None,
    eos: int | Collection[int],
) -> torch.Tensor:
    """`choose` takes logits (B, V) and returns ids (B,)."""
    _check_prompts(input_ids, max_new_tokens, attention_mask)
    ends = _as_tensor(model, eos)
    batch_size, length = input_ids.shape
    cache = model.new_cache(batch_size, length + max_new_tokens - 1)
    ended = torch.zeros(batch_size, dtype=torch.bool, device=input_ids.device)
    new, latest = [], input_ids
    for _ in range(max_new_tokens):
        # Only the last token's logits are needed: of a prompt, V numbers and not T × V.
        hidden = model.hidden(latest, attention_mask, cache)[:, -1]  # (B, d)
        chosen = choose(model.logits(hidden))  # (B,)
        if new:
            chosen = torch.where(ended, new[-1], chosen)
        new.append(chosen)
        if len(ends):
            ended |= torch.isin(chosen, ends)
            if ended.all():
                break
        latest = chosen[:, None]  # (B, 1): the cache holds the rest
        if attention_mask is not None:
            attention_mask = torch.cat([attention_mask, attention_mask.new_ones(batch_size, 1)], 1)
    return torch.stack(new, dim=1)  # (B, n)


@torch.no_grad()
def beam_search(
    model: RotaryModel,
    input_ids: torch.Tensor,
    max_new_tokens: int,
    *,
    n_beams: int,
    length_penalty: float = 1.0,
    eos: int | Collection[int] = (),
) -> tuple[torch.Tensor, float]:
    """The most probable continuation that a search of `n_beams` open ones at a time finds.

    A continuation of n tokens has the score Σ log p / n^length_penalty. It is what `generate` of
    transformers computes with num_beams and early_stopping="never": the search ends when no open
    beam can get better than the n_beams best ended ones.

    Args:
        model: as for `greedy`.
        input_ids: one prompt, int64 (1, T).
        max_new_tokens: when to stop at the latest.
        n_beams: open continuations; with 1 and no `eos` it is greedy.
        length_penalty: 0 compares log-probabilities, which favours short continuations; 1
            compares them per token.
        eos: ids that end a continuation.

    Returns:
        The best continuation's tokens (1, n), with the end if it has one, and its score.

    Raises:
        ValueError: as for `greedy`, more than one prompt, or n_beams less than 1.
    """
    if n_beams < 1 or input_ids.size(0) != 1:
        raise ValueError(
            f"beam search takes one prompt and at least one beam, got input_ids of shape "
            f"{tuple(input_ids.shape)} and n_beams = {n_beams}."
        )
    _check_prompts(input_ids, max_new_tokens, None)
    ends, n_entries = _as_tensor(model, eos), model.config.vocab_size
    cache = model.new_cache(n_beams, input_ids.size(1) + max_new_tokens - 1)
    latest = input_ids.expand(n_beams, -1)  # (K, T), then (K, 1)
    tokens = input_ids.new_empty(n_beams, 0)  # (K, n)
    # All beams start alike: only the first counts, else the search would find one thing K times.
    totals = torch.full((n_beams, 1), -torch.inf, device=input_ids.device)
    totals[0] = 0.0
    done: list[tuple[float, torch.Tensor]] = []
    for n in range(1, max_new_tokens + 1):
        hidden = model.hidden(latest, cache=cache)[:, -1]  # (K, d)
        candidates = totals + model.logits(hidden).float().log_softmax(-1)  # (K, V)
        # Enough of them that K stay open even if all of each beam's ends are among the best.
        n_best = min(n_beams * (1 + len(ends)), candidates.numel())
        scores, places = candidates.flatten().topk(n_best)
        rows, chosen = places // n_entries, places % n_entries
        grown = torch.cat([tokens[rows], chosen[:, None]], dim=1)  # (n_best, n)
        ended = torch.isin(chosen, ends) | (n == max_new_tokens)
        for i in range(n_beams):
            if ended[i] and scores[i] > -torch.inf:
                done.append((scores[i].item() / n**length_penalty, grown[i]))
        done = sorted(done, key=lambda pair: -pair[0])[:n_beams]
        totals, best = scores.masked_fill(ended, -torch.inf)[:, None].topk(n_beams, dim=0)
        # Log-probabilities only sink, so no open beam can get a better score than this one.
        longest = max_new_tokens if length_penalty > 0 else n + 1
        if len(done) == n_beams and totals.max().item() / longest**length_penalty <= done[-1][0]:
            break
        best = best.squeeze(1)  # (K,)
        cache.select(rows[best])
        tokens, latest = grown[best], chosen[best, None]
    score, best_tokens = done[0]
    return best_tokens[None], score


def _as_tensor(model: RotaryModel, eos: int | Collection[int]) -> torch.Tensor:
    ids = [eos] if isinstance(eos, int) else sorted(eos)
    return torch.tensor(ids, dtype=torch.int64, device=model.embedding.weight.device)


def _check_prompts(
    input_ids: torch.Tensor, max_new_tokens: int, attention_mask: torch.Tensor | None
) -> None:
    """What `hidden` and `new_cache` don't see."""
    if input_ids.ndim != 2 or input_ids.size(1) == 0:
        raise ValueError(
            f"input_ids has shape {tuple(input_ids.shape)}; expected (B, T) with at least one "
            "token. For an empty prompt give the tokenizer's bos token."
        )
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens is {max_new_tokens}; expected 1 or more.")
    if attention_mask is not None and not attention_mask[:, -1].all():
        raise ValueError(
            "attention_mask is 0 in its last column: a prompt is padded on the right, or empty. A "
            'decoder goes on from the last column, so set padding_side = "left" in the tokenizer.'
        )
