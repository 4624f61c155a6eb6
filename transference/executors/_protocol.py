"""What carries work out, and what the work has to be for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class Bench(Protocol):
    """A place where items are worked on, with all that was set up for them."""

    def __call__(self, item: Any) -> Iterable[Any]:  # noqa: ANN401 - whatever the work is
        """Return, or yield, the answers to an item."""

    def close(self) -> None:
        """Let what was set up go."""


class Job(Protocol):
    """What a bench is set up from, in another process; it can be pickled."""

    def bench(self) -> Bench:
        """Set the bench up."""


@dataclass(frozen=True)
class Packed:
    """A job on its way to other processes.

    Attributes:
        content: the job, pickled.
        versions: of the packages that both sides must have alike, by name.
    """

    content: bytes
    versions: Mapping[str, str]


class Executor(Protocol):
    """Has items worked on."""

    def carry_out(self, items: Sequence[Any], progress: Callable[[Any], int]) -> Iterator[Any]:
        """Yield the answers to all items, in any order.

        Args:
            items: what there is to do, none of it done.
            progress: tells how much of an item is done, by whomever; an item at which workers die is tried again while
                that grows.
        """


@dataclass(frozen=True)
class InProcess:
    """Works on the items in this process, one after the other.

    Args:
        bench: where.
    """

    bench: Bench

    def carry_out(self, items: Sequence[Any], progress: Callable[[Any], int]) -> Iterator[Any]:
        """Yield the answers to all items, in their order."""
        del progress
        for item in items:
            yield from self.bench(item)
