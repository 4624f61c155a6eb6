"""What one process holds to compute tiles: the checkpoints and tasks on a device, and how a tile is made from them.

An executor on another machine would build the same `Work` from the same spec and answer the same tiles.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from transference import _trees
from transference.checkpoints import AdamState, Checkpoint
from transference.engines import Trial, out_of_memory
from transference.episodes import Episode, Params
from transference.errors import UsageError
from transference.estimators import CheckedEstimator, Estimator, LinearEstimator, Prepared, Readings, SettlingEstimator
from transference.gradients import KeptGradients, loss_gradient
from transference.learners import Learner, bind, check_pure
from transference.lookahead import Lookahead, moving, step_sizes
from transference.plan import Tile
from transference.samplers import TaskSampler, task_record
from transference.store import SOURCES, TASKS, Columns, pair_rows, pairs_table, table

_SOME = 8
"""Targets that a trial is made on."""


class Tasks:
    """Tasks ``0 … n-1`` of each sampler in turn, numbered through.

    Args:
        samplers: one per mode.
        n: tasks per sampler.
        device: where episodes are wanted.
        dtype: of their images.
    """

    def __init__(self, samplers: Sequence[TaskSampler], n: int, device: torch.device, dtype: torch.dtype) -> None:
        self.samplers, self._n, self._device, self._dtype = samplers, n, device, dtype

    def __len__(self) -> int:
        return len(self.samplers) * self._n

    def __getitem__(self, task: int) -> Episode:
        """Return the episode of task ``task``."""
        sampler, index = self._locate(task)
        return sampler[index].to(self._device, self._dtype)

    def firsts(self) -> list[Episode]:
        """Return the first task of each sampler."""
        return [self[k * self._n] for k in range(len(self.samplers))]

    def rows(self, role: str) -> list[dict[str, Any]]:
        """Return one record per task, as tasks.parquet has them."""
        located = [self._locate(task) for task in range(len(self))]
        return [
            {"role": role, "id": task, "sampler": sampler.name, "index": index, **asdict(task_record(sampler, index))}
            for task, (sampler, index) in enumerate(located)
        ]

    def _locate(self, task: int) -> tuple[TaskSampler, int]:
        return self.samplers[task // self._n], task % self._n


@dataclass(frozen=True)
class _Subject:
    """A checkpoint ready to be measured."""

    learner: Learner
    params: Params
    optimizer_state: AdamState | None


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
        self._prepared: tuple[tuple[int, tuple[int, int]], Prepared] | None = None
        self._kept: tuple[int, KeptGradients] | None = None
        self.first_sources: dict[int, dict[str, float]] = {}
        """Loss and gradient norm of the first source at each checkpoint, by step."""
        for step, subject in self._subjects.items():  # what can be wrong is found before the first tile, not after the first hour
            for episode in (*sources.firsts(), *targets.firsts()):
                check_pure(subject.learner, subject.params, episode)
            loss, gradient = self._gradient(subject, sources[0])
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
        some = [self._targets[j] for j in _spread(n, min(n, _SOME))]
        self.estimator, found = self.estimator.settle(subject.learner, subject.params, some, n_pairs)
        return found

    def tile(self, tile: Tile) -> tuple[pa.Table, pa.Table]:
        """Return the tile's pairs, and its sources."""
        subject, prepared = self._subjects[tile.step], self._prepare(tile)
        kept = self._kept_at(tile.step) if tile.targets != (0, len(self._targets)) else None
        pairs, sources = self._read(subject, self._sources, range(*tile.sources), prepared, range(*tile.targets), kept)
        return pairs_table(pairs), table(SOURCES, sources)

    def self_transference(self, step: int) -> pa.Table:
        """Return, for one checkpoint, each target's row as its own source: measured exactly, whatever the estimator of the pairs."""
        subject = self._subjects[step]
        pairs: list[Columns] = []
        estimator = self.estimator.exact if isinstance(self.estimator, CheckedEstimator) else self.estimator
        for j in range(len(self._targets)):
            prepared = self._prepare_for(subject, [self._targets[j]], estimator)
            pairs += self._read(subject, self._targets, [j], prepared, [j], estimator=estimator)[0]
        return pairs_table(pairs)

    def check(self, step: int, estimator: CheckedEstimator) -> pa.Table:
        """Return the pairs of one checkpoint that are measured exactly, on a grid of sources and targets spread over all of them."""
        subject, exact = self._subjects[step], estimator.exact
        sources, targets = grid(len(self._sources), len(self._targets), estimator.checked)
        prepared = self._prepare_for(subject, [self._targets[j] for j in targets], exact)
        return pairs_table(self._read(subject, self._sources, sources, prepared, targets, estimator=exact)[0])

    def tasks(self) -> pa.Table:
        """Return the table of all tasks."""
        return table(TASKS, self._sources.rows("source") + self._targets.rows("target"))

    def _prepare(self, tile: Tile) -> Prepared:
        """Return what is prepared for this block of targets; it serves every tile of the block."""
        key = (tile.step, tile.targets)
        if self._prepared is None or self._prepared[0] != key:
            targets = [self._targets[j] for j in range(*tile.targets)]
            self._prepared = (key, self._prepare_for(self._subjects[tile.step], targets, self.estimator))
        return self._prepared[1]

    def _prepare_for(self, subject: _Subject, targets: Sequence[Episode], estimator: Estimator) -> Prepared:
        """Return what an estimator prepares for these targets.

        Raises:
            UsageError: they do not fit into memory.
        """
        try:
            return estimator.prepare(subject.learner, subject.params, targets)
        except (RuntimeError, MemoryError) as error:
            _only_out_of_memory(error)
            raise UsageError(
                f"The device ran out of memory on {len(targets)} targets before any step. Take fewer targets a tile (--tile), "
                "smaller episodes, or --device cpu."
            ) from error

    def _read(
        self,
        subject: _Subject,
        tasks: Tasks,
        sources: Sequence[int],
        prepared: Prepared,
        targets: Sequence[int],
        kept: KeptGradients | None = None,
        estimator: Estimator | None = None,
    ) -> tuple[list[Columns], list[dict[str, float]]]:
        """Step on some sources at every step size, and return the rows of their pairs and their own rows.

        Where the device runs out of memory the cells get that status, and the run goes on.
        """
        estimator, sizes = estimator or self.estimator, step_sizes(self._lookahead)
        at_once = len(sources) if isinstance(estimator, LinearEstimator) else 1
        pairs, rows = [], []
        for start in range(0, len(sources), at_once):
            steps = [self._step(subject, tasks, i, kept) for i in sources[start : start + at_once]]
            afters = _after(estimator, prepared, [displacement for step in steps for displacement in step.displacements])
            for step in steps:
                rows += step.rows(sizes)
                for alpha in sizes:
                    after = next(afters)
                    found = None if after is None else _numpy(after)
                    pairs.append(pair_rows(step.source, targets, alpha, _numpy(prepared.before), found))
        return pairs, rows

    def _step(self, subject: _Subject, tasks: Tasks, source: int, kept: KeptGradients | None) -> _Step:
        """Return a source's displacements, one per step size."""
        try:
            found = kept.get(source) if kept else None
            loss, gradient = found or self._gradient(subject, tasks[source])
            displacements = self._lookahead.displacements(subject.params, gradient, subject.optimizer_state)
        except (RuntimeError, MemoryError) as error:
            _only_out_of_memory(error)
            return _Step(source, np.nan, None, [None] * len(step_sizes(self._lookahead)))
        if kept and not found:
            kept.put(source, loss, gradient)
        return _Step(source, loss, gradient, [*displacements])

    def _gradient(self, subject: _Subject, episode: Episode) -> tuple[float, Params]:
        """Return a source's loss and its gradient."""
        layout = getattr(self.estimator, "layout", lambda tensor: tensor)
        laid_out = {name: layout(value) for name, value in subject.params.items()}
        (loss, _), gradient = loss_gradient(subject.learner, laid_out, episode.map(layout), moving(self._lookahead, subject.params))
        return loss, gradient

    def _kept_at(self, step: int) -> KeptGradients:
        """Return the gradients kept at one checkpoint; those of another are let go."""
        if self._kept is None or self._kept[0] != step:
            self.close()
            self._kept = step, KeptGradients(self._scratch)
        return self._kept[1]


