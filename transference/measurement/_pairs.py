"""Single pairs, measured one by one: those of a sample, the controls, each target on itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import cast

import numpy as np

from transference.engines import KeptGradients
from transference.episodes import Params
from transference.errors import UsageError
from transference.estimators import Estimator, Exact, Prepared
from transference.measurement._blame import blamed
from transference.measurement._reading import Reading, as_numpy, only_out_of_memory, read_each
from transference.measurement._steps import Step, Stepper, Subject, batches
from transference.measurement._tasks import Drawn, Tasks
from transference.measurement._temperature import Tempered
from transference.store import Columns, pair_rows, tempered_columns

_WHOLE = 64
"""Targets whose images are in memory together."""

Change = Callable[[Step], Step]


def measure_pairs(
    exact: Estimator,
    stepper: Stepper,
    targets: Tasks,
    cells: Mapping[int, Sequence[int]],
    *,
    kept: KeptGradients | None = None,
    changes: Sequence[Change] = (lambda step: step,),
    alphas: Collection[float] | None = None,
    per_mode: int | None = None,
) -> list[list[Columns]]:
    """Measure some pairs, given as targets by source.

    Args:
        exact: how.
        stepper: takes the steps on sources.
        targets: the target tasks.
        cells: the pairs.
        kept: gradients of the sources.
        changes: what is done to a step before it is read; every pair is read after each.
        alphas: the step sizes at which pairs are measured; by default all that the stepper takes.
        per_mode: targets of a mode, whose losses are read at their best temperature too; None where they are not.

    Returns:
        The rows, of each change.
    """
    rows: list[list[Columns]] = [[] for _ in changes]
    for some in _prepared_together({j for wanted in cells.values() for j in wanted}, per_mode):
        drawn, at = Drawn(targets, some), stepper.subject.step
        prepared = prepare(stepper.subject, drawn, exact, margins=per_mode is not None)
        places = {j: place for place, j in enumerate(some)}
        here = {i: [j for j in wanted if j in places] for i, wanted in cells.items()}
        sources = [i for i, wanted in here.items() if wanted]
        with blamed("source", Drawn(stepper.sources, stepper.sources.tasks_of(sources)), at):
            for walked in stepper.walk(sources, kept):
                steps = [step for step in walked if alphas is None or step.alpha in alphas]
                with blamed("target", drawn, at, partial(after, steps)):
                    for k, change in enumerate(changes):
                        changed = [change(step) for step in steps]
                        rows[k] += read_pairs(
                            prepared, [(step, j) for step in changed for j in here[step.source]], places, per_mode
                        )
    return rows


def read_pairs(
    prepared: Prepared, cells: Sequence[tuple[Step, int]], places: Mapping[int, int], per_mode: int | None = None
) -> list[Columns]:
    """Return the rows of single pairs, each a step and a target's id.

    Args:
        prepared: the targets; where ``per_mode`` is given, those of whole modes, with margins.
        cells: the pairs.
        places: where each target is among those prepared.
        per_mode: as for `measure_pairs`; a temperature is that of all targets of a mode, so all are read after a step.
    """
    size = per_mode or 1
    whose = [_group(step, places[j], size) for step, j in cells]
    steps = {group: step.displacement for group, (step, _) in zip(whose, cells, strict=True)}
    found = _read_together(prepared, steps, size)
    loss, accuracy = as_numpy(prepared.before)
    rows = []
    for (step, j), (_, first) in zip(cells, whose, strict=True):
        at, one = [places[j]], found[id(step), first][places[j] - first]
        read = None if one is None else (np.array([one.loss]), np.array([one.accuracy], np.float32))
        rows.append(pair_rows(step.source, np.array([j]), step.alpha, (loss[at], accuracy[at]), read))
    if per_mode is None:
        return rows
    before = Tempered.of(prepared.before.margins or (), size)
    tempered = {group: _tempered(mode, size) for group, mode in found.items()}
    return [
        row | tempered_columns(row, before.at(places[j]), tempered[group].at(places[j] - group[1]))
        for row, (_, j), group in zip(rows, cells, whose, strict=True)
    ]


def _read_together(
    prepared: Prepared, steps: Mapping[tuple[int, int], Params | None], size: int
) -> dict[tuple[int, int], list[Reading | None]]:
    """Return what is read of so many targets from a place on, after each displacement; None where memory ran out."""
    taken = {group: displacement for group, displacement in steps.items() if displacement is not None}
    cells = [(first + k, displacement) for (_, first), displacement in taken.items() for k in range(size)]
    read = read_each(prepared, cells)
    found = {group: read[n * size : (n + 1) * size] for n, group in enumerate(taken)}
    return {group: found.get(group, [None] * size) for group in steps}


def _group(step: Step, place: int, size: int) -> tuple[int, int]:
    """Return what names the targets that are read together after a step: the step, and the first place of their mode."""
    return id(step), place - place % size


def _tempered(mode: Sequence[Reading | None], size: int) -> Tempered:
    """Return what is read of a mode at its best temperature; nothing is known where memory ran out on one of its targets."""
    margins = [one.margins for one in mode if one is not None and one.margins is not None]
    return Tempered.of(margins, size) if len(margins) == size else Tempered.unknown(size)


def _prepared_together(targets: Collection[int], per_mode: int | None) -> Iterator[list[int]]:
    """Yield the targets that are in memory together: these alone, or all of their modes where these are to be whole."""
    if per_mode is None:
        yield from batches(sorted(targets), _WHOLE)
        return
    for modes in batches(sorted({j // per_mode for j in targets}), max(1, _WHOLE // per_mode)):
        yield [mode * per_mode + k for mode in modes for k in range(per_mode)]


def after(steps: Sequence[Step]) -> str:
    """Return whose steps were taken, for messages."""
    sources = list(dict.fromkeys(str(step.source) for step in steps))
    return (
        f", after a step on source task {sources[0]}{f' to {sources[-1]}' if len(sources) > 1 else ''}"
        if sources
        else ""
    )


def prepare(subject: Subject, targets: Drawn, estimator: Estimator, *, margins: bool = False) -> Prepared:
    """Return what an estimator prepares for these targets.

    Args:
        subject: the checkpoint.
        targets: the tasks.
        estimator: which prepares.
        margins: whether its readings have margins too, as only those of `Exact` do.

    Raises:
        UsageError: they do not fit into memory.
    """
    try:
        with blamed("target", targets, subject.step):
            if margins:
                return cast("Exact", estimator).prepare(subject.learner, subject.params, targets, margins=True)
            return estimator.prepare(subject.learner, subject.params, targets)
    except (RuntimeError, MemoryError) as error:
        only_out_of_memory(error)
        raise UsageError(
            f"The device ran out of memory on {len(targets)} targets before any step. Take fewer targets a tile (--tile), "
            "smaller episodes, or --device cpu."
        ) from error
