"""A small table at stages of a training, in a run folder that grows, at a small share of the training's time."""

from transference.watch._watch import CHECKED, Watch

__all__ = ["CHECKED", "Watch"]
