"""The joint loss with a smoothed worst single-modality loss as a penalty.

    L = L_joint + weight · μ log Σ_m exp(L_m / μ),    ∇L = g_joint + weight · Σ_m softmax(L / μ)_m g_m

so it is a weighting of the gradients, without a second backward pass: μ → 0 takes the worst modality alone, μ → ∞ all alike (`Uniform`).

After MIMO (Fernando et al., arXiv 2511.06686), of which two agreeing summaries were read: lexicographic, the worst
single-modality objective first, as a penalty with a smoothed maximum. Its λ, μ and its data are not known to us; nothing of it
is reproduced. The smoothed maximum is that of "Smooth Tchebycheff Scalarization" (Lin et al., ICML 2024).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from transference.combine._gram import weighted
from transference.combine.uniform import check_weight
from transference.errors import UsageError


@dataclass(frozen=True)
class SmoothWorst:
    """``d = g_joint + weight · Σ softmax(L/μ)_m g_m`` over the single modalities.

    Args:
        weight: of the penalty; that of all single modalities together.
        mu: μ, in the units of the loss.

    Raises:
        UsageError: the weight is negative, μ is not above 0, or either is no number.
    """

    weight: float
    mu: float
    joint: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_weight("smooth-worst", self.weight)
        if not 0 < self.mu < float("inf"):
            raise UsageError(f"smooth-worst was given the mu {self.mu:g}; it must be a finite number above zero.")

    def __call__(self, losses: Tensor, gradients: Tensor) -> Tensor:
        """Return the combined gradient, ``[n]``; the last task is the joint one."""
        each = losses[:-1].detach().double()
        worst = torch.softmax((each - each.max()) / self.mu, dim=0)  # no quotient is too large, whatever mu
        return weighted(torch.cat([self.weight * worst, worst.new_ones(1)]), gradients)
