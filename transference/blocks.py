"""The table of a run, mode pair by mode pair: what statistics and figures are made of, wherever it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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
        weights: of each source that is a combination, the weights of the other source modes' displacements in its own, in the order
            of these modes, ``[n_sources, n_modes]``; None where the sources are tasks themselves.
        unexplained: likewise, the length of what such a sum leaves of its displacement, over the displacement's, ``[n_sources]``.
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
    weights: NDArray[np.float64] | None = None
    unexplained: NDArray[np.float64] | None = None

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
