"""What the loop asks of an estimator."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable

from torch import Tensor

from transference import _trees
from transference.engines import Trial
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


@runtime_checkable
class SettlingEstimator(Protocol):
    """Optional: an estimator with a setting ``"auto"``, which a short trial decides when a run begins."""

    def settle(self, learner: Learner, params: Params, targets: Sequence[Episode], n_pairs: int) -> tuple[Estimator, Trial | None]:
        """Return the estimator without any ``"auto"``, and the trial that decided.

        Args:
            learner: the learner.
            params: θ, where the pairs will be computed.
            targets: some targets.
            n_pairs: how many pairs there are to compute.
        """


@runtime_checkable
class LinearEstimator(Protocol):
    """Optional: an estimator that reads many displacements at the price of a few."""

    def afters(self, prepared: Any, displacements: Sequence[Params]) -> list[Readings]:  # noqa: ANN401 - what its own `prepare` returned
        """Return what `after` would return for each."""


@runtime_checkable
class CheckedEstimator(Protocol):
    """Optional: an estimator that is not exact. Each target's transference to itself, and some pairs, are measured exactly too."""

    @property
    def exact(self) -> Estimator:
        """How."""

    @property
    def checked(self) -> int:
        """Pairs at each checkpoint, to tell how good the others are."""


def as_begun(estimator: Estimator, begun: Mapping[str, Any]) -> Estimator:
    """Return the estimator with the settings of a run that was begun, where its own are ``"auto"``."""
    found = {name: begun[name] for name, value in _trees.settings(estimator).items() if value == "auto" and name in begun}
    same: Estimator = dataclasses.replace(cast(Any, estimator), **found) if found else estimator
    return same


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
