"""The gradient of a meta-batch, for training and for lookaheads of several updates: the mean over its tasks, by one of the engines.

On a CPU the convolutions of one task already fill a core, so each task runs on a thread of its own (``apart``). On a
GPU, or where tensors are tiny, what counts is the number of launches, and all tasks go through the network together
(``together``). Either way sums run in one order, and do not depend on how many threads there are.
"""

from __future__ import annotations

from collections.abc import Sequence

from transference.combine import Combination, combined, parts_of
from transference.devices import workers
from transference.engines._engines import find_engine
from transference.engines._gradient import MeanGradient
from transference.engines._names import BATCHINGS
from transference.episodes import Episode, Params, has_images
from transference.errors import LearnerError, UsageError
from transference.learners import EpisodeError, Learner
from transference.samplers import TaskSampler, episode_of

Task = tuple[TaskSampler, int]
"""A task, not yet drawn."""

_BOTH = ("losses", "accuracies")


def meta_batch(tasks: Sequence[TaskSampler], size: int, update: int) -> list[Task]:
    """Return the tasks of one update: task ``k`` of a training is task ``k // n_modes`` of mode ``k % n_modes``, so modes take turns.

    Args:
        tasks: one sampler per mode.
        size: tasks per update.
        update: which, from 0.
    """
    numbers = range(update * size, (update + 1) * size)
    return [(tasks[k % len(tasks)], k // len(tasks)) for k in numbers]


def update_gradient(
    batching: str,
    learner: Learner,
    params: Params,
    tasks: Sequence[Task],
    combination: Combination | None = None,
    names: Sequence[str] | None = None,
) -> MeanGradient:
    """Return what an outer update steps along: the gradient of the tasks' mean loss, or a combination of the modes' gradients.

    Args:
        batching: as in `meta_gradient`.
        learner: the learner.
        params: θ.
        tasks: those of the update.
        combination: as in `combined_gradient`; None for the mean over tasks.
        names: of the parameters that move; by default all.
    """
    if combination is None:
        return meta_gradient(batching, learner, params, tasks, names=names)
    return combined_gradient(combination, batching, learner, params, tasks, names)


def meta_gradient(
    batching: str,
    learner: Learner,
    params: Params,
    tasks: Sequence[Task],
    part: int = 0,
    parts: int = 1,
    names: Sequence[str] | None = None,
) -> MeanGradient:
    """Return the gradient of the mean loss of the tasks.

    Args:
        batching: ``"apart"`` or ``"together"``; they differ in the last digits.
        learner: the learner.
        params: θ.
        tasks: those of one outer update.
        part: of their queries, that the losses are taken on.
        parts: into how many they are split.
        names: of the parameters that move; by default all.

    Raises:
        UsageError: there is no such batching.
    """
    if batching not in BATCHINGS:
        raise UsageError(f"The batching {batching!r} was asked for; it must be one of {', '.join(BATCHINGS)}.")
    with workers():
        return find_engine(batching).mean_gradient(learner, params, draw(tasks, part, parts), names or list(params))


def combined_gradient(
    combination: Combination,
    batching: str,
    learner: Learner,
    params: Params,
    tasks: Sequence[Task],
    names: Sequence[str] | None = None,
) -> MeanGradient:
    """Return a combination of the modes' gradients, each of the mean loss of the mode's tasks.

    Args:
        combination: of as many gradients as there are modes; modes in the order in which their tasks come.
        batching: as in `meta_gradient`.
        learner: the learner.
        params: θ.
        tasks: those of one outer update, of every mode some.
        names: of the parameters that move; by default all.
    """
    parts = parts_of(combination)
    by_mode: dict[str, list[int]] = {}
    for k, (sampler, _) in enumerate(tasks):
        by_mode.setdefault(sampler.name, []).append(k)
    found = [
        [
            meta_gradient(batching, learner, params, [tasks[k] for k in mine], part, parts, names)
            for part in range(parts)
        ]
        for mine in by_mode.values()
    ]
    losses = [[sum(one.losses) / len(one.losses) for one in of_mode] for of_mode in found]
    gradient = combined(
        combination, losses, [[one.gradient for one in of_mode] for of_mode in found], " and ".join(by_mode)
    )
    scores = dict(item for mine, of in zip(by_mode.values(), found, strict=True) for item in _scores(mine, of))
    losses_of, accuracies_of = ([scores[k][column] for k in range(len(tasks))] for column in (0, 1))
    return MeanGradient(gradient, losses_of, accuracies_of)


def _scores(tasks: Sequence[int], parts: Sequence[MeanGradient]) -> list[tuple[int, tuple[float, float]]]:
    """Return loss and accuracy of each task, over all parts of its queries."""
    means = [
        [sum(column) / len(parts) for column in zip(*(getattr(one, of) for one in parts), strict=True)] for of in _BOTH
    ]
    return list(zip(tasks, zip(*means, strict=True), strict=True))


def draw(tasks: Sequence[Task], part: int = 0, parts: int = 1) -> list[Episode]:
    """Return the tasks' episodes, with one part of their queries, which several threads draw if images lie in host memory.

    On a GPU drawing is asking for one small thing after the other, which threads would only take turns in.
    """
    first, *others = tasks
    begun = episode_of(*first)
    with workers() as pool:
        each = pool.map if begun.device.type == "cpu" else map
        drawn = [begun, *each(lambda task: episode_of(*task), others)]
    return [episode.some_queries(part, parts) for episode in drawn]


def where(error: EpisodeError, tasks: Sequence[Task]) -> str:
    """Return on which of these tasks the learner failed, in words."""
    found = [(sampler, index) for sampler, index in tasks if error.is_on(sampler[index])]
    names = dict.fromkeys(sampler.name for sampler, _ in tasks)
    return f"on task {found[0][1]} of {found[0][0].name}" if found else f"on a task of {' or '.join(names)}"


def usual(learner: Learner, params: Params, task: Task) -> str:
    """Return the batching that suits a learner's tasks: apart for images on a CPU, otherwise together, if the learner can be batched.

    It depends on nothing that changes from one time to the next, such as a trial run would, so that a training can be repeated to the bit.
    """
    sampler, index = task
    episode = sampler[index]
    if has_images(episode) and episode.device.type == "cpu":
        return "apart"
    try:
        meta_gradient("together", learner, params, [task, task])
    except (RuntimeError, ValueError, LearnerError):
        # not all can be batched; whether it runs at all, the training will show
        return "apart"
    return "together"
