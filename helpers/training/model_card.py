"""The model card of a pretraining run: what it is, how to use it, on what it was trained."""

import platform
from collections.abc import Mapping

import torch
import transformers
from huggingface_hub import ModelCard, ModelCardData

TASKS = {"mlm": "fill-mask", "clm": "text-generation"}
KINDS = {"mlm": "masked", "clm": "causal"}
# How a stranger uses the model; tests/test_saved_folders.py does it.
USES = {
    "mlm": """```python
from transformers import pipeline

fill = pipeline("fill-mask", ".")  # the folder of this card
fill(f"A sentence with a {fill.tokenizer.mask_token}.")
```

It says which pieces may stand in the gap, each with its probability.""",
    "clm": """```python
from transformers import pipeline

write = pipeline("text-generation", ".")  # the folder of this card
write("How a document begins", max_new_tokens=40, do_sample=False)
```

It goes on with the text and stops where a document would end. The tokenizer leaves a text open; the
documents of the training end with a token of their own.""",
}


def model_card(
    objective: str,
    *,
    name: str,
    origin: str,
    held_out: str,
    counts: Mapping[str, object],
    source: Mapping[str, object],
    settings: Mapping[str, object],
    **metadata: object,
) -> ModelCard:
    """The card of a finished run, from tables of what there is to say.

    `origin` ends the sentence that begins "A masked language model of"; `held_out` says what was
    measured on text that wasn't trained on; `metadata` is more of the card's head, such as
    `base_model`.
    """
    data = ModelCardData(library_name="transformers", pipeline_tag=TASKS[objective], **metadata)
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    versions |= {"transformers": transformers.__version__, "machine": platform.machine()}
    return ModelCard(
        f"""---
{data.to_yaml()}
---

# {name}

A {KINDS[objective]} language model of {origin}

{USES[objective]}

## Held-out text

{held_out}

## Data

{_table(counts)}

Read from:

{_table(source)}

Documents are held out by a hash of their words; a document repeated in other words may be on both
sides. If too few are, the last blocks of the text are held out instead. The text was taken as it
is, so the model may repeat what is wrong or harmful in it.

## Settings

{_table(settings)}

## Versions

{_table(versions)}
"""
    )


def _table(rows: Mapping[str, object]) -> str:
    lines = (f"| {key} | {value} |" for key, value in rows.items())
    return "\n".join(["| | |", "|---|---|", *lines])
