"""Asking for readings on a device that may run out of memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from transference.devices import out_of_memory
from transference.episodes import Params
from transference.estimators import Prepared, Readings

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")


class Reading(NamedTuple):
    """What is read of one target: loss and accuracy, and its margins if these were asked for."""

    loss: float
    accuracy: float
    margins: Tensor | None


def only_out_of_memory(error: RuntimeError | MemoryError) -> None:
    """Raise ``error`` again unless it says that memory ran out."""
    if not out_of_memory(error):
        raise error


def halved(ask: Callable[[Sequence[_Item]], Sequence[_Answer]], items: Sequence[_Item]) -> list[_Answer | None]:
    """Return the answers to several items, asked for in halves where memory runs out; None where even one is too much."""
    if not items:
        return []
    try:
        return [*ask(items)]
    except (RuntimeError, MemoryError) as error:
        only_out_of_memory(error)
    if len(items) == 1:
        return [None]
    half = len(items) // 2
    return halved(ask, items[:half]) + halved(ask, items[half:])


def read_all(
    ask: Callable[[Sequence[_Item]], Iterable[_Answer]], items: Sequence[_Item], found: list[_Answer | None]
) -> None:
    """Append the answer to each of several items, such as displacements, to ``found``; None where memory ran out.

    If it fails, ``found`` tells how far it came. Where memory runs out the next time asks for half as many items: an estimator
    that reads them one after the other keeps what it has, one that reads them together has them in parts.
    """
    first, at_once = len(found), len(items)
    while rest := items[len(found) - first :][:at_once]:
        came = len(found)
        try:
            for answer in ask(rest):  # one by one: what came before memory ran out is kept
                found.append(answer)  # noqa: PERF402
        except (RuntimeError, MemoryError) as error:
            only_out_of_memory(error)
            if len(found) == came and len(rest) == 1:
                found.append(None)
            at_once = max(1, len(rest) // 2)


def read_each(prepared: Prepared, cells: Sequence[tuple[int, Params]]) -> list[Reading | None]:
    """Return what is read of one target after one displacement, for each of several; None where memory ran out."""

    def ask(some: Sequence[tuple[int, Params]]) -> list[Reading]:
        found = prepared.each(some)
        margins = found.margins or [None] * len(some)
        return list(map(Reading, found.loss.tolist(), found.accuracy.tolist(), margins))

    return halved(ask, cells)


def as_numpy(readings: Readings) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return losses and accuracies as arrays."""
    return readings.loss.numpy(), readings.accuracy.numpy()
