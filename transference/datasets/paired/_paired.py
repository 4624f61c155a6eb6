"""`PairedDataset`: one split of a dataset in which every example has several modalities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from transference import _trees
from transference.datasets._images import no_split
from transference.datasets._names import find_split
from transference.datasets._opened import Opened, tensors_of
from transference.errors import DataError

KINDS = ("image", "window", "track", "values")
"""What an example of a modality is: pixels, a stretch of a signal, the way of a pen, or plain numbers. Encoders and pictures go by it."""


@dataclass(frozen=True)
class Modality:
    """One modality of a paired dataset.

    Attributes:
        name: as in ``watch[accel]``.
        kind: ``"image"``, ``"window"``, ``"track"`` or ``"values"``.
        shape: of one example: ``(channels, side, side)`` of an image, ``(time, channels)`` of a window or a track, whose
            channels are x, y and whether the pen was lifted before, ``(n,)`` of values.
    """

    name: str
    kind: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class PairedDataset:
    """One split, grouped by class; classes in alphabetical order, examples in the order of their ids.

    Attributes:
        name: the dataset, e.g. ``"watch"``.
        split: ``"train"``, ``"val"`` or ``"test"``, or one of its own.
        modalities: in the data's order, which is that of every list of them.
        values: by modality, ``[n, *shape]``; images uint8, all else float32. Row ``i`` of each is one example.
        class_names: one name per class.
        starts: class ``c`` owns the rows ``starts[c] … starts[c+1]-1``; one longer than ``class_names``.
        ids: one per row, unique within the split.
        digest: of modalities, classes, ids and values; equal exactly when these are.
        opened: how another process can open it; None of values that were put together by hand.
    """

    name: str
    split: str
    modalities: tuple[Modality, ...]
    values: Mapping[str, Tensor]
    class_names: tuple[str, ...]
    starts: tuple[int, ...]
    ids: tuple[str, ...]
    digest: str
    opened: Opened | None = field(default=None, repr=False, compare=False)

    @cached_property
    def class_sizes(self) -> tuple[int, ...]:
        """Return the number of examples of each class."""
        return tuple(stop - start for start, stop in pairwise(self.starts))

    def to(self, device: torch.device | str) -> PairedDataset:
        """Return the dataset on ``device``, where episodes are then gathered."""
        moved = {name: value.to(device) for name, value in self.values.items()}
        known = self.opened and self.opened.gives(tensors_of(self.values))
        return replace(
            self, values=moved, opened=self.opened.moved(tensors_of(moved)) if self.opened and known else None
        )


class PairedReader(Protocol):
    """Where the examples of one paired dataset come from: a generated set, or a prepared file."""

    @property
    def name(self) -> str:
        """The dataset's name on the command line."""

    @property
    def where(self) -> str:
        """The place that it is in, for lists and messages."""

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Its modalities, in order."""

    def classes(self) -> Mapping[str, Mapping[str, int]]:
        """Return the number of examples of each class of each split, without reading any."""

    def open(self, split: str) -> PairedDataset:
        """Return one of its splits."""


def require_split(reader: PairedReader, split: str) -> str:
    """Return the name of the split asked for, by whatever word.

    Raises:
        DataError: there is none.
    """
    found = find_split(split, splits := reader.classes())
    if found not in splits:
        raise DataError(no_split(reader.name, reader.where, split, splits))
    return found


def content_digest(
    modalities: Sequence[Modality], labels: Sequence[tuple[str, str]], values: Mapping[str, Tensor]
) -> str:
    """Return the digest of a split.

    Args:
        modalities: in order.
        labels: class name and id of each row, sorted.
        values: by modality, ``[n, *shape]``.
    """
    words = "\0".join([*(f"{m.name}|{m.kind}" for m in modalities), *(f"{c}\0{i}" for c, i in labels)])
    letters = torch.frombuffer(bytearray(words.encode()), dtype=torch.uint8)
    return _trees.digest([("labels", letters), *((m.name, values[m.name]) for m in modalities)])
