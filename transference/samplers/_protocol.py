"""What the analyzer asks of a task sampler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from transference import _trees
from transference.devices import out_of_memory
from transference.episodes import Episode
from transference.errors import DataError, TransferenceError
from transference.learners import told


@runtime_checkable
class TaskSampler(Protocol):
    """A family of tasks, by index. The same index gives the same episode in any process, on any machine, in any order.

    An attribute ``mode`` says what the tables call its tasks; without one they are called by the name.
    """

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
    return sampler.digest if isinstance(sampler, DescribingSampler) else _trees.digest(episode_of(sampler, 0).items())


def task_record(sampler: TaskSampler, index: int) -> TaskRecord:
    """Return the sampler's record of a task, else one of the mode alone: its ``mode``, or without one its name."""
    if isinstance(sampler, DescribingSampler):
        return sampler.describe(index)
    mode = getattr(sampler, "mode", None)
    return TaskRecord(mode=mode if isinstance(mode, str) and mode else sampler.name)


def episode_of(sampler: TaskSampler, index: int, replicate: int = 0) -> Episode[Any]:
    """Return a task of a sampler, which may be anybody's.

    Args:
        sampler: whose.
        index: of the task, 0 or above.
        replicate: which episode of the task: the sampler's own, or from 1 on another one, of a `RedrawingSampler`.

    Raises:
        DataError: the sampler failed, has no such task, or gave something else than an episode.
        TransferenceError: the sampler says so itself.
        MemoryError: memory ran out.
        OSError: a file that it reads could not be read.
    """
    if index < 0:
        raise DataError(f"Task {index} of {sampler.name} was asked for; tasks are numbered from 0.")
    again = replicate > 0 and isinstance(sampler, RedrawingSampler)
    asked = f"redraw({index}, {replicate})" if again else f"[{index}]"
    try:
        episode: object = (
            sampler.redraw(index, replicate) if again and isinstance(sampler, RedrawingSampler) else sampler[index]
        )
    except (TransferenceError, MemoryError, OSError):  # which say for themselves what is to be done
        raise
    except Exception as error:
        if out_of_memory(error):
            raise
        fewer = " Has it fewer tasks than were asked for?" if isinstance(error, IndexError) else ""
        raise DataError(f"The sampler {sampler.name} failed at {asked}: {told(error)}.{fewer}") from error
    if not isinstance(episode, Episode):
        raise DataError(
            f"The sampler {sampler.name} gave a {type(episode).__name__} for {asked}; it must give an "
            "Episode(support_x, support_y, query_x, query_y)."
        )
    return episode


def check_replicate(replicate: int, name: str) -> None:
    """Make sure that a sampler can draw this replicate.

    Raises:
        IndexError: it is below 1.
    """
    if replicate < 1:
        raise IndexError(
            f"Replicate {replicate} of a task of {name} was asked for; replicates of a task are numbered from 1."
        )
