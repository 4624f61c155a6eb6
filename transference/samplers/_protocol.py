"""What the analyzer asks of a task sampler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from transference import _trees
from transference.episodes import Episode


@runtime_checkable
class TaskSampler(Protocol):
    """A family of tasks, by index. The same index gives the same episode in any process, on any machine, in any order."""

    @property
    def name(self) -> str:
        """What distinguishes this family from every other; a measurement refers to a task as (name, index)."""

    def __getitem__(self, index: int) -> Episode[Any]:
        """Return task number ``index``, 0 or above."""


@dataclass(frozen=True)
class TaskRecord:
    """What a reader may want to know of one task; fields that do not apply are None.

    Attributes:
        mode: the dataset, e.g. ``"omniglot"``.
        split: its split.
        ways: classes.
        shots: support examples per class.
        queries: query examples per class.
        seed: of the sampler.
        class_names: the classes, by label.
        support_ids: the ids of the support images, in row order.
        query_ids: those of the query images.
    """

    mode: str
    split: str | None = None
    ways: int | None = None
    shots: int | None = None
    queries: int | None = None
    seed: int | None = None
    class_names: tuple[str, ...] | None = None
    support_ids: tuple[str, ...] | None = None
    query_ids: tuple[str, ...] | None = None


@runtime_checkable
class DescribingSampler(TaskSampler, Protocol):
    """Optional: a sampler that can tell what its tasks are made of, and identify the data behind them."""

    @property
    def digest(self) -> str:
        """Equal exactly when the data behind the tasks is."""

    def describe(self, index: int) -> TaskRecord:
        """Return the record of task number ``index``."""


@runtime_checkable
class RedrawingSampler(TaskSampler, Protocol):
    """Optional: a sampler that can draw other episodes of the same task."""

    def redraw(self, index: int, replicate: int = 1) -> Episode[Any]:
        """Return task number ``index`` with other examples: of the same classes, or points of the same function.

        Args:
            index: the task's.
            replicate: which of its other episodes, 1 or above; each is drawn independently of the others.
        """


def sampler_digest(sampler: TaskSampler) -> str:
    """Return the sampler's own digest, else that of its first episode: data changed under an old name is noticed."""
    return sampler.digest if isinstance(sampler, DescribingSampler) else _trees.digest(sampler[0].items())


def task_record(sampler: TaskSampler, index: int) -> TaskRecord:
    """Return the sampler's record of a task, else one that says no more than the sampler's name."""
    return sampler.describe(index) if isinstance(sampler, DescribingSampler) else TaskRecord(mode=sampler.name)


def check_replicate(replicate: int, name: str) -> None:
    """Make sure that a sampler can draw this replicate.

    Raises:
        IndexError: it is below 1.
    """
    if replicate < 1:
        raise IndexError(
            f"Replicate {replicate} of a task of {name} was asked for; replicates of a task are numbered from 1."
        )
