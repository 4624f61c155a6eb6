"""What the column ``alpha`` of a run holds, in words: step sizes, or how many updates were taken. In one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Amount:
    """How the values of the column ``alpha`` are said: step sizes, or how many updates were taken on a mode.

    Attributes:
        sign: of one value.
        noun: what the values are.
        plural: of it.
        unit: of a value above 1, after it; ``""`` if there is none.

    Example:
        >>> STEP_SIZES.titled(0.01), UPDATES.titled(10), UPDATES.told(1)
        ('step size α = 0.01', 'K = 10 updates', 'K = 1 update')
    """

    sign: str
    noun: str
    plural: str
    unit: str = ""

    def told(self, value: float | str) -> str:
        """Return a value with its sign, and its unit; a text as it is."""
        text = value if isinstance(value, str) else f"{value:g}"
        unit = self.unit.removesuffix("s") if text == "1" else self.unit
        return f"{self.sign} = {text}{unit and ' '}{unit}"

    def titled(self, value: float | str) -> str:
        """Return a value for a title that says nowhere else what it is of."""
        return self.told(value) if self.unit else f"{self.noun} {self.told(value)}"

    @property
    def axis(self) -> str:
        """What stands along an axis of such values, or above them."""
        return f"{self.noun} {self.sign}"


STEP_SIZES = Amount("α", "step size", "step sizes")
UPDATES = Amount("K", "number of updates", "numbers of updates", "updates")
