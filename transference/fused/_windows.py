"""What a kernel sees of images at every position of the map, and the sum that is the adjoint of that."""

from __future__ import annotations

import torch
from torch import Tensor

from transference.fused._geometry import Geometry


def windows(pixels: Tensor, geometry: Geometry) -> Tensor:
    """Return the patches under a kernel as rows ``[n·h·w, kernel·c]``.

    Args:
        pixels: ``[n, height, width, c]``, the border included.
        geometry: of the kernel; its padding is not looked at.
    """
    n, c = pixels.shape[0], pixels.shape[3]
    image, row, column, channel = pixels.stride()
    (down, right), (far_down, far_right) = geometry.stride, geometry.dilation
    height, width = geometry.positions_on(*pixels.shape[1:3])
    seen = pixels.as_strided(
        (n, height, width, *geometry.kernel, c),
        (image, down * row, right * column, far_down * row, far_right * column, channel),
        pixels.storage_offset(),
    )
    return seen.reshape(n * height * width, -1)


def summed(rows: Tensor, shape: torch.Size, geometry: Geometry) -> Tensor:
    """Return pixels ``shape``, the border included, each the sum of what rows as `windows` returns them have for it."""
    n, c = shape[0], shape[3]
    height, width = geometry.positions_on(*shape[1:3])
    (high, wide), (down, right), (far_down, far_right) = geometry.kernel, geometry.stride, geometry.dilation
    patches = rows.view(n, height, width, high, wide, c)
    total = rows.new_zeros(shape)
    for y, top in enumerate(range(0, high * far_down, far_down)):
        for x, left in enumerate(range(0, wide * far_right, far_right)):
            below = slice(top, top + down * (height - 1) + 1, down)
            beside = slice(left, left + right * (width - 1) + 1, right)
            total[:, below, beside] += patches[:, :, :, y, x]
    return total
