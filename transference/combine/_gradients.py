"""From gradients by name to the matrix that a combination is given, and back."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from transference.combine._protocol import Combination, parts_of
from transference.episodes import Params
from transference.errors import LearnerError
from transference.learners import told


def combined(
    combination: Combination, losses: Sequence[Sequence[float]], gradients: Sequence[Sequence[Params]], whose: str
) -> Params:
    """Return the combined gradient; a parameter that no loss depends on has no entry.

    Args:
        combination: of the tasks' gradients.
        losses: of each part of each task's queries, ``[m][parts]``; mostly there is one part, the whole.
        gradients: likewise.
        whose: what is combined, for messages.

    Raises:
        LearnerError: the combination failed, or returned something else than a gradient.
    """
    like = {name: value for parts in gradients for gradient in parts for name, value in gradient.items()}
    rows = torch.stack([torch.stack([flat(gradient, like) for gradient in parts]) for parts in gradients])
    values = torch.tensor(losses, dtype=rows.dtype, device=rows.device)
    if parts_of(combination) == 1:
        rows, values = rows[:, 0], values[:, 0]
    try:
        found: object = combination(values, rows)
    except Exception as error:
        raise LearnerError(f"The combination of {whose} failed: {told(error)}.") from error
    if not isinstance(found, Tensor) or found.shape != rows.shape[-1:]:
        shape = f"a tensor {list(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
        raise LearnerError(
            f"The combination of {whose} returned {shape}; it must return one gradient, a tensor {list(rows.shape[-1:])}."
        )
    names = sorted(like)
    pieces = torch.split(found.detach().to(rows), [like[name].numel() for name in names])
    return {name: piece.reshape(like[name].shape) for name, piece in zip(names, pieces, strict=True)}


def flat(tree: Params, like: Params) -> Tensor:
    """Return a tree as one vector, in the order of the names of ``like``; zero where it has no entry."""
    return torch.cat([tree.get(name, torch.zeros_like(like[name])).flatten() for name in sorted(like)])
