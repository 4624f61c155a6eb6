"""The gradient of a task's loss, and a place to keep many."""

from transference.gradients._gradient import loss_gradient
from transference.gradients._kept import KeptGradients
from transference.gradients._rows import GradientRows

__all__ = ["GradientRows", "KeptGradients", "loss_gradient"]
