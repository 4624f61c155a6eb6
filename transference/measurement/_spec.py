"""The spec of a measurement, from learner, checkpoints, tasks and all else that was given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from transference import _trees, learners, lookahead
from transference import combine as combine_room
from transference.checkpoints import NOTHING, Checkpoint
from transference.combine import Combination, Together
from transference.errors import UsageError
from transference.estimators import ESTIMATORS, Estimator, RayEstimator, exact_at
from transference.learners import Learner
from transference.lookahead import Lookahead, ModeLookahead
from transference.measurement._draws import Draws
from transference.measurement._temperature import check_can_temper
from transference.samplers import RedrawingSampler, TaskSampler, sampler_digest
from transference.spec import MOST_REPLICATES, PRECISIONS, CheckpointRef, RunSpec, TaskSet, digest_of_plain


def make_spec(
    learner: Learner,
    checkpoints: Sequence[Checkpoint],
    sources: Sequence[TaskSampler],
    targets: Sequence[TaskSampler],
    *,
    n_source: int,
    n_target: int,
    step: Lookahead,
    estimator: Estimator,
    controls: int,
    device: str,
    precision: str,
    tile: tuple[int, int],
    replicates: int = 1,
    combine: Mapping[str, Combination] | None = None,
    tempered: bool = False,
    tempered_all: bool = False,
) -> RunSpec:
    """Return the spec of a measurement.

    Args:
        learner: the learner.
        checkpoints: of different steps.
        sources: one sampler per source mode.
        targets: one sampler per target mode.
        n_source: tasks per source mode.
        n_target: tasks per target mode.
        step: the lookahead; without step sizes it takes the checkpoints' own.
        estimator: how losses after the step are read.
        controls: pairs of each mode pair that have controls.
        device: ``"cpu"`` or ``"cuda"``.
        precision: one of `PRECISIONS`.
        tile: sources and targets per tile.
        replicates: episodes of each task.
        combine: combinations of the source modes, by name.
        tempered: whether losses are also read at their best temperature.
        tempered_all: whether those of controls and of targets on themselves are, too.

    Raises:
        UsageError: a number is out of range, something is given twice, there is nothing to measure, or a sampler cannot
            draw replicates; or tempered losses cannot be read with this estimator or in these tiles.
        LearnerError: they were asked for of a learner without logits.
    """
    if min(n_source, n_target, *tile) < 1:
        raise UsageError(
            f"{n_source} sources, {n_target} targets and tiles of {tile} were asked for; each must be at least 1."
        )
    if not 1 <= replicates <= MOST_REPLICATES:
        raise UsageError(f"{replicates} replicates were asked for; give 1 to {MOST_REPLICATES}.")
    if once := [
        sampler.name for sampler in (*sources, *targets) if replicates > 1 and not isinstance(sampler, RedrawingSampler)
    ]:
        raise UsageError(
            f"{replicates} replicates were asked for, but {once[0]} has one episode of each task: its sampler has no "
            "redraw(index, replicate). Add one, or measure without replicates."
        )
    if controls < 0:
        raise UsageError(f"Controls of {controls} pairs were asked for; give 0 or more.")
    if precision not in PRECISIONS:
        raise UsageError(f"The precision {precision!r} was asked for; it must be one of {', '.join(PRECISIONS)}.")
    if not (checkpoints and sources and targets):
        raise UsageError("At least one checkpoint, one source and one target are needed.")
    _check_steps(checkpoints)
    if tempered:
        check_can_temper(learner, estimator, n_target, tile, len(targets))
    combined = {name: {"name": name, **combine_room.describe(one)} for name, one in (combine or {}).items()}
    combine_room.check_number(combine or {}, len(sources))
    _check_distinct("source", [*(sampler.name for sampler in sources), *combined])
    _check_distinct("target", [sampler.name for sampler in targets])
    taken = lookahead.with_alpha(step, checkpoints)
    if isinstance(taken, ModeLookahead):
        _check_draws(taken, estimator, sources, n_source, combine or {})
    elif whole := [name for name, one in (combine or {}).items() if isinstance(one, Together)]:
        raise UsageError(
            f"{whole[0]} is several modes that take turns in updates; of a step on a task it is no source. Give --lookahead-updates K, "
            f"or a combination of gradients."
        )
    spec = RunSpec(
        checkpoints=tuple(CheckpointRef(c.step, c.digest) for c in sorted(checkpoints, key=lambda c: c.step)),
        learner=learners.describe(learner),
        sources=(
            *(TaskSet(sampler.name, n_source, sampler_digest(sampler)) for sampler in sources),
            *(TaskSet(name, n_source, digest_of_plain(settings)) for name, settings in combined.items()),
        ),
        targets=tuple(TaskSet(sampler.name, n_target, sampler_digest(sampler)) for sampler in targets),
        lookahead=lookahead.describe(taken),
        estimator=describe_estimator(estimator, lookahead.step_sizes(taken)),
        controls=controls,
        device=device,
        precision=precision,
        tile=tile,
        replicates=replicates,
        theta=_one_theta(learner, checkpoints, step),
        combine=tuple(combined.values()),
        tempered=tempered,
        tempered_all=tempered_all,
    )
    if excess := spec.excess():
        raise UsageError(f"Too much was asked for: {excess}. Take fewer tasks, or more of them per tile (--tile).")
    return spec


def describe_estimator(estimator: Estimator, alphas: Sequence[float]) -> dict[str, Any]:
    """Return kind and settings as plain values, for the run's spec; whether it estimates, and at which step sizes not.

    Whether the package's own estimate every reader knows by their kind: folders of version 0.1 do not say more.

    Raises:
        UsageError: the estimator can do nothing with these step sizes.
    """
    own, sample = type(estimator) in ESTIMATORS.values(), estimator.sample
    said = {} if own else {"estimates": sample is not None, "calibrated": sample is not None and sample.calibrates}
    exact = exact_at(estimator, alphas)
    partly = {"exact_at": list(exact)} if sample and exact else {}
    return {"kind": type(estimator).__name__.lower(), **_trees.settings(estimator), **said, **partly}


def _one_theta(learner: Learner, checkpoints: Sequence[Checkpoint], step: Lookahead) -> dict[str, Any]:
    """Return what the spec says of θ, which is the same at all checkpoints.

    Raises:
        UsageError: it is not.
    """
    first, *others = [learners.theta(learner, checkpoint, step.moves) for checkpoint in checkpoints]
    for checkpoint, other in zip(checkpoints[1:], others, strict=True):
        if differing := sorted(first.params.keys() ^ other.params.keys()):
            raise UsageError(
                f"{learners.collapse(differing)} would move at step {checkpoints[0].step} or at step {checkpoint.step}, but not at both. "
                f"Say whether with --moves: '!{differing[0]}' does not move; '*' and {differing[0]}, in full, does."
            )
    return first.describe()


def _check_steps(checkpoints: Sequence[Checkpoint]) -> None:
    """Make sure that no two checkpoints share a step, and that of several each has one.

    Raises:
        UsageError: two do, or one has none.
    """
    by_step: dict[int, Checkpoint] = {}
    for checkpoint in checkpoints:
        if other := by_step.get(checkpoint.step):
            why = f" ({checkpoint.step_from})" if checkpoint.step_from else ""
            raise UsageError(
                f"The checkpoint step {checkpoint.step} is given twice, by {other.path} and {checkpoint.path}{why}; a run holds each once. "
                f"Tell them apart with --step N for each in turn, or --step {checkpoint.path}=N (in Python: dataclasses.replace)."
            )
        by_step[checkpoint.step] = checkpoint
    unknown = [
        checkpoint for checkpoint in checkpoints if (checkpoint.step, checkpoint.step_from) == (0, NOTHING.origin)
    ]
    if unknown and len(checkpoints) > 1:
        raise UsageError(
            f"Of which step is {unknown[0].path}? Neither the file nor its name tells, and it is measured beside others. "
            f"Give --step {unknown[0].path}=N (in Python: dataclasses.replace with step and step_from)."
        )


def _check_draws(
    step: ModeLookahead,
    estimator: Estimator,
    sources: Sequence[TaskSampler],
    n_source: int,
    combine: Mapping[str, Combination],
) -> None:
    """Make sure that updates can be taken on the modes, and their consequence be read.

    Raises:
        UsageError: they cannot.
    """
    if isinstance(estimator, RayEstimator):
        raise UsageError(
            f"{type(estimator).__name__} has the losses of smaller steps from the largest one, but what K updates add to θ is no multiple "
            "of what others do. Take --estimator exact."
        )
    Draws(sources, n_source, torch.device("cpu"), torch.float32, combine=combine).check(step)


def _check_distinct(what: str, names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"The {what} {', '.join(twice)} is given twice; a run holds each once.")
