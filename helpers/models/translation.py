"""Translation with an encoder-decoder (Vaswani et al., NeurIPS 2017): the network, and its search.

Shapes: B sentences, S pieces of the source, T of the target so far, d features, V pieces of the
vocabulary that both languages share, K hypotheses of a sentence.
"""

import math
from dataclasses import asdict, dataclass
from types import SimpleNamespace
from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import nn
from transformers import MarianConfig, MarianMTModel

from helpers.hardware import IGNORED
from helpers.models.attention import padding_mask
from helpers.models.positions import sinusoidal_positions
from helpers.models.transformer import EncoderDecoder

__all__ = ["Translator", "TranslatorConfig", "TranslatorOutput", "beam_search"]

# Parts of a weight's name, transformers' and ours; the longer one of two that fit comes first.
WEIGHT_NAMES = (
    ("model.shared.", "embedding."),
    ("model.encoder.layers.", "network.encoder.blocks."),
    ("model.decoder.layers.", "network.decoder.blocks."),
    (".self_attn_layer_norm.", ".self_attention_residual.norm."),
    (".encoder_attn_layer_norm.", ".cross_attention_residual.norm."),
    (".final_layer_norm.", ".feed_forward_residual.norm."),
    (".self_attn.", ".self_attention."),
    (".encoder_attn.", ".cross_attention."),
    (".q_proj.", ".query."),
    (".k_proj.", ".key."),
    (".v_proj.", ".value."),
    (".out_proj.", ".output."),
    (".fc1.", ".feed_forward.inner."),
    (".fc2.", ".feed_forward.outer."),
)


@dataclass(frozen=True)
class TranslatorConfig:
    """The sizes of a `Translator`."""

    vocab_size: int  # V
    d_model: int = 128
    n_layers: int = 3  # blocks in each of the two stacks
    n_heads: int = 4
    d_ff: int = 512
    dropout: float = 0.1
    max_positions: int = 256
    pad: int = 0  # its id; a target begins with it too, as in Marian
    eos: int = 1

    @property
    def is_encoder_decoder(self) -> bool:
        """Tells the training loop that labels are another sequence than the input."""
        return True


class TranslatorOutput(NamedTuple):
    """What a `Translator` gives for a batch."""

    logits: torch.Tensor  # (B, T, V)
    loss: torch.Tensor | None  # scalar, the mean over the labels that aren't -100


