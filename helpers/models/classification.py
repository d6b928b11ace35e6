"""A text classifier on the mean of BERT's vectors."""

import torch
import torch.nn.functional as F
from torch import nn
from transformers import BertConfig, BertModel, BertPreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from helpers.models._own_type import StartsFromBert, own_config
from helpers.models.contrastive import mean_pool

__all__ = ["MeanPoolClassifier", "MeanPoolConfig"]


class MeanPoolConfig(BertConfig):
    """BERT's settings under a name that transformers' Auto classes and pipelines refuse."""

    model_type = "mean-pool-bert"


class MeanPoolClassifier(StartsFromBert, BertPreTrainedModel):
    """BERT with one linear layer on the mean of its output vectors, padding left out.

    `BertForSequenceClassification` reads the vector at [CLS] instead. The mean is the better
    start for an encoder that was trained to have a meaningful one, as sentence encoders are
    (Reimers & Gurevych, EMNLP 2019, section 3). Starts from any BERT checkpoint. What it saves
    is for this class alone: transformers has no BERT with such a head.
    """

    config_class = MeanPoolConfig

    def __init__(self, config: BertConfig):
        super().__init__(own_config(config, MeanPoolConfig))
        self.bert = BertModel(self.config, add_pooling_layer=False)
        self.classifier = nn.Linear(self.config.hidden_size, self.config.num_labels)
        self.post_init()

    def embed(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The mean of the vectors at real pieces: ids (B, T), mask (B, T) -> (B, d)."""
        hidden = self.bert(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).last_hidden_state  # (B, T, d)
        return mean_pool(hidden, attention_mask)  # (B, d)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
    ) -> SequenceClassifierOutput:
        """Logits (B, C), and with int64 `labels` (B,) the mean cross-entropy in nats."""
        logits = self.classifier(self.embed(input_ids, attention_mask, token_type_ids))
        loss = None if labels is None else F.cross_entropy(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)
