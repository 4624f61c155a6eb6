"""The tangent at θ: every pair from one gradient per source and one per target.

    L_j(θ + d) ≈ L_j(θ) + ⟨∇L_j(θ), d⟩        LR ≈ 1 + ⟨∇L_j(θ), d⟩ / L_j(θ)

The error is of second order in the step: half of ``dᵀ H_j d``, with the Hessian of the target's loss.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from transference.devices import workers
from transference.engines import Trial
from transference.episodes import Episode, Params
from transference.errors import UsageError
from transference.estimators._protocol import Readings
from transference.estimators.exact import Exact
from transference.gradients import loss_gradient
from transference.learners import Learner

_EXACT = 3000
"""Exact pairs that a run is taken to have at most, when it is asked whether compiling pays."""


@dataclass(frozen=True)
class _Tangents:
    before: Readings
    gradients: Tensor
    """``[n_targets, n_parameters]``, each row the parameters in the order of ``slots``."""
    slots: dict[str, slice]


@dataclass(frozen=True)
class FirstOrder:
    """``L_j(θ) + ⟨∇L_j, d⟩``; no accuracy after the step.

    Args:
        checked: so many pairs at each checkpoint are measured exactly too, on a grid of sources and targets spread over all of them, and
            kept in the run beside the estimates.
        engine: of what is measured exactly (these pairs, and each target's transference to itself), as in `Exact`. Gradients are computed
            in its layout.

    Raises:
        UsageError: ``checked`` is negative, or there is no such engine.
    """

    checked: int = 64
    engine: str = "auto"

    def __post_init__(self) -> None:
        if self.checked < 0:
            raise UsageError(f"{self.checked} pairs were to be checked; give 0 or more.")
        Exact(self.engine)

    @property
    def exact(self) -> Exact:
        """The estimator of what is measured exactly."""
        return Exact(self.engine)

    @property
    def layout(self) -> Callable[[Tensor], Tensor]:
        """How images and kernels best lie in memory."""
        return self.exact.layout

    def settle(self, learner: Learner, params: Params, targets: Sequence[Episode], n_pairs: int) -> tuple[FirstOrder, Trial | None]:
        """Return the estimator with an engine, and the trial that chose it, if there was a choice."""
        exact, found = self.exact.settle(learner, params, targets, min(n_pairs, _EXACT))
        return replace(self, engine=exact.engine), found

    def prepare(self, learner: Learner, params: Params, targets: Sequence[Episode]) -> _Tangents:
        """Compute every target's gradient at θ."""
        laid_out = {name: self.layout(value) for name, value in params.items()}
        one = partial(_tangent, learner, laid_out, self.layout)
        apart = targets[0].query_x.device.type == "cpu"
        with workers() if apart else nullcontext() as pool:
            found = list((pool.map if pool else map)(one, targets))
        scores = torch.tensor([scores for scores, _ in found], dtype=torch.float64)
        ends = torch.tensor([value.numel() for value in params.values()]).cumsum(0).tolist()
        slots = {name: slice(end - value.numel(), end) for (name, value), end in zip(params.items(), ends, strict=True)}
        return _Tangents(Readings(scores[:, 0], scores[:, 1].float()), torch.stack([row for _, row in found]), slots)

    def after(self, prepared: _Tangents, displacement: Params) -> Readings:
        """Return ``L_j(θ) + ⟨∇L_j, d⟩`` for every target."""
        return self.afters(prepared, [displacement])[0]

    def afters(self, prepared: _Tangents, displacements: Sequence[Params]) -> list[Readings]:
        """Return the same for several displacements, from one matrix product."""
        steps = prepared.gradients.new_zeros(len(displacements), prepared.gradients.shape[1])
        for row, displacement in zip(steps, displacements, strict=True):
            for name, value in displacement.items():
                row[prepared.slots[name]] = value.flatten()
        changes = (steps @ prepared.gradients.T).double().cpu()
        unknown = torch.full_like(prepared.before.accuracy, torch.nan)
        return [Readings(prepared.before.loss + change, unknown) for change in changes]


def _tangent(learner: Learner, params: Params, layout: Callable[[Tensor], Tensor], episode: Episode) -> tuple[tuple[float, float], Tensor]:
    """Return loss and accuracy, and the gradient as one row, zero where the loss does not depend on a parameter."""
    scores, gradient = loss_gradient(learner, params, episode.map(layout), list(params))
    parts = [gradient[name] if name in gradient else torch.zeros_like(value) for name, value in params.items()]
    return scores, torch.cat([part.flatten() for part in parts])
