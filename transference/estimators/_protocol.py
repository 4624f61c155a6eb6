"""What the measurement asks of an estimator."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from transference.episodes import Episode, Params
from transference.errors import UsageError
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
    """Some targets at θ, with all that depends on no source: what answers for any displacement."""

    @property
    def before(self) -> Readings:
        """The readings at θ."""

    def after(self, displacements: Sequence[Params]) -> Iterable[Readings]:
        """Return, or yield, the readings of all targets at ``θ + d`` for each displacement d, in their order."""

    def each(self, cells: Sequence[tuple[int, Params]]) -> Readings:
        """Return the readings ``[n_cells]`` of one target after one displacement for each cell.

        Args:
            cells: number of the target among those prepared, and displacement.
        """

    def first_order(self, displacements: Sequence[Params]) -> Tensor:
        """Return the first-order part of each change, ``⟨∇L_j(θ), d⟩``.

        Returns:
            ``[n_displacements, n_targets]`` float64, in host memory; NaN where memory does not allow it.
        """

    def gradient(self, target: int) -> Params | None:
        """Return ``∇L_j(θ)`` of one of the targets, None where memory does not allow it.

        The target is its own source once in every run, and this spares computing the gradient twice. A parameter that the loss does not
        depend on may have zeros: however it moves, the target's own loss stays as it is.
        """


class Estimator(Protocol):
    """Answers, for any displacement, what the targets' losses are after it.

    Ours are frozen dataclasses, so that a run's spec can name all their settings.
    """

    @property
    def engine(self) -> str:
        """How losses are evaluated and gradients computed, by name (``transference.engines``).

        ``"auto"`` is decided by a short trial when a run begins; ``dataclasses.replace`` must then be able to set it.
        """

    @property
    def sample(self) -> ExactSample | None:
        """Which pairs are measured exactly beside the estimates; None of an estimator that is exact itself."""

    def prepare(self, learner: Learner, params: Params, targets: Sequence[Episode]) -> Prepared:
        """Do, once, all that depends on no source.

        Args:
            learner: whose loss is measured.
            params: θ.
            targets: the target episodes, on the same device and in the same precision as ``params``.
        """


def with_engine(estimator: Estimator, engine: str) -> Estimator:
    """Return the estimator with another engine.

    Raises:
        UsageError: it is no dataclass with a field of this name.
    """
    try:
        return cast("Estimator", replace(cast("Any", estimator), engine=engine))
    except (TypeError, ValueError) as error:
        name = type(estimator).__name__
        raise UsageError(
            f"The engine of {name} cannot be set ({error}); make it a dataclass, or name an engine instead of auto."
        ) from error


@dataclass(frozen=True)
class ExactSample:
    """What is measured exactly beside estimates: each target's transference to itself, the controls, and a random sample of the pairs.

    The sample is the same at every checkpoint and step size.

    Attributes:
        exact: how.
        shares: from the number of pairs of each mode pair, ``[n_source_modes, n_target_modes]``, the share of them that is measured.
        seed: of the choice.
        calibrates: whether means and shares are corrected by it; it then needs some pairs of every mode pair.
        half_width: measure more, until the 95 % intervals of a calibrated mean and of calibrated shares are no wider to either side.
    """

    exact: Estimator
    shares: Callable[[NDArray[np.int64]], NDArray[np.float64]]
    seed: int = 0
    calibrates: bool = False
    half_width: float | None = None
