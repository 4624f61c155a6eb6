"""What a measurement is to be held against, on a few of its pairs.

================ ============================================================================================
measured         the pair itself, exactly
zero             a step of size zero: the ratio is exactly 1, or the learner is not what it seems
float64          gradient, step and losses in double precision: how many digits of a ratio are noise of the arithmetic
resampled        source and target drawn anew from the same classes: how far the draw of the images moves a ratio
random_direction a step of the same length in a random direction: what any disturbance of this size does
================ ============================================================================================

Where losses are read at their best temperature, these are too: that of all targets of the target's mode after the step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch

from transference import _trees
from transference._streams import Stream
from transference.engines import KeptGradients
from transference.errors import LearnerError, UsageError
from transference.estimators import Estimator
from transference.measurement._pairs import measure_pairs
from transference.measurement._steps import Step, Stepper, Subject
from transference.measurement._tasks import Tasks
from transference.store import Columns

_NO_FLOAT64 = (RuntimeError, TypeError, ValueError, UsageError)
"""What is raised where float64 cannot be had: by a learner with constants of its own in float32, or by `prepare` on a device too small."""


def measure_controls(
    exact: Estimator,
    stepper: Stepper,
    targets: Tasks,
    cells: Mapping[int, Sequence[int]],
    wide: Callable[[], Subject],
    kept: KeptGradients | None = None,
    keeping: Callable[[], AbstractContextManager[KeptGradients | None]] = nullcontext,
    per_mode: int | None = None,
) -> dict[str, list[Columns]]:
    """Return the rows of each control.

    Without ``float64`` where the learner or the device's memory does not allow it, and without ``resampled`` where a sampler cannot draw a
    task anew.

    Args:
        exact: how pairs are measured.
        stepper: takes the steps on sources.
        targets: the target tasks.
        cells: the pairs, as targets by source.
        wide: makes the checkpoint in float64.
        kept: steps of the sources as they are.
        keeping: makes a place for those of other sources, where a source is so costly that none is to be stepped on twice.
        per_mode: targets of a mode, whose losses are read at their best temperature too; None where they are not.

    Raises:
        LearnerError: the learner failed on a pair.
    """
    names, changes = ("measured", "zero", "random_direction"), (lambda step: step, _zero, _random_direction)
    measured = measure_pairs(exact, stepper, targets, cells, kept=kept, changes=changes, per_mode=per_mode)
    found = dict(zip(names, measured, strict=True))
    try:
        in_double = replace(stepper, subject=wide(), sources=stepper.sources.to(torch.float64))
        with keeping() as others:
            [found["float64"]] = measure_pairs(
                exact, in_double, targets.to(torch.float64), cells, kept=others, per_mode=per_mode
            )
    except (LearnerError, *_NO_FLOAT64) as error:
        if isinstance(error, LearnerError) and not isinstance(error.__cause__, _NO_FLOAT64):
            raise
    if stepper.sources.redrawable and targets.redrawable:
        anew = replace(stepper, sources=stepper.sources.redrawn(1))
        with keeping() as others:
            [found["resampled"]] = measure_pairs(exact, anew, targets.redrawn(1), cells, kept=others, per_mode=per_mode)
    return found


def _zero(step: Step) -> Step:
    displacement = step.displacement
    return replace(
        step, displacement=displacement and {name: torch.zeros_like(value) for name, value in displacement.items()}
    )


def _random_direction(step: Step) -> Step:
    """Return a step as long in a direction that is uniform over all; the same direction at every step size."""
    if step.displacement is None:
        return step
    noise = {  # from the stream of version 0.1, under its name, so that the direction stays the one that it was
        name: torch.from_numpy(Stream("placebo", step.source, name).normal(tuple(value.shape))).to(value)
        for name, value in step.displacement.items()
    }
    scale = _trees.norm(step.displacement) / _trees.norm(noise)
    return replace(step, displacement={name: scale * value for name, value in noise.items()})
