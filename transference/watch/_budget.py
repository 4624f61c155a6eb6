"""How much of a training's time its watch may take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Budget:
    """A share of the time that passes besides what is spent.

    Args:
        share: seconds that may be spent per second of everything else, above 0.
        clock: returns seconds.
    """

    def __init__(self, share: float, clock: Callable[[], float] = time.perf_counter) -> None:
        self._share, self._clock, self._begun = share, clock, clock()
        self.spent = 0.0
        """Seconds spent so far."""
        self._last: dict[str, float] = {}

    @property
    def elapsed(self) -> float:
        """Seconds that passed besides what was spent."""
        return max(0.0, self._clock() - self._begun - self.spent)

    @property
    def share(self) -> float:
        """What was spent, as a share of everything else; 0 before anything was."""
        return self.spent / self.elapsed if self.spent and self.elapsed else 0.0

    def allows(self, what: str) -> bool:
        """Return whether as much as was spent last on something may be spent on it now; what was never tried is tried."""
        return what not in self._last or self.spent + self._last[what] <= self._share * self.elapsed

    @contextmanager
    def spending(self, what: str) -> Iterator[None]:
        """Count what the block takes."""
        begun = self._clock()
        try:
            yield
        finally:
            self._last[what] = self._clock() - begun
            self.spent += self._last[what]
