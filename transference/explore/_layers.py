"""The tables of a run as the page shows them: a layer for each checkpoint and step size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from transference.blocks import Block
from transference.statistics import control_bands, single_pairs
from transference.store import STATUSES, Run

_Floats: TypeAlias = NDArray[np.float64]

VERDICTS = ("undecided", "positive", "negative")
"""Of single pairs, by the number that the page holds; `_UNKNOWN` where there are too few replicates with a ratio."""

_UNKNOWN = 255

WORDS = {
    "mean": "means over replicates",
    "verdict": "which pairs the replicates tell apart",
    "n_positive": "signs of the replicates",
    "n_negative": "signs of the replicates",
    "n_known": "signs of the replicates",
    "low": "intervals of single pairs",
    "high": "intervals of single pairs",
    "q": "q-values of single pairs",
    "first_order": "first-order parts",
}
"""What of a layer may be left out of a large page, the most wanted first."""


@dataclass(frozen=True)
class Layer:
    """One checkpoint and step size.

    Attributes:
        step: the checkpoint's.
        alpha: the step size.
        tables: ``[n_source, n_target]`` each: ``log``, the log ratios; ``status`` (a number in `STATUSES`) where some have none; where
            gradients were computed ``first_order``; with replicates ``mean``, ``low``, ``high`` (of log ratios), ``verdict``,
            ``q`` and how many are positive, negative and known.
        noise: between which ratios resampling noise moves a ratio, of each source mode each target mode; None where it is not known.
    """

    step: int
    alpha: float
    tables: dict[str, NDArray[Any]]
    noise: list[list[tuple[float, float] | None]]


def layers(run: Run, step: int, alphas: tuple[float, ...], band: tuple[float, float]) -> Iterator[Layer]:
    """Yield the layers of a checkpoint at some step sizes, ascending.

    Raises:
        StoreError: tiles are missing or damaged.
    """
    noise = _noise(run)
    lost: pd.DataFrame | None = None
    for alpha, blocks in groupby(run.blocks(step), key=lambda block: block.alpha):
        if alpha not in alphas:
            continue
        of_sources = [list(row) for _, row in groupby(blocks, key=lambda block: block.source_mode)]
        tables = _beside([[_tables(block, band) for block in row] for row in of_sources])
        if np.isnan(tables["log"]).any():
            lost = run.without_ratio() if lost is None else lost
            here = lost[(lost["checkpoint_step"] == step) & (lost["alpha"] == alpha)]
            tables["status"] = np.zeros(tables["log"].shape, np.uint8)
            tables["status"][here["source"], here["target"]] = [STATUSES.index(status) for status in here["status"]]
        bands = [[noise.get((step, alpha, one.source_mode, one.target_mode)) for one in row] for row in of_sources]
        yield Layer(step, alpha, tables, bands)


def same_tasks(run: Run) -> list[list[bool]]:
    """Return of each source mode and target mode whether task i of the one is task i of the other, as for combinations of it."""
    n = len(run.spec.sources) * len(run.spec.targets)
    found = [block.same_tasks for block, _ in zip(run.blocks(run.steps[-1]), range(n), strict=False)]
    return [found[k : k + len(run.spec.targets)] for k in range(0, n, len(run.spec.targets))]


def tells_noise(run: Run) -> bool:
    """Return whether some control of a run tells how far other images would move its ratios.

    None does where a sampler cannot draw a task's images anew, or too few of the controls have a ratio.
    """
    return bool(_noise(run))


def _noise(run: Run) -> dict[tuple[int, float, str, str], tuple[float, float]]:
    """Return the band of the control ``resampled``, by checkpoint step, step size, source mode and target mode."""
    bands = control_bands(run.controls()).to_dict("records")
    return {
        (row["checkpoint_step"], row["alpha"], row["source_mode"], row["target_mode"]): (
            float(row["resampled_low"]),
            float(row["resampled_high"]),
        )
        for row in bands
        if np.isfinite([row["resampled_low"], row["resampled_high"]]).all()
    }


def _beside(rows: list[list[dict[str, NDArray[Any]]]]) -> dict[str, NDArray[Any]]:
    """Return the tables of blocks put together."""
    return {name: np.block([[block[name] for block in row] for row in rows]) for name in rows[0][0]}


def _tables(block: Block, band: tuple[float, float]) -> dict[str, NDArray[Any]]:
    """Return what a block says of each of its pairs."""
    with np.errstate(divide="ignore", invalid="ignore"):
        tables: dict[str, NDArray[Any]] = {"log": np.log(block.loss_ratio), "first_order": block.first_order}
    return tables | (_replicated(block, band) if block.redrawn else {})


def _replicated(block: Block, band: tuple[float, float]) -> dict[str, NDArray[Any]]:
    """Return what the replicates of a block say of each of its pairs."""
    ratios = np.stack([block.loss_ratio, *block.redrawn])
    known, shape = np.isfinite(ratios), block.loss_ratio.shape
    n_known = known.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = np.where(known, np.log(ratios), 0.0)
        counts = {"n_positive": (ratios < band[0]).sum(axis=0), "n_negative": (ratios >= band[1]).sum(axis=0)}
        found: dict[str, NDArray[Any]] = {"mean": logs.sum(axis=0) / n_known}
    pairs = single_pairs([block], band=band)
    at = pairs["source_index"], pairs["target_index"]
    small = np.min_scalar_type(len(ratios))
    found |= {name: np.asarray(n, small) for name, n in {**counts, "n_known": n_known}.items()}
    found |= {name: np.full(shape, np.nan) for name in ("low", "high", "q")}
    found["low"][at], found["high"][at] = np.log(pairs["low"]), np.log(pairs["high"])
    found["q"][at] = pairs[["q_positive", "q_negative"]].min(axis=1)
    found["verdict"] = np.full(shape, _UNKNOWN, np.uint8)
    found["verdict"][at] = [VERDICTS.index(verdict) for verdict in pairs["transfer"]]
    return found
