"""Which targets are shown in full, and the sources of the most positive and the most negative transfer to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from transference.statistics import classify, control_bands, single_pairs
from transference.store import Run

MOST = 3
"""Sources shown on either side."""

AT_MOST = 4
"""Targets shown where none is asked for."""


@dataclass(frozen=True)
class RankedSource:
    """One source of a target, in the order of its loss ratio.

    Attributes:
        source: its id.
        ratio: the loss ratio.
        kind: ``positive``, ``neutral`` or ``negative``.
        certain: whether replicates tell that it is so.
        noise: what resampling noise leaves of it, in words.
        elsewhere: step size and loss ratio, at the run's other step sizes.
    """

    source: int
    ratio: float
    kind: str
    certain: bool
    noise: str
    elsewhere: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class RankedTarget:
    """One target with the sources of its lowest and highest loss ratios, the most extreme first."""

    target: int
    lowest: tuple[RankedSource, ...]
    highest: tuple[RankedSource, ...]


@dataclass(frozen=True)
class Place:
    """Where in a run targets are shown: at one checkpoint.

    Attributes:
        run: the run.
        tasks: of ``Run.tasks()``.
        step: the checkpoint's.
        tables: by step size the loss ratios ``[n_source, n_target]``, NaN for a task on itself. Of a run with replicates,
            their geometric mean: the pictures show one draw of many.
    """

    run: Run
    tasks: pd.DataFrame
    step: int
    tables: dict[float, NDArray[np.float64]]

    @classmethod
    def of(cls, run: Run) -> Place:
        """Return the last checkpoint of a run."""
        tasks, step = run.tasks(), run.steps[-1]
        key = ["sampler", "index"]
        sources, targets = (tasks[tasks["role"] == role].sort_values("id") for role in ("source", "target"))
        same = sources[[*key, "id"]].merge(targets[[*key, "id"]], on=key)
        tables = {}
        for alpha in sorted(run.alphas):
            draws = [np.log(run.matrix(step, alpha, replicate)) for replicate in range(run.spec.replicates)]
            tables[alpha] = np.exp(np.mean(draws, axis=0))
            tables[alpha][same["id_x"], same["id_y"]] = np.nan
        return cls(run, tasks, step, tables)


def choose_targets(place: Place, alpha: float) -> list[int]:
    """Return, of each target mode, the target whose log loss ratios spread most; of several modes the four with the largest spread."""
    logs = np.log(place.tables[alpha])
    modes = place.run.modes("target")
    spread = np.array([np.std(column[np.isfinite(column)]) if np.isfinite(column).any() else -1.0 for column in logs.T])
    widest = [
        max((k for k, mode in enumerate(modes) if mode == name), key=lambda k: spread[k])
        for name in dict.fromkeys(modes)
    ]
    return sorted(sorted(widest, key=lambda k: -spread[k])[:AT_MOST])


def rank_sources(place: Place, alpha: float, targets: Sequence[int], band: tuple[float, float]) -> list[RankedTarget]:
    """Return each target with the sources of its lowest and its highest loss ratios at a step size."""
    here = place.tables[alpha]
    told, bands = _told_by_replicates(place, alpha, targets, band), _noise_bands(place, alpha)
    modes = {role: place.run.modes(role) for role in ("source", "target")}

    def one(source: int, target: int) -> RankedSource:
        ratio = float(here[source, target])
        elsewhere = tuple(
            (other, float(table[source, target])) for other, table in place.tables.items() if other != alpha
        )
        kind = str(classify(ratio, band))
        certain = told.get((source, target)) == kind
        pair = modes["source"][source], modes["target"][target]
        noise = _in_words(ratio, bands.get(pair), place.run.spec.replicates, certain=certain)
        return RankedSource(source, ratio, kind, certain, noise, elsewhere)

    chosen = []
    for target in targets:
        known = np.flatnonzero(np.isfinite(here[:, target]))
        order = known[np.argsort(here[known, target], kind="stable")].tolist()
        n = min(MOST, (len(order) + 1) // 2)
        lowest, highest = order[:n], order[n:][::-1][:MOST]
        chosen.append(
            RankedTarget(target, *(tuple(one(source, target) for source in side) for side in (lowest, highest)))
        )
    return chosen


def _told_by_replicates(
    place: Place, alpha: float, targets: Sequence[int], band: tuple[float, float]
) -> dict[tuple[int, int], str]:
    """Return of which pairs replicates tell that transfer is positive, or negative; of none in a run without."""
    if place.run.spec.replicates == 1:
        return {}
    starts = {role: _starts(place.run.modes(role)) for role in ("source", "target")}
    wanted = {place.run.modes("target")[target] for target in targets}
    blocks = (block for block in place.run.blocks(place.step) if block.alpha == alpha and block.target_mode in wanted)
    pairs = single_pairs(blocks, band=band)
    sources = pairs["source_mode"].astype(str).map(starts["source"]) + pairs["source_index"]
    targeted = pairs["target_mode"].astype(str).map(starts["target"]) + pairs["target_index"]
    return dict(zip(zip(sources.tolist(), targeted.tolist(), strict=True), pairs["transfer"].astype(str), strict=True))


def _starts(modes: Sequence[str]) -> dict[str, int]:
    """Return the id of the first task of each mode."""
    return {mode: modes.index(mode) for mode in dict.fromkeys(modes)}


def _noise_bands(place: Place, alpha: float) -> dict[tuple[str, str], tuple[float, float]]:
    """Return between which ratios resampling noise moves those of each mode pair, where there are controls."""
    bands = control_bands(place.run.controls())
    here = bands[(bands["checkpoint_step"] == place.step) & (bands["alpha"] == alpha)]
    return {
        (str(row["source_mode"]), str(row["target_mode"])): (row["resampled_low"], row["resampled_high"])
        for row in here.to_dict("records")
        if np.isfinite(row["resampled_low"])
    }


def _in_words(ratio: float, noise: tuple[float, float] | None, replicates: int, *, certain: bool) -> str:
    """Return how a ratio stands to resampling noise. Only replicates tell of a single pair that it is not noise."""
    if replicates > 1:
        return f"{'told' if certain else 'not told'} from resampling noise by {replicates} draws"
    if noise is None:
        return "resampling noise is not known: it has no control"
    low, high = noise
    if low <= ratio <= high:
        return f"within resampling noise, {low:.3f} to {high:.3f}"
    return f"beyond resampling noise, {low:.3f} to {high:.3f}, as the most extreme of many pairs may be; replicates would tell"
