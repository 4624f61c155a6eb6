"""The gradient of a task's loss, and a place to keep many."""

from transference.gradients._gradient import loss_gradient
from transference.gradients._kept import KeptGradients

__all__ = ["KeptGradients", "loss_gradient"]
