"""Checkpoints: a meta-learner at one moment of its training, as files hold it."""

from transference.checkpoints._files import Checkpoint, Layout, frozen_names, load_checkpoint, save_checkpoint
from transference.checkpoints._memory import overlapping, same_memory
from transference.checkpoints.steps import MOST_STEPS, NOTHING, step_of

__all__ = [
    "MOST_STEPS",
    "NOTHING",
    "Checkpoint",
    "Layout",
    "frozen_names",
    "load_checkpoint",
    "overlapping",
    "same_memory",
    "save_checkpoint",
    "step_of",
]
