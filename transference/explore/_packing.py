"""Numbers as text that a page can hold: in planes of bytes, compressed, base64."""

from __future__ import annotations

import zlib
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

_EXACT = 1_000_000
"""Cells of a page, over all checkpoints and step sizes, up to which log ratios keep the digits of float32."""

Coding: TypeAlias = type[np.float32] | type[np.float16]


def coding(n_cells: int) -> Coding:
    """Return how the log ratios of a page of so many cells are stored.

    float32 is off by 6e-8 of a log ratio at most, float16 by 1/2048 of it, or by 3e-8 where it is next to 0. Both hold NaN.
    """
    return np.float32 if n_cells <= _EXACT else np.float16


def pack(numbers: NDArray[Any]) -> str:
    """Return numbers as base64 of zlib of their bytes: first the lowest byte of each number, then the next.

    Bytes of the same weight are alike, and compress better beside each other.
    """
    stored = np.ascontiguousarray(numbers, dtype=numbers.dtype.newbyteorder("<"))
    planes = stored.reshape(-1).view(np.uint8).reshape(-1, stored.dtype.itemsize).T
    return b64encode(zlib.compress(planes.tobytes(), 6)).decode()


@dataclass
class Shelf:
    """The packed tables of a page, as far as they fit.

    Attributes:
        room: bytes that are left.
        tables: the packed text of each, by the name under which the page finds it.
        left_out: what did not fit.
    """

    room: int
    tables: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def put(self, tables: dict[str, NDArray[Any]], what: str) -> bool:
        """Take all of some tables, or none; return whether they fitted.

        Args:
            tables: by name.
            what: they are, for `left_out`.
        """
        packed: dict[str, str] = {}
        for name, table in tables.items():
            packed[name] = pack(table)
            if sum(map(len, packed.values())) > self.room:
                self.left_out.append(what)
                return False
        self.room -= sum(map(len, packed.values()))
        self.tables |= packed
        return True
