"""Generated paired sets whose information is known: what each modality says of the class, alone and beside the other.

Five bits stand behind an example: ``R`` in both modalities, ``u1`` in a alone, ``u2`` in b alone, ``a1`` in a and ``a2`` in b,
whose exclusive or neither of them knows. A modality is 16 values, a direction for each of its three bits with the bit as sign,
and normal noise. The class is made of some of these bits; all others are fair coins that have nothing to do with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from transference._streams import Stream
from transference.datasets.paired._paired import Modality, PairedDataset, content_digest, require_split

_WIDTH = 16
_NOISE = 0.5
_GRID = 1024.0
"""Values are multiples of its inverse: the last digits of a logarithm, in which machines differ, are rounded away."""

_ROWS = {"train": 3000, "val": 1000, "test": 2000}
_BITS = {"a": ("R", "u1", "a1"), "b": ("R", "u2", "a2")}
"""The bits that each modality shows."""

Bits = dict[str, NDArray[np.bool_]]


@dataclass(frozen=True)
class GeneratedPairs:
    """A paired set that is drawn, not read: the rows of a class from the stream at ``(NAME, split, class)``.

    Attributes:
        name: the set's name, part of every stream's address.
        told: what the bits of the class number are, lowest first: ``"R"``, ``"u1"``, or ``"a1^a2"``.
    """

    name: str
    told: tuple[str, ...]
    where: ClassVar[str] = "generated"
    modalities: ClassVar[tuple[Modality, ...]] = tuple(Modality(name, "values", (_WIDTH,)) for name in _BITS)

    def classes(self) -> dict[str, dict[str, int]]:
        """Return the classes, the same in every split, with as many examples each."""
        n = 2 ** len(self.told)
        return {split: {str(c): rows // n for c in range(n)} for split, rows in _ROWS.items()}

    def open(self, split: str) -> PairedDataset:
        """Return one of its splits, which is drawn once in a process.

        Raises:
            DataError: there is no such split.
        """
        return _drawn(self, require_split(self, split))

    def rows(self, split: str, c: int) -> tuple[Bits, dict[str, NDArray[np.float32]]]:
        """Return the bits behind the examples of class ``c``, ``[n]`` each, and their values by modality, ``[n, 16]``."""
        n = self.classes()[split][str(c)]
        stream = Stream("paired", self.name, split, c)
        coins = stream.uniform(0.0, 1.0, (5, n)) < 0.5
        bits = dict(zip(("R", "u1", "u2", "a1", "a2"), coins, strict=True))
        for k, name in enumerate(self.told):
            bit = np.full(n, bool(c >> k & 1))
            if name == "a1^a2":
                bits["a2"] = bits["a1"] ^ bit
            else:
                bits[name] = bit
        return bits, {m: self._values(m, bits, stream.normal((n, _WIDTH))) for m in _BITS}

    def _values(self, modality: str, bits: Bits, noise: NDArray[np.float64]) -> NDArray[np.float32]:
        directions = Stream("paired", self.name, modality).normal((len(_BITS[modality]), _WIDTH))
        values = _NOISE * noise
        for name, direction in zip(
            _BITS[modality], directions, strict=True
        ):  # a product would sum in an order of its own
            values = values + np.where(bits[name], 1.0, -1.0)[:, None] * direction
        return (np.rint(values * _GRID) / _GRID).astype(np.float32)


@lru_cache(maxsize=12)  # three splits of four sets
def _drawn(reader: GeneratedPairs, split: str) -> PairedDataset:
    sizes = reader.classes()[split]
    by_class = [reader.rows(split, c)[1] for c in range(len(sizes))]
    values = {m: torch.from_numpy(np.concatenate([of[m] for of in by_class])) for m in _BITS}
    labels = [(name, f"{name}-{k:04d}") for name, size in sizes.items() for k in range(size)]
    digest = content_digest(reader.modalities, labels, values)
    starts, ids = (0, *accumulate(sizes.values())), tuple(row for _, row in labels)
    return PairedDataset(reader.name, split, reader.modalities, values, tuple(sizes), starts, ids, digest)


def Redundant() -> GeneratedPairs:
    """Return the set of 2 classes that both modalities tell."""
    return GeneratedPairs("redundant", ("R",))


def Unique() -> GeneratedPairs:
    """Return the set of 2 classes that modality a tells, and b knows nothing of."""
    return GeneratedPairs("unique", ("u1",))


def Synergy() -> GeneratedPairs:
    """Return the set of 2 classes that neither modality tells alone, and both together do."""
    return GeneratedPairs("synergy", ("a1^a2",))


def Mix() -> GeneratedPairs:
    """Return the set of 8 classes: one bit that both tell, one that a tells, and one that both together tell."""
    return GeneratedPairs("mix", ("R", "u1", "a1^a2"))
