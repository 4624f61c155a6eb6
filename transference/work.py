"""What one process holds to compute tiles: the checkpoints and tasks on a device, and how a tile is made from them.

An executor on another machine would build the same `Work` from the same spec and answer the same tiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from transference import _trees
from transference.checkpoints import AdamState, Checkpoint
from transference.engines import Trial, out_of_memory
from transference.episodes import Episode, Params
from transference.errors import LearnerError, UsageError
from transference.estimators import Estimator, Prepared, Readings, SettlingEstimator
from transference.learners import Learner, bind, check_pure
from transference.lookahead import Lookahead, moving, step_sizes
from transference.plan import Tile
from transference.samplers import TaskSampler, task_record
from transference.store import SOURCES, TASKS, Columns, pair_rows, pairs_table, table

_SOME = 8
"""Targets that a trial is made on."""

_NOTHING_MOVES = "The loss depends on none of the parameters that move ({}); every ratio would be 1. See --moves."


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
    ) -> None:
        self._sources, self._targets = sources, targets
        self._lookahead, self.estimator = lookahead, estimator
        self._subjects = {checkpoint.step: _subject(learner, checkpoint, device, dtype) for checkpoint in checkpoints}
        self._prepared: tuple[tuple[int, tuple[int, int]], Prepared] | None = None
        self.first_sources: dict[int, dict[str, float]] = {}
        """Loss and gradient norm of the first source at each checkpoint, by step."""
        for step, subject in self._subjects.items():  # what can be wrong is found before the first tile, not after the first hour
            for episode in (*sources.firsts(), *targets.firsts()):
                check_pure(subject.learner, subject.params, episode)
            loss, gradient, _ = self._displacements(subject, sources[0])
            self.first_sources[step] = {"loss": loss, "gradient_norm": _trees.norm(gradient)}

    def settle(self, n_pairs: int) -> Trial | None:
        """Let the estimator decide what it left open; return the trial that decided, if there was one."""
        if not isinstance(self.estimator, SettlingEstimator):
            return None
        subject, n = next(iter(self._subjects.values())), len(self._targets)
        some = [self._targets[j] for j in sorted({k * n // _SOME for k in range(_SOME)})]
        self.estimator, found = self.estimator.settle(subject.learner, subject.params, some, n_pairs)
        return found

    def tile(self, tile: Tile) -> tuple[pa.Table, pa.Table]:
        """Return the tile's pairs, and its sources."""
        subject, prepared = self._subjects[tile.step], self._prepare(tile)
        pairs: list[Columns] = []
        sources: list[dict[str, float]] = []
        for i in range(*tile.sources):
            rows, norms = self._read(subject, self._sources[i], i, prepared, range(*tile.targets))
            pairs += rows
            sources += norms
        return pairs_table(pairs), table(SOURCES, sources)

    def self_transference(self, step: int) -> pa.Table:
        """Return, for one checkpoint, each target's row as its own source."""
        subject = self._subjects[step]
        pairs: list[Columns] = []
        for j in range(len(self._targets)):
            episode = self._targets[j]
            prepared = self._prepare_for(subject, [episode])
            pairs += self._read(subject, episode, j, prepared, [j])[0]
        return pairs_table(pairs)

    def tasks(self) -> pa.Table:
        """Return the table of all tasks."""
        return table(TASKS, self._sources.rows("source") + self._targets.rows("target"))

    def _prepare(self, tile: Tile) -> Prepared:
        """Return what is prepared for this block of targets; it serves every tile of the block."""
        key = (tile.step, tile.targets)
        if self._prepared is None or self._prepared[0] != key:
            self._prepared = (key, self._prepare_for(self._subjects[tile.step], [self._targets[j] for j in range(*tile.targets)]))
        return self._prepared[1]

    def _prepare_for(self, subject: _Subject, targets: Sequence[Episode]) -> Prepared:
        """Return what the estimator prepares for these targets.

        Raises:
            UsageError: they do not fit into memory.
        """
        try:
            return self.estimator.prepare(subject.learner, subject.params, targets)
        except (RuntimeError, MemoryError) as error:
            _only_out_of_memory(error)
            raise UsageError(
                f"The device ran out of memory on {len(targets)} targets before any step. Take fewer targets a tile (--tile), "
                "smaller episodes, or --device cpu."
            ) from error

    def _read(
        self,
        subject: _Subject,
        episode: Episode,
        source: int,
        prepared: Prepared,
        targets: Sequence[int],
    ) -> tuple[list[Columns], list[dict[str, float]]]:
        """Step on one source at every step size, and return the rows of its pairs and its own rows.

        Where the device runs out of memory the cells get that status, and the run goes on.
        """
        sizes = step_sizes(self._lookahead)
        try:
            loss, gradient, displacements = self._displacements(subject, episode)
        except (RuntimeError, MemoryError) as error:
            _only_out_of_memory(error)
            loss, gradient, displacements = np.nan, {}, [None] * len(sizes)
        pairs, norms = [], []
        for alpha, displacement in zip(sizes, displacements, strict=True):
            after = None if displacement is None else self._after(prepared, displacement)
            pairs.append(pair_rows(source, targets, alpha, _numpy(prepared.before), None if after is None else _numpy(after)))
            length = np.nan if displacement is None else _trees.norm(displacement)
            gradient_norm = np.nan if displacement is None else _trees.norm(gradient)
            norms.append({"source": source, "alpha": alpha, "loss": loss, "gradient_norm": gradient_norm, "displacement_norm": length})
        return pairs, norms

    def _displacements(self, subject: _Subject, episode: Episode) -> tuple[float, Params, list[Params | None]]:
        """Return a source's loss, its gradient, and one displacement per step size."""
        layout = getattr(self.estimator, "layout", lambda tensor: tensor)
        laid_out = {name: layout(value) for name, value in subject.params.items()}
        loss, gradient = source_gradient(subject.learner, laid_out, episode.map(layout), moving(self._lookahead, subject.params))
        return loss, gradient, [*self._lookahead.displacements(subject.params, gradient, subject.optimizer_state)]

    def _after(self, prepared: Prepared, displacement: Params) -> Readings | None:
        try:
            readings: Readings = self.estimator.after(prepared, displacement)
        except (RuntimeError, MemoryError) as error:
            _only_out_of_memory(error)
            return None
        return readings


