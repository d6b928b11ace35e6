"""A translation student as browsers run it: a Transformer's encoder, a recurrent decoder.

The decoder's self-attention is replaced by a simpler simple recurrent unit (SSRU; Kim et al.,
WNGT 2019, "From Research to Production and Back", section 3.1), whose state has one size however
long the target grows.

Shapes: B sentences, S pieces of the source, d features, L decoder layers, V pieces.
"""

import math
from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import nn

from helpers.models._marian_file import read_marian, student_weights
from helpers.models.attention import MultiHeadAttention, padding_mask
from helpers.models.transformer import Encoder, FeedForward, LayerNorm

__all__ = ["Ssru", "Student"]

EPS, END = 1e-6, 0  # of the norms; the id of the end of a sentence
# The sizes of the tiny students: V, d, attention heads, and features inside a feed-forward layer.
ENTRIES, WIDTH, HEADS, INNER = 32_000, 256, 8, 1536
ENCODER_LAYERS, DECODER_LAYERS, POSITIONS = 6, 2, 512


class Ssru(nn.Module):
    """One step of the unit: a gate decides how much of the state stays, feature by feature.

    f_t = σ(W_f x_t + b_f),  c_t = f_t ⊙ c_{t-1} + (1 - f_t) ⊙ W x_t,  and the output max(0, c_t).
    """

    def __init__(self, d_model: int):
        super().__init__()
        self.gate = nn.Linear(d_model, d_model)
        self.candidate = nn.Linear(d_model, d_model, bias=False)

    def forward(self, x: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Input and state, both (B, d) -> output and new state, both (B, d)."""
        gate = self.gate(x).sigmoid()  # (B, d)
        state = gate * state + (1 - gate) * self.candidate(x)
        return state.relu(), state


class _Block(nn.Module):
    """SSRU, cross-attention and a feed-forward layer, each with its residual path and norm."""

    def __init__(self, d_model: int, n_heads: int, d_ff: int):
        super().__init__()
        self.unit = Ssru(d_model)
        self.attention = MultiHeadAttention(d_model, n_heads)
        self.feed_forward = FeedForward(d_model, d_ff, F.relu)
        self.norms = nn.ModuleList(LayerNorm(d_model, EPS) for _ in range(3))

    def forward(
        self,
        x: torch.Tensor,
        state: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        mask: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """One place of the target, (B, d), and the state -> the same for the next layer."""
        output, state = self.unit(x, state)
        x = self.norms[0](x + output)
        query = self.attention.split(self.attention.query(x[:, None]))  # (B, h, 1, d_k)
        heads = F.scaled_dot_product_attention(query, keys, values, attn_mask=mask)
        x = self.norms[1](x + self.attention.output(self.attention.join(heads))[:, 0])
        return self.norms[2](x + self.feed_forward(x)), state


class Student(nn.Module):
    """Encoder, SSRU decoder and one matrix of embeddings for both languages and the output."""

    def __init__(self, tokenizer: Tokenizer):
        super().__init__()
        self.tokenizer = tokenizer
        self.embedding = nn.Embedding(ENTRIES, WIDTH)
        options = {"activation": F.relu, "eps": EPS}
        self.encoder = Encoder(ENCODER_LAYERS, WIDTH, HEADS, INNER, **options)
        self.decoder = nn.ModuleList(_Block(WIDTH, HEADS, INNER) for _ in range(DECODER_LAYERS))
        self.bias = nn.Parameter(torch.zeros(ENTRIES))
        # Marian's waves: frequencies from 1 down to 1/10,000, that end included.
        half = WIDTH // 2
        speeds = torch.exp(torch.arange(half) * -(math.log(10_000) / (half - 1)))
        angles = torch.outer(torch.arange(POSITIONS).float(), speeds)
        waves = torch.cat([angles.sin(), angles.cos()], dim=1)
        self.register_buffer("positions", waves, persistent=False)  # (POSITIONS, d)

    @classmethod
    def from_folder(cls, folder: Path) -> Self:
        """A student of the asset `en-pt-student`: a folder with its weights and tokenizer."""
        (file,) = Path(folder).glob("model.*.bin")
        model = cls(Tokenizer.from_file(str(Path(folder, "tokenizer.json")))).eval()
        model.load_state_dict(student_weights(read_marian(file)))
        return model

    @torch.no_grad()
    def translate(self, texts: list[str], longest: int = 100) -> list[str]:
        """Greedy translations, in the order of the texts."""
        encodings = [self.tokenizer.encode(text, add_special_tokens=False) for text in texts]
        rows = [[*encoding.ids, END] for encoding in encodings]
        ids = nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
        lengths = torch.tensor([len(row) for row in rows])[:, None]
        found = self.greedy(ids, (torch.arange(ids.size(1)) < lengths).long(), longest)
        return [self.tokenizer.decode(row) for row in found]

    @torch.no_grad()
    def greedy(self, ids: torch.Tensor, mask: torch.Tensor, longest: int) -> list[list[int]]:
        """Sources (B, S) with their mask -> the pieces of each target, without the end."""
        seen, scale = padding_mask(mask), math.sqrt(self.embedding.embedding_dim)
        memory = self.encoder(self.embedding(ids) * scale + self.positions[: ids.size(1)], seen)
        # Keys and values of the source are the same at each step.
        sources = [
            (
                b.attention.split(b.attention.key(memory)),
                b.attention.split(b.attention.value(memory)),
            )
            for b in self.decoder
        ]
        states = [memory.new_zeros(len(ids), memory.size(-1)) for _ in self.decoder]
        last = memory.new_zeros(len(ids), memory.size(-1))  # before the first piece: nothing
        targets: list[list[int]] = [[] for _ in ids]
        ended = torch.zeros(len(ids), dtype=torch.bool)
        for t in range(longest):
            x = last * scale + self.positions[t]  # (B, d)
            for i, block in enumerate(self.decoder):
                x, states[i] = block(x, states[i], *sources[i], seen)
            pieces = (x @ self.embedding.weight.T + self.bias).argmax(-1)  # (B,)
            ended |= pieces == END
            if ended.all():
                break
            for row in (~ended).nonzero()[:, 0].tolist():
                targets[row].append(int(pieces[row]))
            last = self.embedding(pieces)
        return targets
