"""A binary file of Marian's (Junczys-Dowmunt et al., ACL 2018), with weights in 8 bits."""

import math
import struct
from pathlib import Path

import numpy as np
import torch

__all__ = ["read_marian", "student_weights"]

INT8, FLOAT32 = 0x4101, 0x0404  # Marian's names of types; the first is laid out for its products


def read_marian(file: Path) -> dict[str, torch.Tensor]:
    """The weights of a binary file of Marian's, by name, as float32 matrices (in, out).

    The file has a version and a count n (uint64), n headers of four uint64 (length of the name,
    type, dimensions, bytes), the names, the shapes (int32), a gap, and the arrays. An int8 array
    ends with the factor by which its weights were multiplied before they were rounded.

    Raises:
        ValueError: an array of another type.
    """
    content = file.read_bytes()
    _, n = struct.unpack_from("<QQ", content)
    headers = [struct.unpack_from("<QQQQ", content, 16 + 32 * i) for i in range(n)]
    at, names, shapes, weights = 16 + 32 * n, [], [], {}
    for length, *_ in headers:
        names.append(content[at : at + length - 1].decode())  # without the final zero
        at += length
    for _, _, dimensions, _ in headers:
        shapes.append(struct.unpack_from(f"<{dimensions}i", content, at))
        at += 4 * dimensions
    (gap,) = struct.unpack_from("<Q", content, at)
    at += 8 + gap
    for name, shape, (_, kind, _, size) in zip(names, shapes, headers, strict=True):
        count = math.prod(shape)
        if name.startswith("special:") or "QuantMult" in name:
            pass  # the settings, and ranges of activations that fp32 doesn't need
        elif kind == INT8:
            values = np.frombuffer(content, np.int8, count, at).astype(np.float32)
            (factor,) = struct.unpack_from("<f", content, at + count)
            # Matrices of products lie column by column, the embeddings row by row.
            order = shape if name == "Wemb" else shape[::-1]
            matrix = torch.from_numpy(values / np.float32(factor)).reshape(order)
            weights[name] = matrix if name == "Wemb" else matrix.T.contiguous()
        elif kind == FLOAT32:
            values = np.frombuffer(content, np.float32, count, at).copy()
            weights[name] = torch.from_numpy(values).reshape(shape)
        else:
            raise ValueError(f"{file} has {name} in the type {kind:#x}; expected int8 or float32.")
        at += size
    return weights


def student_weights(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Marian's names and matrices (in, out) -> ours and torch's (out, in)."""
    found = {"embedding.weight": weights["Wemb"], "bias": weights["decoder_ff_logit_out_b"][0]}
    parts = {
        "self": "attention",
        "context": "attention",
        "rnn": "unit",
        "ffn": "feed_forward",
    }
    letters = {"q": "query", "k": "key", "v": "value", "o": "output", "1": "inner", "2": "outer"}
    norms = {"rnn_ffn": 0, "context_Wo": 1, "ffn_ffn": 2}
    around = {"self_Wo": "attention", "ffn_ffn": "feed_forward"}
    for name, value in weights.items():
        if not name.startswith(("encoder_l", "decoder_l")):
            continue
        stack, layer, rest = name.split("_", 2)
        encoder = stack == "encoder"
        place = (
            f"encoder.blocks.{int(layer[1:]) - 1}" if encoder else f"decoder.{int(layer[1:]) - 1}"
        )
        if "_ln_" in rest:
            of, kind = rest.split("_ln_")
            norm = f"{around[of]}_residual.norm" if encoder else f"norms.{norms[of]}"
            found[f"{place}.{norm}.{'weight' if kind == 'scale' else 'bias'}"] = value[0]
            continue
        part, letter = rest.split("_")
        if part == "rnn":
            ours = {"W": "candidate.weight", "Wf": "gate.weight", "bf": "gate.bias"}[letter]
        else:
            ours = f"{letters[letter[1]]}.{'weight' if letter[0] == 'W' else 'bias'}"
        found[f"{place}.{parts[part]}.{ours}"] = value.T if letter[0] == "W" else value[0]
    return found
