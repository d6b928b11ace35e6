"""bfloat16 is used where the processor computes in it, and nowhere else."""

import os
import subprocess
import sys

import pytest
import torch

from helpers.hardware import has_native_bf16

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("capabilities", "native"),
    [
        ({"avx2": True, "avx512_bf16": False, "amx_bf16": False}, False),
        # Here oneDNN calls bfloat16 supported, and emulates it.
        ({"avx2": True, "avx512_f": True, "avx512_bw": True}, False),
        ({"avx512_f": True, "avx512_bf16": True}, True),
        ({"avx512_f": True, "amx_bf16": True}, True),
        ({"architecture": "aarch64", "neon": True, "bf16": True, "sve_bf16": True}, False),
    ],
)
@pytest.mark.native_precision
def test_bfloat16_is_native_only_with_its_instructions(monkeypatch, capabilities, native):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    assert has_native_bf16(CPU) is native


@pytest.mark.parametrize("path", ["avx2", "default"])
def test_a_processor_kept_from_avx512_has_no_bfloat16(path):
    code = (
        "import torch; torch.cpu.get_capabilities = lambda: {'avx512_bf16': True}\n"
        "from helpers.hardware import has_native_bf16\n"
        "print(has_native_bf16(torch.device('cpu')))"
    )
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": path}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout == "False\n"


@pytest.mark.native_precision
def test_a_gpu_that_emulates_bfloat16_has_none(monkeypatch):
    def supported(including_emulation=True):  # as of a GPU older than Ampere
        return including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert has_native_bf16(torch.device("cuda")) is False
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert has_native_bf16(torch.device("cuda")) is True
    assert has_native_bf16(torch.device("meta")) is False
