"""The gradient of a task's loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from transference.episodes import Episode, Params
from transference.learners import EpisodeError, Learner, read_scores

_NOTHING_MOVES = "The loss depends on none of the parameters that move ({}); every ratio would be 1. See --moves."


def loss_gradient(learner: Learner, params: Params, episode: Episode, names: Sequence[str]) -> tuple[tuple[float, float], Params]:
    """Return ``L(θ)`` with the accuracy, and the gradient of the loss with respect to the named parameters.

    Through the inner loop too, where the learner has one. A parameter that the loss does not depend on has no entry in the gradient: no
    optimizer would move it.

    Args:
        learner: whose loss.
        params: θ.
        episode: the task.
        names: the parameters that move.

    Raises:
        EpisodeError: the loss depends on none of them.
    """
    leaves = {name: value.detach().requires_grad_(name in names) for name, value in params.items()}
    loss, accuracy = read_scores(learner, leaves, episode)
    if not loss.requires_grad:
        raise EpisodeError(_NOTHING_MOVES.format(", ".join(names[:5])), episode)
    gradients = torch.autograd.grad(loss, [leaves[name] for name in names], allow_unused=True)
    found = {name: g.detach() for name, g in zip(names, gradients, strict=True) if g is not None}
    if not found:
        raise EpisodeError(_NOTHING_MOVES.format(", ".join(names[:5])), episode)
    return (float(loss.detach()), float(accuracy.detach())), found
