"""Standard errors of means over tables whose rows and columns are both drawn, added up strip by strip.

Several means of one table are looked at together, since reading a large one again costs more than the sums.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from transference._streams import Stream

_Floats: TypeAlias = NDArray[np.float64]

_Weights: TypeAlias = NDArray[np.uint8]
"""How often each task is drawn: of n draws from n tasks, a task has 255 with a probability below 1e-500."""

_AT_ONCE = 2**22
"""Random numbers that are drawn together."""


class Errors(ABC):
    """The standard errors of several means over the cells of one table."""

    @abstractmethod
    def add(self, rows: slice, columns: slice, ok: NDArray[np.bool_], cells: Sequence[_Floats]) -> None:
        """Take in a strip of the table.

        Args:
            rows: the sources that it has.
            columns: the targets that it has.
            ok: which cells count, ``[n_rows, n_columns]``, the same for all means.
            cells: for each mean its numbers, ``[n_rows, n_columns]``.
        """

    @abstractmethod
    def found(self) -> list[float]:
        """Return the standard error of each mean; NaN where nothing tells it."""


class NoErrors(Errors):
    """Of a table of one source and one target, of which neither can be drawn again."""

    def __init__(self, k: int) -> None:
        self._k = k

    def add(self, rows: slice, columns: slice, ok: NDArray[np.bool_], cells: Sequence[_Floats]) -> None:
        """Take nothing in."""

    def found(self) -> list[float]:
        """Return NaN for each mean."""
        return [np.nan] * self._k


class Pigeonhole(Errors):
    """The bootstrap's: in each draw a pair counts as often as its source times its target.

    Args:
        sources: how often each source is drawn, ``[draws, n_source]``.
        targets: how often each target is drawn, ``[draws, n_target]``.
        k: how many means there are.
    """

    def __init__(self, sources: _Weights, targets: _Weights, k: int) -> None:
        self._sources, self._targets = sources, targets
        self._n, self._totals = np.zeros(len(sources)), np.zeros((k, len(sources)))

    def add(self, rows: slice, columns: slice, ok: NDArray[np.bool_], cells: Sequence[_Floats]) -> None:
        """Add to the numbers and totals of each draw: n = Σ_ij s_i ok_ij t_j, total = Σ_ij s_i value_ij t_j."""
        sources, targets = (
            weights[:, part].astype(np.float64) for weights, part in ((self._sources, rows), (self._targets, columns))
        )
        if ok.all():
            self._n += sources.sum(axis=1) * targets.sum(axis=1)
        else:
            self._n += ((sources @ ok.astype(np.float64)) * targets).sum(axis=1)
        for k, values in enumerate(cells):
            self._totals[k] += ((sources @ np.where(ok, values, 0.0)) * targets).sum(axis=1)

    def found(self) -> list[float]:
        """Return the standard deviation of each mean over the draws."""
        some = self._n > 0
        return [float((total[some] / self._n[some]).std(ddof=1)) for total in self._totals]


class TwoWay(Errors):
    """The cluster-robust ones: what rows share and what columns share, less what was counted twice.

    Args:
        shape: sources, and targets.
        k: how many means there are.
    """

    def __init__(self, shape: tuple[int, int], k: int) -> None:
        self._shape, self._k = shape, k
        self._counts = [np.zeros(size) for size in shape]
        self._sums = [np.zeros((k, size)) for size in shape]
        self._squares = np.zeros(k)
        self._near: list[float] | None = None
        """A number near each mean, from which cells are counted: of what is left no digits are lost."""

    def add(self, rows: slice, columns: slice, ok: NDArray[np.bool_], cells: Sequence[_Floats]) -> None:
        """Add to the sums of rows and of columns."""
        if not ok.any():
            return
        if self._near is None:
            self._near = [float(np.mean(values, where=ok)) for values in cells]
        for side, part in enumerate((rows, columns)):
            self._counts[side][part] += ok.sum(axis=1 - side)
        for k, values in enumerate(cells):
            left = np.where(ok, values - self._near[k], 0.0)
            self._squares[k] += float(np.sum(left**2))
            for side, part in enumerate((rows, columns)):
                self._sums[side][k, part] += left.sum(axis=1 - side)

    def found(self) -> list[float]:
        """Return the standard error of each mean."""
        n, wide = float(self._counts[0].sum()), [side for side in (0, 1) if self._shape[side] > 1]
        if not n or not wide:
            return [np.nan] * self._k
        found = []
        for k in range(self._k):
            moved = float(self._sums[0][k].sum()) / n  # from the number near the mean to the mean
            sides = [
                float(np.sum((self._sums[side][k] - moved * self._counts[side]) ** 2))
                * self._shape[side]
                / (self._shape[side] - 1)
                for side in wide
            ]
            # Rows squared and columns squared both hold each cell squared, which counts once.
            total = sum(sides) - (self._squares[k] - n * moved**2) * (len(sides) - 1)
            found.append(float(np.sqrt(max(total, *sides)) / n))
        return found


class Dyadic(Errors):
    """The cluster-robust ones of pairs of the same tasks: pairs hang together when they share a task on either side.

    Args:
        n: tasks; so few that the table is kept.
        k: how many means there are.
    """

    def __init__(self, n: int, k: int) -> None:
        self._cells = np.full((k, n, n), np.nan)

    def add(self, rows: slice, columns: slice, ok: NDArray[np.bool_], cells: Sequence[_Floats]) -> None:
        """Keep the cells."""
        for kept, values in zip(self._cells, cells, strict=True):
            kept[rows, columns] = np.where(ok, values, np.nan)

    def found(self) -> list[float]:
        """Return the standard error of each mean."""
        return [_dyadic(cells) for cells in self._cells]


def _dyadic(cells: _Floats) -> float:
    ok = np.isfinite(cells)
    size, n = len(cells), int(ok.sum())
    if size < 2 or not n:
        return np.nan
    left = np.where(ok, cells - np.mean(cells, where=ok), 0.0)
    alone = float(np.sum(left**2))
    # Of all pairs of cells that have a task in common: each task's cells, on either side, squared; (i, j) and (j, i) have both in
    # common, as has a cell with itself, and these were counted twice.
    shared = float(np.sum((left.sum(axis=0) + left.sum(axis=1)) ** 2)) - alone - float(np.sum(left * left.T))
    return float(np.sqrt(max(shared, alone) * size / (size - 1)) / n)


def of_matrix(errors: Errors, cells: _Floats) -> float:
    """Return the standard error of the mean over one matrix of cells, NaN where one failed.

    Args:
        errors: of one mean.
        cells: ``[n_source, n_target]``.
    """
    errors.add(slice(0, cells.shape[0]), slice(0, cells.shape[1]), np.isfinite(cells), [cells])
    return errors.found()[0]


def weights(n: int, draws: int, seed: int, role: str) -> _Weights:
    """Return how often each of n tasks is drawn in each of several resamplings, ``[draws, n]``; a single task is drawn always."""
    if n == 1:
        return np.ones((draws, 1), np.uint8)
    stream, found = Stream("bootstrap", seed, role, n), np.empty((draws, n), np.uint8)
    together = max(1, _AT_ONCE // n)
    for start in range(0, draws, together):
        rows = found[start : start + together]
        chosen = (stream.uniform(0.0, 1.0, rows.shape) * n).astype(np.int64)
        counts = np.bincount((chosen + n * np.arange(len(rows))[:, None]).ravel(), minlength=rows.size)
        rows[:] = counts.reshape(rows.shape)
    return found
