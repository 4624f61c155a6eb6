"""The measurement: the loop over checkpoints and tiles, and what one process holds to compute them.

An executor on another machine would build the same `Work` from the same spec and answer the same tiles.
"""

from transference.measurement._measure import logged, measure
from transference.measurement._question import Question, default_tile
from transference.measurement._stages import measure_stage
from transference.measurement._tasks import Tasks
from transference.measurement._work import Work

__all__ = ["Question", "Tasks", "Work", "default_tile", "logged", "measure", "measure_stage"]
