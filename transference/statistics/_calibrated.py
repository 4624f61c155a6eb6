"""Means and shares of all pairs from an estimate of every pair and the exact ratio of a random sample of them.

The exact values are regressed on what the estimates say of the same pairs, and the fit is read where the mean of all estimates lies: a bad
estimate costs width, never validity. This is the regression estimator of survey sampling (Cochran, Sampling Techniques, 1977, chapter 7),
which prediction-powered inference found again (Angelopoulos et al., Science 382, 2023; with a fitted slope, PPI++, arXiv 2311.01453). The
variance is HC3 (MacKinnon & White, J. Econometrics 29, 1985), since curvature grows with the step, times the
finite-population correction: what all pairs measured exactly would give is known without error.

The intervals are for the table, of which a part was measured; how much another draw of tasks would change it is another question.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from transference.blocks import Block, Strips
from transference.statistics._band import NEUTRAL_BAND
from transference.statistics._summary import CLASSES, GROUP, classify

_Floats = NDArray[np.float64]

QUANTITIES = ("mean_log", *CLASSES)

_PART = 100_000
"""Estimates looked at together."""


def calibrate(
    blocks: Iterable[Block | Strips],
    exact: pd.DataFrame,
    *,
    band: tuple[float, float] = NEUTRAL_BAND,
    level: float = 0.95,
) -> pd.DataFrame:
    """Estimate what a table of exact ratios would say, from a table of estimates and a random sample of exact ones.

    Args:
        blocks: what ``Run.blocks()`` or ``Run.tables()`` returns, of estimates.
        exact: the table that ``Run.exact_pairs()`` returns, chosen at random within each mode pair.
        band: the neutral band ``[low, high)``.
        level: of the intervals.

    Returns:
        One row per checkpoint, step size, source mode and target mode: ``n`` pairs, ``n_exact`` of them exact, ``exact_failed`` measured
        exactly too without a ratio to show for it (left out: what follows is of pairs that have one), ``geometric_mean`` of the ratios and
        the shares ``positive``, ``neutral``, ``negative``, each with the ends ``_low`` and ``_high`` of its interval. NaN where fewer than
        six pairs are exact. An estimate at or below 0 is no ratio, and tells all the same.

    Raises:
        UsageError: the band is empty or does not hold 1.
    """
    sound = exact[(exact["status"] == "ok") & (exact["loss_ratio"] > 0) & np.isfinite(exact["estimate"])]
    samples = dict(iter(sound.groupby(list(GROUP), observed=True)))
    measured = exact.groupby(list(GROUP), observed=True).size()
    rows = []
    for block in blocks:
        key = tuple(getattr(block, name) for name in GROUP)
        sample = samples.get(key, sound.iloc[:0])
        n_pairs = block.shape[0] * block.shape[1]
        row = {**dict(zip(GROUP, key, strict=True)), "n": n_pairs, "n_exact": len(sample)}
        row["exact_failed"] = int(measured.get(key, 0)) - len(sample)
        there = (sample[name].to_numpy(dtype=np.float64) for name in ("loss_ratio", "estimate"))
        found = _estimates(next(there), next(there) - 1, partial(_first_order, block), n_pairs, band, level)
        for name, (value, half_width) in zip(QUANTITIES, found, strict=True):
            ends = np.array([value, value - half_width, value + half_width])
            shown = np.exp(ends) if name == "mean_log" else np.clip(ends, 0.0, 1.0)
            column = "geometric_mean" if name == "mean_log" else name
            row |= dict(zip((column, f"{column}_low", f"{column}_high"), shown.tolist(), strict=True))
        rows.append(row)
    return pd.DataFrame(rows)


def widest(
    exact: _Floats, estimates: _Floats, n_pairs: int, *, band: tuple[float, float] = NEUTRAL_BAND, level: float = 0.95
) -> float:
    """Return the largest half-width of a mode pair's intervals: of the mean log ratio and of the three shares.

    Args:
        exact: ratios of the sample, ``[n]``.
        estimates: what the estimates say of the same pairs, ``[n]``.
        n_pairs: all pairs of the mode pair.
        band: the neutral band ``[low, high)``.
        level: of the intervals.

    Returns:
        The half-width; infinite where there are too few pairs to tell.
    """
    read = lambda: [estimates - 1]
    widths = [half_width for _, half_width in _estimates(exact, estimates - 1, read, n_pairs, band, level)]
    return np.inf if np.isnan(widths).any() else max(widths)


def _first_order(block: Block | Strips) -> Iterator[_Floats]:
    """Yield the first-order parts that there are, some at a time: an estimate is 1 more."""
    for _, _, (change,) in block.strips("change"):
        known = change[np.isfinite(change)] - 1
        yield from (known[start : start + _PART] for start in range(0, len(known), _PART))


def _estimates(
    exact: _Floats,
    first_order: _Floats,
    all_first_order: Callable[[], Iterable[_Floats]],
    n_pairs: int,
    band: tuple[float, float],
    level: float,
) -> Iterator[tuple[float, float]]:
    """Yield value and half-width of each of `QUANTITIES`."""
    with np.errstate(divide="ignore"):
        log_ratio = np.log(exact)
    if len(exact) < 6 or not np.isfinite(log_ratio).all():
        yield from [(np.nan, np.nan)] * len(QUANTITIES)
        return
    curved: Callable[[_Floats], _Floats] = lambda s: np.column_stack([s, s**2])  # curvature is of second order
    expected = _shares_expected(log_ratio, first_order, band)
    n, powers, everywhere = 0, np.zeros(2), np.zeros((len(CLASSES), 2))
    for part in all_first_order():
        n += len(part)
        powers += curved(part).sum(axis=0)
        everywhere += [features.sum(axis=0) for features in expected(part)]
    everywhere /= n
    yield _regression_estimate(log_ratio, curved(first_order), powers / n, n_pairs, level)
    classes = classify(exact, band)
    for k, (name, here) in enumerate(zip(CLASSES, expected(first_order), strict=True)):
        yield _regression_estimate((classes == name).astype(float), here, everywhere[k], n_pairs, level, unseen=2.0)


def _shares_expected(
    log_ratio: _Floats, first_order: _Floats, band: tuple[float, float]
) -> Callable[[_Floats], list[_Floats]]:
    """Return what tells, for estimates, the probability of each class and whether it is named, ``[n, 2]`` for each class."""
    design = np.column_stack([np.ones_like(first_order), first_order])
    coefficients = np.linalg.lstsq(design, log_ratio, rcond=None)[0]
    spread = max(float((log_ratio - design @ coefficients).std(ddof=2)), 1e-12)
    low, high = np.log(band)

    def expected(s: _Floats) -> list[_Floats]:
        centre = coefficients[0] + coefficients[1] * s
        below = [ndtr((edge - centre) / spread) for edge in (low, high)]
        probability = {"positive": below[0], "neutral": below[1] - below[0], "negative": 1 - below[1]}
        named = {"positive": 1 + s < band[0], "negative": 1 + s >= band[1]}
        named["neutral"] = ~(named["positive"] | named["negative"])
        return [np.column_stack([probability[name], named[name]]) for name in CLASSES]

    return expected


def _regression_estimate(
    values: _Floats, features: _Floats, at: _Floats, n_pairs: int, level: float, unseen: float = 0.0
) -> tuple[float, float]:
    """Return the regression estimate of a mean: values regressed on features, and the fit at their means.

    Args:
        values: of the sample, ``[n]``.
        features: of the sample, ``[n, k]``, the most telling first; the last are dropped if the fit hangs on a single pair.
        at: the features' means over all pairs, ``[k]``.
        n_pairs: how many pairs there are.
        level: of the interval.
        unseen: sum of squared residuals to add: of a rare class the sample may hold no surprise, though the table holds some.

    Returns:
        The fit at ``at``, and its half-width.
    """
    n = len(values)
    design, point = np.column_stack([np.ones(n), features]), np.concatenate([[1.0], at])
    inverse = np.linalg.pinv(design.T @ design, hermitian=True)
    leverage = np.einsum("ij,jk,ik->i", design, inverse, design)
    if leverage.max() > 0.5 and features.shape[1]:
        return _regression_estimate(values, features[:, :-1], at[:-1], n_pairs, level, unseen)
    coefficients = inverse @ (design.T @ values)
    weights = design @ (inverse @ point)
    # HC3: the estimate is Σ w_i y_i with the weights w; its variance Σ w_i² e_i², the residuals e as if i had been left out.
    residuals = (values - design @ coefficients) / (1 - leverage)
    variance = (float(np.sum((weights * residuals) ** 2)) + unseen / n**2) * (1 - n / n_pairs)
    return float(point @ coefficients), float(stdtrit(n - design.shape[1], (1 + level) / 2) * np.sqrt(variance))
