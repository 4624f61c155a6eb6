"""Random numbers that are addressed, not consumed.

A `Stream` is a Philox counter-based generator set to an address such as ``("omniglot:train/…", 7)``. The same address gives the same
numbers in any process, on any machine, in any order, because nothing is shared and nothing is left behind. Only the raw 64-bit output of
Philox is used: numpy guarantees that output for ever, while the methods of ``numpy.random.Generator`` may change between releases.

Reference: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

import hashlib
import json
import math

import numpy as np
from numpy.typing import NDArray


class Stream:
    """The random numbers that belong to one address.

    Args:
        address: strings and integers; their JSON form is the identity of the stream.

    Example:
        >>> Stream("doctest", 3).choice(5, 2) == Stream("doctest", 3).choice(5, 2)
        True
    """

    def __init__(self, *address: str | int) -> None:
        key = hashlib.blake2b(json.dumps(address).encode(), digest_size=16).digest()
        self._bits = np.random.Philox(key=np.frombuffer(key, dtype="<u8"))

    def below(self, n: int) -> int:
        """Return an integer uniform on ``0 … n-1``, without the bias of a plain remainder (rejection)."""
        limit = 2**64 - 2**64 % n
        while (raw := int(self._bits.random_raw())) >= limit:
            pass
        return raw % n

    def choice(self, n: int, k: int) -> list[int]:
        """Return ``k`` different integers from ``0 … n-1``, in random order (the first steps of a Fisher-Yates shuffle)."""
        pool = list(range(n))
        for i in range(k):
            j = i + self.below(n - i)
            pool[i], pool[j] = pool[j], pool[i]
        return pool[:k]

    def uniform(self, low: float, high: float, shape: tuple[int, ...] = ()) -> NDArray[np.float64]:
        """Return float64 numbers uniform on ``[low, high)``, of the given shape."""
        raw = self._bits.random_raw(math.prod(shape))
        unit = (np.asarray(raw, dtype=np.uint64) >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return (low + (high - low) * unit).reshape(shape)

    def normal(self, shape: tuple[int, ...] = ()) -> NDArray[np.float64]:
        """Return standard normal float64 numbers of the given shape (Box-Muller)."""
        radius = np.sqrt(-2.0 * np.log1p(-self.uniform(0.0, 1.0, shape)))
        return np.asarray(radius * np.cos(self.uniform(0.0, 2.0 * np.pi, shape)))
