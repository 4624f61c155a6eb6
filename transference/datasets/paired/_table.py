"""`PairedTable`: the examples of a paired dataset as they are found in files, checked and standardised."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from transference.datasets._names import in_order
from transference.datasets._packed import Row, in_file_order
from transference.datasets._unread import counted, few
from transference.datasets.paired._paired import Modality, PairedDataset, content_digest
from transference.errors import DataError, PairingError

_SCALED = ("values", "window")
"""Kinds of modalities that are standardised; pixels and places on a page have a scale of their own."""


@dataclass(frozen=True)
class PairedTable:
    """All examples of a paired dataset: row ``i`` of every modality is one example.

    Attributes:
        where: the place that they are from, for messages.
        modalities: in order.
        values: by modality, ``[n, *shape]``; images uint8, all else floats.
        rows: split, class name and id of each.
        notes: what else was found there and is not read, a line each.
        about: what a prepared file will say of them.
    """

    where: str
    modalities: tuple[Modality, ...]
    values: Mapping[str, NDArray[Any]]
    rows: Sequence[Row]
    notes: Sequence[str] = ()
    about: Mapping[str, Any] = field(default_factory=dict)

    def classes(self) -> dict[str, dict[str, int]]:
        """Return the number of examples of each class of each split."""
        found: dict[str, Counter[str]] = {split: Counter() for split in in_order({row[0] for row in self.rows})}
        for split, class_name, _ in self.rows:
            found[split][class_name] += 1
        return {split: dict(sorted(sizes.items())) for split, sizes in found.items()}

    @cached_property
    def order(self) -> list[int]:
        """Return the rows as they stand in a prepared file: by split, class and id."""
        return in_file_order(self.rows)

    def split(self, name: str, split: str) -> PairedDataset:
        """Return one split as a dataset.

        Args:
            name: of the data.
            split: one of the table's.
        """
        mine = [i for i in self.order if self.rows[i][0] == split]
        labels = [self.rows[i][1:] for i in mine]
        values = {m: torch.from_numpy(np.ascontiguousarray(found[mine])) for m, found in self.values.items()}
        return assemble(name, split, self.modalities, labels, values)


def assemble(
    name: str,
    split: str,
    modalities: tuple[Modality, ...],
    labels: Sequence[tuple[str, str]],
    values: Mapping[str, torch.Tensor],
    digest: str | None = None,
) -> PairedDataset:
    """Return the split whose examples have these labels.

    Args:
        name: the dataset.
        split: its split.
        modalities: in order.
        labels: class name and id of each row, sorted.
        values: by modality, ``[n, *shape]``.
        digest: of them all, computed if it is not known.
    """
    sizes = Counter(class_name for class_name, _ in labels)
    return PairedDataset(
        name,
        split,
        modalities,
        values,
        tuple(sizes),
        (0, *accumulate(sizes.values())),
        tuple(row for _, row in labels),
        digest or content_digest(modalities, labels, values),
    )


def checked(table: PairedTable) -> PairedTable:
    """Return the table, if it can be what it says.

    Raises:
        DataError: it has no examples.
        PairingError: an id is used twice in a split, or a value is not finite.
    """
    if not table.rows:
        raise DataError(f"{table.where} holds no examples.")
    twice = [f"{split}: {row}" for (split, row), n in Counter((s, row) for s, _, row in table.rows).items() if n > 1]
    if twice:
        raise PairingError(
            f"{table.where} uses {counted(len(twice), 'id')} twice in a split ({few(twice)}); ids must be unique, "
            "or a task could not be told from another."
        )
    for name, values in table.values.items():
        if values.dtype != np.uint8:
            require_finite(table.where, name, values)
    return table


def require_finite(where: str, name: str, values: NDArray[Any], first: int = 0) -> None:
    """Raise `PairingError` unless all values are finite numbers.

    Args:
        where: the file.
        name: the modality.
        values: ``[n, …]``.
        first: the number of the first row.

    Raises:
        PairingError: some are not, in float32 at least, in which they are kept.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        wrong = ~np.isfinite(values.astype(np.float32))
    if not wrong.any():
        return
    rows = np.flatnonzero(wrong.reshape(len(values), -1).any(1))
    found = values[rows[0]].reshape(-1)[wrong[rows[0]].reshape(-1)][0]
    raise PairingError(
        f"{where}: {name} has {counted(int(wrong.sum()), 'value')} in {counted(len(rows), 'row')} that are no finite "
        f"numbers, the first in row {first + int(rows[0])} ({found}). Leave these rows out, or fill them in."
    )


def standardised(table: PairedTable) -> PairedTable:
    """Return the table with each feature of plain values, and each channel of windows, less its mean over its deviation.

    Both are of the split train, and are written down in ``about``. They are computed from exactly rounded sums in
    float64, so that every machine has the same; a feature that is constant in train is divided by 1.

    Raises:
        PairingError: there is no split train.
    """
    names = [m.name for m in table.modalities if m.kind in _SCALED]
    train = np.array([row[0] == "train" for row in table.rows])
    if names and not train.any():
        raise PairingError(
            f"{table.where} has the splits {', '.join(table.classes())} and no train, by which values are standardised. "
            "Call one of them train, or say standardise = false."
        )
    values, scales = dict(table.values), {}
    for name in names:
        found = values[name].astype(np.float64)
        mean, deviation = _moments(found[train])
        values[name] = (found - mean) / deviation
        scales[name] = {"mean": mean.tolist(), "deviation": deviation.tolist()}
    return replace(table, values=values, about={**table.about, "standardised": scales})


def as_kept(table: PairedTable) -> PairedTable:
    """Return the table with everything but pixels in float32."""
    kept = {name: v if v.dtype == np.uint8 else v.astype(np.float32) for name, v in table.values.items()}
    return replace(table, values=kept)


def _moments(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and deviation of each feature, which is the last axis."""
    features = values.reshape(-1, values.shape[-1]).T
    means = np.array([math.fsum(feature.tolist()) / len(feature) for feature in features])
    squares = [np.square(feature - mean).tolist() for feature, mean in zip(features, means, strict=True)]
    deviations = np.sqrt([math.fsum(square) / len(square) for square in squares])
    constant = features.min(axis=1) == features.max(axis=1)
    return means, np.where(constant | (deviations == 0), 1.0, deviations)
