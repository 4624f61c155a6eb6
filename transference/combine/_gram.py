"""Combinations that are weighted sums, whose weights depend on the gradients' inner products alone."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def gram(gradients: Tensor) -> NDArray[np.float64]:
    """Return the inner products of the rows of ``[m, n]``, ``[m, m]``, accumulated in float64, all over one number.

    It is the square of the largest entry, so that no product of finite ones is infinite, nor that of the longest 0.
    """
    rows = gradients.detach().double()
    largest = float(rows.abs().max()) if rows.numel() else 0.0
    rows = rows / largest if 0 < largest < float("inf") else rows
    products: NDArray[np.float64] = (rows @ rows.T).cpu().numpy()
    return products


def weighted(weights: NDArray[np.float64] | Tensor, gradients: Tensor) -> Tensor:
    """Return ``Σ w_i g_i``, ``[n]``."""
    return torch.as_tensor(weights).to(gradients) @ gradients
