"""Modes as sources: draws of each, and the meta-batches of a draw."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass, replace
from functools import cached_property

import torch

from transference._streams import Stream
from transference.combine import Combination, Together
from transference.devices import usable
from transference.engines import KeptGradients, meta_batch, update_gradient, usual, where
from transference.episodes import Episode, Params
from transference.errors import DataError, LearnerError, UsageError
from transference.learners import EpisodeError
from transference.lookahead import ModeLookahead, Source
from transference.measurement._reading import halved
from transference.measurement._steps import Step, Stepper, Subject
from transference.measurement._tasks import Piece, Tasks
from transference.samplers import TaskRecord, TaskSampler, episode_of, task_record

OF_A_DRAW = 2**20
"""Tasks of a sampler that belong to one draw: draw r begins at task r times this, however many are taken."""


class Draws(Tasks):
    """Draws ``0 … n-1`` of each mode in turn, then of each combination of modes, numbered through.

    A draw is an endless row of tasks, of which each update takes some. Draws have no tasks in common, unless their sampler says with
    ``len`` that it has so many only: then each is a random order of them all.
    """

    def __getitem__(self, task: int | Piece) -> Episode:
        """Return the first task of a draw."""
        draw = task.task if isinstance(task, Piece) else task
        return self.rows_of(draw)[0][0]

    def rows_of(self, draw: int) -> list[DrawnTasks]:
        """Return the tasks of a draw: of each mode that takes turns in it, a row."""
        return [
            DrawnTasks(sampler, draw % self._n, self._replicate, self._device, self._dtype)
            for sampler in self._modes(draw)
        ]

    def pieces(self, task: int) -> list[list[Piece]]:
        """Return the draw itself, which no gradient at θ stands for."""
        return [[Piece(task)]]

    @property
    def most_pieces(self) -> int:
        """One."""
        return 1

    def to(self, dtype: torch.dtype) -> Draws:
        """Return the same draws in another precision."""
        return Draws(self.samplers, self._n, self._device, dtype, self._replicate, self._combine)

    def redrawn(self, replicate: int) -> Draws:
        """Return draws of the same tasks, each with another episode."""
        return Draws(self.samplers, self._n, self._device, self._dtype, replicate, self._combine)

    def tell(self, task: int | Piece) -> str:
        """Return what a draw is called, for messages."""
        draw = task.task if isinstance(task, Piece) else task
        again = f", replicate {self._replicate}" if self._replicate else ""
        return f"{draw} (draw {draw % self._n} of {self._name(draw)}{again})"

    def check(self, lookahead: ModeLookahead) -> None:
        """Make sure that there are modes enough, and tasks enough in each, without drawing any.

        Raises:
            UsageError: there are not.
        """
        size, updates = lookahead.meta_batch or 1, max(lookahead.counts)
        for draw in [k * self._n for k in range(len(self.samplers) + len(self._combine))]:
            rows = self.rows_of(draw)
            combination = self.combination(draw)
            if combination is not None and not isinstance(combination, Together) and size % len(rows):
                raise UsageError(
                    f"{self._name(draw)} combines {len(rows)} modes, and the meta-batch of {size} tasks is no multiple of that; take "
                    f"--meta-batch {len(rows) * max(1, size // len(rows))}."
                )
            needed = -(-size * updates // len(rows))
            if short := [row for row in rows if row.n < needed]:
                raise UsageError(
                    f"{updates} updates of {size} tasks need {needed:,} tasks of {short[0].name}, of which a draw has {short[0].n:,}. "
                    "Take fewer updates (--lookahead-updates), or a smaller --meta-batch."
                )

    def check_last(self, lookahead: ModeLookahead) -> None:
        """Make sure that the last task of the last draw of each mode can be drawn; who knows how many there are, `check` asked.

        Raises:
            DataError: it cannot.
        """
        needed = (lookahead.meta_batch or 1) * max(lookahead.counts)
        for k in range(len(self.samplers)):
            [row] = self.rows_of((k + 1) * self._n - 1)
            try:
                row[needed - 1]
            except DataError as error:
                span = f"{row.index_of(0):,} to {row.index_of(needed - 1):,}"
                raise DataError(
                    f"{error} The last draw takes its tasks {span}; if there are fewer, give the sampler __len__, and each draw is a "
                    "random order of them."
                ) from error

    def _modes(self, draw: int) -> Sequence[TaskSampler]:
        combination = self.combination(draw)
        if combination is None:
            return [self.samplers[draw // self._n]]
        if isinstance(combination, Together):
            return [find_mode(self.samplers, mode) for mode in combination.modes]
        return self.samplers

    def _record(self, task: int) -> TaskRecord:
        """Return what there is to know of the tasks of a draw; of several modes, what they agree on."""
        known = [task_record(row.sampler, row.index_of(0)) for row in self.rows_of(task)]
        agreed = {
            name: value
            for name, value in vars(known[0]).items()
            if all(getattr(other, name) == value for other in known)
        }
        unshared = dict.fromkeys(("class_names", "support_ids", "query_ids"))
        mode = known[0].mode if self.combination(task) is None else self._name(task)
        return TaskRecord(**{**agreed, **unshared, "mode": mode})


@dataclass(frozen=True)
class DrawnTasks:
    """The tasks of one draw of a mode, as a sampler.

    Attributes:
        sampler: the mode's.
        draw: the draw's number.
        replicate: which episode of every task.
        device: where episodes are wanted.
        dtype: of their images.
    """

    sampler: TaskSampler
    draw: int
    replicate: int
    device: torch.device
    dtype: torch.dtype

    @property
    def name(self) -> str:
        """The sampler's."""
        return self.sampler.name

    @property
    def n(self) -> int:
        """How many tasks there are."""
        return len(self.sampler) if isinstance(self.sampler, Sized) else OF_A_DRAW

    def __getitem__(self, index: int) -> Episode:
        """Return the episode of a task of the draw."""
        found = episode_of(self.sampler, self.index_of(index), self.replicate)
        return found.to(self.device, self.dtype).map(usable)

    def index_of(self, index: int) -> int:
        """Return what the sampler calls a task of the draw."""
        return self._order[index] if isinstance(self.sampler, Sized) else self.draw * OF_A_DRAW + index

    @cached_property
    def _order(self) -> list[int]:
        return Stream("tasks of a draw", self.name, self.draw).choice(self.n, self.n)


