"""Convolutions of several tasks at once whose kernels differ from task to task, on a GPU.

``torch.vmap`` makes of them one convolution in groups, for which cuDNN launches kernels group by group. As products of matrices they are
one product in a batch: each task's kernel ``[c_out, c_in·k]`` with the windows of all its images ``[c_in·k, n·positions]``.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._C import _functorch as functorch

_GROUPS = 5
"""Matrices of images, at most, of one task."""


def differ(weight: Tensor) -> bool:
    """Return whether the innermost ``torch.vmap`` in progress has a kernel for each of its entries."""
    if torch.compiler.is_compiling():
        return False  # the compiler looks into no transform
    stack = functorch.peek_interpreter_stack()
    return (
        stack is not None
        and stack.key() == functorch.TransformType.Vmap
        and functorch.is_batchedtensor(weight)
        and functorch.maybe_get_level(weight) == stack.level()
    )


def as_products(images: Tensor, weight: Tensor, *, stride: int, padding: int) -> Tensor:
    """Return ``torch.nn.functional.conv2d`` by views, one copy and one product; gradients of any order pass through.

    Args:
        images: ``[n, c_in, side, side]``.
        weight: ``[c_out, c_in, *kernel]``.
        stride: of the kernel.
        padding: with zeros on every side.
    """
    height, width = weight.shape[-2:]
    # [n, c_in, rows, columns, *kernel]
    seen = F.pad(images, (padding,) * 4).unfold(2, height, stride).unfold(3, width, stride)
    n, _, rows, columns = seen.shape[:4]
    # Many images in one matrix, so that its kernel is copied for few of them; and not all, as the kernel's gradient, whose sum runs over
    # the columns, would be one long sum after the other.
    groups = math.gcd(n, _GROUPS)
    windows = (
        seen.reshape(groups, -1, *seen.shape[1:]).permute(0, 2, 5, 6, 1, 3, 4).reshape(groups, weight[0].numel(), -1)
    )
    maps: Tensor = weight.flatten(1) @ windows
    return maps.view(groups, -1, n // groups, rows, columns).transpose(1, 2).flatten(0, 1)
