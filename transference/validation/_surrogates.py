"""A table of rows as a prior that a few retrainings correct.

A surrogate is a linear model of a target's outcome in what was trained on, fitted to retrainings on random subsets (Li, Nguyen & Zhang,
"Identification of Negative Transfers in Multitask Learning Using Surrogate Models", TMLR 2023, arXiv 2303.14582; with a kernel: "Efficient
Estimation of Kernel Surrogate Models for Task Attribution", ICLR 2026, arXiv 2602.03783). Here a table of rows may say beforehand what it
will look like. For one target, with the shares X ``[n, n_modes]`` of the retrained sets, their outcomes y, and the table's column r:

    y = X v + noise,   noise ~ N(0, s² I),   v ~ N(a + b r, t² I),   a and b unknown, b not below 0.

So v is what each mode is worth to the target. With λ = s²/t² and K = X Xᵀ + λ I, the outcomes have the covariance t² K around a + b p,
where p = X r is what the rows predict: a and b are told by generalised least squares, and v has, given these, the posterior mean

    v = a + b r + Xᵀ K⁻¹ (y - a - b p).

A large λ leaves the scaled rows as they are, a small one believes the retrainings. Without rows, b is 0. λ is the one that predicts each
retrained set best from the others, a and b fitted anew, by the closed form of Dubrule (Mathematical Geology 15, 1983): with
P = K⁻¹ - K⁻¹H (HᵀK⁻¹H)⁻¹ HᵀK⁻¹ and H = [1, p], the error at set i is (P y)ᵢ / Pᵢᵢ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from transference.errors import DataError, UsageError
from transference.validation._outcomes import Outcomes
from transference.validation._predictors import mean_of_rows
from transference.validation._resampling import Floats

_RIDGES = np.geomspace(1e4, 1e-4, 17)
"""The λ to choose from, the strongest first. Shares have no unit, and λ is a ratio of variances: so it has none."""

_NOTHING = 1e-9
"""What is nothing beside 1 but for rounding."""


@dataclass(frozen=True)
class Surrogate:
    """A predictor that was fitted to retrainings: the mean of its rows, weighted by the shares of a training set.

    Attributes:
        rows: what each mode is worth to each target, in the outcome's unit: a row for each mode, a column for each target.
        fits: a row for each target: ``target``, ``n`` retrained sets, ``scale`` of the rows that were given (b; 0 where they were not
            used), ``ridge`` (λ), and ``error``, the root of the mean squared error at a retrained set that was left out; NaN where the
            others tell too little.
    """

    rows: pd.DataFrame
    fits: pd.DataFrame

    def __call__(self, shares: Mapping[str, float], target: str) -> float:
        """Predict the outcome of a training set.

        Raises:
            UsageError: it has a mode, or the target is one, of which the retrainings knew nothing.
        """
        return mean_of_rows(self.rows)(shares, target)


def surrogate(retrained: Outcomes, rows: pd.DataFrame | None = None) -> Surrogate:
    """Return the predictor that corrects a table of rows by the outcomes of a few retrained sets.

    For each target the outcome, averaged over seeds, is regressed on the shares of the sets by ridge regression, shrunk towards a + b times
    what the rows predict. a, b and the strength of the ridge are told by the same outcomes (the derivation stands on top of this file);
    nothing is drawn at random. The rows are not used for a target (b is 0) where they say the same of all retrained sets, or the
    opposite of what retraining gave. With two sets and rows, nothing is left to choose the ridge by, and the strongest is taken.

    Args:
        retrained: outcomes of the sets to learn from. A target is learnt from those that have an outcome for it.
        rows: a row for each source mode, a column for each target, by name; the smaller the better, as `mean_of_rows` takes it, in any
            unit. None for a surrogate that knows nothing beforehand.

    Raises:
        UsageError: the rows lack a mode or a target, or fewer than two sets have an outcome for one of the targets.
        DataError: the rows have a mode or target twice, or something that is no finite number.
    """
    given = None if rows is None else _checked(rows, retrained)
    fits, columns = [], {}
    for place, (target, known) in enumerate(zip(retrained.targets, retrained.known.T, strict=True)):
        if known.sum() < 2:
            raise UsageError(
                f"A surrogate was asked for from {known.sum()} retrained sets with an outcome for {target}; give at least 2."
            )
        values = retrained.values[known, :, place].mean(axis=1)
        columns[target], about = _fitted(retrained.shares[known], values, None if given is None else given[:, place])
        fits.append({"target": target, "n": int(known.sum()), **about})
    return Surrogate(pd.DataFrame(columns, index=list(retrained.modes)), pd.DataFrame(fits))


def _checked(rows: pd.DataFrame, retrained: Outcomes) -> Floats:
    """Return the rows as numbers, ``[n_modes, n_targets]``.

    Raises:
        UsageError: they lack a mode or a target.
        DataError: they are no table of numbers, one for each of them.
    """
    modes, targets = list(retrained.modes), list(retrained.targets)
    lacking = [*(mode for mode in modes if mode not in rows.index), *(one for one in targets if one not in rows)]
    if lacking:
        raise UsageError(
            f"The rows have no {', '.join(lacking)}; give a row for every mode and a column for every target."
        )
    table = rows.loc[rows.index.isin(modes), rows.columns.isin(targets)]
    if not (table.index.is_unique and table.columns.is_unique):
        raise DataError(
            "The rows have a mode or a target twice; give one row for every mode, one column for every target."
        )
    found: Floats = table.loc[modes, targets].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float)
    if len(wrong := np.argwhere(~np.isfinite(found))):
        mode, target = modes[wrong[0][0]], targets[wrong[0][1]]
        raise DataError(f"The rows have no finite number for mode {mode} and target {target}; give one for each.")
    return found


def _fitted(shares: Floats, values: Floats, given: Floats | None) -> tuple[Floats, dict[str, float]]:
    """Return what each mode is worth to one target, ``[n_modes]``, and how that was found.

    Args:
        shares: of the retrained sets, ``[n, n_modes]``.
        values: their outcomes, ``[n]``.
        given: the column of the rows, ``[n_modes]``.
    """
    eigenvalues, vectors = np.linalg.eigh(shares @ shares.T)
    inverses = (vectors / (eigenvalues + _RIDGES[:, None])[:, None]) @ vectors.T  # K⁻¹ of each ridge
    even = np.ones((len(values), 1))
    means, residuals, errors = _told(inverses, even, values)
    worth, scales = means + residuals @ shares, np.zeros(len(_RIDGES))
    if given is not None:
        unit = float(np.ptp(given)) or 1.0  # or rows of small numbers would be lost beside the constant
        rows = (given - given.mean()) / unit
        said = shares @ rows
        if np.ptp(said) > _NOTHING:
            both, left, errors_of_both = _told(inverses, np.column_stack([even, said]), values)
            used = both[:, 1] > 0
            worth = np.where(used[:, None], both[:, :1] + both[:, 1:] * rows + left @ shares, worth)
            errors, scales = np.where(used, errors_of_both, errors), np.where(used, both[:, 1] / unit, scales)
    best = int(np.argmax(errors <= errors.min() * (1 + _NOTHING)))  # of equals the strongest
    error = float(np.sqrt(errors[best])) if np.isfinite(errors[best]) else float("nan")
    return worth[best], {"scale": float(scales[best]), "ridge": float(_RIDGES[best]), "error": error}


def _told(inverses: Floats, design: Floats, values: Floats) -> tuple[Floats, Floats, Floats]:
    """Return generalised least squares for each ridge.

    Args:
        inverses: K⁻¹, ``[n_ridges, n, n]``.
        design: what the mean is made of, ``[n, k]``.
        values: outcomes, ``[n]``.

    Returns:
        The coefficients of the mean, ``[n_ridges, k]``; K⁻¹ times what they leave, ``[n_ridges, n]``; and the mean squared error at a set
        that was left out, ``[n_ridges]``, infinite where the others never tell it.
    """
    weighted = inverses @ design
    coefficients = np.linalg.solve(design.T @ weighted, np.swapaxes(weighted, 1, 2))  # as a function of the outcomes
    left = inverses - weighted @ coefficients  # P
    residuals = left @ values
    own, whole = np.diagonal(left, axis1=1, axis2=2), np.diagonal(inverses, axis1=1, axis2=2)
    told = own > _NOTHING * whole  # else the mean cannot be fitted without this set
    squares = np.where(told, residuals / np.where(told, own, 1.0), 0.0) ** 2
    number = told.sum(axis=1)
    errors = np.where(number, squares.sum(axis=1) / np.maximum(number, 1), np.inf)
    return coefficients @ values, residuals, errors
