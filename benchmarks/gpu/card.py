"""The card: what it is, and what its float32 is worth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.gpu.stages import Asked, Row
from benchmarks.timing import machine, matrix_product

_EXACT = 3e-5
"""Relative error of sums of products below which they had more than the 10 bits of TF32, which errs by 2e-4 and more; float32 by 1e-6."""


def card(asked: Asked) -> Iterator[Row]:
    """Yield what it is, then how fast a float32 matrix product is, and how exact this and a convolution are."""
    device = asked.where
    yield {**machine(device), **_of_cuda(device)}
    side = 256 if asked.toy else 4096
    matrices = (torch.randn(side, side, device=device, dtype=torch.float64) for _ in range(2))
    images, kernels = (
        torch.randn(*shape, device=device, dtype=torch.float64) for shape in ((8, 64, 21, 21), (128, 64, 3, 3))
    )
    errors = {
        "of_a_product": error_of(torch.matmul, *matrices),
        "of_a_convolution": error_of(F.conv2d, images, kernels),
    }
    status = "ok" if max(errors.values()) < _EXACT else f"wrong: an error is that of TF32, above {_EXACT:g}"
    yield {
        "GFLOP/s_float32": matrix_product(device, side),
        **{f"error_{what}": error for what, error in errors.items()},
        "status": status,
    }


def error_of(operation: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor) -> float:
    """Return how far an operation in float32 is from the same in float64, relative to the norm."""
    exact = operation(a, b)
    return float((operation(a.float(), b.float()).double() - exact).norm() / exact.norm())


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
