"""The tangent at θ: every pair from one gradient per source and one per target.

    L_j(θ + d) ≈ L_j(θ) + ⟨∇L_j(θ), d⟩        LR ≈ 1 + ⟨∇L_j(θ), d⟩ / L_j(θ)

The error is of second order in the step: half of ``dᵀ H_j d``, with the Hessian of the target's loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from transference.devices import undisturbed
from transference.engines import Trial, find_engine
from transference.episodes import Episode, Params
from transference.errors import UsageError
from transference.estimators._protocol import Readings
from transference.estimators.exact import Exact
from transference.gradients import GradientRows
from transference.learners import Learner

_EXACT = 3000
"""Exact pairs that a run is taken to have at most, when it is asked whether compiling pays."""

_AT_ONCE = 16
"""Targets whose images are in memory together."""


@dataclass(frozen=True)
class Tangents:
    """The targets at θ: readings, and the gradient of each loss."""

    before: Readings
    gradients: GradientRows


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
    def exact(self) -> Exact:
        """The estimator of what is measured exactly."""
        return Exact(self.engine)

    def shares(self, cells: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the share of the pairs of each mode pair that are measured exactly, the same of all."""
        return np.full(cells.shape, min(1.0, self.checked / cells.sum()))

    def settle(self, learner: Learner, params: Params, targets: Sequence[Episode], n_pairs: int) -> tuple[Self, Trial | None]:
        """Return the estimator with an engine, and the trial that chose it, if there was a choice."""
        exact, found = self.exact.settle(learner, params, targets, min(n_pairs, _EXACT))
        return replace(self, engine=exact.engine), found

    @undisturbed()
    def prepare(self, learner: Learner, params: Params, targets: Sequence[Episode]) -> Tangents:
        """Compute every target's gradient at θ. A few targets are looked at together; all their images need not be in memory."""
        gradients = GradientRows(len(targets), params)
        scores: list[tuple[float, float]] = []
        for start in range(0, len(targets), _AT_ONCE):
            some = targets[start : start + _AT_ONCE]
            for of_one, gradient in find_engine(self.engine).gradients(learner, params, some, list(params)):
                gradients[len(scores)] = gradient
                scores.append(of_one)
        loss, accuracy = torch.tensor(scores, dtype=torch.float64).unbind(1)
        return Tangents(Readings(loss, accuracy.float()), gradients)

    def after(self, prepared: Tangents, displacement: Params) -> Readings:
        """Return ``L_j(θ) + ⟨∇L_j, d⟩`` for every target."""
        return self.afters(prepared, [displacement])[0]

    def gradient(self, prepared: Tangents, target: int) -> Params:
        """Return the gradient of one target's loss, with zeros for a parameter that it does not depend on."""
        return prepared.gradients[target]

    @undisturbed()
    def afters(self, prepared: Tangents, displacements: Sequence[Params]) -> list[Readings]:
        """Return the same for several displacements."""
        changes = prepared.gradients.products(displacements).cpu()
        unknown = torch.full_like(prepared.before.accuracy, torch.nan)
        return [Readings(prepared.before.loss + change, unknown) for change in changes]
