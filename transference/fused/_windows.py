"""What a kernel sees of images at every position of the map, and the sum that is the adjoint of that.

Each is linear and the other's derivative, so that gradients, and gradients of gradients, pass through both.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from transference.fused._geometry import Geometry


def windows(pixels: Tensor, geometry: Geometry) -> Tensor:
    """Return the patches under a kernel as rows ``[n·h·w, kernel·c]``.

    Args:
        pixels: ``[n, height, width, c]``, the border included, contiguous.
        geometry: of the kernel; its padding is not looked at.
    """
    if not (pixels.requires_grad and torch.is_grad_enabled()):
        return _read(pixels, geometry)
    found: Tensor = _Windows.apply(pixels, geometry)  # type: ignore[no-untyped-call]
    return found


class _Windows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pixels: Tensor, geometry: Geometry) -> Tensor:  # noqa: ANN401 - torch's context
        ctx.of = pixels.shape, geometry
        return _read(pixels, geometry)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        return _Summed.apply(gradients[0], *ctx.of), None  # type: ignore[no-untyped-call]


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, shape: torch.Size, geometry: Geometry) -> Tensor:  # noqa: ANN401
        ctx.geometry = geometry
        return _sum(rows, shape, geometry)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        return _Windows.apply(gradients[0].contiguous(), ctx.geometry), None, None  # type: ignore[no-untyped-call]


def _read(pixels: Tensor, geometry: Geometry) -> Tensor:
    n, c = pixels.shape[0], pixels.shape[3]
    image, row, column, channel = pixels.stride()
    (down, right), (far_down, far_right) = geometry.stride, geometry.dilation
    height, width = geometry.positions_on(*pixels.shape[1:3])
    seen = pixels.as_strided(
        (n, height, width, *geometry.kernel, c),
        (image, down * row, right * column, far_down * row, far_right * column, channel),
    )
    return seen.reshape(n * height * width, -1)


def _sum(rows: Tensor, shape: torch.Size, geometry: Geometry) -> Tensor:
    n, c = shape[0], shape[3]
    height, width = geometry.positions_on(*shape[1:3])
    patches = rows.view(n, height, width, *geometry.kernel, c)
    total = rows.new_zeros(shape)
    for (y, below), (x, beside) in _places(geometry, height, width):
        total[:, below, beside] += patches[:, :, :, y, x]
    return total


def _places(geometry: Geometry, height: int, width: int) -> Iterator[tuple[tuple[int, slice], tuple[int, slice]]]:
    """Yield each place of the kernel, down and to the right, with the rows and columns that it meets."""
    (high, wide), (down, right), (far_down, far_right) = geometry.kernel, geometry.stride, geometry.dilation
    for y in range(high):
        for x in range(wide):
            top, left = y * far_down, x * far_right
            yield (
                (y, slice(top, top + down * (height - 1) + 1, down)),
                (x, slice(left, left + right * (width - 1) + 1, right)),
            )
