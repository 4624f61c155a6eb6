"""What the loop asks of an estimator."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray
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

    def gradient(self, prepared: Any, target: int) -> Params:  # noqa: ANN401 - likewise
        """Return the gradient of one target's loss at θ, given by its number among those prepared.

        A parameter that the loss does not depend on may have zeros: however it moves, the target's own loss stays as it is.
        """


@runtime_checkable
class ApieceEstimator(Protocol):
    """Optional: an estimator that reads a single target at the price of one."""

    def each(self, prepared: Any, cells: Sequence[tuple[int, Params]]) -> Readings:  # noqa: ANN401 - what its own `prepare` returned
        """Return the reading of one target after one displacement for each of several, given as number and displacement."""


@runtime_checkable
class SampledEstimator(Protocol):
    """Optional: an estimator that is not exact.

    Each target's transference to itself, and a random sample of pairs, are measured exactly too; the sample is the same at every checkpoint
    and step size.
    """

    @property
    def exact(self) -> Estimator:
        """How."""

    @property
    def seed(self) -> int:
        """Of the sample."""

    def shares(self, cells: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the share of the pairs of each mode pair that are measured exactly.

        Args:
            cells: pairs of each, ``[n_source_modes, n_target_modes]``.
        """


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
