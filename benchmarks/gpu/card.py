"""The card: what it is, and what its float32 is worth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.gpu.stages import Asked, Row
from benchmarks.timing import machine, matrix_product

_EXACT = 1e-5
"""Relative error of a float32 matrix product below which it had more than the 10 bits of TF32, which errs by about 1e-3."""


def card(asked: Asked) -> Iterator[Row]:
    """Yield what it is, then how fast and how exact a float32 matrix product is."""
    device = asked.where
    yield {**machine(device), **_of_cuda(device)}
    side = 256 if asked.toy else 4096
    a, b = (torch.rand(side, side, device=device, dtype=torch.float64) for _ in range(2))
    exact = a @ b
    error = float(((a.float() @ b.float()).double() - exact).abs().max() / exact.abs().max())
    status = "ok" if error < _EXACT else f"wrong: its error is that of TF32, above {_EXACT:g}"
    yield {"GFLOP/s_float32": matrix_product(device, side), "error": error, "status": status}


def _of_cuda(device: torch.device) -> Row:
    if device.type != "cuda":
        return {}
    found: Any = torch.cuda.get_device_properties(device)
    return {
        "memory_GB": found.total_memory / 2**30,
        "capability": f"{found.major}.{found.minor}",
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }
