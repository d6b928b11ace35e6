"""How much memory an update takes, by arithmetic, before anything is allocated.

What is there between updates: the weights in fp32 (4 bytes each) and what the optimizer keeps, for
AdamW two numbers in fp32 (8 bytes for each trained weight), for Muon one where it moves a matrix (4
bytes) and AdamW's two elsewhere. What comes and goes with an update: the gradient (4 bytes), copies
of the matrices in half precision, and the *activations*, which the forward pass keeps for the
backward pass. The gradient is complete when the last activation is gone, so the two are never at
their largest together.

Activations are counted for attention that keeps no (T, T) matrix (Dao et al., NeurIPS 2022), the
one that `scaled_dot_product_attention` takes on a GPU. With a = 4 bytes in fp32 and 2 in bf16, d
the width and f = d_ff / d, a token keeps in each layer

    of a BERT (norms after the sums)        d (a (6 + 2 f) + 8)            and 2 d for dropout
    of a gated layer (norms before it)      d (a (5 + 3 κ + 4 f) + 8)      κ: key heads / heads

and beside the layers, at the embeddings d (a + 4), and where the vocabulary of V is scored
V (a + 8) + d (2 a + 8). Temporary results of one operation, the CUDA
context and unused gaps in the allocator's blocks aren't counted: leave a gigabyte or two.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import torch
from transformers import MODEL_FOR_MASKED_LM_MAPPING

from helpers.training.batches import sequence_lengths
from helpers.training.config import Optimizer, Precision, TrainingConfig
from helpers.training.objective import shifts_labels, unwrap
from helpers.training.optim import inner_matrices
from helpers.training.precision import resolve_precision

STATES = 8  # bytes that AdamW keeps for a trained weight
MOMENTUM = 4  # bytes that Muon keeps for a weight of an inner matrix


@dataclass(frozen=True, kw_only=True)
class Network:
    """The sizes that memory depends on; `Network.of` reads them from a model."""

    parameters: int
    embeddings: int  # of these, how many are in tables that are looked up
    layers: int
    width: int  # d, features of a token
    inner: int  # features inside the feed-forward layer, d_ff
    vocabulary: int  # V, what a language model scores
    gated: bool = False  # as Llama and ModernBERT: three matrices in the feed-forward layer
    by_muon: int = 0  # trained weights in the matrices that Muon moves, if that is the optimizer
    key_share: float = 1.0  # κ, key heads for each query head; below 1 in grouped-query attention

    @classmethod
    def of(cls, model: torch.nn.Module, optimizer: Optimizer = "adamw") -> "Network":
        """Sizes of a BERT, a ModernBERT or a Llama: transformers' or the book's.

        The model may lie on the device "meta", where it takes no memory.

        Raises:
            ValueError: the configuration has no such sizes, or is an encoder-decoder's.
        """
        config = model.config
        if getattr(config, "is_encoder_decoder", False):
            raise ValueError(
                f"{type(config).__name__} is an encoder-decoder's: the formulas are for one stack."
            )
        sizes = {}
        for ours, names in _NAMES.items():
            found = [getattr(config, name) for name in names if hasattr(config, name)]
            if not found:
                raise ValueError(
                    f"{type(config).__name__} has none of {names}: give the sizes to Network."
                )
            sizes[ours] = found[0]
        heads = sizes.pop("heads")
        keys = getattr(config, "num_key_value_heads", getattr(config, "n_kv_heads", heads))
        tables = {m.weight for m in model.modules() if isinstance(m, torch.nn.Embedding)}
        return cls(
            **sizes,
            parameters=sum(p.numel() for p in model.parameters()),
            embeddings=sum(table.numel() for table in tables),
            by_muon=sum(p.numel() for p in inner_matrices(model) if optimizer == "muon"),
            gated="ModernBert" in type(model).__name__
            or any("gate" in name for name, _ in model.named_modules()),
            key_share=(keys or heads) / heads,
        )


_NAMES = {
    "layers": ("num_hidden_layers", "n_layers"),
    "width": ("hidden_size", "d_model"),
    "inner": ("intermediate_size", "d_ff"),
    "vocabulary": ("vocab_size",),
    "heads": ("num_attention_heads", "n_heads"),
}


@dataclass(frozen=True)
class Memory:
    """Bytes of one update, by what they are for."""

    weights: int
    optimizer: int
    gradients: int
    copies: int  # of the matrices, in half precision
    activations: int
    accumulated: bool = False  # the gradient of earlier batches is there during the forward pass

    @property
    def peak(self) -> int:
        """The most that is there at once: when the backward pass begins, or when it ends."""
        rest = self.weights + self.optimizer
        begins = rest + self.copies + self.activations
        if self.accumulated:
            return begins + self.gradients
        return max(begins, rest + self.gradients)


def training_memory(
    network: Network,
    sequences: int,
    length: int,
    *,
    precision: Precision = "bf16",
    scored: float = 0.0,
    dropout: bool = True,
    checkpointing: bool = False,
    accumulated: bool = False,
    trained: int | None = None,
) -> Memory:
    """The memory of an update on `sequences` of `length` pieces at a time.

    Args:
        network: the model's sizes.
        sequences: in one forward pass, padding counted as pieces.
        length: pieces in the longest of them.
        precision: of the matrix products; the weights are fp32 in each.
        scored: share of the pieces at which the whole vocabulary is scored at once: 1 for a
            causal model, the share of masked pieces where logits are computed there alone, 0 for
            a classifier.
        dropout: whether there is any in the layers; a BERT keeps a byte for each number dropped.
        checkpointing: keep each layer's input alone, and compute the layer again on the way back.
        accumulated: whether an update has several forward passes.
        trained: weights that are trained, where it isn't all of them, as with LoRA. Activations
            are then fewer than this says.

    Raises:
        ValueError: no sequence or no piece, a share that is none, or a precision that isn't named.
    """
    if sequences < 1 or length < 1 or not 0 <= scored <= 1:
        raise ValueError(
            f"{sequences} sequences of {length} pieces, a share of {scored} scored: expected 1 or "
            "more, 1 or more, and 0 to 1."
        )
    if precision not in ("fp32", "bf16", "fp16"):
        raise ValueError(f"precision={precision!r}: name it, 'fp32', 'bf16' or 'fp16'.")
    trained = network.parameters if trained is None else trained
    tokens, size = sequences * length, 4 if precision == "fp32" else 2
    layer = tokens * _layer_bytes(network, size, dropout)
    layers = network.layers * layer
    if checkpointing:
        layers = network.layers * tokens * network.width * 4 + layer
    d, n = network.width, round(tokens * scored)
    scores = n * (network.vocabulary * (size + 8) + d * (2 * size + 8))
    matrices = network.parameters - (0 if scored else network.embeddings)
    return Memory(
        weights=4 * network.parameters,
        optimizer=STATES * trained - (STATES - MOMENTUM) * network.by_muon,
        gradients=4 * trained,
        copies=0 if size == 4 else 2 * matrices,
        activations=layers + tokens * d * (size + 4) + scores,
        accumulated=accumulated,
    )


def _layer_bytes(network: Network, size: int, dropout: bool) -> int:
    """What one layer keeps of one token."""
    d, f = network.width, network.inner / network.width
    if network.gated:
        return round(d * (size * (5 + 3 * network.key_share + 4 * f) + 8))
    return round(d * (size * (6 + 2 * f) + 8 + 2 * dropout))


def largest_batch(network: Network, memory: int, length: int, **settings) -> int:
    """How many sequences of `length` fit into `memory` bytes at once; 0 if not even one does.

    `settings` as for `training_memory`.
    """
    fits = 0
    for step in (2**k for k in range(20, -1, -1)):
        if training_memory(network, fits + step, length, **settings).peak <= memory:
            fits += step
    return fits


def kept_for_backward(model: torch.nn.Module, forward: Callable[[], object]) -> int:
    """Bytes that a forward pass keeps for the backward pass: measured, weights not counted.

    Two tensors in one piece of storage are counted once.

    Args:
        model: whose weights are left out.
        forward: computes the loss.
    """
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            # The tensor too, so that its place isn't given to another one.
            kept[storage.data_ptr()] = storage.nbytes(), tensor.detach()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = forward()  # kept until the count is done
    del result
    return sum(size for size, _ in kept.values())


@contextmanager
def out_of_memory_explained(
    model: torch.nn.Module, dataset: Sequence, config: TrainingConfig
) -> Iterator[None]:
    """Add to a `torch.OutOfMemoryError` what to lower, and what fits by the formulas above."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        device = next(model.parameters()).device
        on_gpu = device.type == "cuda"
        memory = torch.cuda.get_device_properties(device).total_memory if on_gpu else None
        with suppress(TypeError, ValueError):  # of data that nobody has checked yet
            error.add_note(remedy(model, int(sequence_lengths(dataset).max()), config, memory))
        raise


