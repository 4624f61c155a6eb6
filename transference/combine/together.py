"""Several modes in one trajectory."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from transference.errors import UsageError


@dataclass(frozen=True)
class Together:
    """Some of the source modes as one source of a `transference.ModeLookahead`: they take turns in its meta-batches, as in training.

    Each update steps along the gradient of the tasks' mean loss. Of lookaheads of one step it is no source.

    Args:
        modes: the source modes, as the tables call them (``"sinusoid"``) or with their split (``"sinusoid:train"``).

    Raises:
        UsageError: there are fewer than two, or one is given twice.
    """

    modes: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.modes) < 2 or len(set(self.modes)) < len(self.modes):
            told = ", ".join(self.modes) or "none"
            raise UsageError(f"The modes {told} were to take turns; give two or more different ones.")

    def __call__(self, losses: Tensor, gradients: Tensor) -> Tensor:
        """Return the mean of the modes' gradients ``[n]``, which is what an update comes to where all have as many tasks."""
        del losses
        return gradients.mean(dim=0)
