"""SmolLM2's one GGUF file, turned into the folder that ``from_pretrained`` reads.

GGUF is llama.cpp's format: weights in blocks of 32 that share a scale, and the vocabulary, in one
file. The folder written here has the names and files of the model's page on the Hub, so whatever
loads a Llama-style checkpoint from there loads this one: ``transformers``, and the book's own code.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from gguf import GGUFReader
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM

from helpers.data._asset_archive import AssetError

_EXPECTED = {
    "general.architecture": "llama",
    "tokenizer.ggml.model": "gpt2",  # byte-level BPE
    "tokenizer.ggml.pre": "smollm",  # each digit alone, then GPT-2's pattern
    "tokenizer.ggml.add_bos_token": False,
}
_CONTROL = 3  # GGUF's token type of <|im_start|> and its like


def to_pretrained(folder: Path) -> None:
    """Replace the one ``.gguf`` file in ``folder`` by a Hugging Face checkpoint.

    Writes ``config.json``, ``generation_config.json``, ``model.safetensors`` (float32, exactly the
    dequantised values; the output layer is the embedding and is stored once), ``tokenizer.json``
    and ``tokenizer_config.json`` with the chat template. The same file in gives the same bytes out.

    Raises:
        AssetError: the file is of another architecture or another tokenizer.
    """
    (source,) = folder.glob("*.gguf")
    reader = GGUFReader(source)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    for name, expected in _EXPECTED.items():
        if fields.get(name) != expected:
            raise AssetError(
                f"{source.name} has {name} {fields.get(name)!r}, and only {expected!r} can be "
                "converted. Pin another file in helpers/data/assets.py."
            )
    del reader  # some systems refuse to remove a file that is mapped into memory
    _write_weights(source)
    _write_configs(fields, folder)
    _write_tokenizer(fields, folder)
    source.unlink()


def _write_weights(source: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(
        source.parent, gguf_file=source.name, dtype=torch.float32
    )
    weights = model.state_dict()  # transformers refuses to save a model that was GGUF itself
    del weights["lm_head.weight"]  # the embedding again
    file = source.with_name("model.safetensors")
    save_file(weights, file, metadata={"format": "pt"})
    file.chmod(source.parent.stat().st_mode & 0o666)  # save_file forbids it to other users


def _write_configs(fields: dict, folder: Path) -> None:
    width, heads = fields["llama.embedding_length"], fields["llama.attention.head_count"]
    ends = {
        "bos_token_id": fields["tokenizer.ggml.bos_token_id"],
        "eos_token_id": fields["tokenizer.ggml.eos_token_id"],
        "pad_token_id": fields["tokenizer.ggml.padding_token_id"],
    }
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "float32",
        "vocab_size": len(fields["tokenizer.ggml.tokens"]),
        "hidden_size": width,
        "intermediate_size": fields["llama.feed_forward_length"],
        "num_hidden_layers": fields["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": fields["llama.attention.head_count_kv"],
        "head_dim": width // heads,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "max_position_embeddings": fields["llama.context_length"],
        "rope_theta": fields["llama.rope.freq_base"],
        # GGUF keeps a float32: 1e-05, not 9.999999747378752e-06.
        "rms_norm_eps": float(str(np.float32(fields["llama.attention.layer_norm_rms_epsilon"]))),
        "tie_word_embeddings": True,
        **ends,
    }
    _write_json(folder / "config.json", config)
    _write_json(folder / "generation_config.json", ends)


def _write_tokenizer(fields: dict, folder: Path) -> None:
    tokens = fields["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    # transformers' own conversion leaves the digits out, and cuts "a  1" elsewhere.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    types = fields["tokenizer.ggml.token_type"]
    control = [token for token, kind in zip(tokens, types, strict=True) if kind == _CONTROL]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in control])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        # Reads tokenizer.json as it is; "GPT2Tokenizer" would build its own without the digits.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": fields["llama.context_length"],
        "clean_up_tokenization_spaces": False,
        "bos_token": tokens[fields["tokenizer.ggml.bos_token_id"]],
        "eos_token": tokens[fields["tokenizer.ggml.eos_token_id"]],
        "pad_token": tokens[fields["tokenizer.ggml.padding_token_id"]],
        "unk_token": tokens[fields["tokenizer.ggml.unknown_token_id"]],
        "chat_template": fields["tokenizer.chat_template"],
    }
    _write_json(folder / "tokenizer_config.json", config)


def _write_json(file: Path, content: dict) -> None:
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    to_pretrained(Path(sys.argv[1]))
