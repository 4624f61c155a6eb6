"""A learner and a checkpoint, put together: every tensor accounted for."""

from __future__ import annotations

from collections.abc import Callable

from transference.checkpoints import Checkpoint
from transference.episodes import Params
from transference.errors import LearnerError
from transference.learners._protocol import BufferedLearner, ConfiguredLearner, Learner


def bind(learner: Learner, checkpoint: Checkpoint) -> tuple[Learner, Params]:
    """Return the learner and its parameters as this checkpoint has them, buffers set and every tensor accounted for.

    Raises:
        LearnerError: the checkpoint's tensors are not the learner's: some are missing, unexpected or of another shape.
    """
    bound, params = learner, {name: value for name, value in checkpoint.params.items() if value.is_floating_point()}
    if isinstance(learner, BufferedLearner):
        params, buffers = learner.split_buffers(checkpoint.params)
        bound = learner.with_buffers(buffers)
    if isinstance(learner, ConfiguredLearner):
        _check_tensors(params, learner.init_params(0), checkpoint)
    return bound, params


def _check_tensors(found: Params, expected: Params, checkpoint: Checkpoint) -> None:
    shapes: Callable[[Params], dict[str, tuple[int, ...]]] = lambda tree: {name: tuple(value.shape) for name, value in tree.items()}
    have, want = shapes(found), shapes(expected)
    problems = {
        "missing": [f"{name} {want[name]}" for name in want if name not in have],
        "unexpected": [f"{name} {have[name]}" for name in have if name not in want],
        "of another shape": [f"{n} {have[n]} instead of {want[n]}" for n in want if n in have and have[n] != want[n]],
    }
    if any(problems.values()):
        told = "; ".join(f"{what}: {', '.join(names[:4])}{' …' * (len(names) > 4)}" for what, names in problems.items() if names)
        raise LearnerError(
            f"{checkpoint.path or 'The checkpoint'} does not fit the learner ({told}). "
            "Is it a checkpoint of another learner, or of other settings? See --learner."
        )
