"""Where a command's work is done: apart from its options, so that help, and a mistyped option, wait for no library."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

from transference.cli._interrupts import held


def run_by(place: str) -> Callable[[Callable[[], None]], Callable[..., None]]:
    """Return a decorator for the function that bears a command's options and its help text.

    Called with the values of the options, it calls the function of the same name in another file, which is imported then, and with it
    whatever the work takes.

    Args:
        place: the file, as a module.
    """

    def decorate(command: Callable[[], None]) -> Callable[..., None]:
        @functools.wraps(command)
        def run(*args: Any, **values: Any) -> None:  # noqa: ANN401 - the options'
            with held():
                work = getattr(importlib.import_module(place), command.__name__)
            work(*args, **values)

        return run

    return decorate
