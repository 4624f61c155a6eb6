"""Targets to first order: their losses and gradients at θ."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from transference.devices import out_of_memory, undisturbed
from transference.engines import GradientRows, find_engine
from transference.episodes import Episode, Params
from transference.estimators._protocol import Readings
from transference.learners import Learner

_AT_ONCE = 16
"""Targets whose images are in memory together."""


class Tangents:
    """The targets at θ: readings, and the gradient of each loss, computed at once.

    A few targets are looked at together; all their images need not be in memory.

    Args:
        learner: whose loss.
        params: θ.
        targets: the episodes.
        engine: in whose layout gradients are computed.
    """

    @undisturbed()
    def __init__(self, learner: Learner, params: Params, targets: Sequence[Episode], engine: str) -> None:
        self._gradients = GradientRows(len(targets), params)
        scores: list[tuple[float, float]] = []
        for start in range(0, len(targets), _AT_ONCE):
            for score, gradient in find_engine(engine).gradients(
                learner, params, targets[start : start + _AT_ONCE], list(params)
            ):
                self._gradients[len(scores)] = gradient
                scores.append(score)
        loss, accuracy = torch.tensor(scores, dtype=torch.float64).unbind(1)
        self.before = Readings(loss, accuracy.float())

    @undisturbed()
    def first_order(self, displacements: Sequence[Params]) -> Tensor:
        """Return ``⟨∇L_j(θ), d⟩``, ``[n_displacements, n_targets]`` float64, summed in float64."""
        return self._gradients.products(displacements).cpu()

    def gradient(self, target: int) -> Params:
        """Return the gradient of one target's loss, with zeros for a parameter that it does not depend on."""
        return self._gradients[target]


class TangentsOnDemand:
    """The same, once somebody asks; without them where memory runs out.

    Args:
        learner: whose loss.
        params: θ.
        targets: the episodes.
        engine: in whose layout gradients are computed.
    """

    def __init__(self, learner: Learner, params: Params, targets: Sequence[Episode], engine: str) -> None:
        self.learner, self.params, self.targets, self.engine = learner, params, targets, engine

    def first_order(self, displacements: Sequence[Params]) -> Tensor:
        """Return ``⟨∇L_j(θ), d⟩``, ``[n_displacements, n_targets]`` float64; NaN where memory ran out."""
        if self._tangents is None:
            return torch.full((len(displacements), len(self.targets)), torch.nan, dtype=torch.float64)
        return self._tangents.first_order(displacements)

    def gradient(self, target: int) -> Params | None:
        """Return the gradient of one target's loss, None where memory ran out."""
        return None if self._tangents is None else self._tangents.gradient(target)

    @cached_property
    def _tangents(self) -> Tangents | None:
        try:
            return Tangents(self.learner, self.params, self.targets, self.engine)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            return None
