"""What says of a training set how a target will do: the trivial predictors, and rows of a matrix."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from transference.errors import DataError, UsageError
from transference.validation._outcomes import Outcomes

Said: TypeAlias = Callable[[Mapping[str, float], str], float]
Predictor: TypeAlias = Said | pd.DataFrame
"""A function of a training set, as the share of each mode that has one, and of a target; or a table of its values, with a row for each
training set and a column for each target, by name. The smaller a prediction, the better."""


def own_share(shares: Mapping[str, float], target: str) -> float:
    """Predict that a target does the better the larger its own mode's share is."""
    return -shares.get(target, 0.0)


def size(shares: Mapping[str, float], target: str) -> float:
    """Predict that all targets do the better the more modes are trained on."""
    del target
    return -float(len(shares))


def mean_of_rows(rows: pd.DataFrame) -> Said:
    """Return the predictor that averages what single modes do to a target, weighted by the modes' shares.

    Args:
        rows: a row for each source mode, a column for each target, by name; the smaller the better, such as mean log ratios.

    Raises:
        UsageError: when it is asked of a mode or target that the rows lack.
    """

    def predict(shares: Mapping[str, float], target: str) -> float:
        lacking = [*(mode for mode in shares if mode not in rows.index), *([target] if target not in rows else [])]
        if lacking:
            raise UsageError(
                f"The rows have no {', '.join(lacking)}; give a row for every mode and a column for every target."
            )
        column = rows[target].astype(float)
        return float(sum(share * column[mode] for mode, share in shares.items()))

    return predict


def predictions(predictor: Predictor, found: Outcomes, name: str) -> NDArray[np.float64]:
    """Return what a predictor says, ``[n_sets, n_targets]``; NaN where it says nothing finite.

    Args:
        predictor: a function or a table.
        found: the training sets and targets.
        name: of the predictor, for messages.

    Raises:
        DataError: a table lacks a training set or a target.
    """
    if isinstance(predictor, pd.DataFrame):
        lacking = [one for one in found.sets if one not in predictor.index]
        lacking += [one for one in found.targets if one not in predictor]
        if lacking or not predictor.index.is_unique:
            told = f"no {lacking[0]}" if lacking else "a training set twice"
            raise DataError(
                f"The predictor {name} has {told}; give a row for every training set and a column for every target."
            )
        values = predictor.loc[list(found.sets), list(found.targets)].to_numpy(dtype=float)
    else:
        sets = [
            {mode: float(share) for mode, share in zip(found.modes, row, strict=True) if share > 0}
            for row in found.shares
        ]
        values = np.array([[float(predictor(one, target)) for target in found.targets] for one in sets])
    return np.where(np.isfinite(values), values, np.nan)
