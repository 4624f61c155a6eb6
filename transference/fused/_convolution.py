"""One convolution, by the call that is the quickest for its shapes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from transference.episodes import Params
from transference.fused._geometry import Geometry
from transference.fused._windows import windows

_POSITIONS = 4
"""Positions of a map up to which a convolution is a matrix product: oneDNN multiplies the zeros of the border too."""

_MANY = 16
"""Images from which on each position of such a map has a product of its own, with that part of the kernel which lies on the image."""


@dataclass
class Kernels:
    """Kernels of θ that oneDNN has laid out, by kernel and shape of the images; ask `has` first, since another has no name to keep.

    Args:
        params: θ, which many tasks share; it must not change meanwhile.
    """

    params: Params
    _laid_out: dict[tuple[object, ...], Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._theta = frozenset(map(id, self.params.values()))

    def has(self, weight: Tensor) -> bool:
        """Return whether a kernel is one of θ; another serves once."""
        return id(weight) in self._theta

    def of(self, weight: Tensor, images: Tensor, geometry: Geometry) -> Tensor:
        """Return a kernel as oneDNN wants it for images of this shape."""
        key = id(weight), images.shape, geometry
        if key not in self._laid_out:
            self._laid_out[key] = _laid_out(weight, images, geometry)
        return self._laid_out[key]

    def rows(self, weight: Tensor) -> Tensor:
        """Return a kernel as a matrix ``[c_out, k]`` for patches whose channels lie last."""
        key = (id(weight),)
        if key not in self._laid_out:
            self._laid_out[key] = rows_of(weight)
        return self._laid_out[key]

    def at(self, y: int, x: int, weight: Tensor, images: Tensor, geometry: Geometry) -> Tensor:
        """Return the part of a kernel that lies on the image at one position of the map, likewise."""
        key = id(weight), images.shape, geometry, y, x
        if key not in self._laid_out:
            rows, columns = geometry.on_image(images, y, x)
            part = weight.permute(0, 2, 3, 1)[:, rows.of_kernel, columns.of_kernel].flatten(1)
            self._laid_out[key] = torch.ops.mkldnn._reorder_linear_weight(part, len(images))
        return self._laid_out[key]


def small(images: Tensor, geometry: Geometry) -> bool:
    """Return whether there are images, and maps of so few positions that a product of matrices is quicker."""
    return images.shape[0] > 0 and math.prod(geometry.positions(images)) <= _POSITIONS


def convolve(
    images: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    geometry: Geometry,
    kernels: Kernels | None = None,
    *,
    relu: bool = False,
) -> Tensor:
    """Return ``torch.conv2d`` of images with their channels last, ``[n, c_out, h, w]``, clipped at zero if asked for.

    Args:
        images: ``[n, c_in, side, side]``.
        weight: ``[c_out, c_in, *kernel]``.
        bias: ``[c_out]``, or None.
        geometry: stride, padding and dilation.
        kernels: those of θ.
        relu: clip.
    """
    quick = images.dtype == torch.float32 and torch._C._has_mkldnn and images.shape[0] > 0
    if small(images, geometry):
        if quick and kernels and images.shape[0] >= _MANY and kernels.has(weight):
            return _by_position(images, weight, bias, geometry, kernels, relu=relu)
        return _clipped(as_product(images, weight, bias, geometry, kernels), relu)
    if quick and kernels and kernels.has(weight):
        return _by_onednn(images, kernels.of(weight, images, geometry), bias, geometry, relu=relu)
    if quick and relu:
        return _by_onednn(images, _laid_out(weight, images, geometry), bias, geometry, relu=True)
    return _clipped(torch.conv2d(images, weight, bias, geometry.stride, geometry.padding, geometry.dilation), relu)


def as_product(
    images: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, kernels: Kernels | None = None
) -> Tensor:
    """Return a convolution as a product of all patches with the kernel, whose channels lie last too."""
    height, width = geometry.positions(images)
    rows = windows(bordered(images, geometry), geometry)
    kernel = kernels.rows(weight) if kernels and kernels.has(weight) else rows_of(weight)
    product = rows @ kernel.T if bias is None else torch.addmm(bias, rows, kernel.T)
    return product.view(images.shape[0], height, width, weight.shape[0]).permute(0, 3, 1, 2)


def bordered(images: Tensor, geometry: Geometry) -> Tensor:
    """Return the pixels ``[n, height, width, c]`` of images and the zeros around them."""
    above, left = geometry.padding
    return F.pad(images.permute(0, 2, 3, 1), (0, 0, left, left, above, above))


def rows_of(weight: Tensor) -> Tensor:
    """Return a kernel as a matrix ``[c_out, k]`` for patches whose channels lie last."""
    return weight.permute(0, 2, 3, 1).reshape(weight.shape[0], -1)


def _by_position(
    images: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, kernels: Kernels, *, relu: bool
) -> Tensor:
    """Return the convolution position by position, without the zeros that the border would be filled with."""
    height, width = geometry.positions(images)
    pixels = images.permute(0, 2, 3, 1)
    rows: list[Tensor] = []
    for y in range(height):
        for x in range(width):
            above, beside = geometry.on_image(images, y, x)
            patch = pixels[:, above.of_image, beside.of_image].flatten(1)
            part = kernels.at(y, x, weight, images, geometry)
            rows.append(torch.ops.mkldnn._linear_pointwise(patch, part, bias, "relu" if relu else "none", [], ""))
    return torch.stack(rows, dim=1).view(len(images), height, width, -1).permute(0, 3, 1, 2)


def _by_onednn(images: Tensor, laid_out: Tensor, bias: Tensor | None, geometry: Geometry, *, relu: bool) -> Tensor:
    made: Tensor = torch.ops.mkldnn._convolution_pointwise(
        images,
        laid_out,
        bias,
        geometry.padding,
        geometry.stride,
        geometry.dilation,
        1,
        "relu" if relu else "none",
        [],
        "",
    )
    return made


def _laid_out(weight: Tensor, images: Tensor, geometry: Geometry) -> Tensor:
    made: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
        weight, geometry.padding, geometry.stride, geometry.dilation, 1, list(images.shape)
    )
    return made


def _clipped(maps: Tensor, relu: bool) -> Tensor:
    return maps.relu_() if relu else maps
