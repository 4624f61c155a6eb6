"""The multiple-gradient descent algorithm: the shortest vector between the gradients.

    d = Σ w_i g_i  with  w = argmin ‖Σ w_i g_i‖²  over  w ≥ 0, Σ w_i = 1

Désidéri, "Multiple-gradient descent algorithm (MGDA) for multiobjective optimization", C. R. Math. 350 (2012); for several tasks of one
network Sener & Koltun, NeurIPS 2018. A step along -d lowers every one of the losses to first order, ⟨g_i, d⟩ ≥ ‖d‖², unless d = 0: then no
direction does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from transference.combine._gram import gram, weighted

MOST = 4
"""Tasks: with m there are 2^m - 1 faces of the simplex to try, and Frank-Wolfe, which serves more, stops short of the minimum."""

_BELOW = -1e-9
"""A weight that is negative by rounding alone."""


@dataclass(frozen=True)
class MGDA:
    """``d`` = the vector of least length in the convex hull of the gradients, found exactly for up to four tasks."""

    most: ClassVar[int] = MOST

    def __call__(self, losses: Tensor, gradients: Tensor) -> Tensor:
        """Return the shortest vector, ``[n]``."""
        del losses
        return weighted(shortest(gram(gradients)), gradients)


def shortest(products: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights ``[m]`` on the simplex that make ``w·G·w`` least, for inner products ``G [m, m]``; all alike where all are 0."""
    m, scale = len(products), products.diagonal().max()
    if not (np.isfinite(products).all() and scale > 0):
        return np.full(m, 1 / m)
    found = list(_on_faces(products / scale))
    return min(found, key=lambda w: float(w @ products @ w))


def _on_faces(products: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    """Yield the least point of the plane through each face of the simplex, where it lies in the face.

    With G of the face's corners it solves G w = λ 1, Σ w = 1. The least point of the simplex is the least point of some face; where
    gradients depend on each other, of a smaller one too.

    Yields:
        Weights of all tasks, ``[m]``.
    """
    m = len(products)
    for size in range(1, m + 1):
        for face in map(list, combinations(range(m), size)):
            corners = products[np.ix_(face, face)]
            corners = corners / (corners.diagonal().max() or 1.0)  # else short gradients count as 0 beside a long one
            bordered = np.block([[corners, np.ones((size, 1))], [np.ones((1, size)), 0.0]])
            wanted = np.r_[np.zeros(size), 1.0]
            weights = np.linalg.lstsq(bordered, wanted, rcond=None)[0][:size]
            if (weights >= _BELOW).all() and weights.sum() > 0:
                inside = np.zeros(m)
                inside[face] = weights.clip(min=0)
                yield inside / inside.sum()