@dataclass(frozen=True)
class DrawnBatches:
    """The meta-batches of one draw, as a `transference.lookahead.MetaBatches`.

    Attributes:
        subject: the checkpoint.
        rows: the tasks of each mode that takes turns.
        combination: of the modes' gradients; None for the mean over tasks.
        size: tasks per update.
        batching: how they are evaluated.
        whose: what the draw is called, for messages.
    """

    subject: Subject
    rows: Sequence[DrawnTasks]
    combination: Combination | None
    size: int
    batching: str
    whose: str

    @property
    def moving(self) -> Sequence[str]:
        """The names of the parameters that move."""
        return self.subject.moving

    @property
    def step(self) -> int:
        """The checkpoint's."""
        return self.subject.step

    def mean_gradient(self, params: Params, update: int) -> tuple[float, Params]:
        """Return the mean loss of a meta-batch, and the gradient that an update steps along.

        Raises:
            LearnerError: the learner failed on a task.
        """
        tasks = meta_batch(self.rows, self.size, update)
        try:
            found = update_gradient(
                self.batching, self.subject.learner, params, tasks, self.combination, sorted(self.moving)
            )
        except EpisodeError as error:
            raise LearnerError(
                f"The learner failed in update {update + 1} of source {self.whose} at checkpoint step {self.step}, "
                f"{where(error, tasks)}: {error}."
            ) from error
        return sum(found.losses) / len(found.losses), found.gradient


