"""What the processor computes in hardware. Every room of the package may ask."""

import torch

__all__ = ["has_native_bf16"]


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
