"""What a prediction is worth where something is chosen by it: does adding a mode hurt, and which training set is best?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from transference.errors import UsageError
from transference.validation._lds import DRAWS, MEAN
from transference.validation._outcomes import Outcomes
from transference.validation._predictors import Predictor, predictions
from transference.validation._resampling import Floats

_EQUAL = 1e-9
"""By which shares of modes may differ that are called equal."""


def harms(
    found: Outcomes, predictors: Mapping[str, Predictor], *, level: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> pd.DataFrame:
    """Return how well predictors tell whether adding a mode to a training set hurts a target.

    Looked at are all pairs of training sets S and S + i among those in which all modes have equal shares. Adding i hurts where the outcome
    of S + i, averaged over seeds, is worse; a predictor says it by the difference of its two predictions. The area under the ROC curve is
    the share of pairs of one that hurts and one that does not which the predictor puts in the right order, ties half: .5 is chance.

    The interval has the percentiles of a bootstrap that draws training sets, each with all pairs that it is in, and seeds anew. It counts
    the chance of single trainings more than once, and is rather too wide. With one seed it is about other training sets alone.

    Args:
        found: what retraining gave.
        predictors: by name.
        level: of the intervals.
        draws: of the bootstrap.
        seed: of the draws.

    Returns:
        One row per predictor and target, and of their mean: ``predictor``, ``target``, ``pairs`` of sets that both have an outcome,
        ``hurt`` (their share), ``auc``, ``low``, ``high``, ``note``. Of the mean ``pairs`` is the smallest of its targets'.

    Raises:
        UsageError: there are no such pairs.
    """
    smaller, larger = _pairs(found)
    told = found.known[smaller] & found.known[larger]
    if not told.any():
        raise UsageError(
            "No training set is another one with a mode added, with equal shares; train on subsets of the modes."
        )
    counts, values = _drawn(found, draws, seed, sets=True)
    weights = counts[:, smaller] * counts[:, larger]
    rows: list[dict[str, Any]] = []
    changes = values[:, larger] - values[:, smaller]
    pairs = told.sum(axis=0)
    hurt = (changes[0] > 0).sum(axis=0) / np.where(pairs, pairs, np.nan)
    for name, predictor in predictors.items():
        said = predictions(predictor, found, name)
        scores = np.where(told, said[larger] - said[smaller], np.nan)
        areas = np.stack(
            [_area(scores[:, target], changes[:, :, target] > 0, weights) for target in range(len(found.targets))],
            axis=1,
        )
        for target, of in enumerate(found.targets):
            rows.append(
                {
                    "predictor": name,
                    "target": of,
                    "pairs": int(pairs[target]),
                    "hurt": hurt[target],
                    **_told(areas[:, target], level),
                }
            )
        known = areas[:, np.isfinite(areas[0])]
        rows.append(
            {
                "predictor": name,
                "target": MEAN,
                "pairs": int(pairs[pairs > 0].min()),
                "hurt": hurt[pairs > 0].mean(),
                **_told(_mean(known), level),
            }
        )
    table = pd.DataFrame(rows).rename(columns={"value": "auc"})
    return table.assign(note=np.where(table["auc"].isna(), "all pairs hurt, or none, or no prediction", ""))


def regrets(
    found: Outcomes, predictors: Mapping[str, Predictor], *, level: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> pd.DataFrame:
    """Return how much worse than the best training set the one is that a predictor would choose, for each target.

    Where several have the best prediction, one of them is chosen at random. What is best is told by the same trainings, so that the best
    is flattered by chance, and the regret of all predictors is too large by as much: compare them with ``random``, the regret of a
    training set drawn at random.

    The interval has the percentiles of a bootstrap over seeds: these training sets are what there is to choose from. With one seed there
    is none.

    Args:
        found: what retraining gave.
        predictors: by name.
        level: of the intervals.
        draws: of the bootstrap.
        seed: of the draws.

    Returns:
        One row per predictor and target, and of their mean: ``predictor``, ``target``, ``chosen`` (the names, of equals all), ``regret`` in
        units of the outcome, ``low``, ``high``, ``random``, ``note``.
    """
    _, values = _drawn(found, draws, seed, sets=False)
    there = found.known
    best = np.where(there, values, np.inf).min(axis=1)
    with np.errstate(invalid="ignore"):
        chance = np.where(there, values, 0.0).sum(axis=1) / there.sum(axis=0) - best  # NaN for a target of no set
    rows: list[dict[str, Any]] = []
    for name, predictor in predictors.items():
        said = predictions(predictor, found, name)
        lost = np.full(best.shape, np.nan)
        for target, of in enumerate(found.targets):
            known = there[:, target] & np.isfinite(said[:, target])
            first = known & (said[:, target] <= said[known, target].min(initial=np.inf))
            if first.any():
                lost[:, target] = values[:, first, target].mean(axis=1) - best[:, target]
            chosen = ", ".join(one for one, picked in zip(found.sets, first, strict=True) if picked)
            rows.append(
                {
                    "predictor": name,
                    "target": of,
                    "chosen": chosen,
                    **_told(lost[:, target], level),
                    "random": chance[0, target],
                }
            )
        mean = _told(_mean(lost[:, np.isfinite(lost[0])]), level)
        rows.append(
            {"predictor": name, "target": MEAN, "chosen": "", **mean, "random": chance[0, there.any(axis=0)].mean()}
        )
    table = pd.DataFrame(rows).rename(columns={"value": "regret"})
    if len(found.seeds) == 1:
        table = table.assign(low=np.nan, high=np.nan)
    why = "one seed: no other can be drawn" if len(found.seeds) == 1 else ""
    return table.assign(note=np.where(table["regret"].isna(), "no prediction", why))


def _pairs(found: Outcomes) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the places of training sets of equal shares, and of those with one mode more."""
    places: dict[frozenset[int], int] = {}
    for place, row in enumerate(found.shares):
        of = frozenset(np.flatnonzero(row > 0).tolist())
        if np.ptp(row[list(of)]) < _EQUAL:
            places[of] = place
    pairs = [
        (places[of], place) for larger, place in places.items() for mode in larger if (of := larger - {mode}) in places
    ]
    smaller, larger_places = (np.array([pair[side] for pair in pairs], dtype=np.intp) for side in (0, 1))
    return smaller, larger_places