@dataclass(frozen=True)
class ModeStepper(Stepper):
    """Takes the updates on modes at one checkpoint: a `Stepper` whose sources are draws of modes."""

    def steps_on(self, source: int, lookahead: ModeLookahead) -> list[Step]:
        """Return a source's steps, one per number of updates, all from one trajectory.

        Raises:
            LearnerError: the learner failed on a task.
        """
        at, batches = self.subject, self._batches(source, lookahead)

        def begin(updates: Sequence[int]) -> list[tuple[float, Params]]:
            return [batches.mean_gradient(at.params, update) for update in updates]

        def move(firsts: Sequence[Params]) -> list[list[Params]]:
            sources = [
                Source(at.learner, at.params, g, at.optimizer, self.sources, source, batches=batches) for g in firsts
            ]
            return [lookahead.displacements(one) for one in sources]

        [first] = halved(begin, [0])
        loss, gradient = first or (math.nan, None)
        if gradient is not None and not math.isfinite(loss):  # training would not go on from it either
            gradient = {name: torch.full_like(g, torch.nan) for name, g in gradient.items()}
        found = halved(move, [gradient] if gradient is not None else [])
        displacements = found[0] if found and found[0] is not None else [None] * len(lookahead.alpha)
        return [Step(source, alpha, loss, gradient, d) for alpha, d in zip(lookahead.alpha, displacements, strict=True)]

    def tried(self, source: int) -> list[Step]:
        """Return what a single update on a source comes to: what is wrong with it is found without all the others."""
        return self.steps_on(source, replace(self._updates, updates=1))

    def walk(self, numbers: Iterable[int], kept: KeptGradients | None = None) -> Iterator[list[Step]]:
        """Yield the steps on some sources, those of one source together.

        Args:
            numbers: the sources.
            kept: where displacements are looked up first, and put.
        """
        for source in numbers:
            steps = self._known(source, kept)
            if steps is None:
                steps = self.steps_on(source, self._updates)
                if kept:
                    self._keep(steps, kept)
            yield steps

    @property
    def _updates(self) -> ModeLookahead:
        assert isinstance(self.lookahead, ModeLookahead)
        return self.lookahead

    def _batches(self, source: int, lookahead: ModeLookahead) -> DrawnBatches:
        assert isinstance(self.sources, Draws)
        rows, size = self.sources.rows_of(source), lookahead.meta_batch
        if size is None:
            raise UsageError("The meta-batch is not settled.")
        combination = self.sources.combination(source)
        together = combination is None or isinstance(combination, Together)
        batching = lookahead.batching
        if batching == "auto":
            batching = usual(self.subject.learner, self.subject.params, (rows[0], 0))
        told = self.sources.tell(source)
        return DrawnBatches(self.subject, rows, None if together else combination, size, batching, told)

    def _known(self, source: int, kept: KeptGradients | None) -> list[Step] | None:
        """Return the steps on a source as they are kept, None unless all are."""
        first = kept and kept.get(("gradient", source))
        found = [kept and kept.get((k, source)) for k in self._updates.counts]
        there = [one[1] for one in found if one]
        if not first or len(there) < len(found):
            return None
        return [Step(source, alpha, *first, d) for alpha, d in zip(self._updates.alpha, there, strict=True)]

    def _keep(self, steps: Sequence[Step], kept: KeptGradients) -> None:
        for k, step in zip(self._updates.counts, steps, strict=True):
            if step.displacement is not None:
                kept.put((k, step.source), step.loss, step.displacement)
        if steps[0].gradient is not None:
            kept.put(("gradient", steps[0].source), steps[0].loss, steps[0].gradient)


def find_mode(samplers: Sequence[TaskSampler], mode: str) -> TaskSampler:
    """Return the sampler of a mode, by its name, the mode with its split, or the mode alone.

    Raises:
        UsageError: there is none of that name, or there are several.
    """
    known = [(sampler.name, sampler.name.partition("/")[0], task_record(sampler, 0).mode) for sampler in samplers]
    found = [sampler for sampler, names in zip(samplers, known, strict=True) if mode in names]
    if len(found) != 1:
        what = "is no source mode" if not found else f"are {len(found)} of the source modes"
        raise UsageError(f"{mode} {what}; they are {', '.join(names[1] for names in known)}.")
    return found[0]
