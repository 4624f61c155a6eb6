"""A step on several tasks at once, and what it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch

from transference import combine
from transference.combine import Combination
from transference.episodes import Params

Known: TypeAlias = tuple[float, Params]
"""Loss and gradient."""

_ROUNDING = 1e-12
"""Of inner products, relative to the largest: displacements that depend on each other to this are taken to do so."""


def combined(combination: Combination, pieces: Sequence[Sequence[Known]], tasks: Sequence[Known], source: str) -> Known:
    """Return loss and gradient of a step on several tasks.

    Args:
        combination: of their gradients.
        pieces: loss and gradient of the parts of each task; mostly there is one, the whole.
        tasks: loss and gradient of each task, which are no means over its parts where a learner reads the queries together.
        source: what they are together, for messages.

    Returns:
        The mean of the tasks' losses with the combined gradient.

    Raises:
        LearnerError: the combination failed, or returned something else than a gradient.
    """
    losses = [[loss for loss, _ in parts] for parts in pieces]
    gradients = [[gradient for _, gradient in parts] for parts in pieces]
    gradient = combine.combined(combination, losses, gradients, source)
    return sum(loss for loss, _ in tasks) / len(tasks), gradient


def made_of(displacement: Params | None, alone: Sequence[Params | None]) -> dict[str, Any]:
    """Return what a displacement ``d`` is made of: the weights that make ``‖d - Σ w_i d_i‖`` least, and what is left, over ``‖d‖``.

    What the sum ``Σ w_i d_i`` does to a loss is to first order the sum of what each ``d_i`` does.

    Args:
        displacement: ``d``, of the combined step.
        alone: ``d_i``, of a step on each of its tasks alone.
    """
    there = [tree for tree in alone if tree is not None]
    unknown = {"weights": None, "unexplained": np.nan}
    if displacement is None or len(there) < len(alone):
        return unknown
    like = {name: value for tree in (*there, displacement) for name, value in tree.items()}
    rows = torch.stack([combine.flat(tree, like) for tree in (*there, displacement)]).double()
    products = (rows @ rows.T).cpu().numpy()
    if not np.isfinite(products).all():
        return unknown
    # Each displacement at the length 1, so that none is taken for rounding because it is short.
    lengths = np.sqrt(np.where(products.diagonal() > 0, products.diagonal(), 1.0))
    unit = products / np.outer(lengths, lengths)
    weights = np.linalg.lstsq(unit[:-1, :-1], unit[:-1, -1], rcond=_ROUNDING)[0] * lengths[-1] / lengths[:-1]
    left = rows[-1] - torch.as_tensor(weights).to(rows) @ rows[:-1]
    return {"weights": weights.tolist(), "unexplained": float(left.norm()) / float(lengths[-1])}
