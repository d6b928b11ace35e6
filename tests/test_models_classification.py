"""The mean-pooling classifier against its definition, and through a save and a load."""

import torch
import torch.nn.functional as F

from helpers.models.classification import MeanPoolClassifier
from tests.tiny import bert_config, classification_data, collate


def model():
    torch.manual_seed(0)
    return MeanPoolClassifier(bert_config()).eval()


def test_logits_and_loss_by_hand():
    classifier, rows = model(), list(classification_data(6))
    batch = collate(rows)
    with torch.inference_mode():
        output = classifier(**batch)
        means = []
        for row in rows:  # one at a time, so without padding
            ids = torch.tensor([row["input_ids"]])
            means.append(classifier.bert(input_ids=ids).last_hidden_state[0].mean(0))
        logits = classifier.classifier(torch.stack(means))
    torch.testing.assert_close(output.logits, logits, rtol=0, atol=1e-6)
    torch.testing.assert_close(output.loss, F.cross_entropy(logits, batch["labels"]))
    assert classifier(batch["input_ids"], batch["attention_mask"]).loss is None


def test_padding_changes_nothing():
    classifier, batch = model(), collate(list(classification_data(6)))
    longer = {key: F.pad(batch[key], (0, 5), value=0) for key in ("input_ids", "attention_mask")}
    longer["input_ids"][:, -5:] = 7  # whatever stands there
    with torch.inference_mode():
        torch.testing.assert_close(
            classifier.embed(**longer),
            classifier.embed(batch["input_ids"], batch["attention_mask"]),
            rtol=0,
            atol=1e-6,
        )


def test_a_saved_model_comes_back(tmp_path):
    classifier = model()
    classifier.save_pretrained(tmp_path)
    again = MeanPoolClassifier.from_pretrained(tmp_path)
    assert again.config.num_labels == 3
    for (name, a), b in zip(
        classifier.state_dict().items(), again.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name
