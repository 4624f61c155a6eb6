"""How a kernel moves over an image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Geometry:
    """How a kernel moves over an image."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]

    @classmethod
    def of(cls, weight: Tensor, stride: Any, padding: Any, dilation: Any) -> Geometry:  # noqa: ANN401 - as torch takes them
        """Return that of ``torch.conv2d``, which takes one number for both directions too."""
        return _geometry(tuple(weight.shape[2:]), stride, padding, dilation)

    def positions(self, images: Tensor) -> tuple[int, int]:
        """Return the height and width of the map of images ``[n, c, height, width]``."""
        (height, width), (above, left) = images.shape[2:], self.padding
        return self.positions_on(height + 2 * above, width + 2 * left)

    def positions_on(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width of the map of images so high and wide, the border included."""
        sizes = zip((height, width), self.kernel, self.stride, self.dilation, strict=True)
        down, right = ((side - far * (k - 1) - 1) // step + 1 for side, k, step, far in sizes)
        return down, right

    def on_image(self, images: Tensor, y: int, x: int) -> tuple[Overlap, Overlap]:
        """Return where kernel and image lie on each other at one position of the map: rows, and columns."""
        sizes = zip((y, x), images.shape[2:], self.kernel, self.stride, self.padding, self.dilation, strict=True)
        rows, columns = (Overlap.of(*of) for of in sizes)
        return rows, columns


@dataclass(frozen=True)
class Overlap:
    """Which rows, or columns, of kernel and image lie on each other."""

    of_kernel: slice
    of_image: slice

    @classmethod
    def of(cls, position: int, side: int, kernel: int, stride: int, padding: int, dilation: int) -> Overlap:
        """Return those at one position of the map."""
        start = position * stride - padding  # on the image, of the kernel's first row
        first = max(0, -(start // dilation))
        last = min(kernel, -((start - side) // dilation))
        return cls(slice(first, last), slice(start + first * dilation, start + (last - 1) * dilation + 1, dilation))


@cache
def _geometry(*of: Any) -> Geometry:  # noqa: ANN401
    return Geometry(*map(_pair, of))


def _pair(value: Any) -> tuple[int, int]:  # noqa: ANN401
    both = (value, value) if isinstance(value, int) else tuple(value)
    first, second = both if len(both) == 2 else both * 2
    return int(first), int(second)
