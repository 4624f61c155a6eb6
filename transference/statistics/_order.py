"""Order statistics of any number of values, exact, in bounded memory.

Up to `WHOLE` values are held. More are read again and again (Munro & Paterson, Theoretical Computer Science 12, 1980): a positive float64
and its 64 bits, read as an integer, have one order, so values are first counted by their leading bits; of the few bins that hold what is
asked for, the values are then kept, or, where they are too many, counted by the bits that follow. After four passes all bits are known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

_Floats: TypeAlias = NDArray[np.float64]
_Keys: TypeAlias = NDArray[np.int64]

WHOLE = 2**24
"""Values up to which they are held together: 128 MB."""

_COARSE = 41
"""Bits that the first count leaves open of the 63 of a positive number: its bins are 0.05 % of a value wide."""

_FINER = 18
"""Bits that each count after it closes."""


class Ordered:
    """Values in their order.

    Args:
        read: reads them anew each time, part by part, for whoever may reorder them; not below 0 where they are more than `WHOLE`.
        seen: is shown each part, once.
    """

    def __init__(self, read: Callable[[], Iterable[_Floats]], seen: Callable[[_Floats], None] = lambda _: None) -> None:
        self._read = read
        parts: list[_Floats] = []
        self.n = 0
        self._known: dict[int, float] = {}
        self._held: _Floats | None = None
        counts: NDArray[np.int64] | None = None
        for values in read():
            seen(values)
            self.n += len(values)
            if counts is None and self.n <= WHOLE:
                parts.append(values)
                continue
            if counts is None:
                counts = np.zeros(1 << (63 - _COARSE), np.int64)
                for part in parts:
                    _count(part, counts)
                parts.clear()
            _count(values, counts)
        if counts is None:
            self._held = parts[0] if len(parts) == 1 else np.concatenate([np.empty(0), *parts])
        else:
            self._up_to = counts.cumsum()

    def quantiles(self, at: Sequence[float] | _Floats, scale: Callable[[_Floats], _Floats] = lambda x: x) -> _Floats:
        """Return quantiles, as `numpy.quantile` does: between two values, what lies between them in proportion.

        Args:
            at: which, from 0 to 1.
            scale: a monotone function of the values, whose quantiles are wanted.
        """
        places = np.asarray(at, dtype=np.float64) * (self.n - 1)
        below = np.floor(places).astype(np.int64)
        above = np.minimum(below + 1, self.n - 1)
        wanted = [rank for rank in np.unique([below, above]).tolist() if rank not in self._known]
        if wanted:
            self._known.update(zip(*self._at(np.array(wanted)), strict=True))
        ends = scale(np.array([[self._known[rank] for rank in ranks] for ranks in (below.tolist(), above.tolist())]))
        return np.array([np.quantile(pair, share) for pair, share in zip(ends.T, places - below, strict=True)])

    def _at(self, ranks: _Keys) -> tuple[list[int], list[float]]:
        """Return ranks, from 0, and the values that have them."""
        if self._held is not None:
            self._held.partition(ranks)
            return ranks.tolist(), self._held[ranks].tolist()
        shift, bins = _COARSE, np.searchsorted(self._up_to, ranks, side="right")
        counts = np.diff(self._up_to, prepend=0)
        left, sizes = ranks - (self._up_to[bins] - counts[bins]), counts[bins]
        while shift:
            wanted, first = np.unique(bins, return_index=True)
            if sizes[first].sum() <= WHOLE:
                kept = np.sort(np.concatenate([keys for keys, _ in self._inside(wanted, shift)]))
                return ranks.tolist(), kept[np.searchsorted(kept, bins << shift) + left].view(np.float64).tolist()
            finer = max(0, shift - _FINER)
            counts = np.zeros((len(wanted), 1 << (shift - finer)), np.int64)
            for keys, which in self._inside(wanted, shift):
                np.add.at(counts, (which, (keys >> finer) & ((1 << (shift - finer)) - 1)), 1)
            of = np.searchsorted(wanted, bins)
            up_to = counts.cumsum(axis=1)
            inner = np.array([np.searchsorted(up_to[k], rank, side="right") for k, rank in zip(of, left, strict=True)])
            left, sizes = left - (up_to[of, inner] - counts[of, inner]), counts[of, inner]
            bins, shift = (bins << (shift - finer)) | inner, finer
        return ranks.tolist(), bins.view(np.float64).tolist()  # all that have these bits are one value

    def _inside(self, wanted: _Keys, shift: int) -> Iterator[tuple[_Keys, NDArray[np.intp]]]:
        """Read the values anew.

        Yields:
            Part by part, the keys whose leading bits are among these, and which of them.
        """
        for values in self._read():
            keys = values.view(np.int64)
            leading = keys >> shift
            which = np.minimum(np.searchsorted(wanted, leading), len(wanted) - 1)
            inside = wanted[which] == leading
            yield keys[inside], which[inside]


def _count(values: _Floats, counts: NDArray[np.int64]) -> None:
    """Count values by their leading bits."""
    if not len(values):
        return
    leading = values.view(np.int64) >> _COARSE
    first = int(leading.min())
    found = np.bincount(leading - first)
    counts[first : first + len(found)] += found