def remedy(model: torch.nn.Module, longest: int, config: TrainingConfig, memory: int | None) -> str:
    """What to lower where an update on sequences of `longest` pieces takes too much memory.

    `memory` is the device's, in bytes, or None if unknown; 2 GiB of it are left for what the
    formulas don't count.
    """
    wanted = f"batch_size={config.batch_size} and accumulation={config.accumulation}"
    said = f"Memory ran out with {wanted}, and the longest sequence has {longest} pieces. "
    if config.batch_size > 1:
        said += (
            "Lower batch_size, and raise accumulation by the same factor: the updates stay what "
            "they are, and a run that keeps checkpoints goes on from the last. "
        )
    fits = None
    try:
        network = Network.of(unwrap(model), config.optimizer)
        precision = resolve_precision(config.precision, next(model.parameters()).device)
        settings = {
            "precision": precision,
            "scored": float(_scores_all(model)),
            "checkpointing": any(getattr(m, "gradient_checkpointing", 0) for m in model.modules()),
            "trained": sum(p.numel() for p in model.parameters() if p.requires_grad),
        }
        if memory is not None:
            free = memory - 2 * 2**30
            fits = largest_batch(network, free, longest, accumulated=True, **settings)
    except (AttributeError, TypeError, ValueError):
        pass  # a model that the formulas don't know
    if fits == 0:
        said += "By helpers.training.memory not even one such sequence fits. "
    elif fits is not None:
        said += f"By helpers.training.memory {fits} such sequences fit. "
    return said + (
        "Next: model.gradient_checkpointing_enable() where the model has it, shorter sequences "
        "(max_length of the tokenizer), LoRA. Where evaluate_fn is in the traceback, lower its "
        "batch_size instead."
    )


def _scores_all(model: torch.nn.Module) -> bool:
    """Whether the whole vocabulary is scored at each piece."""
    inner = unwrap(model)
    kind = MODEL_FOR_MASKED_LM_MAPPING.get(type(getattr(inner, "config", None)), ())
    return shifts_labels(model) or isinstance(inner, kind)
