"""One encoder, several heads: multi-task learning with hard parameter sharing (Caruana, 1997).

Shapes: B texts, T pieces, d the encoder's width, C the classes of the task asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn
from transformers.modeling_outputs import ModelOutput

from helpers.models.contrastive import mean_pool

__all__ = ["MultiTaskModel", "MultiTaskOutput", "Task"]


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a head is asked for: `classes` scores for each text, or for each piece of it."""

    classes: int
    level: Literal["text", "piece"]

    def __post_init__(self):
        if self.classes < 2 or self.level not in ("text", "piece"):
            raise ValueError(
                f"A task of {self.classes} classes for each {self.level!r}; expected at least 2, "
                "for each 'text' or each 'piece'."
            )


@dataclass
class MultiTaskOutput(ModelOutput):
    """loss: the mean cross-entropy in nats, a scalar; logits: (B, C), or (B, T, C) for pieces."""

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None


class MultiTaskModel(nn.Module):
    """An encoder that all tasks share, and one linear head for each.

    A text's head reads the mean of the vectors at its real pieces, a piece's head its own vector.
    A batch is of one task and names it, so that a forward pass costs what it costs a model of
    that task alone; `encode` and `score` give several tasks' answers for one pass of the encoder.
    """

    read_on_cpu = ("task",)  # by the loop left there, where its number can be read at once

    def __init__(self, encoder: nn.Module, tasks: Mapping[str, Task]):
        """
        Args:
            encoder: `encoder(input_ids=…, attention_mask=…).last_hidden_state` is (B, T, d), and
                `encoder.config.hidden_size` is d; such as transformers' `BertModel`.
            tasks: by name, in the order of their numbers; a name is a valid Python identifier.

        Raises:
            ValueError: there is no task.
        """
        super().__init__()
        if not tasks:
            raise ValueError("tasks is empty; give at least one, as {'topic': Task(…)}.")
        self.encoder = encoder
        self.config = encoder.config  # `train` looks there for the number of positions
        self.tasks = dict(tasks)
        d = encoder.config.hidden_size
        self.heads = nn.ModuleDict({name: nn.Linear(d, t.classes) for name, t in tasks.items()})
        for head in self.heads.values():
            nn.init.normal_(head.weight, std=encoder.config.initializer_range)
            nn.init.zeros_(head.bias)

    def encode(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """What all heads read: ids and mask int64 (B, T) -> (B, T, d)."""
        return self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    def score(self, name: str, hidden: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """The logits of one task from (B, T, d): (B, C) for texts, (B, T, C) for pieces."""
        if self.tasks[name].level == "text":
            hidden = mean_pool(hidden, attention_mask)  # (B, d)
        return self.heads[name](hidden)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        task: torch.Tensor,
        labels: torch.Tensor | None = None,
    ) -> MultiTaskOutput:
        """Logits of one task and, with labels, the mean loss over those that aren't -100.

        Args:
            input_ids: int64 (B, T).
            attention_mask: int64 (B, T), 0 at padding.
            task: int64 (B,), the number of the batch's task, the same in each row.
            labels: int64, (B,) for texts and (B, T) for pieces.

        Raises:
            ValueError: rows of several tasks, or a number that no task has.
        """
        name = self._name(task)
        logits = self.score(name, self.encode(input_ids, attention_mask), attention_mask)
        loss = None
        if labels is not None:
            loss = F.cross_entropy(logits.flatten(0, -2), labels.flatten())  # leaves out -100
        return MultiTaskOutput(loss=loss, logits=logits)

    def _name(self, task: torch.Tensor) -> str:
        numbers = task.unique().tolist()
        if len(numbers) != 1:
            raise ValueError(
                f"The batch has rows of the tasks {numbers}; expected one task. "
                "helpers.data.mixing.MixedBatches makes batches of one task each."
            )
        names = list(self.tasks)
        if not 0 <= numbers[0] < len(names):
            raise ValueError(f"There is no task {numbers[0]}; they are {dict(enumerate(names))}.")
        return names[numbers[0]]
