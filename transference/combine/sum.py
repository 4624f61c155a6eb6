"""The sum of the gradients: the step on the sum of the losses."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Sum:
    """``d = Σ g_i``, m times as long as the mean."""

    def __call__(self, losses: Tensor, gradients: Tensor) -> Tensor:
        """Return the sum, ``[n]``."""
        del losses
        return gradients.sum(dim=0)
