"""The tangent at θ: every pair from one gradient per source and one per target.

    L_j(θ + d) ≈ L_j(θ) + ⟨∇L_j(θ), d⟩        LR ≈ 1 + ⟨∇L_j(θ), d⟩ / L_j(θ)

The error is of second order in the step: half of ``dᵀ H_j d``, with the Hessian of the target's loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from transference.episodes import Episode, Params
from transference.estimators._checked import Checked
from transference.estimators._protocol import Readings
from transference.estimators._tangents import Tangents
from transference.learners import Learner


@dataclass(frozen=True)
class FirstOrder(Checked):
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
