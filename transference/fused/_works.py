"""What convolutions and batch norms of images leave to be done, for one episode or for several at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self, TypeAlias

import torch
from torch import Tensor

from transference import exact_sums
from transference.fused._convolution import Kernels, convolve
from transference.fused._geometry import Geometry
from transference.fused._patches import KeptPatches

Each: TypeAlias = Tensor | Sequence[Tensor] | None
"""What all episodes share, or something for each of them."""


def each(shared: Each, n: int) -> Sequence[Tensor | None]:
    """Return it for each of ``n`` episodes."""
    return [shared] * n if shared is None or isinstance(shared, Tensor) else shared


class Work(Protocol):
    """Something that is still to be done."""

    @property
    def shape(self) -> Sequence[int]:
        """Of the result, for one episode."""

    def do(self) -> list[Tensor]:
        """Do it, for each episode."""


@dataclass(frozen=True)
class Convolution:
    """A convolution of the episodes' own images.

    Args:
        images: of each episode, ``[n, c_in, side, side]`` with their channels last.
        weight: ``[c_out, c_in, *kernel]``.
        bias: ``[c_out]``, or None.
        geometry: stride, padding and dilation.
        kernels: those of θ.
        kept: what is known of the images' patches.
    """

    images: Sequence[Tensor]
    weight: Each
    bias: Each
    geometry: Geometry
    kernels: Kernels
    kept: KeptPatches

    @property
    def shape(self) -> Sequence[int]:
        """``[n, c_out, h, w]``."""
        weight = each(self.weight, 1)[0]
        assert weight is not None
        return self.images[0].shape[0], weight.shape[0], *self.geometry.positions(self.images[0])

    def do(self) -> list[Tensor]:
        """Convolve."""
        return convolutions(self.images, self.weight, self.bias, self.geometry, self.kernels)


def convolutions(
    images: Sequence[Tensor], weight: Each, bias: Each, geometry: Geometry, kernels: Kernels
) -> list[Tensor]:
    """Return the maps of each episode's images."""
    n = len(images)
    return [
        convolve(x, w, b, geometry, kernels)
        for x, w, b in zip(images, each(weight, n), each(bias, n), strict=True)
        if w is not None
    ]


@dataclass(frozen=True)
class Affine:
    """A normalisation ``γ (x - mean) / √(variance + eps) + β``, channel by channel.

    Args:
        gamma: ``[c]``, or None for ones.
        beta: ``[c]``, or None for zeros.
        eps: of the batch norm.
        n: episodes.
    """

    gamma: Each
    beta: Each
    eps: float
    n: int

    def scaled(self, by: Each) -> Self:
        """Return it times ``[c]``."""
        return replace(self, gamma=self._times(self.gamma, by, alone=by), beta=self._times(self.beta, by, alone=None))

    def shifted(self, by: Each) -> Self:
        """Return it plus ``[c]``."""
        if self.beta is None:
            return replace(self, beta=by)
        return replace(self, beta=[b + c for b, c in self._pairs(self.beta, by)])

    def _times(self, own: Each, by: Each, *, alone: Each) -> Each:
        return alone if own is None else [a * b for a, b in self._pairs(own, by)]

    def _pairs(self, own: Each, by: Each) -> list[tuple[Tensor, Tensor]]:
        both = zip(each(own, self.n), each(by, self.n), strict=True)
        return [(a, b) for a, b in both if a is not None and b is not None]

    def relu(self) -> list[Tensor]:
        """Do it, for each episode, and clip at zero."""
        raise NotImplementedError


@dataclass(frozen=True)
class Normalised(Affine):
    """Maps to be normalised by their own statistics, from short sums (`exact_sums`)."""

    maps: Sequence[Tensor]

    @property
    def shape(self) -> Sequence[int]:
        """``[n, c, h, w]``."""
        return self.maps[0].shape

    def do(self) -> list[Tensor]:
        """Normalise."""
        known = zip(self.maps, each(self.gamma, self.n), each(self.beta, self.n), strict=True)
        return [_normalised(x, gamma, beta, self.eps) for x, gamma, beta in known]

    def relu(self) -> list[Tensor]:
        """Normalise, and clip at zero in place."""
        return [x.relu_() for x in self.do()]


def _normalised(x: Tensor, gamma: Tensor | None, beta: Tensor | None, eps: float) -> Tensor:
    if not exact_sums.loses_digits(x):
        return torch.batch_norm(x, gamma, beta, None, None, True, 0.0, eps, False)
    mean, variance = exact_sums.statistics(x)
    return torch.batch_norm(x, gamma, beta, mean, variance, False, 0.0, eps, False)


@dataclass(frozen=True)
class Convolved(Affine):
    """A convolution whose normalisation is a matter of its kernel."""

    convolution: Convolution

    @property
    def shape(self) -> Sequence[int]:
        """``[n, c_out, h, w]``."""
        return self.convolution.shape

    def do(self) -> list[Tensor]:
        """Convolve and normalise."""
        return self._do(relu=False)

    def relu(self) -> list[Tensor]:
        """Convolve, normalise and clip at zero."""
        return self._do(relu=True)

    def _do(self, *, relu: bool) -> list[Tensor]:
        what = self.convolution
        done = []
        for x, weight, gamma, beta in zip(
            what.images, each(what.weight, self.n), each(self.gamma, self.n), each(self.beta, self.n), strict=True
        ):
            assert weight is not None
            patches = what.kept.of(x, what.geometry)
            kernel, bias = patches.normalising(weight, gamma, beta, self.eps)
            done.append(convolve(x, kernel, bias, what.geometry, relu=relu))
        return done
