"""Tiles, made from checkpoints and tasks."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from itertools import chain, groupby
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from transference.engines import KeptGradients
from transference.episodes import Params
from transference.estimators import Estimator, Prepared, PreparedRays, RayEstimator, Readings, with_engine
from transference.lookahead import ModeLookahead, step_sizes
from transference.measurement._blame import blamed
from transference.measurement._controlled import controlled_pairs
from transference.measurement._controls import measure_controls
from transference.measurement._draws import Draws, ModeStepper
from transference.measurement._pairs import after, measure_pairs, prepare, read_pairs
from transference.measurement._question import Question
from transference.measurement._reading import halved, read_all
from transference.measurement._rows import TileRows
from transference.measurement._sample import chosen
from transference.measurement._steps import AT_ONCE, Step, Stepper, Subject, batches, ray_of
from transference.measurement._tasks import Drawn
from transference.plan import ControlSet, ExactTile, OwnBlock, Part
from transference.spec import Tile
from transference.store import TASKS, control_table, pairs_table, table

_Read: TypeAlias = tuple[Step, Readings | None, NDArray[np.float64] | None]


class Work:
    """Computes tiles.

    Args:
        question: what is measured.
        subjects: its checkpoints by step, on the device.
        scratch: a folder on a disk where gradients may be kept while the process lives.

    Raises:
        LearnerError: the learner, or the step, failed on the first source.
    """

    def __init__(self, question: Question, subjects: Mapping[int, Subject], scratch: Path) -> None:
        self._question, self._subjects, self._scratch = question, subjects, scratch
        self._spec = question.spec
        self._sources, self._targets = question.tasks()
        self._lookahead, self.estimator = question.lookahead, question.estimator
        self._prepared: tuple[tuple[int, tuple[int, int], int], Prepared] | None = None
        self._kept: tuple[tuple[int, int], KeptGradients] | None = None
        if isinstance(self._sources, Draws) and isinstance(self._lookahead, ModeLookahead):
            self._sources.check_last(self._lookahead)
        self.first_sources = {step: self._first_source(step) for step in subjects}
        """Loss and gradient norm of the first source at each checkpoint, by step."""

    def _first_source(self, step: int) -> dict[str, float]:
        stepper, first = self._stepper(step), Drawn(self._sources, [0])
        with blamed("source", first, step):
            steps = stepper.tried(0)
            if isinstance(self.estimator, RayEstimator) and steps[0].displacement is not None:
                ray_of(steps)  # and steps that this estimator cannot read
        for combination in self._sources.firsts_combined():
            with blamed("source", Drawn(self._sources, self._sources.tasks_of([combination])), step):
                stepper.tried(combination)
        return {name: value for name, value in steps[0].row().items() if name in ("loss", "gradient_norm")}

    def seconds_of_a_pair(self) -> float:
        """Return about how long the loss of a target takes after a step: a third of what a gradient does."""
        begun = time.perf_counter()
        self._first_source(next(iter(self._subjects)))
        tasks = getattr(self._lookahead, "meta_batch", None) or 1  # of a mode a whole meta-batch is looked at
        return (time.perf_counter() - begun) / 3 / tasks

    @property
    def theta(self) -> Mapping[str, Any]:
        """What moves and what does not, the same at all checkpoints."""
        return next(iter(self._subjects.values())).about

    def close(self) -> None:
        """Let what is kept on disk go."""
        if self._kept:
            self._kept[1].close()
            self._kept = None

    def part(self, part: Part) -> tuple[pa.Table, ...]:
        """Return the tables of a part; it depends on nothing that was computed before."""
        if isinstance(part, OwnBlock):
            return (self.self_transference(part.step, part.targets),)
        if isinstance(part, ControlSet):
            return (self.controls(part.step, controlled_pairs(self._spec)),)
        if isinstance(part, ExactTile):
            assert self.estimator.sample is not None  # or the spec would tell of no such part
            return (self.sample(part.tile, chosen(part, self._spec, self.estimator.sample)),)
        return self.tile(part)

    def tile(self, tile: Tile) -> tuple[pa.Table, pa.Table]:
        """Return the tile's pairs, and its sources."""
        prepared = self._prepare(tile.step, tile.targets, tile.replicate)
        targets = Drawn(self._targets.redrawn(tile.replicate), range(*tile.targets))
        n = (tile.sources[1] - tile.sources[0]) * len(step_sizes(self._lookahead))
        rows = TileRows(n, np.arange(*tile.targets), prepared.before, self._per_mode(tempered=self._spec.tempered))
        for steps in self._walk(tile):
            for row in self._read(prepared, steps, targets, tile.step):
                rows.add(*row)
        return rows.pairs(tile.replicate), rows.sources(combined=self._sources.combines)

    def _read(self, prepared: Prepared, steps: Sequence[Step], targets: Drawn, at: int) -> Iterator[_Read]:
        """Yield, for each step, what all targets read after it, and to first order.

        Yields:
            The step with its readings and first-order parts; None where memory ran out.
        """
        taken = [step for step in steps if step.displacement is not None]
        asked = self._asked_together(taken)
        found: list[Sequence[Readings] | None] = []
        with blamed("target", targets, at, lambda: after([some[0] for some in asked[len(found) :][:1]])):
            read_all(partial(self._after, prepared), asked, found)
            first_order = iter(prepared.first_order(_displacements(taken)).numpy())
        readings = chain.from_iterable(
            [None] * len(some) if answer is None else answer for some, answer in zip(asked, found, strict=True)
        )
        for step in steps:
            yield (step, next(readings), next(first_order)) if step.displacement is not None else (step, None, None)

    def _asked_together(self, steps: Sequence[Step]) -> list[list[Step]]:
        """Return the steps as the estimator is asked for them: one by one, or all of a source."""
        if isinstance(self.estimator, RayEstimator):
            return [list(some) for _, some in groupby(steps, lambda step: step.source)]
        return [[step] for step in steps]

    def _after(self, prepared: Prepared, asked: Sequence[Sequence[Step]]) -> Iterable[Sequence[Readings]]:
        """Return, or yield, what all targets read after each of some steps, for steps that are asked for together."""
        if isinstance(self.estimator, RayEstimator):
            return cast("PreparedRays", prepared).along([ray_of(steps) for steps in asked])
        return ([readings] for readings in prepared.after(_displacements([step for (step,) in asked])))

    def _walk(self, tile: Tile) -> Iterator[list[Step]]:
        """Yield the steps on the sources of a tile.

        Yields:
            Those of a few sources.
        """
        stepper = self._stepper(tile.step, tile.replicate)
        kept = None
        if tile.targets[1] - tile.targets[0] < len(self._targets) or self._sources.combines or self._spec.updates:
            # each gradient is needed once for every block of targets, and once for every combination; each trajectory for controls
            kept = self._kept_at(tile.step, tile.replicate)
        steps = stepper.walk(range(*tile.sources), kept)
        while True:
            with blamed("source", Drawn(stepper.sources, stepper.sources.tasks_of(range(*tile.sources))), tile.step):
                some = next(steps, None)
            if some is None:
                return
            yield some

    def self_transference(self, step: int, targets: tuple[int, int]) -> pa.Table:
        """Return each target's row as its own source, of a block of targets: measured exactly, whatever the estimator of the pairs."""
        stepper, prepared = self._stepper(step), self._prepare(step, targets)
        exact, pairs = self._exact, []
        for own in batches(range(*targets), AT_ONCE):
            drawn = Drawn(self._targets, own)
            with blamed("target", drawn, step):
                gradients = self._own_gradients(stepper, prepared, own, targets[0])
            steps = [
                a_step
                for j, gradient in zip(own, gradients, strict=True)
                for a_step in stepper.steps_of(j, np.nan, gradient, self._targets)
            ]
            ready, first = (
                (prepared, targets[0]) if exact is self.estimator else (prepare(stepper.subject, drawn, exact), own[0])
            )
            with blamed("target", drawn, step, lambda: ", after a step on itself"):
                places, per_mode = {j: j - first for j in own}, self._per_mode(tempered=self._spec.tempered_all)
                pairs += read_pairs(ready, [(a_step, a_step.source) for a_step in steps], places, per_mode)
        return pairs_table(pairs)

    def sample(self, tile: Tile, cells: Mapping[int, Sequence[int]]) -> pa.Table:
        """Return some pairs of a tile, given as targets by source, measured exactly where the tile has estimates."""
        self._prepared = None  # what the estimates needed makes room for the targets' images
        [pairs] = measure_pairs(
            self._exact,
            self._stepper(tile.step),
            self._targets,
            cells,
            kept=self._kept_at(tile.step),
            alphas=self._spec.estimated_at,
        )
        return pairs_table(pairs)

    def controls(self, step: int, cells: Mapping[int, Sequence[int]]) -> pa.Table:
        """Return the controls of some pairs at one checkpoint, given as targets by source."""
        self._prepared = None
        exact = self._exact
        if exact.engine.startswith("compiled"):  # compiling again for float64 takes longer than these pairs
            exact = with_engine(exact, "threads")
        wide = partial(self._question.subject, step, torch.float64)
        places: dict[str, Any] = {"per_mode": self._per_mode(tempered=self._spec.tempered_all)}
        if self._spec.updates:
            places |= {"kept": self._kept_at(step), "keeping": lambda: closing(KeptGradients(self._scratch))}
        found = measure_controls(exact, self._stepper(step), self._targets, cells, wide, **places)
        return pa.concat_tables([control_table(name, rows) for name, rows in found.items()])

    def tasks(self) -> pa.Table:
        """Return the table of all tasks."""
        return table(TASKS, self._sources.rows("source") + self._targets.rows("target"))

    @property
    def _exact(self) -> Estimator:
        """How single pairs are measured, whatever the estimator of the table."""
        return self.estimator.sample.exact if self.estimator.sample else self.estimator

    def _per_mode(self, *, tempered: bool) -> int | None:
        """Return how many targets of a mode are read at one temperature; None where they are not."""
        return self._question.n_target if tempered else None

    def _stepper(self, step: int, replicate: int = 0) -> Stepper:
        stepper = ModeStepper if self._spec.updates else Stepper
        return stepper(self._subjects[step], self._sources.redrawn(replicate), self._lookahead, self.estimator.engine)

    def _prepare(self, step: int, targets: tuple[int, int], replicate: int = 0) -> Prepared:
        """Return what is prepared for this block of targets; it serves every tile of it."""
        key = (step, targets, replicate)
        if self._prepared is None or self._prepared[0] != key:
            self._prepared = None  # the last one's memory is free before the next takes its own
            drawn = Drawn(self._targets.redrawn(replicate), range(*targets))
            self._prepared = key, prepare(self._subjects[step], drawn, self.estimator, margins=self._question.tempered)
        return self._prepared[1]

    def _own_gradients(
        self, stepper: Stepper, prepared: Prepared, own: Sequence[int], first: int
    ) -> list[Params | None]:
        """Return the targets' own gradients, of the parameters that move; they may have been prepared."""
        names = set(stepper.subject.moving)
        known = [prepared.gradient(j - first) for j in own]
        if all(gradient is not None for gradient in known):
            return [
                {name: g for name, g in gradient.items() if name in names} for gradient in known if gradient is not None
            ]
        return [
            None if scored is None else scored[1] for scored in halved(stepper.gradients, Drawn(self._targets, own))
        ]

    def _kept_at(self, step: int, replicate: int = 0) -> KeptGradients:
        """Return the gradients kept at one checkpoint, of one replicate; those of another are let go."""
        if self._kept is None or self._kept[0] != (step, replicate):
            self.close()
            self._kept = (step, replicate), KeptGradients(self._scratch)
        return self._kept[1]


def _displacements(steps: Sequence[Step]) -> list[Params]:
    """Return the displacements of steps that have one."""
    return [step.displacement for step in steps if step.displacement is not None]
