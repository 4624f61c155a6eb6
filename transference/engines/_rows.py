"""The gradients of several tasks, one row each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from transference.episodes import Params

_BLOCK, _COLUMNS = 16, 2**12
"""Displacements, and gradients, in one product; and their columns that are converted to float64 together."""


class GradientRows:
    """Gradients as one matrix, ``[n, n_parameters]``; zero where a loss does not depend on a parameter.

    Args:
        n: how many.
        params: θ, for names, shapes, device and dtype.
    """

    def __init__(self, n: int, params: Params) -> None:
        ends = torch.tensor([value.numel() for value in params.values()]).cumsum(0).tolist()
        self._slots = {
            name: slice(end - value.numel(), end) for (name, value), end in zip(params.items(), ends, strict=True)
        }
        self._shapes = {name: value.shape for name, value in params.items()}
        self._rows = next(iter(params.values())).new_zeros(n, ends[-1])

    def __getitem__(self, k: int) -> Params:
        """Return gradient number ``k``."""
        return {name: self._rows[k, self._slots[name]].reshape(shape) for name, shape in self._shapes.items()}

    def __setitem__(self, k: int, gradient: Params) -> None:
        _fill(self._rows[k], gradient, self._slots)

    def products(self, displacements: Sequence[Params]) -> Tensor:
        """Return ``⟨g, d⟩`` of every displacement with every gradient, ``[n_displacements, n]`` float64 on their device.

        Each is the same number whatever it is asked beside: kernels choose the order of their sums by the shapes that they are given, so
        they are given one shape only, of blocks filled up with zeros.
        """
        steps, n = self._steps(displacements), len(self._rows)
        total = steps.new_zeros(_whole(len(steps)), _whole(n), dtype=torch.float64)
        blanks = [
            matrix.new_zeros(_whole(len(matrix)), _COLUMNS, dtype=torch.float64) for matrix in (steps, self._rows)
        ]
        for start in range(0, steps.shape[1], _COLUMNS):
            some_steps, some_rows = (
                _filled(blank, matrix[:, start : start + _COLUMNS])
                for blank, matrix in zip(blanks, (steps, self._rows), strict=True)
            )
            for i in range(0, len(total), _BLOCK):
                for j in range(0, total.shape[1], _BLOCK):
                    total[i : i + _BLOCK, j : j + _BLOCK] += some_steps[i : i + _BLOCK] @ some_rows[j : j + _BLOCK].T
        return total[: len(steps), :n]

    def _steps(self, displacements: Sequence[Params]) -> Tensor:
        steps = self._rows.new_zeros(len(displacements), self._rows.shape[1])
        for row, displacement in zip(steps, displacements, strict=True):
            _fill(row, displacement, self._slots)
        return steps


def _fill(row: Tensor, tree: Params, slots: dict[str, slice]) -> None:
    """Write a tree into its places of one long row."""
    for name, value in tree.items():
        row[slots[name]] = value.flatten()


def _whole(n: int) -> int:
    """Return how many rows so many fill up, in blocks."""
    return -(-n // _BLOCK) * _BLOCK


def _filled(blank: Tensor, rows: Tensor) -> Tensor:
    """Return rows in float64, with rows of zeros up to whole blocks, which ``blank`` has; it is written over."""
    filled = blank[:, : rows.shape[1]]
    filled[: len(rows)] = rows
    return filled
