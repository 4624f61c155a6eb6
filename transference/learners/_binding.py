"""A learner and a checkpoint, put together: every tensor accounted for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from transference.checkpoints import Checkpoint, frozen_names, overlapping
from transference.episodes import Params
from transference.errors import LearnerError
from transference.learners import _names
from transference.learners._moves import Moves
from transference.learners._protocol import BufferedLearner, ConfiguredLearner, Learner
from transference.learners._theta import Theta, shared, tell_apart


def bind(learner: Learner, checkpoint: Checkpoint) -> tuple[Learner, Params]:
    """Return the learner and its parameters as this checkpoint has them, buffers set and every tensor accounted for.

    Raises:
        LearnerError: the checkpoint's tensors are not the learner's: some are missing, unexpected or of another shape.
    """
    found = theta(learner, checkpoint)
    return found.learner, found.params


def theta(learner: Learner, checkpoint: Checkpoint, moves: Sequence[str] | None = None) -> Theta:
    """Return θ as this checkpoint has it, with the learner bound to all that does not move.

    Args:
        learner: the learner.
        checkpoint: with a tensor for each of the learner's.
        moves: what a lookahead is asked to move; None if there is none.

    Raises:
        LearnerError: the checkpoint's tensors are not the learner's: some are missing, unexpected or of another shape.
        UsageError: it must be said whether some tensor moves, or what was said does not fit.
    """
    try:
        return _theta(learner, checkpoint, moves)
    except LearnerError as error:
        advice = isinstance(learner, ConfiguredLearner) and _names.advice(learner, checkpoint, _fits(learner))
        if not advice:
            raise
        raise LearnerError(f"{error} {advice}") from error


def fitted(learner: Learner, checkpoint: Checkpoint) -> Checkpoint:
    """Return the checkpoint by the names that the learner knows: as it is, or without a prefix that all its names have.

    A prefix is taken off where the learner knows its names (``init_params``), the checkpoint does not fit as it is,
    and fits without it in full. ``stripped`` of what is returned says which.

    Args:
        learner: whose names are wanted.
        checkpoint: which may have others.
    """
    fits = _fits(learner)
    if not isinstance(learner, ConfiguredLearner) or fits(checkpoint):
        return checkpoint
    return _names.without_common_prefix(checkpoint, fits)


def _fits(learner: Learner) -> Callable[[Checkpoint], bool]:
    """Return what tells whether a checkpoint has all the tensors of a learner, and no other."""

    def fits(checkpoint: Checkpoint) -> bool:
        try:
            _theta(learner, checkpoint, None)
        except LearnerError:
            return False
        return True

    return fits


def _theta(learner: Learner, checkpoint: Checkpoint, moves: Sequence[str] | None) -> Theta:
    """Return θ, as `theta` does, and nothing that would help where it cannot.

    Raises:
        LearnerError: likewise.
        UsageError: likewise.
    """
    buffers: Params
    bound, tensors, buffers = learner, {name: value.detach() for name, value in checkpoint.params.items()}, {}
    if isinstance(learner, BufferedLearner):
        tensors, buffers = learner.split_buffers(tensors)
        bound = learner.with_buffers(buffers)
    if isinstance(learner, ConfiguredLearner):
        own = (
            tensors
            if isinstance(learner, BufferedLearner)
            else {name: value for name, value in tensors.items() if value.is_floating_point()}
        )
        _check_tensors(_by_expected_names(own, learner, moves), learner.init_params(0), checkpoint)
    frozen = frozen_names(checkpoint.params) if checkpoint.frozen is None else checkpoint.frozen
    overlaps = dict.fromkeys((*checkpoint.overlaps, *overlapping(checkpoint.params)))
    found = tell_apart(bound, tensors, moves=moves, frozen=frozen, overlaps=overlaps)
    held = dict.fromkeys(buffers, "a buffer")
    return replace(found, constants={**held, **found.constants}, implied=found.implied | held.keys())


def _by_expected_names(tensors: Params, learner: ConfiguredLearner, moves: Sequence[str] | None) -> Params:
    """Return tensors, shared ones by those of their names that the learner knows."""
    tied, expected = shared(learner, tensors, Moves.of(moves or ())), learner.init_params(0)
    groups = {first: {first, *(other for other, root in tied.items() if root == first)} for first in tied.values()}
    found = dict(tensors)
    for names in groups.values():
        value = next(tensors[name] for name in names if name in tensors)
        if known := [name for name in names if name in expected]:
            found = {name: v for name, v in found.items() if name not in names} | dict.fromkeys(known, value)
    return found


def _check_tensors(found: Params, expected: Params, checkpoint: Checkpoint) -> None:
    shapes: Callable[[Params], dict[str, tuple[int, ...]]] = lambda tree: {
        name: tuple(value.shape) for name, value in tree.items()
    }
    have, want = shapes(found), shapes(expected)
    problems = {
        "missing": [f"{name} {want[name]}" for name in want if name not in have],
        "unexpected": [f"{name} {have[name]}" for name in have if name not in want],
        "of another shape": [f"{n} {have[n]} instead of {want[n]}" for n in want if n in have and have[n] != want[n]],
    }
    if any(problems.values()):
        told = "; ".join(
            f"{what}: {', '.join(names[:4])}{' …' * (len(names) > 4)}" for what, names in problems.items() if names
        )
        raise LearnerError(
            f"{checkpoint.path or 'The checkpoint'} does not fit the learner ({told}). "
            "Is it a checkpoint of another learner, or of other settings? See --learner."
        )
