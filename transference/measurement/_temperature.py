"""Losses at their best temperature.

The loss of a target at a temperature T is the mean cross-entropy of its queries' logits divided by T. The best
temperature is the one that all targets of a mode have together:

    T* = argmin_T  mean over the mode's targets of  L_j(T),    L_j(T) = mean over queries q of  log Σ_c exp(m_qc / T)

with the margins m of `read_margins`. In 1/T the loss is convex, so that its slope has one root at most, and that is
bracketed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import brentq
from torch import Tensor

from transference.errors import UsageError
from transference.estimators import Estimator, Exact
from transference.learners import Learner, check_offers_logits
from transference.spec import TEMPERATURES

_NOTHING = -1e300
"""Stands for the margin of a class that cannot be, whose logit is minus infinity: it has no part in any sum."""


@dataclass(frozen=True)
class Tempered:
    """What is read of targets at the best temperatures of their modes, ``[n_targets]`` float64 each.

    Attributes:
        temperature: of the target's mode; at an end of `TEMPERATURES` where the loss falls as far as that, NaN where it
            is not known.
        loss: of the target at it; NaN where its logits are not finite.
    """

    temperature: NDArray[np.float64]
    loss: NDArray[np.float64]

    @classmethod
    def unknown(cls, n_targets: int) -> Tempered:
        """Return it of targets of which nothing is known."""
        return cls(np.full(n_targets, np.nan), np.full(n_targets, np.nan))

    def at(self, place: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return temperature and loss of one target, ``[1]`` each."""
        return self.temperature[[place]], self.loss[[place]]

    @classmethod
    def of(cls, margins: Sequence[Tensor], per_mode: int) -> Tempered:
        """Return it of targets whose modes are whole.

        Args:
            margins: of each target, ``[n_query, n_class]``.
            per_mode: targets of a mode, which stand together.
        """
        modes = [_Mode.of(margins[start : start + per_mode]) for start in range(0, len(margins), per_mode)]
        best = [mode.best_temperature() for mode in modes]
        return cls(
            np.repeat(best, per_mode),
            np.concatenate([mode.losses(temperature) for mode, temperature in zip(modes, best, strict=True)]),
        )


@dataclass(frozen=True)
class _Mode:
    """The targets of a mode.

    Attributes:
        margins: of the queries of those that are known, ``[n_queries, n_class]``, without classes that none of them
            has.
        owner: the target of each of these, ``[n_queries]``.
        share: of each in the mean over targets, ``[n_queries]``.
        known: whether each target has a finite loss at every temperature, ``[n_targets]``.
    """

    margins: NDArray[np.float64]
    owner: NDArray[np.int64]
    share: NDArray[np.float64]
    known: NDArray[np.bool_]

    @classmethod
    def of(cls, margins: Sequence[Tensor]) -> _Mode:
        """Return the mode with these targets; one whose loss is infinite, or no number, is left out of its mean."""
        known = np.array([bool((one < torch.inf).all()) for one in margins])  # nor is NaN
        most = max(one.shape[1] for one in margins)
        rows = [
            np.pad(one.numpy().clip(min=_NOTHING), ((0, 0), (0, most - one.shape[1])), constant_values=_NOTHING)
            for one, finite in zip(margins, known, strict=True)
            if finite
        ]
        counts = [len(one) for one in rows]
        owner = np.repeat(np.flatnonzero(known), counts)
        share = np.repeat([1 / (n * len(rows)) for n in counts], counts)
        found = np.concatenate([np.empty((0, most)), *rows])
        return cls(found[:, (found > _NOTHING).any(axis=0)], owner, share, known)

    def best_temperature(self) -> float:
        """Return where the mean loss is least; an end of the range where it falls as far as that."""
        if not len(self.margins):
            return float("nan")
        low, high = TEMPERATURES
        if self._slope(1 / high) >= 0:  # logits that are all alike are at this end, too
            return high
        if self._slope(1 / low) <= 0:
            return low
        found = brentq(lambda log: self._slope(np.exp(log)), -np.log(high), -np.log(low), xtol=1e-13, rtol=1e-14)
        return float(np.exp(-found))

    def losses(self, temperature: float) -> NDArray[np.float64]:
        """Return the loss of each target at a temperature, ``[n_targets]``."""
        losses = np.full(len(self.known), np.nan)
        if len(self.margins):
            entropy, _ = self._at(1 / temperature)
            sums = np.bincount(self.owner, entropy * self.share * self.known.sum(), len(losses))
            losses[self.known] = sums[self.known]
        return losses

    def _slope(self, inverse: float) -> float:
        """Return the derivative of the mean loss with respect to the inverse temperature."""
        _, probability = self._at(inverse)
        return float((probability * self.margins).sum(axis=1) @ self.share)

    def _at(self, inverse: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the cross-entropy of each query at an inverse temperature, and the probabilities of its classes."""
        scaled = self.margins * inverse
        largest = scaled.argmax(axis=1)[:, None]
        most = np.take_along_axis(scaled, largest, axis=1)
        with np.errstate(under="ignore"):
            parts = np.exp(scaled - most)
        np.put_along_axis(parts, largest, 0.0, axis=1)
        rest = parts.sum(axis=1)  # beside the largest part, which is 1: so a small loss keeps its digits
        np.put_along_axis(parts, largest, 1.0, axis=1)
        return most[:, 0] + np.log1p(rest), parts / (1 + rest[:, None])


def tile_of_modes(tile: tuple[int, int], per_mode: int) -> tuple[int, int]:
    """Return a tile of whole target modes, of about as many targets as another, one mode at least."""
    return tile[0], max(1, tile[1] // per_mode) * per_mode


def check_can_temper(learner: Learner, estimator: Estimator, per_mode: int, tile: tuple[int, int], modes: int) -> None:
    """Make sure that losses can be read at their best temperature.

    Args:
        learner: must have logits.
        estimator: must evaluate losses.
        per_mode: targets of a mode.
        tile: sources and targets of a tile, which must hold all targets of its modes.
        modes: of targets.

    Raises:
        LearnerError: the learner has no logits.
        UsageError: the estimator or the tile does not do.
    """
    check_offers_logits(learner)
    if not isinstance(estimator, Exact):
        raise UsageError(
            f"Tempered losses were asked for with {type(estimator).__name__}, which estimates losses, not logits. "
            "Take --estimator exact."
        )
    if tile[1] % per_mode and tile[1] < per_mode * modes:
        raise UsageError(
            f"Tempered losses were asked for in tiles of {tile[1]} targets; a temperature is that of all {per_mode} "
            "targets of a mode. "
            f"Let a tile hold whole modes: --tile {tile[0]} {tile_of_modes(tile, per_mode)[1]}."
        )