def _drawn(found: Outcomes, draws: int, seed: int, *, sets: bool) -> tuple[Floats, Floats]:
    """Return how often each set is in each sample, and its outcomes averaged over the sample's seeds; the first is the table itself."""
    n_sets, n_seeds, _ = found.values.shape
    rng = np.random.default_rng(seed)
    counts = np.ones((draws + 1, n_sets))
    if sets:
        counts[1:] = rng.multinomial(n_sets, np.full(n_sets, 1 / n_sets), draws)
    weights = np.full((draws + 1, n_seeds), 1 / n_seeds)
    weights[1:] = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), draws) / n_seeds
    return counts, np.einsum("bs,gst->bgt", weights, found.values)


def _area(scores: Floats, hurt: NDArray[np.bool_], weights: Floats) -> Floats:
    """Return the area under the ROC curve in each sample, ``[draws]``; NaN without pairs of either kind.

    Args:
        scores: of each pair.
        hurt: whether it does, ``[draws, n_pairs]``.
        weights: of each pair, ``[draws, n_pairs]``.
    """
    known = np.isfinite(scores)
    scores, hurt, weights = scores[known], hurt[:, known], weights[:, known]
    right = (scores[:, None] > scores) + (scores[:, None] == scores) / 2  # row hurts, column does not
    positive, negative = weights * hurt, weights * ~hurt
    with np.errstate(invalid="ignore"):
        found: Floats = ((positive @ right) * negative).sum(axis=1) / (positive.sum(axis=1) * negative.sum(axis=1))
    return found


def _mean(each: Floats) -> Floats:
    """Return the mean over targets in each sample; NaN where one of them has no value, or there are none."""
    return each.mean(axis=1) if each.shape[1] else np.full(len(each), np.nan)


def _told(samples: Floats, level: float) -> dict[str, float]:
    """Return the value of the table itself, which comes first, with percentiles of the others."""
    others = samples[1:][np.isfinite(samples[1:])]
    if not np.isfinite(samples[0]) or not len(others):
        return {"value": float(samples[0]), "low": np.nan, "high": np.nan}
    low, high = np.quantile(others, [(1 - level) / 2, (1 + level) / 2])
    return {"value": float(samples[0]), "low": float(low), "high": float(high)}
