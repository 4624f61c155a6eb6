"""The measurement: the loop over checkpoints and tiles, and what one process holds to compute them.

An executor on another machine would build the same `Work` from the same spec and answer the same tiles.
"""

from transference.measurement._carrying_out import Measurement, logged
from transference.measurement._measure import measure
from transference.measurement._question import Question, default_tile
from transference.measurement._tasks import Tasks
from transference.measurement._work import Work

__all__ = ["Measurement", "Question", "Tasks", "Work", "default_tile", "logged", "measure"]
