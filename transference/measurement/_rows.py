"""The rows of one tile, filled as its sources are stepped on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from transference.estimators import Readings
from transference.measurement._reading import as_numpy
from transference.measurement._steps import Step
from transference.measurement._temperature import Tempered
from transference.store import pair_rows, pairs_table, sources_schema, table, tempered_columns


class TileRows:
    """Losses after each step, and their first-order parts, on a block of targets.

    The arrays are made once for all sources: results left behind between the sources' gradients would keep the memory of those in pieces.

    Args:
        n: rows: sources times step sizes.
        targets: ids, ``[n_targets]``.
        before: their readings at θ.
        per_mode: targets of a mode, whose losses are read at their best temperature too; None where they are not.
    """

    def __init__(self, n: int, targets: NDArray[np.int64], before: Readings, per_mode: int | None = None) -> None:
        shape = n, len(targets)
        self._per_mode = per_mode
        self._tempered = None if per_mode is None else (np.full(shape, np.nan), np.full(shape, np.nan))
        self._tempered_before = self._at_best_temperature(before)
        self._targets, self._before = targets, as_numpy(before)
        self._loss, self._first_order = np.full(shape, np.nan), np.full(shape, np.nan)
        self._accuracy = np.full(shape, np.nan, np.float32)
        self._read = np.zeros(n, bool)
        self._steps: list[dict[str, Any]] = []

    def add(self, step: Step, after: Readings | None, first_order: NDArray[np.float64] | None) -> None:
        """Add the row of one step: what was read after it, and the first-order parts; None where memory ran out."""
        row = len(self._steps)
        self._steps.append(step.row())
        if after is not None:
            self._read[row], (self._loss[row], self._accuracy[row]) = True, as_numpy(after)
            if self._tempered and (found := self._at_best_temperature(after)):
                self._tempered[0][row], self._tempered[1][row] = found.temperature, found.loss
        if first_order is not None:
            self._first_order[row] = first_order

    def pairs(self, replicate: int) -> pa.Table:
        """Return one row per pair and step size."""
        steps = enumerate(self._steps)
        rows = [
            pair_rows(int(of["source"]), self._targets, of["alpha"], self._before, self._after(k), self._first_order[k])
            for k, of in steps
        ]
        if self._tempered and (before := self._tempered_before):
            after = zip(*self._tempered, strict=True)
            of_each = [((before.temperature, before.loss), one) for one in after]
            rows = [row | tempered_columns(row, *one) for row, one in zip(rows, of_each, strict=False)]
        return pairs_table(rows, replicate)

    def sources(self, *, combined: bool) -> pa.Table:
        """Return one row per source and step size; with what combinations are made of, where there are any."""
        return table(sources_schema(combined=combined), self._steps)

    def _after(self, row: int) -> tuple[NDArray[np.float64], NDArray[np.float32]] | None:
        return (self._loss[row], self._accuracy[row]) if self._read[row] else None

    def _at_best_temperature(self, readings: Readings) -> Tempered | None:
        """Return what is read at the best temperatures of the modes, None where that is not asked for."""
        if self._per_mode is None or readings.margins is None:
            return None
        return Tempered.of(readings.margins, self._per_mode)