class Translator(nn.Module):
    """Embeddings, the post-norm `EncoderDecoder`, and a softmax that shares the embeddings.

    One matrix embeds the source, embeds the target and scores the next piece (section 3.4). It is
    the function that `MarianMTModel` computes, weight for weight; `from_marian` takes its weights.
    """

    def __init__(self, config: TranslatorConfig):
        super().__init__()
        c = self.config = config
        self.embedding = nn.Embedding(c.vocab_size, c.d_model)
        # std 1/√d: multiplied by √d at the input it is of size 1, and the logits are at the output.
        nn.init.normal_(self.embedding.weight, std=c.d_model**-0.5)
        self.network = EncoderDecoder(
            c.n_layers, c.d_model, c.n_heads, c.d_ff, dropout=c.dropout, activation=F.gelu
        )
        for weight in self.network.parameters():
            if weight.ndim == 2:
                nn.init.xavier_uniform_(weight)
        self.dropout = nn.Dropout(c.dropout)
        waves = sinusoidal_positions(c.max_positions, c.d_model)
        # All sines before all cosines, as Marian has them: the paper's, in another order.
        waves = torch.cat([waves[:, 0::2], waves[:, 1::2]], dim=1)
        self.register_buffer("positions", waves, persistent=False)  # (max_positions, d)

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Ids (B, T) -> √d E[id] + position, (B, T, d)."""
        x = self.embedding(ids) * math.sqrt(self.config.d_model)
        return self.dropout(x + self.positions[: ids.size(1)])

    def encode(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """The source, both int64 (B, S) -> the memory that the decoder looks at, (B, S, d)."""
        return self.network.encoder(self.embed(input_ids), padding_mask(attention_mask))

    def decode(
        self, target_ids: torch.Tensor, memory: torch.Tensor, attention_mask: torch.Tensor
    ) -> torch.Tensor:
        """Target so far (B, T), beginning with `pad` -> logits of each next piece (B, T, V)."""
        return self.score(self.states(target_ids, memory, attention_mask))

    def states(
        self, target_ids: torch.Tensor, memory: torch.Tensor, attention_mask: torch.Tensor
    ) -> torch.Tensor:
        """What `decode` scores: a vector for each place of the target, (B, T, d)."""
        return self.network.decoder(self.embed(target_ids), memory, padding_mask(attention_mask))

    def score(self, states: torch.Tensor) -> torch.Tensor:
        """(..., d) -> logits (..., V), by the embeddings of the pieces."""
        return states @ self.embedding.weight.T

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        labels: torch.Tensor | None = None,
        decoder_input_ids: torch.Tensor | None = None,
    ) -> TranslatorOutput:
        """Teacher forcing: the decoder reads the right target, one place later.

        Args:
            input_ids: the source, int64 (B, S).
            attention_mask: 1 at its pieces and 0 at padding, (B, S).
            labels: the target, int64 (B, T), -100 at padding.
            decoder_input_ids: the target as the decoder reads it; the labels, shifted, by default.
        """
        if decoder_input_ids is None:
            decoder_input_ids = self.shifted(labels)
        memory = self.encode(input_ids, attention_mask)
        logits = self.decode(decoder_input_ids, memory, attention_mask)  # (B, T, V)
        loss = None
        if labels is not None:
            loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)
        return TranslatorOutput(logits, loss)

    def shifted(self, labels: torch.Tensor) -> torch.Tensor:
        """y_1 … y_T -> start, y_1 … y_{T-1}, both (B, T): what stands before each label."""
        start = labels.new_full((len(labels), 1), self.config.pad)
        before = torch.cat([start, labels[:, :-1]], dim=1)
        return before.masked_fill(before == IGNORED, self.config.pad)

    @classmethod
    def from_marian(cls, marian: MarianMTModel) -> Self:
        """The same function with the same weights, from a model of transformers'.

        Raises:
            ValueError: it has settings that a `Translator` doesn't compute.
        """
        c = marian.config
        fits = {
            "activation_function": c.activation_function == "gelu",
            "scale_embedding": c.scale_embedding,
            "decoder_layers": c.decoder_layers == c.encoder_layers,
            "share_encoder_decoder_embeddings": c.share_encoder_decoder_embeddings,
        }
        for name, fit in fits.items():
            if not fit:
                raise ValueError(f"{name} = {getattr(c, name)!r} isn't what a Translator computes.")
        config = TranslatorConfig(
            c.vocab_size,
            c.d_model,
            c.encoder_layers,
            c.encoder_attention_heads,
            c.encoder_ffn_dim,
            c.dropout,
            c.max_position_embeddings,
            c.pad_token_id,
            c.eos_token_id,
        )
        model = cls(config)
        weights = {}
        for name, value in marian.state_dict().items():
            if "embed_" not in name and name not in ("final_logits_bias", "lm_head.weight"):
                weights[_ours(name)] = value  # those are tied, fixed or zero
        model.load_state_dict(weights)
        return model.to(marian.device).train(marian.training)

    def to_marian(self) -> MarianMTModel:
        """The same function as a model of transformers', for others to load."""
        marian = MarianMTModel(self.marian_config())
        weights = self.state_dict()
        with torch.no_grad():
            for name, value in marian.named_parameters():
                if "embed_positions" not in name:  # fixed, and the same
                    value.copy_(weights[_ours(name)])
        return marian.train(self.training)

    def marian_config(self) -> MarianConfig:
        """The settings with which `MarianMTModel` computes the same function."""
        c = SimpleNamespace(**asdict(self.config))
        return MarianConfig(
            vocab_size=c.vocab_size,
            d_model=c.d_model,
            encoder_layers=c.n_layers,
            decoder_layers=c.n_layers,
            encoder_attention_heads=c.n_heads,
            decoder_attention_heads=c.n_heads,
            encoder_ffn_dim=c.d_ff,
            decoder_ffn_dim=c.d_ff,
            dropout=c.dropout,
            attention_dropout=c.dropout,
            activation_dropout=0.0,
            activation_function="gelu",
            scale_embedding=True,
            max_position_embeddings=c.max_positions,
            pad_token_id=c.pad,
            eos_token_id=c.eos,
            decoder_start_token_id=c.pad,
            forced_eos_token_id=None,
            init_std=c.d_model**-0.5,
        )


