"""A run's table as matrices, which is how it is quickest to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from transference.store._files import TableFile, read_in_turn


@dataclass(frozen=True)
class Matrices:
    """The table of one checkpoint and step size, ``[n_source, n_target]`` each, and the targets' accuracies, ``[n_target]``."""

    loss_ratio: NDArray[np.float64]
    change: NDArray[np.float64]
    first_order: NDArray[np.float32]
    accuracy_before: NDArray[np.float32]


def read_matrices(files: Sequence[TableFile], alpha: float, shape: tuple[int, int], *, estimated: bool) -> Matrices:
    """Read the rows of one step size from the tiles of one checkpoint; cells without a row are NaN.

    Args:
        files: the tiles.
        alpha: the step size.
        shape: of the whole table.
        estimated: whether losses may be negative, and ``change`` differs from ``loss_ratio``.

    Raises:
        StoreError: a tile is missing or damaged.
    """
    for file in files:  # before memory is taken for what a spec says
        file.require()
    files[0].check()
    ratios, accuracies = np.full(shape, np.nan), np.full(shape[1], np.nan, np.float32)
    changes = np.full(shape, np.nan) if estimated else ratios
    slopes = np.full(shape, np.nan, np.float32)
    names = [
        "source",
        "target",
        "loss_ratio",
        "first_order",
        "accuracy_before",
        *(["loss_before", "loss_after"] if estimated else []),
    ]
    for content in read_in_turn(files, [*names, "alpha"]):
        here = pa.compute.equal(content["alpha"], alpha)
        rows = content if pa.compute.all(here).as_py() else content.filter(here)
        source, target, ratio, slope, accuracy, *losses = (rows[name].to_numpy() for name in names)
        ratios[source, target], slopes[source, target], accuracies[target] = ratio, slope, accuracy
        if estimated:
            with np.errstate(all="ignore"):
                changes[source, target] = losses[1] / losses[0]
    return Matrices(ratios, changes, slopes, accuracies)


def ranges(labels: Sequence[str]) -> list[tuple[str, slice]]:
    """Return each label with the places that it takes; those of one label stand together."""
    starts = [k for k, label in enumerate(labels) if k == 0 or labels[k - 1] != label]
    return [(labels[start], slice(start, end)) for start, end in zip(starts, [*starts[1:], len(labels)], strict=True)]
