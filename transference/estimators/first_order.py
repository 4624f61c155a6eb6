"""The tangent at θ: every pair from one gradient per source and one per target.

    L_j(θ + d) ≈ L_j(θ) + ⟨∇L_j(θ), d⟩        LR ≈ 1 + ⟨∇L_j(θ), d⟩ / L_j(θ)

The error is of second order in the step: half of ``dᵀ H_j d``, with the Hessian of the target's loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from transference.episodes import Episode, Params
from transference.errors import UsageError
from transference.estimators._protocol import ExactSample, Readings
from transference.estimators._tangents import Tangents
from transference.estimators.exact import Exact
from transference.learners import Learner


@dataclass(frozen=True)
class FirstOrder:
    """``L_j(θ) + ⟨∇L_j, d⟩``; no accuracy after the step.

    Args:
        checked: about so many pairs at each checkpoint are measured exactly too, chosen at random from all, and kept in the run beside the
            estimates, to tell how good they are.
        seed: of that choice.
        engine: of what is measured exactly (these pairs, and each target's transference to itself), as in `Exact`. Gradients are computed
            in its layout.

    Raises:
        UsageError: ``checked`` is negative, or there is no such engine.
    """

    checked: int = 64
    seed: int = 0
    engine: str = "auto"

    def __post_init__(self) -> None:
        if self.checked < 0:
            raise UsageError(f"{self.checked} pairs were to be checked; give 0 or more.")
        Exact(self.engine)

    @property
    def sample(self) -> ExactSample:
        """About ``checked`` pairs, the same share of every mode pair."""
        return ExactSample(Exact(self.engine), self.shares, self.seed)

    def shares(self, cells: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the share of the pairs of each mode pair that are measured exactly, the same of all."""
        return np.full(cells.shape, min(1.0, self.checked / cells.sum()))

    def prepare(self, learner: Learner, params: Params, targets: Sequence[Episode]) -> LinearTargets:
        """Compute every target's gradient at θ."""
        return LinearTargets(learner, params, targets, self.engine)


class LinearTargets(Tangents):
    """Targets whose losses are taken for straight lines."""

    def after(self, displacements: Sequence[Params]) -> list[Readings]:
        """Return ``L_j(θ) + ⟨∇L_j, d⟩`` of all targets for each displacement, from one matrix product."""
        unknown = torch.full_like(self.before.accuracy, torch.nan)
        return [Readings(self.before.loss + change, unknown) for change in self.first_order(displacements)]

    def each(self, cells: Sequence[tuple[int, Params]]) -> Readings:
        """Return the same of one target after one displacement for each cell, ``[n_cells]``."""
        targets = torch.tensor([target for target, _ in cells])
        changes = self.first_order([displacement for _, displacement in cells])
        loss = self.before.loss[targets] + changes[torch.arange(len(cells)), targets]
        return Readings(loss, torch.full_like(loss, torch.nan, dtype=torch.float32))
