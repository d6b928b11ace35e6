"""Which number format the matrix products use, by what the hardware is fast at."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext

import torch
from torch import nn

from helpers.hardware import has_native_bf16
from helpers.training.config import Precision

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_precision(precision: Precision, device: torch.device) -> Precision:
    """Turn "auto" into a format `device` is fast at, and reject one that it can't do.

    Raises:
        ValueError: for bf16 where it is emulated, and for fp16 on anything but a GPU.
    """
    native_bf16 = has_native_bf16(device)
    if precision == "auto":
        if native_bf16:
            return "bf16"
        return "fp16" if device.type == "cuda" else "fp32"
    if precision == "bf16" and not native_bf16:
        raise ValueError(
            f'precision="bf16": this {device.type} device has no bfloat16 arithmetic and '
            'would emulate it far slower than fp32. Use precision="auto" or "fp32".'
        )
    if precision == "fp16" and device.type != "cuda":
        raise ValueError(
            f'precision="fp16" needs an NVIDIA or AMD GPU; the device is {device.type}. '
            'Use precision="auto" or "fp32".'
        )
    return precision


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """The context in which forward passes run; weights stay in fp32 (mixed precision).

    Implements Micikevicius et al., *Mixed Precision Training*, ICLR 2018, section 3.1.
    """
    if precision == "fp32":
        return torch.autocast(device.type, enabled=False)
    return torch.autocast(device.type, dtype=_DTYPES[precision])


@contextmanager
def kernels(*, tf32: bool, deterministic: bool) -> Iterator[None]:
    """Let torch choose its kernels so; then what was set before comes back.

    `tf32` permits products in TF32, and nothing here forbids them where the caller has permitted
    them; an evaluation in fp32 does, by `exact_products`. With `deterministic`, an operation that
    can't promise the same bits again is an error.
    """
    products = torch.get_float32_matmul_precision() if tf32 else None
    strict = torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        if tf32:
            torch.set_float32_matmul_precision("high")
        if deterministic:
            torch.use_deterministic_algorithms(True)
        yield
    finally:
        if tf32:
            torch.set_float32_matmul_precision(products)
        if deterministic:
            torch.use_deterministic_algorithms(strict, warn_only=warns)


@contextmanager
def exact_products() -> Iterator[None]:
    """Products and convolutions of fp32 numbers in fp32, whatever the caller has permitted.

    Torch has two ways to permit TF32 (or bf16, on a CPU), and one can't be read after the other
    has been used. What was set before comes back, by the way in which it was set.
    """
    backends = torch.backends
    with ExitStack() as back:
        try:
            products, cudnn = torch.get_float32_matmul_precision(), backends.cudnn.allow_tf32
        except RuntimeError:
            parts = [backends.cuda.matmul, backends.mkldnn.matmul]
            parts += [
                getattr(of, name)
                for of in (backends.cudnn, backends.mkldnn)
                for name in ("conv", "rnn")
            ]
            for part in parts:
                back.callback(setattr, part, "fp32_precision", part.fp32_precision)
                part.fp32_precision = "ieee"
        else:
            if products != "highest":
                back.callback(torch.set_float32_matmul_precision, products)
                torch.set_float32_matmul_precision("highest")
            if cudnn:
                back.callback(setattr, backends.cudnn, "allow_tf32", True)
                backends.cudnn.allow_tf32 = False
        yield


@contextmanager
def computing_in(model: nn.Module, precision: Precision, device: torch.device) -> Iterator[None]:
    """`autocast`; for "fp32" the weights and all products too, whatever is stored and permitted."""
    tensors = [*model.parameters(), *model.buffers()] if precision == "fp32" else []
    stored = [(t, t.data) for t in tensors if t.dtype in _DTYPES.values()]
    try:
        for tensor, half in stored:
            tensor.data = half.float()
        exact = exact_products() if precision == "fp32" else nullcontext()
        with exact, autocast(precision, device):
            yield
    finally:
        for tensor, half in stored:
            tensor.data = half
