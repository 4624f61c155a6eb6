"""First order on every pair, corrected by the exact ratio of a random share of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from transference.errors import UsageError
from transference.estimators._protocol import ExactSample
from transference.estimators.first_order import FirstOrder


@dataclass(frozen=True)
class Calibrated(FirstOrder):
    """`FirstOrder`, with so many pairs measured exactly too that means and shares come with valid intervals (`statistics.calibrate`).

    Args:
        checked: at least about so many exact pairs of each mode pair at each checkpoint.
        seed: of their choice.
        engine: as in `FirstOrder`.
        share: of the pairs of each mode pair that are measured exactly.
        half_width: measure more, until the 95 % intervals of the mean log ratio and of the shares, in every mode pair and at every step
            size, are no wider than this to either side.

    Raises:
        UsageError: a number is out of range, or there is no such engine.
    """

    share: float = 0.02
    half_width: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.share <= 1:
            raise UsageError(
                f"A share of {self.share} of the pairs was to be measured exactly; give more than 0 and at most 1."
            )
        if self.half_width is not None and not self.half_width > 0:
            raise UsageError(f"Intervals of {self.half_width} to either side were asked for; give more than 0.")

    @property
    def sample(self) -> ExactSample:
        """At least ``share`` of each mode pair, and ``checked`` pairs of it."""
        return replace(super().sample, calibrates=True, half_width=self.half_width)

    def shares(self, cells: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the share of the pairs of each mode pair that are measured exactly at first."""
        least: NDArray[np.float64] = np.minimum(1.0, np.maximum(self.share, self.checked / cells))
        return least
