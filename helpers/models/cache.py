"""The keys and values of the tokens read so far, so that a decoder needn't compute them again.

Shapes: L layers, B sequences, h_kv key and value heads of width d_k, S tokens so far.
"""

import torch

__all__ = ["KeyValueCache", "LayerCache"]


class LayerCache:
    """Keys and values of one layer, in memory that is reserved once for all tokens to come."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor):
        """Takes two uninitialised tensors (B, h_kv, max_length, d_k)."""
        self.keys = keys
        self.values = values
        self.length = 0

    def append(self, keys: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Store those of T more tokens, (B, h_kv, T, d_k); return all, (B, h_kv, S, d_k) views.

        Raises:
            ValueError: T more tokens don't fit.
        """
        end = self.length + keys.size(2)
        if end > self.keys.size(2):
            raise ValueError(
                f"the cache has room for {self.keys.size(2)} tokens and holds {self.length}; "
                f"{keys.size(2)} more don't fit. Make it with a larger max_length."
            )
        # `narrow` and not brackets, which take twice as long: this runs for each layer and token.
        self.keys.narrow(2, self.length, keys.size(2)).copy_(keys)
        self.values.narrow(2, self.length, keys.size(2)).copy_(values)
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]


class KeyValueCache:
    """One `LayerCache` for each layer; made by `Llama.new_cache`.

    Filled in place, so it serves generation, under `torch.inference_mode` or `no_grad`.
    """

    def __init__(self, keys: torch.Tensor, values: torch.Tensor):
        """Takes two uninitialised tensors (L, B, h_kv, max_length, d_k)."""
        self.layers = tuple(map(LayerCache, keys, values))
        self.batch_size = keys.size(1)

    @property
    def length(self) -> int:
        """Tokens held, S."""
        return self.layers[0].length

    def select(self, rows: torch.Tensor) -> None:
        """Let sequence i go on from what sequence rows[i] has read; int64 (B,)."""
        for layer in self.layers:
            for tensor in (layer.keys, layer.values):
                seen = tensor[:, :, : layer.length]
                seen.copy_(seen[rows])
