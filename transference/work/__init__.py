"""What one process holds to compute tiles: the checkpoints and tasks on a device, and how a tile is made from them.

An executor on another machine would build the same `Work` from the same spec and answer the same tiles.
"""

from transference.work._tasks import Tasks
from transference.work._work import Work

__all__ = ["Tasks", "Work"]
