"""What a learner asks of a modulation: a change of the backbone that depends on the task."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from meta_models.backbones import conv4
from transference import Params

Modulators = tuple[Tensor, ...]
"""The modulators that the generators made for one task."""


@runtime_checkable
class Modulation(Protocol):
    """Encodes a set of images, generates modulators from it, and applies them to the backbone. Ours are frozen dataclasses."""

    def init(self, generator: torch.Generator, channels: int) -> Params:
        """Return fresh parameters of encoder and generators."""

    def modulators(self, params: Params, images: Tensor) -> Modulators:
        """Return the modulators for the task that shows these images ``[n, channels, side, side]``."""

    def features(self, params: Params, images: Tensor, modulators: Modulators) -> Tensor:
        """Return the modulated backbone's feature maps ``[n, 256, s, s]``."""


def features(modulation: Modulation | None, params: Params, images: Tensor, modulators: Modulators) -> Tensor:
    """Return the backbone's feature maps ``[n, 256, s, s]``, modulated if there is a modulation."""
    return conv4.features(params, images) if modulation is None else modulation.features(params, images, modulators)


def check(modulation: object) -> None:
    """Make sure that this is a modulation or None.

    Raises:
        ValueError: it is something else, such as a name out of a settings file.
    """
    if not (modulation is None or isinstance(modulation, Modulation)):
        raise ValueError(
            f"modulation is {modulation!r}; by name, choose among the learners: mmaml, mprotonet, kml-maml, kml-protonet."
        )
