"""What the loop asks of an estimator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from transference.episodes import Episode, Params
from transference.learners import Learner


@dataclass(frozen=True)
class Readings:
    """What is read off each target at one setting of the parameters.

    Attributes:
        loss: ``[n_targets]`` float64, in host memory.
        accuracy: ``[n_targets]`` float32, in host memory; NaN where the learner knows none.
    """

    loss: Tensor
    accuracy: Tensor


class Prepared(Protocol):
    """All that depends on no source."""

    @property
    def before(self) -> Readings:
        """The readings at θ."""


class Estimator(Protocol):
    """Answers, for any displacement, what the targets' losses are after it."""

    def prepare(self, learner: Learner, params: Params, targets: Sequence[Episode]) -> Prepared:
        """Do, once, all that depends on no source.

        Args:
            learner: whose loss is measured.
            params: θ.
            targets: the target episodes, on the same device and in the same precision as ``params``.

        Returns:
            The readings at θ, with whatever else this estimator keeps; only `after` looks inside.
        """

    def after(self, prepared: Any, displacement: Params) -> Readings:  # noqa: ANN401 - what its own `prepare` returned
        """Return the readings at ``θ + displacement``, one per target."""
