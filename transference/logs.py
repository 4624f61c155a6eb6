"""Where numbers of long work go while it runs: wandb, trackio, TensorBoard, or anything alike; none of them is needed."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from transference.errors import UsageError, first_line, in_one_line

_log = logging.getLogger("transference.logs")


@runtime_checkable
class Log(Protocol):
    """What takes numbers by name: a run of wandb, ``trackio`` itself, or an object of one's own."""

    def log(self, data: dict[str, float], *, step: int) -> Any:  # noqa: ANN401 - whatever it returns
        """Take numbers of one step."""


@runtime_checkable
class Scalars(Protocol):
    """What takes one number at a time: TensorBoard's ``SummaryWriter``."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> Any:  # noqa: ANN401 - likewise
        """Take a number of one step."""


class Careful:
    """Passes numbers on; an error of whoever takes them is told once, and never ends the work that they are of.

    Args:
        log: has ``log(data, step=…)`` or ``add_scalar(tag, value, step)``; None for nobody.

    Raises:
        UsageError: it has neither.
    """

    def __init__(self, log: Log | Scalars | None) -> None:
        if log is not None and not isinstance(log, Log | Scalars):
            raise UsageError(
                f"log={type(log).__name__} was given, which has neither log(data, step=…) nor add_scalar(tag, value, step); give for "
                "example a run of wandb, trackio, or TensorBoard's SummaryWriter."
            )
        self._log, self._failed = log, False

    def __bool__(self) -> bool:
        """Whether anybody takes them."""
        return self._log is not None

    def __call__(self, numbers: Mapping[str, float], step: int) -> None:
        """Pass on the numbers of one step; those that are NaN, of which nothing is known, are left out."""
        known = {name: float(value) for name, value in numbers.items() if not math.isnan(value)}
        if not known:
            return
        try:
            if isinstance(self._log, Log):
                self._log.log(known, step=step)
            elif isinstance(self._log, Scalars):
                for name, value in known.items():
                    self._log.add_scalar(name, value, step)
        except Exception as error:  # whatever a foreign program may raise
            if not self._failed:
                _log.warning(
                    "note: the log failed at step %d (%s: %s); the work goes on, and later failures are not told",
                    step, type(error).__name__, in_one_line(first_line(error)),
                )  # fmt: skip
            self._failed = True
