"""Combinations that are weighted sums, whose weights depend on the gradients' inner products alone."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def gram(gradients: Tensor) -> NDArray[np.float64]:
    """Return the inner products of the rows of ``[m, n]``, ``[m, m]``, accumulated in float64."""
    rows = gradients.detach().double()
    products: NDArray[np.float64] = (rows @ rows.T).cpu().numpy()
    return products


def weighted(weights: NDArray[np.float64] | Tensor, gradients: Tensor) -> Tensor:
    """Return ``Σ w_i g_i``, ``[n]``."""
    return torch.as_tensor(weights).to(gradients) @ gradients
