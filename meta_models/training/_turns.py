"""Whose turn it is: how tasks are shared out among modes by weight.

Every task goes to the mode that is furthest behind its share of the tasks so far, of equals to the first. Nothing is drawn at random, so
that shares are kept closely at any time, a mode of weight 0 never has a turn, and with equal weights modes simply alternate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache


class Turns:
    """The modes of all tasks of a training, one after the other.

    Args:
        weights: of the modes: finite, none below 0, one at least above. A weight counts as the decimal number that it is written as, so
            that 0.1 and 0.3 are as 1 and 3.
    """

    def __init__(self, weights: Sequence[float]) -> None:
        exact = [Fraction(str(weight)) for weight in weights]
        whole = [int(one * math.lcm(*(other.denominator for other in exact))) for one in exact]
        self._weights = [weight // math.gcd(*whole) for weight in whole]
        self._total = sum(self._weights)
        self._restart(0)

    def between(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Return mode and number among the mode's tasks, counted from 0, of tasks ``start … stop-1`` of the training.

        Example:
            >>> Turns([2, 1]).between(0, 6)
            [(0, 0), (1, 0), (0, 1), (0, 2), (1, 1), (0, 3)]
        """
        if start < self._at:
            self._restart(start)
        while self._at < start:
            self._next()
        return [self._next() for _ in range(start, stop)]

    def _restart(self, task: int) -> None:
        """Stand at the last task up to this one at which every mode has exactly its share, and all begins anew."""
        rounds = task // self._total
        self._at = rounds * self._total
        self._seen = [rounds * weight for weight in self._weights]
        self._behind = [0] * len(self._weights)

    def _next(self) -> tuple[int, int]:
        # behind[i] is total · (share of i in the tasks so far, this one included, less those that it had)
        self._behind = [behind + weight for behind, weight in zip(self._behind, self._weights, strict=True)]
        mode = max(range(len(self._behind)), key=self._behind.__getitem__)
        self._behind[mode] -= self._total
        self._at += 1
        self._seen[mode] += 1
        return mode, self._seen[mode] - 1


@lru_cache(maxsize=8)
def turns_of(weights: tuple[float, ...]) -> Turns:
    """Return the turns of these weights, which remember where a training is."""
    return Turns(weights)
