"""How tensors lie in memory."""

from __future__ import annotations

import torch
from torch import Tensor

_ALIGNMENT = 64
"""Bytes; where torch's allocator begins every tensor on a CPU, and what its kernels ask for."""


def usable(tensor: Tensor) -> Tensor:
    """Return a tensor that gradients can pass through; one that was made in ``inference_mode`` is copied."""
    return tensor.clone() if tensor.is_inference() else tensor


def channels_last(tensor: Tensor) -> Tensor:
    """Return images or a kernel with their channels last in memory, where CPUs convolve faster; others as allocated."""
    tensor = as_allocated(tensor)
    return (
        tensor.contiguous(memory_format=torch.channels_last)
        if tensor.dim() == 4 and tensor.device.type == "cpu"
        else tensor
    )


def as_allocated(tensor: Tensor) -> Tensor:
    """Return the tensor as a fresh one of its shape lies in memory: the plain layout, beginning where torch's allocator begins.

    A tensor that came out of a file, a numpy array or a larger tensor may begin anywhere, and have strides of its own. Kernels then take
    other paths, whose sums run in another order: the same loss differs in its last digits from that on a tensor just computed.
    """
    tensor = tensor.resolve_neg()
    if tensor.stride() == _plain_strides(tensor) and (
        tensor.device.type != "cpu" or tensor.data_ptr() % _ALIGNMENT == 0
    ):
        return tensor
    return torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device).copy_(tensor.detach())


def _plain_strides(tensor: Tensor) -> tuple[int, ...]:
    """Return the strides of a fresh tensor; `is_contiguous` allows others where a dimension has one entry."""
    strides, step = [], 1
    for size in reversed(tensor.shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))
