"""The watch as a callback of Lightning."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any, Protocol

from transference.errors import UsageError

_NAMES = ("lightning.pytorch", "pytorch_lightning")
"""Lightning's two packages; a trainer of one does not know the callbacks of the other."""


class LightningCallback(Protocol):
    """A callback of either package."""

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *rest: Any) -> None:  # noqa: ANN401 - Lightning's
        """Look at the module after a batch."""


def callback_of(watch: Callable[[int, Any], object]) -> LightningCallback:
    """Return a callback that calls a watch after every batch.

    Args:
        watch: takes the number of updates and the module that is trained.

    Raises:
        UsageError: Lightning is not installed.
    """
    base: Any = _lightning().Callback

    class Watching(base):  # type: ignore[misc]  # whichever package it is of
        """Calls the watch with the module that is trained, on the first process alone."""

        def on_train_batch_end(self, trainer: Any, pl_module: Any, *rest: Any) -> None:  # noqa: ANN401 - Lightning's
            del rest
            if trainer.is_global_zero:
                watch(trainer.global_step, pl_module)

    found: LightningCallback = Watching()
    return found


def _lightning() -> Any:  # noqa: ANN401 - a module
    """Return the package that the program uses, else one that is installed.

    Raises:
        UsageError: none is.
    """
    for name in sorted(_NAMES, key=lambda name: name not in sys.modules):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise UsageError(
        "A callback of Lightning was asked for, and it is not installed. Install it with: pip install lightning"
    )