@dataclass(frozen=True)
class _Step:
    """One source's loss, gradient and displacements; None where memory ran out."""

    source: int
    loss: float
    gradient: Params | None
    displacements: list[Params | None]

    def rows(self, sizes: Sequence[float]) -> list[dict[str, float]]:
        """Return the source's own rows."""
        gradient_norm = _norm(self.gradient)
        return [
            {"source": self.source, "alpha": alpha, "loss": self.loss, "gradient_norm": gradient_norm, "displacement_norm": _norm(d)}
            for alpha, d in zip(sizes, self.displacements, strict=True)
        ]


def _norm(tree: Params | None) -> float:
    return np.nan if tree is None else _trees.norm(tree)


def grid(n_source: int, n_target: int, n: int) -> tuple[list[int], list[int]]:
    """Return rows and columns of about ``n`` cells of a table, spread over all of it, as nearly square as it allows."""
    columns = min(n_target, max(1, round(n**0.5)))
    rows = min(n_source, max(1, round(n / columns)))
    return _spread(n_source, rows), _spread(n_target, min(n_target, max(1, round(n / rows))))


def _spread(total: int, n: int) -> list[int]:
    return [k * total // n for k in range(n)]


def _after(estimator: Estimator, prepared: Prepared, displacements: Sequence[Params | None]) -> Iterator[Readings | None]:
    """Yield the readings after each displacement; None where memory ran out, or had run out before."""
    if isinstance(estimator, LinearEstimator):
        found = iter(_afters(estimator, prepared, [displacement for displacement in displacements if displacement is not None]))
        yield from (None if displacement is None else next(found) for displacement in displacements)
        return
    for displacement in displacements:
        try:
            yield None if displacement is None else estimator.after(prepared, displacement)
        except (RuntimeError, MemoryError) as error:
            _only_out_of_memory(error)
            yield None


def _afters(estimator: LinearEstimator, prepared: Prepared, displacements: Sequence[Params]) -> Sequence[Readings | None]:
    """Return the readings after several displacements, in halves where memory runs out; None where even one is too many."""
    if not displacements:
        return []
    try:
        return estimator.afters(prepared, displacements)
    except (RuntimeError, MemoryError) as error:
        _only_out_of_memory(error)
    if len(displacements) == 1:
        return [None]
    half = len(displacements) // 2
    return [reading for part in (displacements[:half], displacements[half:]) for reading in _afters(estimator, prepared, part)]


def _only_out_of_memory(error: RuntimeError | MemoryError) -> None:
    """Raise ``error`` again unless it says that memory ran out."""
    if not out_of_memory(error):
        raise error


def _subject(learner: Learner, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> _Subject:
    bound, params = bind(learner, checkpoint)
    state = checkpoint.optimizer.to(device, dtype) if checkpoint.optimizer else None
    return _Subject(bound, {name: value.to(device, dtype) for name, value in params.items()}, state)


def _numpy(readings: Readings) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    return readings.loss.numpy(), readings.accuracy.numpy()
