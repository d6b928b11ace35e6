"""A tagger on BERT's vectors that knows capital letters, and decoding under hard constraints."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from transformers import BertConfig, BertModel, BertPreTrainedModel
from transformers.modeling_outputs import TokenClassifierOutput

__all__ = ["TokenTagger", "constrained_viterbi"]


class TokenTagger(BertPreTrainedModel):
    """BERT with one linear layer on the output vector of each piece (Devlin et al., section 5.3).

    An uncased tokenizer lower-cases the text. With `num_shapes`, a vector for the way each
    piece's word is written is added to the piece's own at the input, as BERT adds one for the
    segment. These vectors start at 0, so the untrained tagger sees what BERT saw in pretraining.

    Loads any BERT checkpoint: `TokenTagger.from_pretrained(path, num_labels=9, num_shapes=14)`.
    A saved tagger remembers `num_shapes`.
    """

    def __init__(self, config: BertConfig, num_shapes: int | None = None):
        """`num_shapes`: how many ways of writing there are; 0 or None for a tagger without."""
        super().__init__(config)
        if num_shapes is not None:
            config.num_shapes = num_shapes
        self.num_shapes = getattr(config, "num_shapes", 0)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        if self.num_shapes:
            self.shape_embeddings = nn.Embedding(self.num_shapes, config.hidden_size)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if module is getattr(self, "shape_embeddings", None):
            nn.init.zeros_(module.weight)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        shapes: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
    ) -> TokenClassifierOutput:
        """Logits (B, T, C), and with int64 `labels` (B, T) the mean cross-entropy in nats.

        Pieces labelled -100 are left out of the mean. `input_ids`, `attention_mask` and `shapes`
        are int64 (B, T).

        Raises:
            ValueError: shapes for a tagger that has none, or none for one that has.
        """
        if (shapes is not None) != bool(self.num_shapes):
            raise ValueError(
                f"The tagger has num_shapes={self.num_shapes} and the batch "
                f"{'no column' if shapes is None else 'a column'} 'shapes'. Give both or neither: "
                "encode_words(…, shapes=…) makes the column."
            )
        vectors = self.bert.embeddings.word_embeddings(input_ids)  # (B, T, d)
        if shapes is not None:
            vectors = vectors + self.shape_embeddings(shapes)
        hidden = self.bert(inputs_embeds=vectors, attention_mask=attention_mask).last_hidden_state
        logits = self.classifier(hidden)  # (B, T, C)
        loss = None
        if labels is not None:
            loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten())  # leaves out -100
        return TokenClassifierOutput(loss=loss, logits=logits)


def constrained_viterbi(log_p: np.ndarray, allowed: np.ndarray) -> list[int]:
    """The most probable tag sequence of those that are allowed.

    Dynamic programming (Viterbi, IEEE Transactions on Information Theory, 1967): the best
    sequence that ends in tag j at word t is the best one that ends in an allowed i at t − 1, and
    j behind it. It takes O(T C²) steps where trying all sequences takes O(C^T).

    Args:
        log_p: (T, C) floats, the score of each tag at each word; for a tagger log-probabilities,
            or its logits, which differ by a constant in each row.
        allowed: (C + 1, C) bools, which tag (column) may stand behind which (row); the last row
            is for the first word. What `helpers.data.tagging.may_follow` gives.

    Returns:
        T tags, as ints. Between equal scores the lower tag wins.

    Raises:
        ValueError: shapes that don't fit, a score that is no number, or no allowed sequence.
    """
    log_p, allowed = np.asarray(log_p, dtype=float), np.asarray(allowed, dtype=bool)
    _check_scores(log_p, allowed)
    n_words, n_tags = log_p.shape
    penalty = np.where(allowed, 0.0, -np.inf)  # (C + 1, C)
    best = penalty[-1] + log_p[0]  # (C,): of the sequences that end in each tag
    back = np.zeros((n_words, n_tags), dtype=int)
    for t in range(1, n_words):
        scores = best[:, None] + penalty[:-1]  # (C, C): from each tag to each tag
        back[t] = scores.argmax(0)
        best = scores.max(0) + log_p[t]
    if best.max() == -np.inf:
        raise ValueError("No sequence of tags is allowed: some word has no tag that may stand.")
    tags = [int(best.argmax())]
    for t in range(n_words - 1, 0, -1):
        tags.append(int(back[t, tags[-1]]))
    return tags[::-1]


def _check_scores(log_p: np.ndarray, allowed: np.ndarray) -> None:
    if log_p.ndim != 2 or not log_p.size:
        raise ValueError(
            f"log_p has the shape {log_p.shape}; expected (words, tags) of one sentence, with at "
            "least one word."
        )
    n_tags = log_p.shape[1]
    if allowed.shape != (n_tags + 1, n_tags):
        raise ValueError(
            f"allowed has the shape {allowed.shape}; expected {(n_tags + 1, n_tags)} for "
            f"{n_tags} tags: a row for each tag before, and one for the start."
        )
    if np.isnan(log_p).any():
        raise ValueError("log_p holds a value that is no number (nan).")
