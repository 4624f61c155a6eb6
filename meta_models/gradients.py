"""The gradient of a meta-batch: the mean over its tasks, computed task by task on all cores, or for all tasks at once.

On a CPU the convolutions of one task already fill a core, so each task runs on a thread of its own with a single kernel thread, its images
channels last. On a GPU, or where tensors are tiny, what counts is the number of launches, and all tasks go through the network together
(``torch.vmap``), on a CPU with a single kernel thread. Either way sums run in one order, and do not depend on how many threads there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from transference import Learner, Params
from transference.devices import channels_last, workers
from transference.engines import InTurns
from transference.episodes import has_images, stack
from transference.errors import LearnerError, UsageError
from transference.learners import EpisodeError, read_scores
from transference.samplers import TaskSampler

Task = tuple[TaskSampler, int]
"""A task, not yet drawn."""

BATCHINGS = ("apart", "together")


@dataclass(frozen=True)
class MetaGradient:
    """What a meta-batch gives.

    Attributes:
        gradient: of the mean loss; a parameter that no task's loss depends on has no entry.
        losses: one per task.
        accuracies: likewise, NaN where the learner knows none.
    """

    gradient: Params
    losses: list[float]
    accuracies: list[float]


class Batching(Protocol):
    """A way to compute it."""

    def __call__(self, learner: Learner, params: Params, tasks: Sequence[Task]) -> MetaGradient:
        """Return the gradient of the mean loss of the tasks."""


@contextmanager
def batching(name: str) -> Iterator[Batching]:
    """Provide a way to compute gradients: ``"apart"`` or ``"together"``.

    Yields:
        The way.

    Raises:
        UsageError: there is no such way.
    """
    if name not in BATCHINGS:
        raise UsageError(f"The batching {name!r} was asked for; it must be one of {', '.join(BATCHINGS)}.")
    with workers() as pool:
        yield partial(_apart if name == "apart" else _on_one_thread, pool)


def where(error: EpisodeError, tasks: Sequence[Task]) -> str:
    """Return on which of these tasks the learner failed, in words."""
    found = [(sampler, index) for sampler, index in tasks if error.is_on(sampler[index])]
    names = dict.fromkeys(sampler.name for sampler, _ in tasks)
    return f"on task {found[0][1]} of {found[0][0].name}" if found else f"on a task of {' or '.join(names)}"


def usual(learner: Learner, params: Params, task: Task) -> str:
    """Return the way that suits a learner's tasks: apart for images on a CPU, otherwise together, if the learner can be batched.

    It depends on nothing that changes from one time to the next, such as a trial run would, so that a training can be repeated to the bit.
    """
    sampler, index = task
    episode = sampler[index]
    if has_images(episode) and episode.device.type == "cpu":
        return "apart"
    try:
        _together(learner, params, [task, task])
    except (RuntimeError, ValueError, LearnerError):  # not all can be batched; whether it runs at all, the training will show
        return "apart"
    return "together"


def _apart(pool: ThreadPoolExecutor, learner: Learner, params: Params, tasks: Sequence[Task]) -> MetaGradient:
    total: Params = {}
    losses, accuracies = [], []
    for loss, accuracy, gradient in pool.map(partial(_one, InTurns(learner), params), tasks):
        _add(total, gradient)
        losses.append(loss)
        accuracies.append(accuracy)
    return MetaGradient({name: g / len(tasks) for name, g in total.items()}, *_floats(losses, accuracies))


def _one(learners: InTurns, params: Params, task: Task) -> tuple[Tensor, Tensor, Params]:
    sampler, index = task
    leaves = _leaves(params)
    episode = sampler[index].map(channels_last)
    with learners.one() as learner:
        loss, accuracy = read_scores(learner, leaves, episode)
        return loss.detach(), accuracy.detach(), _gradient(loss, leaves)


def _on_one_thread(pool: ThreadPoolExecutor, learner: Learner, params: Params, tasks: Sequence[Task]) -> MetaGradient:
    """Compute all tasks together with a single kernel thread: with more, sums on a CPU would change their last digits."""
    return pool.submit(_together, learner, params, tasks).result()


def _together(learner: Learner, params: Params, tasks: Sequence[Task]) -> MetaGradient:
    episodes = [sampler[index] for sampler, index in tasks]
    leaves = _leaves(params)
    total: Params = {}
    losses: list[Any] = [None] * len(tasks)
    accuracies: list[Any] = [None] * len(tasks)
    told = getattr(learner, "told_mode", False)
    for mode in dict.fromkeys(episode.mode if told else None for episode in episodes):
        chosen = [k for k, episode in enumerate(episodes) if not told or episode.mode == mode]
        loss, accuracy = torch.vmap(partial(read_scores, learner, leaves))(stack([episodes[k] for k in chosen]))
        _add(total, _gradient(loss.sum(), leaves))
        for position, k in enumerate(chosen):
            losses[k], accuracies[k] = loss[position].detach(), accuracy[position].detach()
    return MetaGradient({name: g / len(tasks) for name, g in total.items()}, *_floats(losses, accuracies))


def _leaves(params: Params) -> Params:
    return {name: value.detach().requires_grad_() for name, value in params.items()}


def _add(total: Params, gradient: Params) -> None:
    """Add a gradient to a sum in place; a name may be missing from either."""
    for name, g in gradient.items():
        total[name] = total[name] + g if name in total else g


def _gradient(loss: Tensor, leaves: Params) -> Params:
    gradients = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    return {name: g for name, g in zip(leaves, gradients, strict=True) if g is not None}


def _floats(losses: Sequence[Tensor], accuracies: Sequence[Tensor]) -> tuple[list[float], list[float]]:
    # One transfer for all: a GPU is not made to wait after each task.
    both = torch.stack([torch.stack([t.double() for t in column]) for column in (losses, accuracies)]).cpu()
    return both[0].tolist(), both[1].tolist()
