"""How a learner was meta-trained in its paper's released code: the defaults of ``transference train``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class Recipe:
    """Settings of the outer loop.

    Attributes:
        iterations: outer updates.
        meta_batch: tasks per update.
        lr: Adam's rate.
        halve_every: the rate is halved with every such update, counted from 1 and that one included; 0 keeps it constant.
        clip_norm: the gradient's norm is limited to this, for the encoder and for the rest each; 0 does not limit it.
        shots: support examples per class (classification) or in all (regression).
        queries: query examples, likewise.
    """

    iterations: int = 30_000
    meta_batch: int = 10
    lr: float = 1e-3
    halve_every: int = 0
    clip_norm: float = 0.0
    shots: int = 1
    queries: int = 15


@runtime_checkable
class TrainedLearner(Protocol):
    """Optional: a learner that knows how it is usually trained."""

    def recipe(self, modes: int) -> Recipe:
        """Return the settings for a training on this many modes."""


def recipe_of(learner: object, modes: int) -> Recipe:
    """Return the learner's recipe, else the general one."""
    return learner.recipe(modes) if isinstance(learner, TrainedLearner) else Recipe()
