"""The gradients of several tasks, one row each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from transference.episodes import Params

_COLUMNS = 2**16
"""Of a product that are converted to float64 together."""


class GradientRows:
    """Gradients as one matrix, ``[n, n_parameters]``; zero where a loss does not depend on a parameter.

    Args:
        n: how many.
        params: θ, for names, shapes, device and dtype.
    """

    def __init__(self, n: int, params: Params) -> None:
        ends = torch.tensor([value.numel() for value in params.values()]).cumsum(0).tolist()
        self._slots = {name: slice(end - value.numel(), end) for (name, value), end in zip(params.items(), ends, strict=True)}
        self._shapes = {name: value.shape for name, value in params.items()}
        self._rows = next(iter(params.values())).new_zeros(n, ends[-1])

    def __getitem__(self, k: int) -> Params:
        """Return gradient number ``k``."""
        return {name: self._rows[k, self._slots[name]].reshape(shape) for name, shape in self._shapes.items()}

    def __setitem__(self, k: int, gradient: Params) -> None:
        _fill(self._rows[k], gradient, self._slots)

    def products(self, displacements: Sequence[Params]) -> Tensor:
        """Return ``⟨g, d⟩`` of every displacement with every gradient, ``[n_displacements, n]`` in their dtype and on their device."""
        return self._steps(displacements) @ self._rows.T

    def exact_products(self, displacements: Sequence[Params]) -> Tensor:
        """Return the same, summed in float64."""
        steps = self._steps(displacements)
        total = steps.new_zeros(len(steps), len(self._rows), dtype=torch.float64)
        for start in range(0, steps.shape[1], _COLUMNS):
            columns = slice(start, start + _COLUMNS)
            total += steps[:, columns].double() @ self._rows[:, columns].double().T
        return total

    def _steps(self, displacements: Sequence[Params]) -> Tensor:
        steps = self._rows.new_zeros(len(displacements), self._rows.shape[1])
        for row, displacement in zip(steps, displacements, strict=True):
            _fill(row, displacement, self._slots)
        return steps


def _fill(row: Tensor, tree: Params, slots: dict[str, slice]) -> None:
    """Write a tree into its places of one long row."""
    for name, value in tree.items():
        row[slots[name]] = value.flatten()