def _only_out_of_memory(error: RuntimeError | MemoryError) -> None:
    """Raise ``error`` again unless it says that memory ran out."""
    if not out_of_memory(error):
        raise error


def source_gradient(learner: Learner, params: Params, episode: Episode, names: Sequence[str]) -> tuple[float, Params]:
    """Return ``L_i(θ)`` and its gradient with respect to the named parameters.

    Through the inner loop too, where the learner has one. A parameter that the loss does not depend on has no entry in the gradient: no
    optimizer would move it.

    Args:
        learner: whose loss.
        params: θ.
        episode: the source task.
        names: the parameters that move.

    Raises:
        LearnerError: the loss depends on none of them.
    """
    leaves = {name: value.detach().requires_grad_(name in names) for name, value in params.items()}
    loss = learner.episode_loss(leaves, episode)
    if not loss.requires_grad:
        raise LearnerError(_NOTHING_MOVES.format(", ".join(names[:5])))
    gradients = torch.autograd.grad(loss, [leaves[name] for name in names], allow_unused=True)
    found = {name: g.detach() for name, g in zip(names, gradients, strict=True) if g is not None}
    if not found:
        raise LearnerError(_NOTHING_MOVES.format(", ".join(names[:5])))
    return float(loss.detach()), found


def _subject(learner: Learner, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> _Subject:
    bound, params = bind(learner, checkpoint)
    state = checkpoint.optimizer.to(device, dtype) if checkpoint.optimizer else None
    return _Subject(bound, {name: value.to(device, dtype) for name, value in params.items()}, state)


def _numpy(readings: Readings) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    return readings.loss.numpy(), readings.accuracy.numpy()
