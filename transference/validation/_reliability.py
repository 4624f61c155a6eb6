"""The ceiling of a prediction: how well retrainings predict retrainings."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from transference.validation._outcomes import Outcomes

_MOST_SPLITS = 500


def ceiling(found: Outcomes) -> pd.DataFrame:
    """Return how well as many retrainings with other seeds would order the training sets as these do.

    The seeds are split into two halves in every way (of more than 12 in 500 ways), and the mean outcomes of the halves are correlated by
    rank. The mean of these correlations, ``split_half``, is what one half of the retrainings tells of the other; ``ceiling`` is what it
    becomes for all of them by the formula of Spearman and Brown (both: British J. of Psychology 3, 1910), for halves of unequal size by
    the same model, in which every seed adds noise of one variance. A predictor that knew the expected outcome itself would reach the root
    of it, ``best``. A predictor that shares a seed's start or tasks with the trainings may pass either.

    Args:
        found: what retraining gave.

    Returns:
        One row per target, and the ``mean``: ``target``, ``n`` training sets, ``seeds``, ``split_half``, ``ceiling``, ``best``. NaN with
        one seed. Of the mean ``n`` is the smallest of its targets'. A correlation below 0 stays what it is, and has no ``best``.
    """
    rows = []
    for target, name in enumerate(found.targets):
        values = found.values[found.known[:, target], :, target]
        half, whole = split_half(values), of_sets(values)
        rows.append(
            {
                "target": name,
                "n": len(values),
                "seeds": len(found.seeds),
                "split_half": half,
                "ceiling": whole,
                "best": _root(whole),
            }
        )
    table = pd.DataFrame(rows)
    means = {name: table[name].mean() for name in ("split_half", "ceiling", "best")}
    last = {"target": "mean", "n": int(table["n"].min()), "seeds": len(found.seeds), **means}
    return pd.concat([table, pd.DataFrame([last])], ignore_index=True)


def of_sets(values: NDArray[np.float64]) -> float:
    """Return the ceiling of outcomes ``[n_sets, n_seeds]``."""
    n_seeds = values.shape[1]
    half = split_half(values)
    if not half > 0:  # NaN too
        return half
    k, m = n_seeds // 2, n_seeds - n_seeds // 2
    # In the model half² = 1 / ((1 + v/k) (1 + v/m)) with v the noise of one seed over the signal; solved for v.
    b, c = 1 / k + 1 / m, 1 - 1 / min(half, 1.0) ** 2
    v = (-b + np.sqrt(b * b - 4 * c / (k * m))) * k * m / 2
    return float(1 / (1 + v / n_seeds))


def split_half(values: NDArray[np.float64]) -> float:
    """Return the mean rank correlation of two halves of the seeds, of outcomes ``[n_sets, n_seeds]``; NaN where there is none."""
    if values.shape[1] < 2 or values.shape[0] < 3:
        return float("nan")
    found = [
        _correlation(values[:, one].mean(axis=1), values[:, other].mean(axis=1))
        for one, other in _splits(values.shape[1])
    ]
    return float(np.mean(found))


def _splits(n: int) -> Iterator[tuple[list[int], list[int]]]:
    """Yield the ways to split seeds into halves, or some of them that are drawn with a fixed seed."""
    k, everyone = n // 2, range(n)
    if n <= 12:
        for one in combinations(everyone, k):
            if 2 * k < n or 0 in one:  # else the other half comes too
                yield list(one), [place for place in everyone if place not in one]
        return
    rng = np.random.default_rng(0)
    for _ in range(_MOST_SPLITS):
        order = rng.permutation(n).tolist()
        yield order[:k], order[k:]


def _correlation(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    ranks = [rankdata(values) for values in (x, y)]
    if any(np.ptp(one) == 0 for one in ranks):
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])


def _root(value: float) -> float:
    return float(np.sqrt(value)) if value >= 0 else float("nan")
