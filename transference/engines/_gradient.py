"""The gradient of a task's loss, and the mean of several tasks' gradients."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from transference.episodes import Episode, Params
from transference.learners import EpisodeError, Learner, read_scores

_NOTHING_MOVES = "The loss depends on none of the parameters that move ({}); every ratio would be 1. See --moves."


@dataclass(frozen=True)
class MeanGradient:
    """The gradient of the mean loss of several tasks, which an outer optimizer steps along.

    Attributes:
        gradient: by name; a parameter that no task's loss depends on has no entry.
        losses: one for each task.
        accuracies: likewise, NaN where the learner knows none.
    """

    gradient: Params
    losses: list[float]
    accuracies: list[float]

    @classmethod
    def of(cls, gradients: Iterable[Params], scores: Sequence[tuple[float, float]]) -> MeanGradient:
        """Return the mean over as many tasks as there are scores.

        Args:
            gradients: of a task's loss, or of the sum of several tasks' losses; they are added up in this order.
            scores: loss and accuracy of each task.
        """
        total: Params = {}
        for gradient in gradients:
            total |= {name: total[name] + g if name in total else g for name, g in gradient.items()}
        mean = {name: g / len(scores) for name, g in total.items()}
        return cls(mean, [loss for loss, _ in scores], [accuracy for _, accuracy in scores])


def loss_gradient(
    learner: Learner, params: Params, episode: Episode, names: Sequence[str]
) -> tuple[tuple[float, float], Params]:
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
    leaves = leaves_of(params, names)
    loss, accuracy = read_scores(learner, leaves, episode)
    return (float(loss.detach()), float(accuracy.detach())), gradient_of(loss, leaves, names, episode)


def leaves_of(params: Params, names: Sequence[str]) -> Params:
    """Return the parameters as tensors of their own, of which the named ones collect gradients."""
    return {name: value.detach().requires_grad_(name in names) for name, value in params.items()}


def gradient_of(loss: Tensor, leaves: Params, names: Sequence[str], episode: Episode | None = None) -> Params:
    """Return the gradient of a loss with respect to the named leaves; one that it does not depend on has no entry.

    Args:
        loss: a scalar ``[]``.
        leaves: θ, as `leaves_of` returns it.
        names: the parameters that move.
        episode: the task that the loss is of, for the error.

    Raises:
        EpisodeError: the loss depends on none of them.
    """
    found: Params = {}
    if loss.requires_grad:
        gradients = torch.autograd.grad(loss, [leaves[name] for name in names], allow_unused=True)
        found = {name: g.detach() for name, g in zip(names, gradients, strict=True) if g is not None}
    if not found:
        raise EpisodeError(_NOTHING_MOVES.format(", ".join(names[:5])), episode)
    return found
