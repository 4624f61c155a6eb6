"""What the measurement asks of an estimator."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from transference import _trees
from transference.episodes import Episode, Params
from transference.errors import UsageError
from transference.learners import Learner

_STRAIGHT = 1e-5
"""Of its length: so far a displacement may lie beside a multiple of another, which is more than float32 rounds off."""


@dataclass(frozen=True)
class Readings:
    """What is read off each target at one setting of the parameters.

    Attributes:
        loss: ``[n_targets]`` float64, in host memory.
        accuracy: ``[n_targets]`` float32, in host memory; NaN where the learner knows none.
        margins: of each target by how much the logits of its queries exceed that of the label, ``[n_query, n_class]``
            float64, in host memory; None unless they were asked for.
    """

    loss: Tensor
    accuracy: Tensor
    margins: tuple[Tensor, ...] | None = None


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


@dataclass(frozen=True)
class Ray:
    """The steps of one source, multiples of one displacement.

    Attributes:
        alphas: the step sizes, at least one of them above 0.
        displacements: one for each, as the lookahead gives them.

    Raises:
        UsageError: they are no multiples of one displacement, each as long as its step size says.
    """

    alphas: tuple[float, ...]
    displacements: tuple[Params, ...]

    def __post_init__(self) -> None:
        longest = max(self.alphas)
        for alpha, share, displacement in zip(self.alphas, self.shares, self.displacements, strict=True):
            length, beside = share * self._length, _trees.norm(_difference(displacement, self.end, share))
            if beside > _STRAIGHT * length:  # not where a step is no number
                raise UsageError(
                    f"The steps of this lookahead are no multiples of one another (that of α = {alpha:g} should be "
                    f"{share:g} times that of {longest:g}, and lies {beside / length:.2g} of its length beside it), so the "
                    "loss after one tells nothing of the others. Take --estimator exact."
                )

    @property
    def end(self) -> Params:
        """The displacement of the largest step size."""
        return self.displacements[self.alphas.index(max(self.alphas))]

    @property
    def shares(self) -> tuple[float, ...]:
        """Each step size over the largest."""
        return tuple(alpha / max(self.alphas) for alpha in self.alphas)

    @cached_property
    def _length(self) -> float:
        return _trees.norm(self.end)


@runtime_checkable
class RayEstimator(Estimator, Protocol):
    """An estimator that evaluates some of the step sizes and has the others from these.

    It is asked for all steps of a source at once.
    """

    def exact_at(self, alphas: Sequence[float]) -> tuple[float, ...]:
        """Return those of the step sizes at which every loss is evaluated; at the others it is estimated.

        Raises:
            UsageError: it can do nothing with these.
        """

    def prepare(self, learner: Learner, params: Params, targets: Sequence[Episode]) -> PreparedRays:
        """Do, once, all that depends on no source."""


class PreparedRays(Prepared, Protocol):
    """What a `RayEstimator` prepares."""

    def along(self, rays: Sequence[Ray]) -> Iterable[Sequence[Readings]]:
        """Return, or yield, for each ray the readings of all targets after each of its displacements, in their order."""


def exact_at(estimator: Estimator, alphas: Sequence[float]) -> tuple[float, ...]:
    """Return the step sizes at which an estimator evaluates every loss.

    Raises:
        UsageError: it can do nothing with these.
    """
    if isinstance(estimator, RayEstimator):
        return estimator.exact_at(alphas)
    return () if estimator.sample else tuple(alphas)


def _difference(displacement: Params, other: Params, share: float) -> Params:
    """Return a displacement less a share of another; what has no entry in one of them does not move in it."""
    nothing = torch.zeros(())
    names = dict.fromkeys((*displacement, *other))
    return {name: displacement.get(name, nothing) - share * other.get(name, nothing) for name in names}


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
