"""Mean and variance of the maps of a convolution, from those of the patches that it looks at.

A map is linear in the patch u under the kernel: ``x = ⟨w, u⟩``. Over all patches of all images of a batch, with mean μ and covariance C,

    mean x = ⟨w, μ⟩,    var x = wᵀ C w

so a batch norm right after it has ``γ (x - mean x) / √(var x + eps) + β = ⟨a w, u⟩ + (β - a mean x)`` with ``a = γ / √(var x + eps)``: the
convolution itself, with another kernel and a bias. μ and C depend on the images alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from transference.fused._geometry import Geometry

LARGEST = 256
"""Numbers in a patch up to which its covariance is kept; 3×3 patches of 3 channels have 27, 7×7 ones 147."""

_AT_ONCE = 2**24
"""Numbers of patches in memory together."""


@dataclass(frozen=True)
class Patches:
    """What is kept of all patches of some images.

    Attributes:
        mean: ``[k]`` float64, in the order of a kernel ``[c_in, *kernel]``.
        covariance: ``[k, k]`` float64.
    """

    mean: Tensor
    covariance: Tensor

    @classmethod
    def of(cls, images: Tensor, geometry: Geometry) -> Patches:
        """Read them off images ``[n, c_in, side, side]``; sums are float64."""
        (high, wide), (down, right), (above, left) = geometry.kernel, geometry.stride, geometry.padding
        far_down, far_right = geometry.dilation
        height, width = geometry.positions(images)
        c, k = images.shape[1], images.shape[1] * high * wide
        total = images.new_zeros(k, dtype=torch.float64)
        products = images.new_zeros(k, k, dtype=torch.float64)
        # About the mean over all pixels, so that little cancels where images are bright and flat.
        offset = images.double().mean(dim=(0, 2, 3))
        for some in torch.split(images, max(1, _AT_ONCE // (k * height * width))):
            pixels = F.pad(some.double().permute(0, 2, 3, 1), (0, 0, left, left, above, above)) - offset
            image, row, column, channel = pixels.stride()
            # As rows [n·height·width, k], the channels last in each.
            rows = pixels.as_strided(
                (len(some), height, width, high, wide, c),
                (image, down * row, right * column, far_down * row, far_right * column, channel),
            ).reshape(-1, k)
            total += rows.sum(dim=0)
            products += rows.T @ rows
        n = len(images) * height * width
        mean = total / n
        covariance = products / n - torch.outer(mean, mean)
        order = torch.arange(k).view(high, wide, c).permute(2, 0, 1).flatten()  # of a kernel
        return cls(mean[order] + offset.repeat_interleave(high * wide), covariance[order][:, order])

    def normalising(
        self, weight: Tensor, gamma: Tensor | None, beta: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor]:
        """Return the kernel ``[c_out, c_in, *kernel]`` and the bias ``[c_out]`` that convolve and normalise at once."""
        rows = weight.flatten(1).double()
        mean = rows @ self.mean
        variance = ((rows @ self.covariance) * rows).sum(dim=1).clamp(min=0)
        scale = (variance + eps).rsqrt()
        scale = scale if gamma is None else scale * gamma.double()
        shift = -scale * mean
        shift = shift if beta is None else shift + beta.double()
        return weight * scale.to(weight.dtype)[:, None, None, None], shift.to(weight.dtype)


@dataclass
class KeptPatches:
    """Statistics of the patches of images that stay alive, each computed when they are first asked for."""

    _known: dict[tuple[int, Geometry], Patches] = field(default_factory=dict)

    def of(self, images: Tensor, geometry: Geometry) -> Patches:
        """Return those of images ``[n, c_in, side, side]``."""
        key = id(images), geometry
        if key not in self._known:
            self._known[key] = Patches.of(images, geometry)
        return self._known[key]
