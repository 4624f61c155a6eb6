"""A parabola along the step: the slope at θ, and the loss after the largest step size, give every smaller one.

    L_j(θ + s d) ≈ L_j(θ) + a s + b s²        a = ⟨∇L_j(θ), d⟩        b = L_j(θ + d) - L_j(θ) - a

with the displacement ``d`` of the largest step size, and ``s`` a smaller one over it. The error is of third order in the
step: about ``t (s² - s³) / 6``, with ``t`` the third derivative of the loss along ``d``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from transference.episodes import Episode, Params
from transference.errors import UsageError
from transference.estimators._checked import Checked
from transference.estimators._protocol import Ray, Readings
from transference.estimators._tangents import Tangents
from transference.estimators.exact import Exact
from transference.learners import Learner


@dataclass(frozen=True)
class Quadratic(Checked):
    """The largest step size as `Exact` measures it, and every smaller one from it and the slope, without accuracies.

    Its table costs what an exact one of the largest step size alone does. The lookahead must give multiples of one
    displacement at all step sizes, as the package's own do. Where the loss after the largest step is no finite number,
    nothing is known of the smaller ones, and none of them has a ratio.

    Args:
        checked: about so many pairs at each checkpoint are measured exactly at the smaller step sizes too, chosen at
            random from all, and kept in the run beside the estimates, to tell how good they are.
        seed: of that choice.
        engine: as in `Exact`. Gradients are computed in its layout.

    Raises:
        UsageError: ``checked`` is negative, or there is no such engine.
    """

    def exact_at(self, alphas: Sequence[float]) -> tuple[float, ...]:
        """Return the largest step size.

        Raises:
            UsageError: there is no other.
        """
        if len(alphas) < 2:
            raise UsageError(
                "The quadratic estimator measures the largest step size and estimates the smaller ones from it; "
                f"{alphas[0]:g} is the only one. Give --alpha at least twice, or take --estimator exact."
            )
        return (max(alphas),)

    def prepare(self, learner: Learner, params: Params, targets: Sequence[Episode]) -> CurvedTargets:
        """Compute every target's gradient at θ, and have an engine load the targets."""
        return CurvedTargets(learner, params, targets, self.engine)


class CurvedTargets(Tangents):
    """Targets whose losses are taken for parabolas along each ray.

    Args:
        learner: whose loss.
        params: θ.
        targets: the episodes.
        engine: which evaluates, and in whose layout gradients are computed.
    """

    def __init__(self, learner: Learner, params: Params, targets: Sequence[Episode], engine: str) -> None:
        super().__init__(learner, params, targets, engine)
        self._exact = Exact(engine).prepare(learner, params, targets)
        self.before = self._exact.before

    def after(self, displacements: Sequence[Params]) -> Iterator[Readings]:
        """Yield the exact readings of every target for one displacement after the other."""
        return self._exact.after(displacements)

    def each(self, cells: Sequence[tuple[int, Params]]) -> Readings:
        """Return the exact readings of one target after one displacement for each cell."""
        return self._exact.each(cells)

    def along(self, rays: Sequence[Ray]) -> Iterator[list[Readings]]:
        """Yield, ray by ray, the readings of every target after each displacement: exact after the largest.

        Yields:
            Those of the parabola after every other one, in the order of the ray.
        """
        ends = [ray.end for ray in rays]
        for ray, slope, last in zip(rays, self.first_order(ends), self.after(ends), strict=True):
            yield [last if share == 1 else self._between(share, slope, last.loss) for share in ray.shares]

    def _between(self, share: float, slope: Tensor, last: Tensor) -> Readings:
        """Return the parabola's losses at a share of a step; NaN where its end is no number, which leaves its shape open."""
        start = self.before.loss
        loss = start + share * slope + share**2 * (last - start - slope)
        unknown = torch.full_like(self.before.accuracy, torch.nan)
        return Readings(torch.where(last.isfinite(), loss, torch.nan), unknown)