def _ours(name: str) -> str:
    for theirs, ours in WEIGHT_NAMES:
        name = name.replace(theirs, ours)
    # An encoder's blocks have one attention, which needs no adjective.
    return name.replace(".self_attention", ".attention") if ".encoder." in name else name


@torch.no_grad()
def beam_search(
    model: Translator,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    max_length: int,
    *,
    beams: int = 1,
    length_penalty: float = 1.0,
) -> list[list[tuple[float, list[int]]]]:
    """The K best targets that a beam of K hypotheses finds, as transformers' `generate` does.

    A step extends each living hypothesis by each piece and looks at the 2K best extensions, of
    which at most K end. One that ends among the best K is finished, with the score

        log p(y | x) / |y|^α

    where |y| counts its pieces with the end and α is `length_penalty`. The K best that don't end
    live on. A sentence is done when K are finished and no living one scores better than the worst
    of them at its present length.

    Args:
        model: in evaluation mode.
        input_ids: sources, int64 (B, S), padded anywhere.
        attention_mask: 1 at their pieces, (B, S).
        max_length: pieces of a target at most, its end included.
        beams: K.
        length_penalty: α; 0 compares sums, 1 means of log-probabilities, above 1 favours length.

    Returns:
        For each sentence its K targets, the best first, each with its score and without its end.
    """
    c, n = model.config, len(input_ids)
    memory = model.encode(input_ids, attention_mask).repeat_interleave(beams, 0)  # (B K, S, d)
    mask = attention_mask.repeat_interleave(beams, 0)
    targets = input_ids.new_full((n * beams, 1), c.pad)  # (B K, t)
    scores = torch.full((n, beams), -1e9, device=input_ids.device)  # sums of log p
    scores[:, 0] = 0.0  # else the first step would find the same K times
    finished: list[list[tuple[float, list[int]]]] = [[] for _ in range(n)]
    done = [False] * n
    for length in range(1, max_length + 1):
        states = model.states(targets, memory, mask)[:, -1]  # (B K, d)
        log_p = model.score(states).float().log_softmax(-1)  # (B K, V)
        sums = (scores.view(-1, 1) + log_p).view(n, -1)  # (B, K V)
        best, places = sums.topk(2 * beams, dim=-1)  # (B, 2K)
        rows, pieces = places // log_p.size(-1), places % log_p.size(-1)
        values, parents, nexts = best.tolist(), rows.tolist(), pieces.tolist()
        last = length == max_length
        chosen = torch.zeros(n, beams, dtype=torch.long, device=input_ids.device)
        for b in range(n):
            if done[b]:
                continue
            living = []
            for rank in range(2 * beams):
                ends = nexts[b][rank] == c.eos
                if (ends or last) and rank < beams:
                    target = targets[b * beams + parents[b][rank], 1:].tolist()
                    target += [nexts[b][rank]] * (not ends)
                    finished[b].append((values[b][rank] / length**length_penalty, target))
                if not ends and len(living) < beams:
                    living.append(rank)
            chosen[b] = torch.tensor(living, device=chosen.device)
            finished[b] = sorted(finished[b], key=lambda pair: -pair[0])[:beams]
            if len(finished[b]) == beams:
                hope = values[b][living[0]] / length**length_penalty
                done[b] = hope <= finished[b][-1][0]
        if all(done):
            break
        kept = rows.gather(1, chosen) + torch.arange(n, device=rows.device)[:, None] * beams
        targets = torch.cat([targets[kept.flatten()], pieces.gather(1, chosen).view(-1, 1)], dim=1)
        scores = best.gather(1, chosen)
    return finished
