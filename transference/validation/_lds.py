"""The linear datamodeling score of tasks: do predictions put training sets in the order in which retraining does?

Spearman's correlation over training sets between prediction and outcome, for each target (Park et al., "TRAK", ICML 2023, for single
examples: arXiv 2303.14186). Ties share their ranks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from transference.errors import UsageError
from transference.validation._outcomes import Outcomes
from transference.validation._predictors import Predictor, predictions
from transference.validation._reliability import of_sets
from transference.validation._resampling import Draw, Floats, Over, Resampling, Samples

GROUPS = ("all", "with", "without")
"""The training sets that an LDS is taken over, which are all, those that hold the target's own mode, or those that do not."""

MEAN = "mean"
"""What the mean over targets is called."""

DRAWS = 1000
_LEAST = 4
"""Training sets that a correlation takes to have an interval."""


def lds(
    found: Outcomes,
    predictors: Mapping[str, Predictor],
    *,
    groups: Sequence[str] = GROUPS,
    over: Over = "both",
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the LDS of predictors, for each target and as the mean over targets.

    The outcome of a training set is its mean over seeds. The interval is ``tanh(artanh(LDS) ± t · error)``, the error a bootstrap's over
    training sets and seeds that takes account of their crossing (``docs/validation.md``), t Student's quantile. It is about the LDS that
    as many other training sets with as many other seeds would have, drawn as these were. With one seed it is about other training sets
    alone, all trained on with that seed, and ``population`` says so.

    Args:
        found: what retraining gave.
        predictors: by name.
        groups: of training sets, some of `GROUPS`.
        over: what the interval is over: ``"sets"`` are other training sets with these seeds, ``"seeds"`` the other way round, as for
            training sets that are all there are.
        level: of the intervals.
        draws: of each bootstrap.
        seed: of the draws.

    Returns:
        One row per predictor, group and target, `MEAN` last: ``predictor``, ``group``, ``target``, ``n`` training sets, ``lds``, ``low``,
        ``high``, ``ceiling`` (`ceiling` of the same sets), ``population``, and ``note``: why there is no LDS or no interval. Of the mean
        ``n`` is the smallest of its targets'.

    Raises:
        UsageError: there is no such group, or a number is out of range.
    """
    _check(groups, level, draws, over)
    resampling = Resampling(found.values, over, draws, seed)
    rows = []
    for name, predictor in predictors.items():
        said = predictions(predictor, found, name)
        for group in groups:
            score = _Score.of(found, said, group)
            about = {"predictor": name, "group": group, "population": resampling.population}
            rows += [{**about, **row} for row in score.rows(resampling, level)]
    columns = ["predictor", "group", "target", "n", "lds", "low", "high", "ceiling", "population", "note"]
    return pd.DataFrame(rows, columns=columns)


def compare(
    found: Outcomes,
    predictors: Mapping[str, Predictor],
    against: Predictor,
    *,
    groups: Sequence[str] = GROUPS,
    over: Over = "both",
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> pd.DataFrame:
    """Return by how much the mean LDS of each predictor is above that of another, on the same training sets, seeds and targets.

    Interval and p-value are ``difference ± t · error`` with the error of the difference itself, as `lds` has it. No p-value is corrected
    for the number of comparisons.

    Args:
        found: what retraining gave.
        predictors: by name.
        against: the other one.
        groups: of training sets.
        over: what the interval is over.
        level: of the intervals.
        draws: of each bootstrap.
        seed: of the draws.

    Returns:
        One row per predictor and group: ``predictor``, ``group``, ``lds``, ``against``, ``difference``, ``low``, ``high``, ``p``,
        ``population``, ``note``. Both means are over the targets for which both have an LDS.

    Raises:
        UsageError: there is no such group, or a number is out of range.
    """
    _check(groups, level, draws, over)
    resampling = Resampling(found.values, over, draws, seed)
    other = predictions(against, found, "that is compared with")
    rows: list[dict[str, Any]] = []
    for name, predictor in predictors.items():
        said = predictions(predictor, found, name)
        for group in groups:
            one, two = (resampling.of(_Score.of(found, values, group).each) for values in (said, other))
            known = np.isfinite(one.value + two.value)
            row = {"predictor": name, "group": group, "population": resampling.population}
            if not known.any():
                rows.append({**row, "note": "no target for which both have an LDS"})
                continue
            means = [float(samples.value[known].mean()) for samples in (one, two)]
            error = one.less(two).error(partial(_mean_of, known))
            difference = means[0] - means[1]
            half = error.quantile(level) * error.value
            ends = {"low": difference - half, "high": difference + half}
            p = error.p_value(difference)
            rows.append(
                {**row, "lds": means[0], "against": means[1], "difference": difference, **ends, "p": p, "note": ""}
            )
    columns = ["predictor", "group", "lds", "against", "difference", "low", "high", "p", "population", "note"]
    return pd.DataFrame(rows, columns=columns)


@dataclass(frozen=True)
class _Score:
    """The LDS of one predictor on one group of training sets.

    Attributes:
        found: what retraining gave.
        said: predictions, ``[n_sets, n_targets]``.
        masks: the sets of the group that have an outcome and a prediction, for each target, ``[n_sets, n_targets]``.
    """

    found: Outcomes
    said: Floats
    masks: NDArray[np.bool_]

    @classmethod
    def of(cls, found: Outcomes, said: Floats, group: str) -> _Score:
        own = np.stack([found.share_of(target) > 0 for target in found.targets], axis=1)
        inside = {"all": np.ones_like(own), "with": own, "without": ~own}[group]
        return cls(found, said, inside & found.known & np.isfinite(said))

    def each(self, draw: Draw) -> Floats:
        """Return the LDS of each target in each sample, ``[draws, n_targets]``; NaN where there is none."""
        columns = []
        for target, mask in enumerate(self.masks.T):
            counts, values = draw.counts[:, mask], draw.values[:, mask, target]
            columns.append(_spearman(self.said[mask, target], values, counts))
        return np.stack(columns, axis=1)

    def rows(self, resampling: Resampling, level: float) -> list[dict[str, Any]]:
        """Return the rows of the table, of each target and of the mean."""
        samples = resampling.of(self.each)
        numbers = [int(mask.sum()) for mask in self.masks.T]
        ceilings = np.array([of_sets(self.found.values[mask, :, k]) for k, mask in enumerate(self.masks.T)])
        rows: list[dict[str, Any]] = []
        for k, name in enumerate(self.found.targets):
            ends = _ends(samples, np.arange(len(numbers)) == k, numbers[k], level)
            note = self._why_not(k) if math.isnan(ends["lds"]) else ""
            rows.append({"target": name, "n": numbers[k], **ends, "ceiling": float(ceilings[k]), "note": note})
        known = np.isfinite(samples.value)
        n = min((n for n, there in zip(numbers, known, strict=True) if there), default=0)
        told = ceilings[known & np.isfinite(ceilings)]
        ceiling = float(told.mean()) if told.size else math.nan
        lost = [name for name, there in zip(self.found.targets, known, strict=True) if not there]
        note = f"no LDS for {', '.join(lost)}" if lost else ""
        rows.append({"target": MEAN, "n": n, **_ends(samples, known, n, level), "ceiling": ceiling, "note": note})
        for row in rows:
            row["note"] = row["note"] or (resampling.why_not if math.isnan(row["low"]) else "")
        return rows

    def _why_not(self, target: int) -> str:
        mask = self.masks[:, target]
        if mask.sum() < 2:
            return f"{mask.sum()} training sets, of which no order can be told"
        constant = np.ptp(self.said[mask, target]) == 0
        return (
            "the prediction is the same for all training sets"
            if constant
            else "the outcome is the same for all training sets"
        )


def _ends(samples: Samples, of: NDArray[np.bool_], n: int, level: float) -> dict[str, float]:
    """Return the mean LDS of some targets, with the ends of its interval where it has one.

    Args:
        samples: the LDS of each target.
        of: which targets.
        n: training sets.
        level: of the interval.
    """
    value = float(samples.value[of].mean()) if of.any() else math.nan
    nothing = {"lds": value, "low": math.nan, "high": math.nan}
    if math.isnan(value) or n < _LEAST:
        return nothing
    error = samples.error(lambda each: _z(_mean_of(of, each), n))
    if math.isnan(half := error.quantile(level) * error.value):
        return nothing
    if half == 0:
        return {"lds": value, "low": value, "high": value}
    middle = float(_z(np.array([value]), n)[0])
    low, high = math.tanh(middle - half), math.tanh(middle + half)
    return {"lds": value, "low": min(low, value), "high": max(high, value)}


def _mean_of(of: NDArray[np.bool_], each: Floats) -> Floats:
    """Return the mean over those of some targets that have an LDS in the sample."""
    some = each[:, of]
    known = np.isfinite(some)
    with np.errstate(invalid="ignore"):
        found: Floats = np.where(known, some, 0.0).sum(axis=1) / known.sum(axis=1)
    return found


def _spearman(x: Floats, y: Floats, counts: Floats) -> Floats:
    """Return Spearman's correlation in each sample.

    Args:
        x: ``[n]``, the same in all samples.
        y: ``[draws or 1, n]``.
        counts: how often each is in the sample, ``[draws, n]``.
    """
    if x.size < 2:
        return np.full(len(counts), np.nan)
    ranks_x = _ranks(x, counts)
    # samples of seeds have outcomes of their own, and every set once
    ranks_y = _ranks(y[0], counts) if len(y) == 1 else np.asarray(rankdata(y, axis=1), dtype=float)
    total = counts.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        dx, dy = (ranks - (counts * ranks).sum(axis=1, keepdims=True) / total for ranks in (ranks_x, ranks_y))
        xy, xx, yy = ((counts * product).sum(axis=1) for product in (dx * dy, dx * dx, dy * dy))
        found: Floats = np.where((xx > 1e-9) & (yy > 1e-9), np.clip(xy / np.sqrt(xx * yy), -1.0, 1.0), np.nan)
    return found


def _ranks(values: Floats, counts: Floats) -> Floats:
    """Return the rank of each value in each sample, ``[draws, n]``: ties, and a value that is there several times, share theirs."""
    below = (values[:, None] < values).astype(float)
    same = (values[:, None] == values).astype(float)
    found: Floats = counts @ (below + same / 2) + 0.5
    return found


def _z(r: Floats, n: int) -> Floats:
    """Return Fisher's transform; of a correlation of 1 that of half the way to the next smaller one, of n ranks."""
    limit = 1 - 6 / max(n**3 - n, 12)
    found: Floats = np.arctanh(np.clip(r, -limit, limit))
    return found


def _check(groups: Sequence[str], level: float, draws: int, over: str) -> None:
    """Make sure that the question can be asked.

    Raises:
        UsageError: it cannot.
    """
    if strange := [group for group in groups if group not in GROUPS]:
        raise UsageError(f"The group {strange[0]!r} was asked for; there are {', '.join(GROUPS)}.")
    if not 0 < level < 1 or draws < 2:
        raise UsageError(
            f"Level {level} and {draws} draws were asked for; the level is between 0 and 1, and draws are 2 at least."
        )
    if over not in ("both", "sets", "seeds"):
        raise UsageError(f"An interval over {over!r} was asked for; it may be over both, sets or seeds.")
