"""A t test for few values of one pair whose resampling noise may be skewed; all pairs of a table tell the shape together.

Of values with a long tail to the left, a few hold none of the tail more often than not: their mean is too high, their
spread too small, and a t test says too often that the mean lies above. Five values do not show their shape, those of
many pairs do. Each pair's sample skewness, which does not depend on the pair's spread, is put on the scale of the
gamma distribution, where exponential noise has 2; the mean over pairs gives the distribution under which the t
statistic is simulated. Where t says more than the simulation allows, the simulation is taken.

Nothing here is sure without assumptions (Bahadur & Savage, Annals of Mathematical Statistics 27, 1956): noise is taken to
have one shape in all pairs of a table, whatever its spread, and no more skewness than an exponential.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv, stdtr

from transference._streams import Stream

_Floats: TypeAlias = NDArray[np.float64]

MOST_SKEWED = 2.0
"""The skewness of an exponential. Beyond it the density of a gamma has no bound, and the tail of t another order."""

_STEP = 0.125
"""Skewness is rounded up to a multiple of this, so that few distributions are simulated."""

_DRAWS = 100_000

_SURE = 100
"""Simulated values of t that the furthest simulated tail holds; beyond it the tail keeps its ratio to Student's."""

_NODES = 20_000


def pair_skewness(logs: _Floats) -> _Floats:
    """Return each pair's skewness, on the scale where that of exponential noise has the mean 2.

    Args:
        logs: ``[n_replicates, n_sources, n_targets]``, NaN where there is none.

    Returns:
        ``[n_sources, n_targets]``; NaN with fewer than three values, or without spread.
    """
    n = np.isfinite(logs).sum(axis=0)
    left, spread = residuals(logs)
    with np.errstate(divide="ignore", invalid="ignore"):
        skewness = (left**3).sum(axis=0) / n / ((left**2).sum(axis=0) / n) ** 1.5
    skewness[(n < 3) | ~spread] = np.nan
    for count in np.unique(n[np.isfinite(skewness)]):
        skewness[n == count] *= MOST_SKEWED / _simulated(int(count), MOST_SKEWED).skewness
    return np.asarray(skewness)


def residuals(logs: _Floats) -> tuple[_Floats, NDArray[np.bool_]]:
    """Return what is left of each value without its pair's mean, 0 where there is none, and whether a pair's values differ at all.

    Args:
        logs: ``[n_replicates, n_sources, n_targets]``, NaN where there is none.
    """
    known = np.isfinite(logs)
    values = np.where(known, logs, 0.0)
    with np.errstate(invalid="ignore"):
        left = np.where(known, values - values.sum(axis=0) / known.sum(axis=0), 0.0)
    return left, np.abs(left).max(axis=0) > 1e-12 * np.abs(values).max(axis=0)  # not by rounding alone


def upper_tail(t: _Floats, n: int, skewness: float) -> _Floats:
    """Return p-values of t statistics of n values, against a mean that is not higher.

    Args:
        t: the statistics.
        n: values each is of.
        skewness: how far noise may be skewed to the left, between 0 and `MOST_SKEWED`.
    """
    student = np.asarray(stdtr(n - 1, -t))
    steps = int(np.ceil(skewness / _STEP - 1e-9))
    if steps <= 0:
        return student
    _, at, excess = _simulated(n, steps * _STEP)
    return np.asarray(np.minimum(1.0, student * np.exp(np.maximum(0.0, np.interp(t, at, excess)))))


class _Simulated(NamedTuple):
    """What gamma noise does to n values."""

    skewness: float
    """Mean of the sample skewness, for noise skewed to the right."""
    at: _Floats
    """Values of t, ascending, for noise skewed to the left."""
    excess: _Floats
    """Logarithm of how often t is larger than that, over how often Student's is."""


@lru_cache(maxsize=64)
def _simulated(n: int, skewness: float) -> _Simulated:
    """Simulate t statistics of n values whose noise is of a gamma distribution with this skewness."""
    shape = 4 / skewness**2
    # The name of a stream is part of its seed, and stays.
    uniform = Stream("skewed luck", n, round(skewness / _STEP)).uniform(0.0, 1.0, (n, _DRAWS))
    nodes = (np.arange(_NODES) + 0.5) / _NODES
    noise = np.interp(uniform, nodes, gammaincinv(shape, nodes)) - shape
    mean = noise.mean(axis=0)
    left = noise - mean
    squares = (left**2).sum(axis=0)
    t = np.sort(-mean / np.sqrt(squares / (n - 1) / n))
    larger = np.unique(np.geomspace(_SURE, _DRAWS / 2, 60).astype(np.int64))[::-1]
    at = t[_DRAWS - 1 - larger]
    excess = np.log(larger / _DRAWS / stdtr(n - 1, -at))
    return _Simulated(float(np.mean((left**3).mean(axis=0) / (squares / n) ** 1.5)), at, excess)
