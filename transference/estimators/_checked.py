"""What estimators share whose estimates are held against a few exact pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transference.errors import UsageError
from transference.estimators._protocol import ExactSample
from transference.estimators.exact import Exact


@dataclass(frozen=True)
class Checked:
    """An estimator of which about ``checked`` pairs are measured exactly, the same share of every mode pair.

    Args:
        checked: about so many pairs at each checkpoint, chosen at random from all.
        seed: of that choice.
        engine: of what is measured exactly, as in `Exact`.

    Raises:
        UsageError: ``checked`` is negative, or there is no such engine.
    """

    checked: int = 64
    seed: int = 0
    engine: str = "auto"

    def __post_init__(self) -> None:
        if self.checked < 0:
            raise UsageError(f"{self.checked} pairs were to be checked; give 0 or more.")
        Exact(self.engine)

    @property
    def sample(self) -> ExactSample:
        """About ``checked`` pairs, the same share of every mode pair."""
        return ExactSample(Exact(self.engine), self.shares, self.seed)

    def shares(self, cells: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the share of the pairs of each mode pair that are measured exactly, the same of all."""
        return np.full(cells.shape, min(1.0, self.checked / cells.sum()))
