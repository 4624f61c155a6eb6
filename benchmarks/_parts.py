"""``transference`` as on a command line, and where its processor's time goes, by part; written to a file when it ends.

    python -P benchmarks/_parts.py FILE compute …

It imports nothing but what Python itself does before it counts, and hangs itself around functions of this package, whichever checkout of it
``PYTHONPATH`` names. What is no part is called ``rest``: making the command, the spec, the summary.
"""

from __future__ import annotations

import importlib
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_PARTS = {
    "data": ["transference.samplers.few_shot:open_dataset"],
    "trial": ["transference.measurement._question:trial"],
    "gradients": ["transference.measurement._steps:Stepper.gradients"],
    "pairs": [
        "transference.estimators.exact:ExactTargets.after",
        "transference.estimators._tangents:TangentsOnDemand.first_order",
    ],
    "controls": ["transference.measurement._work:Work.controls"],
    "writing": [f"transference.store._folder:Store.{name}" for name in ("begin", "write_tasks", "write_view", "write")],
}
"""By name, the functions that are one; a part within another belongs to the outer one, but imports are always imports."""


class Clock:
    """Seconds of a processor by part, of all threads together; the main thread says which part it is in."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._part, self._since = "rest", 0.0

    def switch(self, part: str) -> str:
        """Begin a part, and return the one before."""
        before, now = self._part, time.process_time()
        self.seconds[before] += now - self._since
        self._part, self._since = part, now
        return before

    def around(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, its time, and that of what it yields, counted as of this part."""

        def counted(*args: Any, **settings: Any) -> Any:  # noqa: ANN401 - the function's
            if threading.current_thread() is not threading.main_thread() or (
                part != "imports" and self._part != "rest"
            ):
                return function(*args, **settings)
            before = self.switch(part)
            try:
                found = function(*args, **settings)
            finally:
                self.switch(before)
            return self._each(part, found) if isinstance(found, Iterator) else found

        return counted

    def _each(self, part: str, items: Iterator[Any]) -> Iterator[Any]:
        following = self.around(part, lambda: next(items, self))
        while (item := following()) is not self:
            yield item


def timed(file: str, words: list[str]) -> None:
    """Run the command, and write the seconds of each part."""
    clock = Clock()
    bootstrap: Any = importlib._bootstrap  # type: ignore[attr-defined]  # what every import goes through
    bootstrap._find_and_load = clock.around("imports", bootstrap._find_and_load)
    for part, places in _PARTS.items():
        for place in places:
            module, _, name = place.partition(":")
            importlib.import_module(module)
            owner: Any = sys.modules[module]
            *within, last = name.split(".")
            for one in within:
                owner = getattr(owner, one)
            setattr(owner, last, clock.around(part, getattr(owner, last)))
    from transference.cli import main

    sys.argv = ["transference", *words]
    try:
        main()
    finally:
        clock.switch("rest")
        Path(file).write_text(json.dumps(clock.seconds))


if __name__ == "__main__":
    timed(sys.argv[1], sys.argv[2:])
