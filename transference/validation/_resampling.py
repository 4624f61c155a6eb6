"""How far a statistic of training sets and seeds would move with others.

Training sets and seeds are crossed: every set is trained on with every seed, and whatever a seed has in common for all sets (start,
tasks) is drawn with it. The variance of a statistic of such a table is (Cameron, Gelbach & Miller, J. Business & Economic Statistics 29,
2011)

    V = V_sets + max(0, V_seeds - V_cells)

with each term a bootstrap's: V_sets draws sets anew, each with all its seeds; V_seeds draws seeds anew, for all sets the same; V_cells
draws seeds anew for every set apart. What single trainings add by chance is in all three, and so counts once. The variance of a bootstrap
of S seeds is too small by (S - 1) / S, for which the last two are made up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats: TypeAlias = NDArray[np.float64]
Over: TypeAlias = Literal["both", "sets", "seeds"]

POPULATIONS = {
    "both": "other training sets, other seeds",
    "sets": "other training sets, these seeds",
    "seeds": "these training sets, other seeds",
}
"""What an interval is about."""

ONE_SEED = "other training sets, this one seed"


@dataclass(frozen=True)
class Draw:
    """Bootstrap samples of one kind.

    Attributes:
        counts: how often each set is in each sample, ``[draws, n_sets]``.
        values: outcomes of each sample, averaged over seeds, ``[draws or 1, n_sets, n_targets]``.
    """

    counts: Floats
    values: Floats


class Resampling:
    """Draws sets and seeds anew, the same for every statistic that is asked.

    Args:
        values: outcomes, ``[n_sets, n_seeds, n_targets]``.
        over: what is drawn anew; with one seed sets alone can be.
        draws: samples of each kind.
        seed: of the draws.
    """

    def __init__(self, values: Floats, over: Over, draws: int, seed: int) -> None:
        n_sets, n_seeds, _ = values.shape
        rng = np.random.default_rng(seed)
        self.whole = Draw(np.ones((1, n_sets)), values.mean(axis=1)[None])
        self._n_sets, self._n_seeds = n_sets, n_seeds
        self.population = ONE_SEED if n_seeds == 1 and over != "seeds" else POPULATIONS[over]
        self.why_not = (
            "one seed: no other can be drawn"
            if n_seeds == 1 and over == "seeds"
            else "too few training sets for an interval"
        )
        self._sets = self._seeds = self._cells = None
        if over != "seeds":
            self._sets = Draw(
                rng.multinomial(n_sets, np.full(n_sets, 1 / n_sets), draws).astype(float), self.whole.values
            )
        if over != "sets" and n_seeds > 1:
            ones, even = np.ones((draws, n_sets)), np.full(n_seeds, 1 / n_seeds)
            weights = rng.multinomial(n_seeds, even, draws) / n_seeds
            self._seeds = Draw(ones, np.einsum("bs,gst->bgt", weights, values))
            if over == "both":
                weights = rng.multinomial(n_seeds, even, (draws, n_sets)) / n_seeds
                self._cells = Draw(ones, np.einsum("bgs,gst->bgt", weights, values))

    def of(self, each: Callable[[Draw], Floats]) -> Samples:
        """Return what a statistic becomes in all samples: a function of samples that returns an array, a row for each."""
        of_sets, of_seeds, of_cells = (
            None if draw is None else each(draw) for draw in (self._sets, self._seeds, self._cells)
        )
        return Samples(each(self.whole)[0], of_sets, of_seeds, of_cells, self._n_sets, self._n_seeds)


@dataclass(frozen=True)
class Samples:
    """A statistic of several columns, such as targets, and its bootstrap samples.

    Attributes:
        value: of the table itself, ``[n]``.
        sets: with other sets, ``[draws, n]``; None where these are given.
        seeds: with other seeds, likewise.
        cells: with other seeds for every set apart.
        n_sets: of the table.
        n_seeds: of the table.
    """

    value: Floats
    sets: Floats | None
    seeds: Floats | None
    cells: Floats | None
    n_sets: int
    n_seeds: int

    def less(self, other: Samples) -> Samples:
        """Return the difference of two statistics of the same samples."""
        pairs = zip((self.sets, self.seeds, self.cells), (other.sets, other.seeds, other.cells), strict=True)
        sets, seeds, cells = (None if one is None or two is None else one - two for one, two in pairs)
        return Samples(self.value - other.value, sets, seeds, cells, self.n_sets, self.n_seeds)

    def error(self, number: Callable[[Floats], Floats]) -> Error:
        """Return the standard error of a number that is made of each row."""
        sets, seeds, cells = (
            0.0 if rows is None else _variance(number(rows)) for rows in (self.sets, self.seeds, self.cells)
        )
        made_up = self.n_seeds / (self.n_seeds - 1) if self.n_seeds > 1 else 1.0
        parts = (sets, self.n_sets - 1), (max(0.0, seeds - cells) * made_up, self.n_seeds - 1)
        whole = sets + parts[1][0]
        if (self.sets is None and self.seeds is None) or np.isnan(whole):
            return Error(float("nan"), 0.0)
        if whole == 0:
            return Error(0.0, float(self.n_sets - 1))
        return Error(float(np.sqrt(whole)), whole**2 / sum(part**2 / df for part, df in parts if part))


@dataclass(frozen=True)
class Error:
    """A standard error.

    Attributes:
        value: NaN where none can be told.
        df: its degrees of freedom, those of its two parts taken together (Satterthwaite, Biometrics Bulletin 2, 1946).
    """

    value: float
    df: float

    def quantile(self, level: float) -> float:
        """Return Student's quantile of a two-sided interval."""
        return float(stats.t.ppf((1 + level) / 2, self.df)) if self.df > 0 else float("nan")

    def p_value(self, difference: float) -> float:
        """Return the two-sided p-value of no difference."""
        if not self.df > 0:
            return float("nan")
        if self.value == 0:
            return 1.0 if difference == 0 else float("nan")
        return float(2 * stats.t.sf(abs(difference) / self.value, self.df))


def _variance(values: Floats) -> float:
    """Return the variance over samples; those in which the statistic does not exist are left out."""
    known = values[np.isfinite(values)]
    return float(known.var(ddof=1)) if len(known) > 1 else float("nan")
