"""Which pairs are measured exactly beside the estimates: a random sample, in rounds.

Each cell of the table has a random number of its own, addressed by seed, source and target. A share of a mode pair's cells is those whose
number lies below it, so the sample of a larger share holds that of a smaller one, and no tile needs to know of another.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from transference._streams import Stream
from transference.estimators import ExactSample
from transference.plan import ExactTile
from transference.spec import Chosen, RunSpec, Tile
from transference.statistics import widest
from transference.store import Store

_SPARE = 1.1
"""A round takes so many times the pairs that the last one's variance asks for."""


def missing(store: Store, spec: RunSpec, sample: ExactSample, step: int) -> list[ExactTile]:
    """Return, for one checkpoint, what is still to be measured exactly of the first round that is not whole; nothing at the end.

    A sample with a ``half_width`` has as many rounds as its intervals need. What a round asks for depends on the
    tables of the rounds before it alone, so a run that was interrupted goes on with the same pairs, and may be asked
    by anybody.
    """
    modes, cells = _modes(spec)
    shares, before = sample.shares(cells), np.zeros(cells.shape)
    number = 0
    while (shares > before).any():
        between = tuple(
            tuple((float(low), float(high)) for low, high in row) for row in np.stack([before, shares], axis=-1)
        )
        parts = [ExactTile(tile, number, between if number else None) for tile in spec.tiles(step, 0)]
        if lacking := [part for part in parts if not store.has(part)]:
            return lacking
        if sample.half_width is None:
            return []
        found = store.sample(spec, step, number + 1)
        wanted = _shares_for(sample.half_width, found, spec, modes, cells, shares)
        before, shares, number = shares, np.maximum(shares, wanted), number + 1
    return []


def chosen(part: ExactTile, spec: RunSpec, sample: ExactSample) -> Chosen:
    """Return the cells of a tile that are measured exactly in one round: those whose number lies between two shares of their mode pair."""
    modes, cells = _modes(spec)
    bounds = (
        np.array(part.between) if part.between else np.stack([np.zeros(cells.shape), sample.shares(cells)], axis=-1)
    )
    return _chosen(part.tile, spec.n_target, modes, sample.seed, bounds[..., 0], bounds[..., 1])


def _modes(spec: RunSpec) -> tuple[list[NDArray[np.int64]], NDArray[np.int64]]:
    """Return the mode of each source and of each target, and how many pairs each mode pair has."""
    modes = [np.repeat(np.arange(len(sets)), [tasks.n for tasks in sets]) for sets in (spec.sources, spec.targets)]
    return modes, np.outer(np.bincount(modes[0]), np.bincount(modes[1]))


def _chosen(
    tile: Tile,
    n_target: int,
    modes: list[NDArray[np.int64]],
    seed: int,
    above: NDArray[np.float64],
    below: NDArray[np.float64],
) -> Chosen:
    """Return the cells of a tile whose number is at least ``above`` and less than ``below`` in their mode pair."""
    columns = slice(*tile.targets)
    found = {}
    for source in range(*tile.sources):
        numbers = Stream("exact pairs", seed, source).uniform(0.0, 1.0, (n_target,))[columns]
        pair = modes[0][source], modes[1][columns]
        targets = tile.targets[0] + np.flatnonzero((above[pair] <= numbers) & (numbers < below[pair]))
        if len(targets):
            found[source] = targets.tolist()
    return found


def _shares_for(
    wanted: float,
    sample: pd.DataFrame,
    spec: RunSpec,
    modes: list[NDArray[np.int64]],
    cells: NDArray[np.int64],
    shares: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the share of each mode pair that should make every interval narrow enough; 0 where it is already."""
    sample = sample[(sample["status"] == "ok") & np.isfinite(sample["estimate"])]
    needed = np.zeros(cells.shape)
    place = modes[0][sample["source"].to_numpy()] * cells.shape[1] + modes[1][sample["target"].to_numpy()]
    for k, (n_pairs, share) in enumerate(zip(cells.flat, shares.flat, strict=True)):
        for alpha in spec.alphas:
            here = (place == k) & (sample["alpha"] == alpha)
            exact, estimates = sample.loc[here, "loss_ratio"], sample.loc[here, "estimate"]
            width = widest(exact.to_numpy(), estimates.to_numpy(), int(n_pairs))
            if width > wanted:
                # The variance falls with n as (1 - n/N)/n; a width that cannot be told asks for twice as many.
                n = max(1.0, float(here.sum()))
                spread = n * (width / wanted) ** 2 / (1 - min(n / n_pairs, 0.999)) if np.isfinite(width) else 2 * n
                needed.flat[k] = max(
                    needed.flat[k], min(1.0, max(_SPARE * spread / (1 + spread / n_pairs) / n_pairs, _SPARE * share))
                )
    return needed
