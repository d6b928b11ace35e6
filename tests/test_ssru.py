"""The students: Marian's file read right, the recurrence what the paper says, decisions kept."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.data import assets
from helpers.models._marian_file import FLOAT32, INT8, read_marian
from helpers.models.ssru import Ssru, Student


@pytest.fixture(scope="module")
def students():
    folder = Path(assets.path("en-pt-student"))
    return [Student.from_folder(next(folder.glob(f"{pair}-*"))) for pair in ("enpt", "pten")]


def marian_file(path, arrays):
    """Writes arrays (name, type, shape, bytes) as Marian does."""
    names = [name.encode() + b"\0" for name, *_ in arrays]
    content = struct.pack("<QQ", 1, len(arrays))
    for name, (_, kind, shape, data) in zip(names, arrays, strict=True):
        content += struct.pack("<QQQQ", len(name), kind, len(shape), len(data))
    content += b"".join(names)
    content += b"".join(struct.pack(f"<{len(shape)}i", *shape) for _, _, shape, _ in arrays)
    content += struct.pack("<Q", 3) + b"\0" * 3 + b"".join(data for *_, data in arrays)
    path.write_bytes(content)
    return path


def test_a_file_of_marians_is_read(tmp_path):
    values = np.arange(-3, 3, dtype=np.int8)
    factor = struct.pack("<f", 10.0)
    bias = np.array([1.5, -2.0], np.float32)
    weights = read_marian(
        marian_file(
            tmp_path / "model.bin",
            [
                ("special:model.yml", FLOAT32, (1,), b"abcd"),
                ("Wemb", INT8, (3, 2), values.tobytes() + factor),
                ("encoder_l1_ffn_W1", INT8, (2, 3), values.tobytes() + factor),
                ("b", FLOAT32, (1, 2), bias.tobytes()),
            ],
        )
    )
    assert list(weights) == ["Wemb", "encoder_l1_ffn_W1", "b"]
    tenths = torch.tensor([-0.3, -0.2, -0.1, 0.0, 0.1, 0.2])
    torch.testing.assert_close(weights["Wemb"], tenths.reshape(3, 2))
    # A matrix of products lies column by column.
    torch.testing.assert_close(weights["encoder_l1_ffn_W1"], tenths.reshape(3, 2).T)
    torch.testing.assert_close(weights["b"], torch.tensor([[1.5, -2.0]]))


def test_another_type_is_refused(tmp_path):
    file = marian_file(tmp_path / "model.bin", [("a", 0x0402, (1,), b"ab")])
    with pytest.raises(ValueError, match="a in the type 0x402"):
        read_marian(file)


def test_the_unit_averages_the_past():
    torch.manual_seed(0)
    unit, state = Ssru(4), torch.zeros(2, 4)
    with torch.no_grad():
        unit.gate.weight.zero_()
        unit.gate.bias.zero_()  # each gate is one half
        unit.candidate.weight.copy_(torch.eye(4))
        xs = torch.randn(3, 2, 4)
        for x in xs:
            output, state = unit(x, state)
    torch.testing.assert_close(state, xs[0] / 8 + xs[1] / 4 + xs[2] / 2)
    assert torch.equal(output, state.clamp(min=0))


def test_they_translate_there_and_back(students):
    there, back = students
    assert sum(weight.numel() for weight in there.parameters()) == 16_907_008
    assert there.translate(["How are you today?"]) == ["Como você está hoje?"]
    assert back.translate(["Como você está hoje?"]) == ["How are you today?"]


def test_a_batch_translates_as_one_by_one(students):
    texts = ["Good morning.", "The children were playing happily in the garden.", "Thanks!"]
    assert students[0].translate(texts) == [students[0].translate([text])[0] for text in texts]


def test_a_text_without_pieces_and_a_bound(students):
    assert students[0].translate([""])[0] == students[0].translate(["", "Hello."])[0]
    ids = torch.tensor([students[0].tokenizer.encode("One two three four five.").ids])
    (row,) = students[0].greedy(ids, torch.ones_like(ids), 3)
    assert len(row) == 3
