"""The table of a run, mode pair by mode pair: what statistics and figures are made of, wherever it comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_CELLS = 2**20
"""Pairs of a strip of a table in memory."""


@dataclass(frozen=True)
class Combined:
    """What sources that are combinations of others are made of, and what these predict of them.

    A displacement ``d = Σ w_i d_i`` changes a loss, to first order in the step, by the sum of what each ``d_i`` does:

        R[d→j] - 1 = Σ_i w_i (R[i→j] - 1) + O(α²)

    Attributes:
        weights: of the combined modes' displacements in that of each source, in the order of these modes, ``[n_sources, n_modes]``.
        unexplained: the length of what such a sum leaves of the displacement, over the displacement's, ``[n_sources]``.
        predicted: the loss ratios that the sum gives, ``[n_sources, n_targets]``; NaN where it is not above 0.
    """

    weights: NDArray[np.float64]
    unexplained: NDArray[np.float64]
    predicted: NDArray[np.float64]

    @classmethod
    def of(
        cls, weights: NDArray[np.float64], unexplained: NDArray[np.float64], modes: Sequence[NDArray[np.float64]]
    ) -> Combined:
        """Return it from the rows of the combined modes.

        Args:
            weights: ``[n_sources, n_modes]``.
            unexplained: ``[n_sources]``.
            modes: the loss ratios of each combined mode on the same targets, ``[n_sources, n_targets]``.
        """
        changes = [weight[:, None] * (ratio - 1) for weight, ratio in zip(weights.T, modes, strict=True)]
        ratio: NDArray[np.float64] = 1 + np.sum(changes, axis=0)
        return cls(weights, unexplained, np.where(ratio > 0, ratio, np.nan))


class Strip(NamedTuple):
    """A part of a mode pair's table.

    Attributes:
        rows: the sources that it has, by their number in the table.
        columns: the targets that it has.
        cells: what was asked for of these pairs, ``[n_rows, n_columns]`` each.
    """

    rows: slice
    columns: slice
    cells: tuple[NDArray[Any], ...]


@dataclass(frozen=True)
class Strips:
    """One source mode on one target mode as `Block` has it, of a table that need not fit into memory: it is read strip by strip.

    Attributes:
        checkpoint_step: the checkpoint's.
        alpha: the step size.
        source_mode: as in ``Run.pairs()``.
        target_mode: likewise.
        shape: sources, and targets.
        accuracy_before: as of `Block`.
        same_tasks: likewise.
        tasks: likewise.
        read: reads the matrices of `Block` that have these names, anew each time.
        tempered: whether there are ratios of losses at their best temperature.
    """

    checkpoint_step: int
    alpha: float
    source_mode: str
    target_mode: str
    shape: tuple[int, int]
    accuracy_before: NDArray[np.float32]
    same_tasks: bool
    tasks: tuple[object, object]
    read: Callable[[tuple[str, ...]], Iterator[Strip]]
    tempered: bool = False

    def strips(self, *names: str) -> Iterator[Strip]:
        """Yield the table in strips, each pair once.

        Args:
            names: which matrices: ``"loss_ratio"``, ``"change"``, ``"first_order"``; ``"tempered_ratio"`` where there
                is one.

        Raises:
            StoreError: a file is missing or damaged.
        """
        return self.read(names)


@dataclass(frozen=True)
class Block:
    """One source mode on one target mode, at one checkpoint and step size.

    Attributes:
        checkpoint_step: the checkpoint's.
        alpha: the step size.
        source_mode: as in ``Run.pairs()``.
        target_mode: likewise.
        loss_ratio: ``[n_sources, n_targets]``, above 0; NaN where a cell failed.
        change: ``loss_after / loss_before`` whatever the status, ``[n_sources, n_targets]``: where losses are estimated
            it may be negative.
        first_order: ``⟨∇L_j, d⟩ / L_j``, what the gradients at θ alone say of ``log(loss_ratio)``,
            ``[n_sources, n_targets]``; NaN where it was not computed.
        accuracy_before: ``[n_targets]``; NaN where the learner knows none.
        same_tasks: whether sources and targets are the same tasks, in the same order.
        redrawn: the loss ratios with other episodes of the same tasks, ``[n_sources, n_targets]`` of each further
            replicate.
        tasks: what the sources and the targets are, equal for the same tasks; None where it is not known.
        combination: of sources that are combinations of others, what these predict of them; None where sources are tasks themselves.
        tempered_ratio: the ratios of the losses at their best temperature, before and after,
            ``[n_sources, n_targets]``; NaN where there is none, None where they were not read.
    """

    checkpoint_step: int
    alpha: float
    source_mode: str
    target_mode: str
    loss_ratio: NDArray[np.float64]
    change: NDArray[np.float64]
    first_order: NDArray[np.float32]
    accuracy_before: NDArray[np.float32]
    same_tasks: bool = False
    redrawn: tuple[NDArray[np.float64], ...] = ()
    tasks: tuple[object, object] | None = None
    combination: Combined | None = None
    tempered_ratio: NDArray[np.float64] | None = None

    @property
    def tempered(self) -> bool:
        """Whether there are ratios of losses at their best temperature."""
        return self.tempered_ratio is not None

    @property
    def shape(self) -> tuple[int, int]:
        """Sources, and targets."""
        n_source, n_target = self.loss_ratio.shape
        return n_source, n_target

    def strips(self, *names: str) -> Iterator[Strip]:
        """Yield the table in strips of some sources, as views, so that what is made of them takes little memory.

        Args:
            names: which matrices, as of `Strips`.
        """
        (n_source, n_target), matrices = self.shape, [getattr(self, name) for name in names]
        some = max(1, _CELLS // max(1, n_target))
        for rows in (slice(start, min(start + some, n_source)) for start in range(0, n_source, some)):
            yield Strip(rows, slice(0, n_target), tuple(matrix[rows] for matrix in matrices))

    @classmethod
    def of(
        cls,
        loss_ratio: NDArray[np.float64],
        *,
        source_mode: str = "source",
        target_mode: str = "target",
        checkpoint_step: int = 0,
        alpha: float = np.nan,
        same_tasks: bool = False,
        redrawn: Sequence[NDArray[np.float64]] = (),
    ) -> Block:
        """Return a table of loss ratios that comes from elsewhere, for the statistics.

        Args:
            loss_ratio: ``[n_sources, n_targets]``; NaN where there is none, as what is infinite or not above 0 counts.
            source_mode: what the sources are.
            target_mode: what the targets are.
            checkpoint_step: of the learner.
            alpha: the step size.
            same_tasks: whether sources and targets are the same tasks, in the same order.
            redrawn: the same with other episodes of the tasks, one matrix for each further replicate.
        """
        nothing = np.full(loss_ratio.shape, np.nan, np.float32)
        measured = [np.where(np.isfinite(ratio) & (ratio > 0), ratio, np.nan) for ratio in (loss_ratio, *redrawn)]
        return cls(
            checkpoint_step=checkpoint_step,
            alpha=alpha,
            source_mode=source_mode,
            target_mode=target_mode,
            loss_ratio=measured[0],
            change=loss_ratio,
            first_order=nothing,
            accuracy_before=nothing[0],
            same_tasks=same_tasks,
            redrawn=tuple(measured[1:]),
        )
