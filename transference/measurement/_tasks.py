"""The tasks of a run, on the device where they are wanted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple, overload

import torch

from transference.combine import Combination, parts_of
from transference.devices import usable
from transference.episodes import Episode
from transference.errors import UsageError
from transference.samplers import RedrawingSampler, TaskRecord, TaskSampler, episode_of, task_record


class Piece(NamedTuple):
    """A task with one part of its queries; the whole task if there is one part."""

    task: int
    part: int = 0
    parts: int = 1


class Tasks:
    """Tasks ``0 … n-1`` of each sampler in turn, then of each combination, numbered through.

    Task ``i`` of a combination is task ``i`` of every sampler, stepped on together; it has no episode of its own.

    Args:
        samplers: one per mode.
        n: tasks per mode.
        device: where episodes are wanted.
        dtype: of their images.
        replicate: which episode of every task: the sampler's own, or from 1 on another one of the same classes, or the same function.
        combine: combinations, by the name of the mode that each makes.
    """

    def __init__(
        self,
        samplers: Sequence[TaskSampler],
        n: int,
        device: torch.device,
        dtype: torch.dtype,
        replicate: int = 0,
        combine: Mapping[str, Combination] | None = None,
    ) -> None:
        self.samplers, self._n, self._device, self._dtype, self._replicate = samplers, n, device, dtype, replicate
        self._combine = dict(combine or {})

    def __len__(self) -> int:
        return (len(self.samplers) + len(self._combine)) * self._n

    def __getitem__(self, task: int | Piece) -> Episode:
        """Return the episode of a task, or of a part of its queries."""
        if isinstance(task, Piece):
            return self[task.task].some_queries(task.part, task.parts)
        sampler, index = self._locate(task)
        return episode_of(sampler, index, self._replicate).to(self._device, self._dtype).map(usable)

    def combination(self, task: int) -> Combination | None:
        """Return what combines the tasks that a task is made of, None for a task of a sampler."""
        mode = task // self._n - len(self.samplers)
        return None if mode < 0 else list(self._combine.values())[mode]

    def pieces(self, task: int) -> list[list[Piece]]:
        """Return what has to be known the gradient of for a step on a task: of each task that it is made of, the parts."""
        combination = self.combination(task)
        if combination is None:
            return [[Piece(task)]]
        made_of = [mode * self._n + task % self._n for mode in range(len(self.samplers))]
        parts = parts_of(combination)
        return [[Piece(one, part, parts) for part in range(parts)] for one in made_of]

    def tasks_of(self, tasks: Iterable[int]) -> list[int]:
        """Return the tasks of samplers that these are, or are made of."""
        return list(dict.fromkeys(pieces[0].task for task in tasks for pieces in self.pieces(task)))

    def firsts_combined(self) -> list[int]:
        """Return the first task of each combination."""
        return [(len(self.samplers) + k) * self._n for k in range(len(self._combine))]

    @property
    def most_pieces(self) -> int:
        """Of one task, itself counted beside its parts."""
        parts = [parts_of(one) for one in self._combine.values()]
        return max([1, *(len(self.samplers) * (n + (n > 1)) for n in parts)])

    @property
    def combines(self) -> bool:
        """Whether some tasks are combinations of others."""
        return bool(self._combine)

    def to(self, dtype: torch.dtype) -> Tasks:
        """Return the same tasks in another precision."""
        return Tasks(self.samplers, self._n, self._device, dtype, self._replicate, self._combine)

    @property
    def redrawable(self) -> bool:
        """Whether every sampler can draw a task anew."""
        return all(isinstance(sampler, RedrawingSampler) for sampler in self.samplers)

    def redrawn(self, replicate: int) -> Tasks:
        """Return the same tasks, each with another episode where its sampler can draw one; replicate 0 is the sampler's own."""
        return Tasks(self.samplers, self._n, self._device, self._dtype, replicate, self._combine)

    def firsts(self) -> list[Episode]:
        """Return the first task of each sampler."""
        return [self[k * self._n] for k in range(len(self.samplers))]

    def rows(self, role: str) -> list[dict[str, Any]]:
        """Return one record per task, as tasks.parquet has them."""
        told = [(self._name(task), task % self._n, self._record(task)) for task in range(len(self))]
        return [
            {"role": role, "id": task, "sampler": name, "index": index, **asdict(record)}
            for task, (name, index, record) in enumerate(told)
        ]

    def tell(self, task: int | Piece) -> str:
        """Return what a task is called, for messages."""
        if isinstance(task, Piece):
            part = f", part {task.part + 1} of {task.parts} of its queries" if task.parts > 1 else ""
            return f"{self.tell(task.task)}{part}"
        again = f", replicate {self._replicate}" if self._replicate else ""
        return f"{task} ({self._name(task)}, task {task % self._n}{again})"

    def _name(self, task: int) -> str:
        mode = task // self._n
        return (
            self.samplers[mode].name
            if self.combination(task) is None
            else list(self._combine)[mode - len(self.samplers)]
        )

    def _record(self, task: int) -> TaskRecord:
        """Return what there is to know of a task; of a combination, what the tasks that it is made of agree on."""
        if self.combination(task) is None:
            return task_record(*self._locate(task))
        made_of = [asdict(task_record(*self._locate(one))) for [(one, *_), *_] in self.pieces(task)]
        shared = {name: value for name, value in made_of[0].items() if all(other[name] == value for other in made_of)}
        unshared = {"mode": self._name(task), "support_ids": None, "query_ids": None}
        return TaskRecord(**{**dict.fromkeys(made_of[0]), **shared, **unshared})

    def _locate(self, task: int) -> tuple[TaskSampler, int]:
        """Return the sampler of a task, and the task's index.

        Raises:
            UsageError: the task is a combination of several.
        """
        if self.combination(task) is not None:
            raise UsageError(
                f"The episode of {self.tell(task)} was asked for, which combines tasks of {len(self.samplers)} modes and has none "
                "of its own; a lookahead that reads the episode cannot step on it."
            )
        return self.samplers[task // self._n], task % self._n


class Drawn(Sequence[Episode]):
    """The episodes of some tasks, each drawn when it is asked for.

    Args:
        tasks: of which.
        numbers: theirs.
    """

    def __init__(self, tasks: Tasks, numbers: Sequence[int | Piece]) -> None:
        self._tasks, self._numbers = tasks, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def tell(self, place: int) -> str:
        """Return what a task is called, for messages."""
        return self._tasks.tell(self._numbers[place])

    @overload
    def __getitem__(self, place: int) -> Episode: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Episode]: ...

    def __getitem__(self, place: int | slice) -> Episode | Sequence[Episode]:
        """Draw an episode, or return some that are not drawn yet."""
        if isinstance(place, slice):
            return Drawn(self._tasks, self._numbers[place])
        return self._tasks[self._numbers[place]]
