"""Asking an estimator, on a device that may run out of memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import TypeVar

from transference.devices import out_of_memory
from transference.episodes import Params
from transference.estimators import ApieceEstimator, Estimator, LinearEstimator, Prepared, Readings

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")


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
    estimator: Estimator, prepared: Prepared, displacements: Sequence[Params], told: Callable[[int], AbstractContextManager[None]]
) -> list[Readings | None]:
    """Return the readings of all targets after each displacement; None where memory ran out.

    Args:
        estimator: how.
        prepared: by it.
        displacements: what is added to the parameters.
        told: entered around the reading of one displacement, given by its number.
    """
    if isinstance(estimator, LinearEstimator):
        return halved(partial(estimator.afters, prepared), displacements)
    found: list[Readings | None] = []
    for k, displacement in enumerate(displacements):
        with told(k):
            found += halved(lambda one: [estimator.after(prepared, one[0])], [displacement])
    return found


def read_each(estimator: Estimator, prepared: Prepared, cells: Sequence[tuple[int, Params]]) -> list[tuple[float, float] | None]:
    """Return loss and accuracy of one target after one displacement, for each of several; None where memory ran out."""
    return halved(partial(_each, estimator, prepared), cells)


def _each(estimator: Estimator, prepared: Prepared, cells: Sequence[tuple[int, Params]]) -> list[tuple[float, float]]:
    if isinstance(estimator, ApieceEstimator):
        found = estimator.each(prepared, cells)
        return list(zip(found.loss.tolist(), found.accuracy.tolist(), strict=True))
    readings = [(k, estimator.after(prepared, displacement)) for k, displacement in cells]
    return [(float(found.loss[k]), float(found.accuracy[k])) for k, found in readings]
