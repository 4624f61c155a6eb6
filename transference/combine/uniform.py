"""The joint loss with the modalities' own losses beside it, all alike: the control for every weighting of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from transference.combine._gram import weighted
from transference.errors import UsageError


@dataclass(frozen=True)
class Uniform:
    """``d = g_joint + weight · mean of the others``.

    Args:
        weight: of all others together, as in `SmoothWorst`.

    Raises:
        UsageError: the weight is negative or no number.
    """

    weight: float = 1.0
    joint: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_weight("uniform", self.weight)

    def __call__(self, losses: Tensor, gradients: Tensor) -> Tensor:
        """Return the combined gradient, ``[n]``; the last task is the joint one."""
        others = len(losses) - 1
        return weighted(torch.tensor([*[self.weight / others] * others, 1.0], dtype=torch.float64), gradients)


def check_weight(name: str, weight: float) -> None:
    """Make sure that a weight is one.

    Raises:
        UsageError: it is negative or no number.
    """
    if not 0 <= weight < float("inf"):
        raise UsageError(f"{name} was given the weight {weight:g}; it must be a finite number, zero or above.")
