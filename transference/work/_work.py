"""Tiles, made from checkpoints and tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from transference import _trees
from transference.checkpoints import Checkpoint
from transference.engines import Trial
from transference.episodes import Params
from transference.estimators import (
    ApieceEstimator,
    Estimator,
    Exact,
    FirstOrder,
    LinearEstimator,
    Prepared,
    SampledEstimator,
    SettlingEstimator,
)
from transference.gradients import GradientRows, KeptGradients
from transference.learners import Learner, check_pure
from transference.lookahead import Lookahead, step_sizes
from transference.plan import Tile
from transference.store import SOURCES, TASKS, control_table, pair_rows, pairs_table, table
from transference.work._blame import blamed
from transference.work._controls import measure_controls
from transference.work._pairs import after, as_numpy, measure_pairs, prepare, read_pairs
from transference.work._reading import halved, read_all
from transference.work._steps import AT_ONCE, Step, Stepper, Subject, batches
from transference.work._tasks import Drawn, Tasks

_SOME = 16
"""Targets that a trial is made on."""


class Work:
    """Computes tiles.

    Args:
        learner: the learner.
        checkpoints: of different steps.
        sources: the source tasks.
        targets: the target tasks.
        lookahead: the step, with its step sizes.
        estimator: how the losses after the step are read.
        device: where to compute.
        dtype: in what precision.
        scratch: a folder on a disk where gradients may be kept while the process lives.

    Raises:
        LearnerError: the learner does not fit a checkpoint, or is no pure function on one of the tasks.
        UsageError: a parameter that should move does not exist.
    """

    def __init__(
        self,
        learner: Learner,
        checkpoints: Sequence[Checkpoint],
        sources: Tasks,
        targets: Tasks,
        lookahead: Lookahead,
        estimator: Estimator,
        device: torch.device,
        dtype: torch.dtype,
        scratch: Path,
    ) -> None:
        self._sources, self._targets, self._scratch = sources, targets, scratch
        self._lookahead, self.estimator = lookahead, estimator
        self._subjects = {c.step: Subject.of(learner, c, lookahead, device, dtype) for c in checkpoints}
        self._wide = {c.step: partial(Subject.of, learner, c, lookahead, device, torch.float64) for c in checkpoints}
        self._prepared: tuple[tuple[int, tuple[int, int], int, Estimator], Prepared, GradientRows | None] | None = None
        self._kept: tuple[tuple[int, int], KeptGradients] | None = None
        self.first_sources: dict[int, dict[str, float]] = {}
        """Loss and gradient norm of the first source at each checkpoint, by step."""
        for step, subject in self._subjects.items():  # what can be wrong is found before the first tile, not after the first hour
            for episode in (*sources.firsts(), *targets.firsts()):
                check_pure(subject.learner, subject.params, episode)
            with blamed("source", first := Drawn(sources, [0]), step):
                [((loss, _), gradient)] = self._stepper(step).gradients(first)
            self.first_sources[step] = {"loss": loss, "gradient_norm": _trees.norm(gradient)}

    @property
    def theta(self) -> Mapping[str, Any]:
        """What moves and what does not, the same at all checkpoints."""
        return next(iter(self._subjects.values())).about

    def close(self) -> None:
        """Let what is kept on disk go."""
        if self._kept:
            self._kept[1].close()
            self._kept = None

    def settle(self, n_pairs: int) -> Trial | None:
        """Let the estimator decide what it left open; return the trial that decided, if there was one."""
        if not isinstance(self.estimator, SettlingEstimator):
            return None
        subject, n = next(iter(self._subjects.values())), len(self._targets)
        some = Drawn(self._targets, [k * n // min(n, _SOME) for k in range(min(n, _SOME))])
        with blamed("target", some, subject.step):
            self.estimator, found = self.estimator.settle(subject.learner, subject.params, list(some), n_pairs)
        return found

    def tile(self, tile: Tile) -> tuple[pa.Table, pa.Table]:
        """Return the tile's pairs, and its sources."""
        prepared, tangents = self._prepare(tile.step, tile.targets, tile.replicate)
        before, targets = as_numpy(prepared.before), np.arange(*tile.targets)
        shape = (tile.sources[1] - tile.sources[0]) * len(step_sizes(self._lookahead)), len(targets)
        # Made once for all sources: results left behind between their gradients would keep the memory of those in pieces.
        losses, slopes, accuracies = np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape, np.nan, np.float32)
        read = np.zeros(shape[0], bool)
        sources: list[dict[str, float]] = []
        kept = self._kept_at(tile.step, tile.replicate) if len(targets) < len(self._targets) else None
        drawn = Drawn(self._targets.redrawn(tile.replicate), range(*tile.targets))
        for steps in self._walk(tile, kept):
            there = [(len(sources) + k, step) for k, step in enumerate(steps) if step.displacement is not None]
            displacements = [step.displacement for step in steps if step.displacement is not None]
            told = partial(self._blamed_after, [step for _, step in there], drawn, tile.step)
            for (row, _), found in zip(there, read_all(self.estimator, prepared, displacements, told), strict=True):
                if found is not None:
                    read[row], (losses[row], accuracies[row]) = True, as_numpy(found)
            if tangents:
                slopes[[row for row, _ in there]] = tangents.products(displacements).cpu().numpy()
            sources += [step.row() for step in steps]
        if not tangents and isinstance(self.estimator, LinearEstimator):
            slopes = losses - before[0]
        pairs = [
            pair_rows(int(of["source"]), targets, of["alpha"], before, (losses[row], accuracies[row]) if read[row] else None, slopes[row])
            for row, of in enumerate(sources)
        ]
        return pairs_table(pairs, tile.replicate), table(SOURCES, sources)

    def _walk(self, tile: Tile, kept: KeptGradients | None) -> Iterator[list[Step]]:
        """Yield the steps on the sources of a tile.

        Yields:
            Those of a few sources.
        """
        stepper = self._stepper(tile.step, tile.replicate)
        steps = stepper.walk(range(*tile.sources), kept)
        while True:
            with blamed("source", Drawn(stepper.sources, range(*tile.sources)), tile.step):
                some = next(steps, None)
            if some is None:
                return
            yield some

    def _blamed_after(self, steps: Sequence[Step], targets: Drawn, at: int, k: int) -> AbstractContextManager[None]:
        return blamed("target", targets, at, after(steps[k : k + 1]))

    def self_transference(self, step: int, targets: tuple[int, int]) -> pa.Table:
        """Return each target's row as its own source, of a block of targets: measured exactly, whatever the estimator of the pairs."""
        stepper, (prepared, tangents) = self._stepper(step), self._prepare(step, targets)
        exact, pairs = self._exact, []
        apiece = isinstance(exact, ApieceEstimator)
        for own in batches(range(*targets), AT_ONCE if apiece else 1):
            with blamed("target", Drawn(self._targets, own), step):
                gradients = self._own_gradients(stepper, prepared, tangents, own, targets[0])
            steps = [a_step for j, gradient in zip(own, gradients, strict=True) for a_step in stepper.steps_of(j, np.nan, gradient)]
            ready, places = prepared, {j: j - targets[0] for j in own}
            if not (apiece and exact is self.estimator):
                ready = prepare(stepper.subject, Drawn(self._targets, own), exact)
                places = {j: place for place, j in enumerate(own)}
            with blamed("target", Drawn(self._targets, own), step, ", after a step on itself"):
                pairs += read_pairs(exact, ready, [(a_step, a_step.source) for a_step in steps], places)
        return pairs_table(pairs)

    def sample(self, tile: Tile, cells: Mapping[int, Sequence[int]]) -> pa.Table:
        """Return some pairs of a tile, given as targets by source, measured exactly."""
        self._prepared = None  # what the estimates needed makes room for the targets' images
        [pairs] = measure_pairs(self._exact, self._stepper(tile.step), self._targets, cells, kept=self._kept_at(tile.step))
        return pairs_table(pairs)

    def controls(self, step: int, cells: Mapping[int, Sequence[int]]) -> pa.Table:
        """Return the controls of some pairs at one checkpoint, given as targets by source."""
        self._prepared = None
        exact = self._exact
        if isinstance(exact, Exact) and exact.engine.startswith("compiled"):  # compiling again for float64 takes longer than these pairs
            exact = replace(exact, engine="apart")
        found = measure_controls(exact, self._stepper(step), self._targets, cells, self._wide[step])
        return pa.concat_tables([control_table(name, rows) for name, rows in found.items()])

    def tasks(self) -> pa.Table:
        """Return the table of all tasks."""
        return table(TASKS, self._sources.rows("source") + self._targets.rows("target"))

    @property
    def _exact(self) -> Estimator:
        """How single pairs are measured, whatever the estimator of the table."""
        return self.estimator.exact if isinstance(self.estimator, SampledEstimator) else self.estimator

    def _stepper(self, step: int, replicate: int = 0) -> Stepper:
        return Stepper(self._subjects[step], self._sources.redrawn(replicate), self._lookahead, getattr(self.estimator, "engine", "auto"))

    def _prepare(self, step: int, targets: tuple[int, int], replicate: int = 0) -> tuple[Prepared, GradientRows | None]:
        """Return what is prepared for this block of targets, and their gradients, None where memory ran out; it serves every tile of it."""
        key = (step, targets, replicate, self.estimator)
        if self._prepared is None or self._prepared[0] != key:
            self._prepared = None  # the last one's memory is free before the next takes its own
            subject, drawn = self._subjects[step], Drawn(self._targets.redrawn(replicate), range(*targets))
            prepared = prepare(subject, drawn, self.estimator)
            self._prepared = (key, prepared, self._tangents(subject, drawn))
        return self._prepared[1:]

    def _tangents(self, subject: Subject, targets: Drawn) -> GradientRows | None:
        """Return the targets' gradients; None where memory ran out, or where the estimator has them."""
        if isinstance(self.estimator, LinearEstimator):
            return None
        first_order = FirstOrder(checked=0, engine=getattr(self.estimator, "engine", "auto"))
        with blamed("target", targets, subject.step):
            return halved(lambda _: [first_order.prepare(subject.learner, subject.params, targets).gradients], [0])[0]

    def _own_gradients(
        self, stepper: Stepper, prepared: Prepared, tangents: GradientRows | None, own: Sequence[int], first: int
    ) -> list[Params | None]:
        """Return the targets' own gradients, of the parameters that move; they may have been prepared."""
        names = set(stepper.subject.moving)
        if tangents:
            found = [tangents[j - first] for j in own]
        elif isinstance(self.estimator, LinearEstimator):
            found = [self.estimator.gradient(prepared, j - first) for j in own]
        else:
            scored = halved(stepper.gradients, Drawn(self._targets, own))
            return [None if one is None else one[1] for one in scored]
        return [{name: g for name, g in gradient.items() if name in names} for gradient in found]

    def _kept_at(self, step: int, replicate: int = 0) -> KeptGradients:
        """Return the gradients kept at one checkpoint, of one replicate; those of another are let go."""
        if self._kept is None or self._kept[0] != (step, replicate):
            self.close()
            self._kept = (step, replicate), KeptGradients(self._scratch)
        return self._kept[1]
