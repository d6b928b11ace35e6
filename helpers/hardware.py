"""What the processor computes in hardware, and labels that it need not wait for.

Every room of the package may ask.
"""

import torch

__all__ = ["IGNORED", "has_native_bf16", "labelled"]

IGNORED = -100  # the label that torch's cross-entropy leaves out


def has_native_bf16(device: torch.device) -> bool:
    """Whether `device` multiplies bfloat16 matrices in hardware.

    An x86 CPU without AVX512-BF16 or AMX emulates bfloat16, up to a hundred times slower
    than fp32. So does one that has them, where `ATEN_CPU_CAPABILITY` keeps torch from AVX-512.
    Other CPUs get a no: some of Arm's have instructions for it, which nobody has timed here.
    A GPU has it from NVIDIA's Ampere on (compute capability 8.0).
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        # oneDNN's own check is of no use here: it also says yes where bfloat16 is emulated.
        capabilities = torch.cpu.get_capabilities()
        has_it = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
        return has_it and torch.backends.cpu.get_cpu_capability() not in ("DEFAULT", "AVX2")
    return False


def labelled(
    labels: torch.Tensor, ignored: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """The flat places of the n labels that aren't `ignored`, and these labels; both (n,).

    A GPU's `nonzero`, and indexing with a mask, make the CPU wait: it has to know n. Of labels
    that lie on the CPU n is known there, and sorting on the GPU needs no more than that.

    Args:
        labels: int64, of any shape; on the CPU, or on `device`, where n makes the CPU wait.
    """
    n = int((labels != ignored).sum())
    labels = labels.to(device, non_blocking=True).flatten()
    places = (labels == ignored).int().argsort(stable=True)[:n]
    return places, labels[places]
