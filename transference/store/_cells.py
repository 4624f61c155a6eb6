"""From readings to rows: the one place where a loss ratio is formed and a cell is judged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from transference.spec import TEMPERATURES
from transference.store._schema import CONTROL_NAMES, CONTROLS, PAIRS, STATUSES, pairs_schema

Columns: TypeAlias = dict[str, Any]


_OK, _NON_FINITE, _ZERO_LOSS, _OUT_OF_MEMORY = range(len(STATUSES))


def loss_ratios(
    before: NDArray[np.float64], after: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """Return ``after / before`` and each cell's status, elementwise; the ratio is NaN unless the status is ``ok``.

    A ratio is there where its logarithm is: a loss of 0 on either side gives none rather than one that is clipped, or one of 0 that would
    rule a geometric mean. Neither does a loss that is infinite, missing or negative, nor a quotient beyond the range of float64. A status
    is its position in `STATUSES`.
    """
    with np.errstate(all="ignore"):
        ratio = after / before
    losses = np.isfinite(before) & np.isfinite(after) & (before >= 0) & (after >= 0)
    zero = losses & ((before == 0) | (after == 0))
    sound = losses & ~zero & np.isfinite(ratio) & (ratio > 0)
    return np.where(sound, ratio, np.nan), np.where(sound, _OK, np.where(zero, _ZERO_LOSS, _NON_FINITE)).astype(np.int8)


def judged_anew(rows: pa.Table) -> pa.Table:
    """Return rows as `loss_ratios` judges them, of a file that version 0.1 may have written.

    It called a loss of 0 after the step ``ok``, with a ratio of 0. Columns that were not read are not missed, but for ``loss_after`` where
    there is ``status``.
    """
    if "loss_ratio" not in rows.column_names:
        return rows
    ratio = rows["loss_ratio"].to_numpy()
    vanished = ratio == 0
    if not vanished.any():
        return rows
    found = {"loss_ratio": pa.array(np.where(vanished, np.nan, ratio), from_pandas=False)}
    if "status" in rows.column_names:
        told = np.array(rows["status"].to_pylist(), dtype=object)
        new = np.where(rows["loss_after"].to_numpy() == 0, STATUSES[_ZERO_LOSS], STATUSES[_NON_FINITE])
        codes = [STATUSES.index(status) for status in np.where(vanished & (told == STATUSES[_OK]), new, told)]
        found["status"] = pa.DictionaryArray.from_arrays(pa.array(codes, pa.int8()), pa.array(STATUSES))
    for name, values in found.items():
        rows = rows.set_column(rows.column_names.index(name), rows.schema.field(name), values)
    return rows


def pair_rows(
    source: int,
    targets: Sequence[int] | NDArray[np.int_],
    alpha: float,
    before: tuple[NDArray[np.float64], NDArray[np.float32]],
    after: tuple[NDArray[np.float64], NDArray[np.float32]] | None,
    slope: NDArray[np.float64] | None = None,
) -> Columns:
    """Return the rows of one source and step size.

    Args:
        source: the source's id.
        targets: the targets' ids.
        alpha: the step size.
        before: losses and accuracies at θ, each ``[n_targets]``.
        after: the same at ``θ + d``; None if the device ran out of memory.
        slope: ``⟨∇L_j(θ), d⟩``, ``[n_targets]``; None where it is not known.
    """
    n = len(targets)
    losses, accuracies = after if after is not None else (np.full(n, np.nan), np.full(n, np.nan, dtype=np.float32))
    ratio, status = loss_ratios(before[0], losses)
    there = np.isfinite(before[0]) & (before[0] > 0)
    with np.errstate(all="ignore"):
        first_order = np.where(there, np.nan if slope is None else slope / before[0], np.nan).astype(np.float32)
    return {
        "source": np.full(n, source),
        "target": np.asarray(targets),
        "alpha": np.full(n, alpha),
        "loss_before": before[0],
        "loss_after": losses,
        "loss_ratio": ratio,
        "first_order": first_order,
        "accuracy_before": before[1],
        "accuracy_after": accuracies,
        "status": status if after is not None else np.full(n, _OUT_OF_MEMORY, np.int8),
    }


_Readings: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]


def tempered_columns(rows: Columns, before: _Readings, after: _Readings) -> Columns:
    """Return the columns that rows of `pair_rows` have beside, where losses were read at their best temperature too.

    Args:
        rows: of some targets.
        before: temperatures at θ and the losses at them, each ``[n_targets]``.
        after: the same at ``θ + d``.
    """
    found = {
        "temperature_before": before[0],
        "temperature_after": after[0],
        "tempered_before": before[1],
        "tempered_after": after[1],
    }
    return {**found, "tempered_ratio": tempered_ratios(rows["loss_ratio"], **found)}


def tempered_ratios(
    loss_ratio: NDArray[np.float64],
    temperature_before: NDArray[np.float64],
    temperature_after: NDArray[np.float64],
    tempered_before: NDArray[np.float64],
    tempered_after: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the ratios of the losses at their best temperature, elementwise; NaN where there is none.

    That is where the pair has no ratio at all, or a temperature is the lowest that is looked at: the losses then fall
    to 0 with it, and how they compare is a matter of where the search ends.
    """
    ratio, _ = loss_ratios(tempered_before, tempered_after)
    there = np.isfinite(loss_ratio)
    for temperature in (temperature_before, temperature_after):
        there = there & (temperature > TEMPERATURES[0])
    return np.where(there, ratio, np.nan)


def pairs_table(rows: Sequence[Columns], replicate: int = 0) -> pa.Table:
    """Return the table of several sources' rows, all of one replicate and with the same columns."""
    if not rows:
        return PAIRS.empty_table()
    schema = pairs_schema(tempered="tempered_ratio" in rows[0])
    columns = {name: np.concatenate([row[name] for row in rows]) for name in schema.names if name != "replicate"}
    columns["replicate"] = np.full(len(columns["source"]), replicate)
    status = pa.DictionaryArray.from_arrays(pa.array(columns.pop("status"), pa.int8()), pa.array(STATUSES))
    arrays = {name: pa.array(values, schema.field(name).type, from_pandas=False) for name, values in columns.items()}
    return pa.table({**arrays, "status": status}, schema=schema)


def control_table(control: str, rows: Sequence[Columns]) -> pa.Table:
    """Return the rows of one of `CONTROL_NAMES` as a table."""
    pairs = pairs_table(rows)
    which = pa.array(np.full(len(pairs), CONTROL_NAMES.index(control)), pa.int8())
    return pairs.add_column(0, CONTROLS.field(0), pa.DictionaryArray.from_arrays(which, pa.array(CONTROL_NAMES)))
