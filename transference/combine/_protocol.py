"""What a combination is, and what is asked of one before it is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

from transference import _trees
from transference.errors import UsageError


class Combination(Protocol):
    """Several tasks' losses and gradients in, the gradient of one step on all of them out: a pure function.

    Any function is one. Ours are frozen dataclasses, so that a run's spec can name all their settings, with these
    optional attributes:

    Attributes:
        parts: into how many parts of one size the queries of each task are split, for a combination that wants to know
            how certain a gradient is. With more than one, losses are ``[m, parts]`` and gradients ``[m, parts, n]``.
        joint: whether the last task is one on all modalities, with a part of its own in the formula.
        most: tasks that it can combine.
    """

    def __call__(self, losses: Tensor, gradients: Tensor, /) -> Tensor:
        """Return the combined gradient.

        Args:
            losses: of the tasks at θ, ``[m]``.
            gradients: theirs, ``[m, n]``; zero where a loss does not depend on a parameter.

        Returns:
            A vector ``[n]``, of the gradients' dtype and on their device.
        """


def parts_of(combination: Combination) -> int:
    """Return into how many parts a combination wants the queries of each task split."""
    return int(getattr(combination, "parts", 1))


def needs_joint(combination: Combination) -> bool:
    """Return whether the last task has to be one on all modalities."""
    return bool(getattr(combination, "joint", False))


def describe(combination: Combination) -> dict[str, Any]:
    """Return what a run's spec says of a combination: where it is defined and its settings, as plain values."""
    kind = combination if hasattr(combination, "__qualname__") else type(combination)
    return {"class": f"{kind.__module__}.{kind.__qualname__}", **_trees.settings(combination)}


def check_number(combinations: Mapping[str, Combination], n: int) -> None:
    """Make sure that so many modes can be combined.

    Raises:
        UsageError: they are too few for any, or too many for one.
    """
    for name, combination in combinations.items():
        if n < 2:
            raise UsageError(f"{name} combines the source modes, of which there is {n}; give two or more.")
        most = getattr(combination, "most", None)
        if most is not None and n > most:
            raise UsageError(
                f"{name} combines at most {most} modes exactly, and there are {n}. Take fewer, or measure from Python with an "
                "aggregator of one's own: measure(…, combine={'NAME': lambda losses, gradients: …})."
            )
