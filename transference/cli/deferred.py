"""Where a command's work is done: apart from its options, so that help, and a mistyped option, wait for no library."""

from __future__ import annotations

import functools
import gc
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
            with held(), _uncollected():
                work = getattr(importlib.import_module(place), command.__name__)
            work(*args, **values)

        return run

    return decorate


@contextmanager
def _uncollected() -> Iterator[None]:
    """Look for no garbage inside the block: what is imported stays, and going through it again and again takes a sixth of its time."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
