"""Gradient surgery: each gradient without what conflicts with the others.

Yu et al., "Gradient Surgery for Multi-Task Learning", NeurIPS 2020. Starting from g_i, the part along every other g_k with
which what is left has a negative inner product is taken away, one after the other; d is the sum of what is left of all. The
paper draws the order of the others at random; here the mean over all orders is taken, which is what the draw gives on average,
and the same every time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from transference.combine._gram import gram, weighted
from transference.combine.mgda import MOST


@dataclass(frozen=True)
class PCGrad:
    """``d`` = the sum of the gradients, each projected off those it conflicts with; for up to four tasks, over all orders."""

    most: ClassVar[int] = MOST

    def __call__(self, losses: Tensor, gradients: Tensor) -> Tensor:
        """Return the sum of what is left, ``[n]``."""
        del losses
        return weighted(projected(gram(gradients)), gradients)


def projected(products: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights ``[m]`` of the gradients in the sum, for inner products ``G [m, m]``."""
    m = len(products)
    total = np.zeros(m)
    for i in range(m):
        left = [_surgery(products, i, order) for order in permutations([k for k in range(m) if k != i])]
        total += np.mean(left, axis=0)
    return total


def _surgery(products: NDArray[np.float64], i: int, order: Sequence[int]) -> NDArray[np.float64]:
    """Return what is left of gradient ``i`` as weights of all: it stays a sum of them, so inner products are all that is needed."""
    left: NDArray[np.float64] = np.eye(len(products))[i]
    for k in order:
        along = left @ products[:, k]
        if along < 0:  # then g_k is not 0
            left[k] -= along / products[k, k]
    return left
