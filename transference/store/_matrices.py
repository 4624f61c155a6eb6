"""A run's table as matrices, which is how it is quickest to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from transference.blocks import Strip
from transference.spec import Tile
from transference.store._files import TableFile, read_in_turn


@dataclass(frozen=True)
class Matrices:
    """The table of one checkpoint and step size, and the targets' accuracies.

    ``[n_source, n_target]`` each, the accuracies ``[n_target]``; ``tempered_ratio`` is None where losses were not read at
    their best temperature.
    """

    loss_ratio: NDArray[np.float64]
    change: NDArray[np.float64]
    first_order: NDArray[np.float32]
    accuracy_before: NDArray[np.float32]
    tempered_ratio: NDArray[np.float64] | None = None


def read_matrices(
    files: Sequence[TableFile], alpha: float, shape: tuple[int, int], *, estimated: bool, tempered: bool = False
) -> Matrices:
    """Read the rows of one step size from the tiles of one checkpoint; cells without a row are NaN.

    Args:
        files: the tiles.
        alpha: the step size.
        shape: of the whole table.
        estimated: whether losses may be negative, and ``change`` differs from ``loss_ratio``.
        tempered: whether losses were read at their best temperature too.

    Raises:
        StoreError: a tile is missing or damaged.
    """
    for file in files:  # before memory is taken for what a spec says
        file.require()
    files[0].check()
    ratios, accuracies = np.full(shape, np.nan), np.full(shape[1], np.nan, np.float32)
    changes = np.full(shape, np.nan) if estimated else ratios
    slopes = np.full(shape, np.nan, np.float32)
    tempered_ratios = np.full(shape, np.nan) if tempered else None
    more = [name for name, there in (("change", estimated), ("tempered_ratio", tempered)) if there]
    names = _columns("loss_ratio", "first_order", *more)
    for content in read_in_turn(files, [*names, "accuracy_before", "alpha"]):
        rows = _at(content, alpha)
        cells = rows["source"].to_numpy(), rows["target"].to_numpy()
        ratios[cells], slopes[cells] = _values(rows, "loss_ratio"), _values(rows, "first_order")
        accuracies[cells[1]] = rows["accuracy_before"].to_numpy()
        if estimated:
            changes[cells] = _values(rows, "change")
        if tempered_ratios is not None:
            tempered_ratios[cells] = _values(rows, "tempered_ratio")
    return Matrices(ratios, changes, slopes, accuracies, tempered_ratios)


def read_strips(
    files: Sequence[TableFile],
    tiles: Sequence[Tile],
    alpha: float,
    mode_pair: tuple[slice, slice],
    names: Sequence[str],
) -> Iterator[Strip]:
    """Yield the table of one mode pair and step size, tile by tile; cells without a row are NaN.

    Args:
        files: the tiles' files.
        tiles: those that have pairs of the mode pair.
        alpha: the step size.
        mode_pair: the ids of its sources and of its targets.
        names: which fields of `Matrices`.

    Raises:
        StoreError: a tile is missing or damaged.
    """
    columns = [*_columns(*names), "alpha"]
    for tile, content in zip(tiles, read_in_turn(files, columns), strict=True):
        rows = _at(content, alpha)
        starts, shape = zip(*((start, stop - start) for start, stop in (tile.sources, tile.targets)), strict=True)
        ids = tuple(rows[name].to_numpy() - start for name, start in zip(("source", "target"), starts, strict=True))
        # of the mode pair, and of its part that the tile has
        there = [
            slice(max(start - part.start, 0), min(stop, part.stop) - part.start)
            for (start, stop), part in zip((tile.sources, tile.targets), mode_pair, strict=True)
        ]
        here = tuple(
            slice(part.start + all_.start - start, part.stop + all_.start - start)
            for part, all_, start in zip(there, mode_pair, starts, strict=True)
        )
        cells = []
        for name in names:
            values = _values(rows, name)
            matrix = np.full(shape, np.nan, values.dtype)
            matrix[ids] = values
            cells.append(np.ascontiguousarray(matrix[here]))
        yield Strip(there[0], there[1], tuple(cells))


def overlap(tile: Tile, mode_pair: tuple[slice, slice]) -> bool:
    """Return whether a tile has pairs of a mode pair."""
    return all(
        start < part.stop and part.start < stop
        for (start, stop), part in zip((tile.sources, tile.targets), mode_pair, strict=True)
    )


def _columns(*names: str) -> list[str]:
    """Return the columns of a file from which fields of `Matrices` are read."""
    made_of = {"change": ["loss_before", "loss_after"]}
    return ["source", "target", *(column for name in names for column in made_of.get(name, [name]))]


def _at(content: pa.Table, alpha: float) -> pa.Table:
    """Return the rows of one step size."""
    here = pa.compute.equal(content["alpha"], alpha)
    return content if pa.compute.all(here).as_py() else content.filter(here)


def _values(rows: pa.Table, name: str) -> NDArray[Any]:
    """Return a field of `Matrices` of each row."""
    if name != "change":
        found: NDArray[Any] = rows[name].to_numpy()
        return found
    with np.errstate(all="ignore"):
        return np.asarray(rows["loss_after"].to_numpy() / rows["loss_before"].to_numpy())


def ranges(labels: Sequence[str]) -> list[tuple[str, slice]]:
    """Return each label with the places that it takes; those of one label stand together."""
    starts = [k for k, label in enumerate(labels) if k == 0 or labels[k - 1] != label]
    return [(labels[start], slice(start, end)) for start, end in zip(starts, [*starts[1:], len(labels)], strict=True)]
