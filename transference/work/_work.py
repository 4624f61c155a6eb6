"""Tiles, made from checkpoints and tasks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from transference import _trees
from transference.checkpoints import AdamState, Checkpoint
from transference.engines import Scored, Trial, find_engine
from transference.episodes import Episode, Params
from transference.errors import UsageError
from transference.estimators import ApieceEstimator, Estimator, LinearEstimator, Prepared, Readings, SampledEstimator, SettlingEstimator
from transference.gradients import KeptGradients
from transference.learners import Learner, bind, check_pure
from transference.lookahead import Lookahead, moving, step_sizes
from transference.plan import Tile
from transference.store import SOURCES, TASKS, Columns, pair_rows, pairs_table, table
from transference.work._reading import halved, only_out_of_memory, read_all, read_each
from transference.work._tasks import Drawn, Tasks

_AT_ONCE = 16
"""Sources whose gradients and displacements are in memory together."""

_WHOLE = 64
"""Targets whose images are in memory together when single pairs are measured."""

_SOME = 8
"""Targets that a trial is made on."""


@dataclass(frozen=True)
class _Subject:
    """A checkpoint ready to be measured."""

    learner: Learner
    params: Params
    optimizer_state: AdamState | None


@dataclass(frozen=True)
class _Step:
    """One source's loss, gradient and displacement at one step size; None where memory ran out."""

    source: int
    alpha: float
    loss: float
    gradient: Params | None
    displacement: Params | None

    def row(self) -> dict[str, float]:
        """Return the source's own row."""
        norms = [np.nan if tree is None else _trees.norm(tree) for tree in (self.gradient, self.displacement)]
        return {"source": self.source, "alpha": self.alpha, "loss": self.loss, "gradient_norm": norms[0], "displacement_norm": norms[1]}


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
        self._subjects = {checkpoint.step: _subject(learner, checkpoint, device, dtype) for checkpoint in checkpoints}
        self._prepared: tuple[tuple[int, tuple[int, int], Estimator], Prepared] | None = None
        self._kept: tuple[int, KeptGradients] | None = None
        self.first_sources: dict[int, dict[str, float]] = {}
        """Loss and gradient norm of the first source at each checkpoint, by step."""
        for step, subject in self._subjects.items():  # what can be wrong is found before the first tile, not after the first hour
            for episode in (*sources.firsts(), *targets.firsts()):
                check_pure(subject.learner, subject.params, episode)
            [((loss, _), gradient)] = self._gradients(subject, [sources[0]])
            self.first_sources[step] = {"loss": loss, "gradient_norm": _trees.norm(gradient)}

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
        some = [self._targets[k * n // min(n, _SOME)] for k in range(min(n, _SOME))]
        self.estimator, found = self.estimator.settle(subject.learner, subject.params, some, n_pairs)
        return found

    def tile(self, tile: Tile) -> tuple[pa.Table, pa.Table]:
        """Return the tile's pairs, and its sources."""
        prepared = self._prepare(tile.step, tile.targets, self.estimator)
        before, targets = _numpy(prepared.before), np.arange(*tile.targets)
        shape = (tile.sources[1] - tile.sources[0]) * len(step_sizes(self._lookahead)), len(targets)
        # Made once for all sources: results left behind between their gradients would keep the memory of those in pieces.
        losses, accuracies = np.full(shape, np.nan), np.full(shape, np.nan, np.float32)
        read = np.zeros(shape[0], bool)
        sources: list[dict[str, float]] = []
        for steps in self._steps(tile.step, range(*tile.sources), keep=len(targets) < len(self._targets)):
            there = [(len(sources) + k, step.displacement) for k, step in enumerate(steps) if step.displacement is not None]
            for (row, _), after in zip(there, read_all(self.estimator, prepared, [d for _, d in there]), strict=True):
                if after is not None:
                    read[row], (losses[row], accuracies[row]) = True, _numpy(after)
            sources += [step.row() for step in steps]
        pairs = [
            pair_rows(int(of["source"]), targets, of["alpha"], before, (losses[row], accuracies[row]) if read[row] else None)
            for row, of in enumerate(sources)
        ]
        return pairs_table(pairs), table(SOURCES, sources)

    def self_transference(self, step: int, targets: tuple[int, int]) -> pa.Table:
        """Return each target's row as its own source, of a block of targets: measured exactly, whatever the estimator of the pairs."""
        subject, estimator, prepared = self._subjects[step], self.estimator, self._prepare(step, targets, self.estimator)
        exact = estimator.exact if isinstance(estimator, SampledEstimator) else estimator
        apiece, pairs = isinstance(exact, ApieceEstimator), []
        for own in _batches(range(*targets), _AT_ONCE if apiece else 1):
            gradients = self._own_gradients(subject, prepared, own, targets[0])
            steps = [a_step for j, gradient in zip(own, gradients, strict=True) for a_step in self._steps_of(subject, j, np.nan, gradient)]
            ready, places = prepared, {j: j - targets[0] for j in own}
            if not (apiece and exact is estimator):
                ready, places = self._prepare_for(subject, Drawn(self._targets, own), exact), {j: place for place, j in enumerate(own)}
            pairs += _cells(exact, ready, [(a_step, a_step.source) for a_step in steps], places)
        return pairs_table(pairs)

    def sample(self, tile: Tile, cells: Mapping[int, Sequence[int]], estimator: SampledEstimator) -> pa.Table:
        """Return some pairs of a tile, given as targets by source, measured exactly."""
        subject, exact = self._subjects[tile.step], estimator.exact
        self._prepared = None  # what the estimates needed makes room for the targets' images
        pairs = [pair_rows(0, np.arange(0), 0.0, *[(np.empty(0), np.empty(0, np.float32))] * 2)]
        for some in _batches(sorted({j for targets in cells.values() for j in targets}), _WHOLE):
            prepared = self._prepare_for(subject, Drawn(self._targets, some), exact)
            places = {j: place for place, j in enumerate(some)}
            here = {i: [j for j in targets if j in places] for i, targets in cells.items()}
            for steps in self._steps(tile.step, [i for i, targets in here.items() if targets], keep=True):
                pairs += _cells(exact, prepared, [(step, j) for step in steps for j in here[step.source]], places)
        return pairs_table(pairs)

    def tasks(self) -> pa.Table:
        """Return the table of all tasks."""
        return table(TASKS, self._sources.rows("source") + self._targets.rows("target"))

    def _prepare(self, step: int, targets: tuple[int, int], estimator: Estimator) -> Prepared:
        """Return what is prepared for this block of targets; it serves every tile of the block."""
        key = (step, targets, estimator)
        if self._prepared is None or self._prepared[0] != key:
            self._prepared = None  # the last one's memory is free before the next takes its own
            self._prepared = (key, self._prepare_for(self._subjects[step], Drawn(self._targets, range(*targets)), estimator))
        return self._prepared[1]

    def _prepare_for(self, subject: _Subject, targets: Sequence[Episode], estimator: Estimator) -> Prepared:
        """Return what an estimator prepares for these targets.

        Raises:
            UsageError: they do not fit into memory.
        """
        try:
            return estimator.prepare(subject.learner, subject.params, targets)
        except (RuntimeError, MemoryError) as error:
            only_out_of_memory(error)
            raise UsageError(
                f"The device ran out of memory on {len(targets)} targets before any step. Take fewer targets a tile (--tile), "
                "smaller episodes, or --device cpu."
            ) from error

    def _steps(self, at: int, numbers: Sequence[int], *, keep: bool) -> Iterator[list[_Step]]:
        """Yield the steps on some sources at one checkpoint, all step sizes of a few sources together; with ``keep`` gradients are kept."""
        subject, kept = self._subjects[at], self._kept_at(at) if keep else None
        for some in _batches(numbers, _AT_ONCE):
            known = {i: found for i in some if kept and (found := kept.get(i))}
            missing = [i for i in some if i not in known]
            for i, scored in zip(missing, halved(partial(self._gradients, subject), Drawn(self._sources, missing)), strict=True):
                if scored:
                    known[i] = scored[0][0], scored[1]
                    if kept:
                        kept.put(i, *known[i])
            yield [step for i in some for step in self._steps_of(subject, i, *known.get(i, (np.nan, None)))]

    def _steps_of(self, subject: _Subject, source: int, loss: float, gradient: Params | None) -> list[_Step]:
        """Return one source's steps, one per step size."""
        sizes = step_sizes(self._lookahead)
        move = lambda gradients: [self._lookahead.displacements(subject.params, gradients[0], subject.optimizer_state)]
        found = halved(move, [gradient] if gradient is not None else [])
        displacements = found[0] if found and found[0] is not None else [None] * len(sizes)
        return [_Step(source, alpha, loss, gradient, d) for alpha, d in zip(sizes, displacements, strict=True)]

    def _gradients(self, subject: _Subject, episodes: Sequence[Episode]) -> list[Scored]:
        engine = find_engine(getattr(self.estimator, "engine", "auto"))
        return engine.gradients(subject.learner, subject.params, episodes, moving(self._lookahead, subject.params))

    def _own_gradients(self, subject: _Subject, prepared: Prepared, own: Sequence[int], first: int) -> list[Params | None]:
        """Return the targets' own gradients, of the parameters that move; an estimator may have prepared them."""
        if not isinstance(self.estimator, LinearEstimator):
            scored = halved(partial(self._gradients, subject), Drawn(self._targets, own))
            return [None if one is None else one[1] for one in scored]
        names = set(moving(self._lookahead, subject.params))
        found = [self.estimator.gradient(prepared, j - first) for j in own]
        return [{name: g for name, g in gradient.items() if name in names} for gradient in found]

    def _kept_at(self, step: int) -> KeptGradients:
        """Return the gradients kept at one checkpoint; those of another are let go."""
        if self._kept is None or self._kept[0] != step:
            self.close()
            self._kept = step, KeptGradients(self._scratch)
        return self._kept[1]


def _cells(exact: Estimator, prepared: Prepared, cells: Sequence[tuple[_Step, int]], places: Mapping[int, int]) -> list[Columns]:
    """Return the rows of single pairs, each a step and a target's id; ``places`` tells where the target is among those prepared."""
    there = [(places[j], step.displacement) for step, j in cells if step.displacement is not None]
    found = iter(read_each(exact, prepared, there))
    loss, accuracy = _numpy(prepared.before)
    rows = []
    for step, j in cells:
        after = next(found) if step.displacement is not None else None
        read = None if after is None else (np.array(after[:1]), np.array(after[1:], np.float32))
        rows.append(pair_rows(step.source, np.array([j]), step.alpha, (loss[[places[j]]], accuracy[[places[j]]]), read))
    return rows


def _batches(numbers: Iterable[int], size: int) -> Iterator[list[int]]:
    rest = iter(numbers)
    while some := list(islice(rest, size)):
        yield some


def _subject(learner: Learner, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> _Subject:
    bound, params = bind(learner, checkpoint)
    state = checkpoint.optimizer.to(device, dtype) if checkpoint.optimizer else None
    return _Subject(bound, {name: value.to(device, dtype) for name, value in params.items()}, state)


def _numpy(readings: Readings) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    return readings.loss.numpy(), readings.accuracy.numpy()
