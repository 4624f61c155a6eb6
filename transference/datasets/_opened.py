"""How a split was opened, so that another process can open it for itself instead of being sent its images."""

from __future__ import annotations

import weakref
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import Tensor


@dataclass(frozen=True)
class Opened:
    """Where a split came from, and which tensors that were.

    Attributes:
        name: of the dataset, as it was asked for.
        split: likewise.
        data_root: the folder; None for what is generated.
        side: pixels along each edge of images.
        channels: of images.
        shown: modalities that were wanted; None for all.
    """

    name: str
    split: str
    data_root: Path | None
    side: int
    channels: int
    shown: tuple[str, ...] | None = None
    _tensors: tuple[weakref.ref[Tensor], ...] = field(default=(), repr=False, compare=False)

    def __reduce__(self) -> tuple[type[Opened], tuple[object, ...]]:
        """Return the same without the tensors: a copy of them is not what was opened."""
        return Opened, (self.name, self.split, self.data_root, self.side, self.channels, self.shown)

    @classmethod
    def of(
        cls,
        tensors: Sequence[Tensor],
        name: str,
        split: str,
        data_root: str | Path | None,
        side: int,
        channels: int,
        shown: Collection[str] | None = None,
    ) -> Opened:
        """Return how these tensors were opened; the folder as it is called from anywhere."""
        root = None if data_root is None else Path(data_root).absolute()
        wanted = None if shown is None else tuple(sorted(shown))
        return cls(name, split, root, side, channels, wanted).moved(tensors)

    def moved(self, tensors: Sequence[Tensor]) -> Opened:
        """Return the same of copies on another device."""
        return replace(self, _tensors=tuple(map(weakref.ref, tensors)))

    def gives(self, tensors: Sequence[Tensor]) -> bool:
        """Return whether opening it again gives these tensors: they are those that it gave, and nobody has put others in their place."""
        return len(tensors) == len(self._tensors) and all(
            known() is tensor for known, tensor in zip(self._tensors, tensors, strict=True)
        )


def tensors_of(values: Mapping[str, Tensor]) -> list[Tensor]:
    """Return the tensors of paired data, in the order of their names."""
    return [values[name] for name in sorted(values)]
