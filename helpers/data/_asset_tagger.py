"""quire's ONNX file of a grammar tagger, turned into the folder that ``from_pretrained`` reads.

ONNX is a graph of operations in Google's protocol buffers. Of this one only the tensors are needed:
a matrix lies there as 8-bit integers, with a scale and a zero point for all of it, and vectors as
32-bit floats. The network itself is DistilBERT's, so transformers has its code. A tensor of a
product has lost its name to the exporter; those of a layer stand in the order of use.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from helpers.data._asset_archive import AssetError

_TYPES = {1: "<f4", 3: "<i1", 7: "<i8"}  # ONNX's numbers for float, int8, int64
# The products of a layer, in the order of use.
_PRODUCTS = ("attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin")
_PRODUCTS += ("ffn.lin1", "ffn.lin2")


def to_pretrained(folder: Path) -> None:
    """Replace ``tagger.onnx`` and ``tag_vocab.json`` in ``folder`` by a Hugging Face checkpoint.

    Writes ``model.safetensors`` in 16-bit floats, which hold the 8-bit values to a relative 5e-4,
    ``config.json`` with the tags, and ``tokenizer_config.json``; ``tokenizer.json`` stays. The same
    file in gives the same bytes out.

    Raises:
        AssetError: the file has other tensors than a DistilBERT that tags.
    """
    source, listed = folder / "tagger.onnx", folder / "tag_vocab.json"
    tags = json.loads(listed.read_text("utf-8"))["tags"]
    weights = _weights(dict(_tensors(source.read_bytes())), source.name)
    file = folder / "model.safetensors"
    save_file(weights, file, metadata={"format": "pt"})
    file.chmod(folder.stat().st_mode & 0o666)  # save_file forbids it to other users
    _write_configs(weights, tags, folder)
    source.unlink()
    listed.unlink()


def _tensors(content: bytes) -> Iterator[tuple[str, np.ndarray]]:
    """Name and values of each tensor that the graph (field 7) begins with (its field 5)."""
    for graph in (span for field, span in _fields(content, 0, len(content)) if field == 7):
        for tensor in (span for field, span in _fields(content, *graph) if field == 5):
            found, shape = {}, []
            for field, value in _fields(content, *tensor):
                if field == 1:
                    shape += [value] if isinstance(value, int) else _numbers(content, *value)
                found[field] = value
            bytes_at = found.get(9, found.get(4))  # of any type, or of floats alone
            if bytes_at and found[2] in _TYPES:
                raw = content[slice(*bytes_at)]
                values = np.frombuffer(raw, _TYPES[found[2]]).reshape(shape)
            elif 5 in found:  # a small integer has a field of its own
                value = found[5]
                whole = [value] if isinstance(value, int) else _numbers(content, *value)
                values = np.array([n - (1 << 64) if n >> 63 else n for n in whole]).reshape(shape)
            else:
                continue
            yield content[slice(*found[8])].decode(), values


def _fields(content: bytes, at: int, end: int) -> Iterator[tuple[int, int | tuple[int, int]]]:
    """The fields of a message: number, and a whole number or the span of what it holds."""
    while at < end:
        key, at = _number(content, at)
        if key & 7 == 0:
            value, at = _number(content, at)
        else:
            size = {1: 8, 5: 4}.get(key & 7)
            if size is None:
                size, at = _number(content, at)
            value, at = (at, at + size), at + size
        yield key >> 3, value


def _number(content: bytes, at: int) -> tuple[int, int]:
    """A number in groups of seven bits, and where the next one begins."""
    value = shift = 0
    while True:
        byte = content[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _numbers(content: bytes, at: int, end: int) -> list[int]:
    found = []
    while at < end:
        value, at = _number(content, at)
        found.append(value)
    return found


def _weights(tensors: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    """The tensors by the names that transformers' DistilBERT has for them."""

    def whole(short: str) -> np.ndarray:
        steps = tensors[f"{short}_quantized"].astype(np.float32)
        zero, scale = (tensors[f"{short}_{part}"].item() for part in ("zero_point", "scale"))
        return ((steps - zero) * np.float32(scale)).astype(np.float16)

    products = sorted(
        (
            key.removesuffix("_quantized")
            for key in tensors
            if key.startswith("onnx::MatMul") and key.endswith("_quantized")
        ),
        key=lambda key: int(key.rpartition("_")[2]),
    )
    layers = len(products) // len(_PRODUCTS)
    if not layers or len(products) != layers * len(_PRODUCTS) + 1:
        raise AssetError(
            f"{name} has {len(products)} products with weights, and only a DistilBERT with six a "
            "layer and one of a classifier can be converted. Pin another file in "
            "helpers/data/assets.py."
        )
    weights = {
        key: value.astype(np.float16)
        for key, value in tensors.items()
        if key.startswith(("distilbert.", "classifier."))
        and not key.endswith(("_quantized", "_scale", "_zero_point"))
    }
    for part in ("word", "position"):
        key = f"distilbert.embeddings.{part}_embeddings.weight"
        weights[key] = whole(key)
    for place, product in enumerate(products[:-1]):
        layer, part = divmod(place, len(_PRODUCTS))
        key = f"distilbert.transformer.layer.{layer}.{_PRODUCTS[part]}.weight"
        weights[key] = np.ascontiguousarray(whole(product).T)
    weights["classifier.weight"] = np.ascontiguousarray(whole(products[-1]).T)
    return weights


def _write_configs(weights: dict[str, np.ndarray], tags: list[str], folder: Path) -> None:
    pieces, width = weights["distilbert.embeddings.word_embeddings.weight"].shape
    layers = sum(key.endswith("ffn.lin1.weight") for key in weights)
    config = {
        "architectures": ["DistilBertForTokenClassification"],
        "model_type": "distilbert",
        "dtype": "float32",
        "vocab_size": pieces,
        "dim": width,
        "n_layers": layers,
        "n_heads": width // 64,
        "hidden_dim": len(weights["distilbert.transformer.layer.0.ffn.lin1.bias"]),
        "max_position_embeddings": len(weights["distilbert.embeddings.position_embeddings.weight"]),
        "id2label": dict(enumerate(tags)),
        "label2id": {tag: number for number, tag in enumerate(tags)},
    }
    tokenizer = {
        "tokenizer_class": "PreTrainedTokenizerFast",  # reads tokenizer.json as it is
        "model_max_length": config["max_position_embeddings"],
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
        "unk_token": "[UNK]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "cls_token": "[CLS]",
        "mask_token": "[MASK]",
    }
    for name, content in (("config.json", config), ("tokenizer_config.json", tokenizer)):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    to_pretrained(Path(sys.argv[1]))
