"""The tasks of a run, on the device where they are wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, cast, overload

import torch

from transference.devices import usable
from transference.episodes import Episode
from transference.samplers import RedrawingSampler, TaskSampler, task_record


class Tasks:
    """Tasks ``0 … n-1`` of each sampler in turn, numbered through.

    Args:
        samplers: one per mode.
        n: tasks per sampler.
        device: where episodes are wanted.
        dtype: of their images.
        replicate: which episode of every task: the sampler's own, or from 1 on another one of the same classes, or the same function.
    """

    def __init__(
        self, samplers: Sequence[TaskSampler], n: int, device: torch.device, dtype: torch.dtype, replicate: int = 0
    ) -> None:
        self.samplers, self._n, self._device, self._dtype, self._replicate = samplers, n, device, dtype, replicate

    def __len__(self) -> int:
        return len(self.samplers) * self._n

    def __getitem__(self, task: int) -> Episode:
        """Return the episode of task ``task``."""
        sampler, index = self._locate(task)
        again = self._replicate > 0 and isinstance(sampler, RedrawingSampler)
        episode = cast("RedrawingSampler", sampler).redraw(index, self._replicate) if again else sampler[index]
        return episode.to(self._device, self._dtype).map(usable)

    def to(self, dtype: torch.dtype) -> Tasks:
        """Return the same tasks in another precision."""
        return Tasks(self.samplers, self._n, self._device, dtype, self._replicate)

    @property
    def redrawable(self) -> bool:
        """Whether every sampler can draw a task anew."""
        return all(isinstance(sampler, RedrawingSampler) for sampler in self.samplers)

    def redrawn(self, replicate: int) -> Tasks:
        """Return the same tasks, each with another episode where its sampler can draw one; replicate 0 is the sampler's own."""
        return Tasks(self.samplers, self._n, self._device, self._dtype, replicate)

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

    def tell(self, task: int) -> str:
        """Return what a task is called, for messages."""
        sampler, index = self._locate(task)
        again = f", replicate {self._replicate}" if self._replicate else ""
        return f"{task} ({sampler.name}, task {index}{again})"

    def _locate(self, task: int) -> tuple[TaskSampler, int]:
        return self.samplers[task // self._n], task % self._n


class Drawn(Sequence[Episode]):
    """The episodes of some tasks, each drawn when it is asked for.

    Args:
        tasks: of which.
        numbers: theirs.
    """

    def __init__(self, tasks: Tasks, numbers: Sequence[int]) -> None:
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
