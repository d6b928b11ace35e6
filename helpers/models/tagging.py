"""A tagger on BERT's vectors that knows capital letters, and decoding under hard constraints."""

import numpy as np
import torch
from torch import nn
from transformers import BertConfig, BertForTokenClassification
from transformers.modeling_outputs import TokenClassifierOutput

from helpers.models._own_type import StartsFromBert, own_config

__all__ = ["ShapeTagger", "ShapeTaggerConfig", "constrained_viterbi"]


class ShapeTaggerConfig(BertConfig):
    """BERT's settings under a name that transformers' Auto classes and pipelines refuse."""

    model_type = "shape-tagger-bert"
    num_shapes: int = 0  # ways of writing a word; the tagger needs at least one


class ShapeTagger(StartsFromBert, BertForTokenClassification):
    """transformers' tagger for BERT (Devlin et al., section 5.3), told how each word is written.

    An uncased tokenizer lower-cases the text. Here a vector for the shape of each piece's word is
    added to the piece's own at the input, as BERT adds one for the segment. These vectors start
    at 0, so the untrained tagger sees what BERT saw in pretraining.

    Starts from any BERT: `ShapeTagger.from_pretrained(path, num_labels=9, num_shapes=14)`. What
    it saves is for this class alone: transformers' own tagger would leave the shapes out.
    """

    config_class = ShapeTaggerConfig

    def __init__(self, config: ShapeTaggerConfig):
        config = own_config(config, ShapeTaggerConfig)
        if config.num_shapes < 1:
            raise ValueError(
                f"num_shapes is {config.num_shapes}; expected how many ways of writing a word "
                "there are. A tagger without shapes is transformers' BertForTokenClassification."
            )
        super().__init__(config)
        self.shape_embeddings = nn.Embedding(config.num_shapes, config.hidden_size)
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
            ValueError: the batch has no shapes.
        """
        if shapes is None:
            raise ValueError(
                f"The tagger has num_shapes={self.config.num_shapes} and the batch no column "
                "'shapes': encode_words(…, shapes=…) makes it."
            )
        vectors = self.bert.embeddings.word_embeddings(input_ids)  # (B, T, d)
        return super().forward(
            inputs_embeds=vectors + self.shape_embeddings(shapes),
            attention_mask=attention_mask,
            labels=labels,
        )


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
